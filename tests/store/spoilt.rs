//! A store in a process of its own, whose system calls strace watches and spoils.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, process, thread};

use portal_backup::FileSlot;
use tempfile::{NamedTempFile, TempDir};

use super::{folder, shares};

/// How that process ends.
pub(crate) const STORED: i32 = 0;
pub(crate) const NOT_RESERVED: i32 = 103;
pub(crate) const NOT_STORED: i32 = 104;

/// Without this, a file system has hard links.
pub(crate) const NO_HARD_LINKS: &str = "linkat:error=EPERM";

#[test]
#[ignore = "run by the other tests, in a process that they spoil"]
fn store_once() {
    let Some(path) = env::var_os("STORE_AT") else { return };
    let stdin = io::stdin();
    // This may be the call that is spoilt.
    let wait = || _ = stdin.lock().read_line(&mut String::new());
    let thread = fs::read_link("/proc/thread-self").unwrap_or_default();
    let say = |what: &str| writeln!(io::stderr(), "{what}").unwrap();
    say(thread.file_name().unwrap_or_default().to_str().unwrap());
    let shares = shares();
    wait();
    let end = |failed: i32, e: portal_backup::StoreError| -> ! {
        say(&format!("\n{e}"));
        process::exit(failed)
    };
    if env::var_os("STORE_LOADS").is_some() {
        FileSlot::load(path).map(drop).unwrap_or_else(|e| end(NOT_STORED, e));
        process::exit(STORED);
    }
    let slot = FileSlot::reserve(path).unwrap_or_else(|e| end(NOT_RESERVED, e));
    if env::var_os("STORE_WAITS").is_some() {
        say("reserved");
        wait();
    }
    slot.store(&shares).map(drop).unwrap_or_else(|e| end(NOT_STORED, e));
    process::exit(STORED);
}

/// Stores at this path, in one go.
pub(crate) fn this_test_binary(path: &Path) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "spoilt::store_once", "--nocapture"]);
    command.env("STORE_AT", path).env("RUST_BACKTRACE", "0");
    command
}

/// The same after these words of shell.
pub(crate) fn in_shell(first: &str, path: &Path) -> Command {
    let inner = this_test_binary(path);
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{first}\nexec \"$@\""), "sh"]);
    command.arg(inner.get_program()).args(inner.get_args()).env("STORE_AT", path);
    command
}

/// The same by a user without special rights, who can reach the folder.
pub(crate) fn as_another_user(first: &str, path: &Path) -> Command {
    // This binary may be where that user cannot go. It is copied by another process: one that is started by another test
    // could inherit this one's descriptor, and a file that is open for writing cannot be run.
    let program = path.with_file_name("program");
    assert!(Command::new("cp").arg(env::current_exe().unwrap()).arg(&program).status().unwrap().success());
    let user = "setpriv --reuid=65534 --regid=65534 --clear-groups";
    let run = format!("shift; set -- '{}' \"$@\"", program.display());
    in_shell(&format!("{first}\n{run}\n[ $(id -u) != 0 ] || set -- {user} \"$@\""), path)
}

/// A process that runs `store_once`.
pub(crate) struct Process {
    pub(crate) child: Child,
    stderr: BufReader<ChildStderr>,
    thread: String,
}

impl Process {
    pub(crate) fn start(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let mut process = Self { child, stderr, thread: String::new() };
        process.thread = process.line();
        process
    }

    /// Goes on to where the place is reserved.
    pub(crate) fn start_and_reserve(mut command: Command) -> Self {
        command.env("STORE_WAITS", "1");
        let mut process = Self::start(command);
        process.go();
        process.wait_until_reserved();
        process
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stderr.read_line(&mut line).unwrap();
        line.trim().into()
    }

    pub(crate) fn go(&mut self) {
        // A process that is gone already is what some of the tests want.
        let _ = self.child.stdin.as_ref().unwrap().write_all(b"go\n");
    }

    pub(crate) fn wait_until_reserved(&mut self) {
        assert_eq!(self.line(), "reserved");
    }

    /// How it ended, and what it said.
    pub(crate) fn finish(mut self) -> (ExitStatus, String) {
        self.go();
        let mut said = String::new();
        self.stderr.read_to_string(&mut said).unwrap();
        (self.child.wait().unwrap(), said)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A process whose storing thread strace watches, and spoils as told, from the order to store on.
pub(crate) struct Spoilt {
    pub(crate) process: Process,
    strace: Child,
    log: NamedTempFile,
}

pub(crate) struct Run {
    pub(crate) status: ExitStatus,
    pub(crate) said: String,
    pub(crate) log: String,
}

impl Run {
    /// Which of the calls of this name is the last that has all this in its line, from 1.
    pub(crate) fn number_of(&self, call: &str, parts: &[&str]) -> usize {
        let lines = self.log.lines().filter(|line| line.starts_with(&format!("{call}(")));
        let has_all = |line: &str| parts.iter().all(|part| line.contains(part));
        let found = lines.enumerate().filter(|(_, line)| has_all(line)).last();
        1 + found.unwrap_or_else(|| panic!("{parts:?}: {}", self.log)).0
    }
}

impl Spoilt {
    /// Stores in one go; `None`, with the reason printed, where there is no strace that may do this.
    pub(crate) fn run(path: &Path, spoil: &[&str]) -> Option<Run> {
        Some(Self::attach(Process::start(this_test_binary(path)), spoil)?.finish())
    }

    /// Loads.
    pub(crate) fn load(path: &Path, spoil: &[&str]) -> Option<Run> {
        let mut command = this_test_binary(path);
        command.env("STORE_LOADS", "1");
        Some(Self::attach(Process::start(command), spoil)?.finish())
    }

    /// Goes on to where the place is reserved.
    pub(crate) fn start(path: &Path, spoil: &[&str]) -> Option<Self> {
        let mut command = this_test_binary(path);
        command.env("STORE_WAITS", "1");
        let mut spoilt = Self::attach(Process::start(command), spoil)?;
        spoilt.process.go();
        spoilt.process.wait_until_reserved();
        Some(spoilt)
    }

    /// Stores until the last call of this name with all this in its line; there it stops, `meanwhile` is done, and it
    /// goes on.
    pub(crate) fn stop_at(
        path: &Path,
        spoil: &[&str],
        (call, parts): (&str, &[&str]),
        meanwhile: impl FnOnce(),
    ) -> Option<Run> {
        for _ in 0..5 {
            // The same names in another folder.
            let rehearsal = folder();
            let name = path.file_name().unwrap();
            let number = Self::run(&rehearsal.path().join(name), spoil)?.number_of(call, parts);
            let stop = format!("{call}:signal=STOP:when={number}");
            let mut spoilt = Self::attach(Process::start(this_test_binary(path)), &[spoil, &[&stop]].concat())?;
            spoilt.process.go();
            if spoilt.has_stopped() {
                meanwhile();
                let id = spoilt.process.child.id().to_string();
                assert!(Command::new("kill").args(["-CONT", &id]).status().unwrap().success());
                return Some(spoilt.finish());
            }
            // The system's libraries made another call of this name in one of the two runs.
            fs::remove_file(path).unwrap();
        }
        panic!("it never stops at {call} {parts:?}");
    }

    /// Waits until the process is stopped, or has ended.
    fn has_stopped(&mut self) -> bool {
        let start = Instant::now();
        loop {
            let has_ended = self.strace.try_wait().unwrap().is_some();
            let has_stopped = self.log().contains("--- stopped by SIGSTOP ---");
            if has_stopped || has_ended {
                return has_stopped;
            }
            assert!(start.elapsed() < Duration::from_secs(30), "it does not stop: {}", self.log());
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn attach(process: Process, spoil: &[&str]) -> Option<Self> {
        let log = NamedTempFile::new().unwrap();
        let mut strace = Command::new("strace");
        strace.args(["-qq", "-s", "200", "-e", "trace=all", "-p", &process.thread, "-o"]).arg(log.path());
        for spoil in spoil {
            strace.args(["-e", &format!("inject={spoil}")]);
        }
        let Ok(mut strace) = strace.stderr(Stdio::null()).spawn() else {
            eprintln!("skipped: there is no strace here");
            return None;
        };
        let thread = format!("/proc/{}/task/{}", process.child.id(), process.thread);
        // The call that it waits in is in the log, or it is gone: that was the call to be killed at.
        let is_attached = || log.as_file().metadata().unwrap().len() > 0 || !Path::new(&thread).exists();
        let start = Instant::now();
        while !is_attached() {
            if strace.try_wait().unwrap().is_some() {
                eprintln!("skipped: strace may not watch other processes here");
                return None;
            }
            assert!(start.elapsed() < Duration::from_secs(30), "strace does not get on");
            thread::sleep(Duration::from_millis(1));
        }
        Some(Self { process, strace, log })
    }

    fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log.path()).unwrap()).into_owned()
    }

    pub(crate) fn finish(mut self) -> Run {
        self.process.go();
        let (status, said) = self.process.finish();
        // It ends with what it watches.
        self.strace.wait().unwrap();
        Run { status, said, log: String::from_utf8_lossy(&fs::read(self.log.path()).unwrap()).into_owned() }
    }
}

/// A file system of its own, until it is dropped.
pub(crate) struct Mounted(TempDir);

impl Mounted {
    /// `None`, with the reason printed, where this is not allowed.
    pub(crate) fn tmpfs(options: &str) -> Option<Self> {
        let folder = folder();
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(folder.path()).output();
        match mount {
            Ok(done) if done.status.success() => Some(Self(folder)),
            _ => {
                eprintln!("skipped: mounting is not allowed here");
                None
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}
