//! A shell command that gets the shares on its standard input.

use std::ffi::{OsStr, OsString};
use std::fs::File;
#[cfg(not(windows))]
use std::io::Read as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};

use crate::arguments::API_KEY;

const OPEN_FILES: &str = "/proc/self/fd";
const NEEDS: &str = if cfg!(windows) { "%ComSpec%" } else { "sh, /proc and /dev/null" };

/// A command, and a shell that can run it.
pub(crate) struct Shell {
    program: OsString,
    options: &'static [&'static str],
    command: OsString,
}

impl Shell {
    /// Makes sure that the command can be started, before there is anything to store. Nothing of it is run.
    pub(crate) fn find(command: &OsStr) -> Result<Self, String> {
        let bytes = command.as_encoded_bytes();
        if bytes.trim_ascii().is_empty() {
            return Err("--store-with needs a command".into());
        }
        if bytes.contains(&0) || cfg!(windows) && bytes.iter().any(|b| b"\r\n".contains(b)) {
            return Err("--store-with takes one line: a command ends where its line does".into());
        }
        if cfg!(target_os = "linux") && !Path::new(OPEN_FILES).exists() {
            // It is how to see whether the command reads.
            return Err(format!("--store-with needs {NEEDS}: there is no {OPEN_FILES}"));
        }
        let run = |command: &mut Command| command.stdin(Stdio::null()).stdout(Stdio::null()).status();
        let mut why = String::new();
        for (program, options) in shells() {
            let shell = Self { program, options, command: command.into() };
            match run(shell.start("exit 0".as_ref()).stderr(Stdio::null())) {
                Ok(status) if status.success() => {
                    return match run(&mut shell.check()) {
                        Ok(status) if status.success() => Ok(shell),
                        Ok(status) => {
                            Err(format!("--store-with: the shell does not take the command: {status}"))
                        }
                        Err(e) => Err(format!("--store-with needs {NEEDS}: {e}")),
                    };
                }
                Ok(status) => why = status.to_string(),
                Err(e) => why = e.to_string(),
            }
        }
        Err(format!("--store-with needs {NEEDS}: {why}"))
    }

    /// Runs the command with this on its standard input, which it must read to the end. Its standard output is dropped,
    /// since a command that prints what it stores would print the shares.
    pub(crate) fn pipe(&self, bytes: &[u8]) -> Result<(), String> {
        let mut child = self
            .start(&self.undisturbed())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .map_err(|e| format!("the command cannot be started: {e}"))?;
        let left = child.stdin.take().map(|mut stdin| stdin.write_all(bytes).map(|()| Leftover::of(stdin)));
        let status =
            child.wait().map_err(|e| format!("whether the command stored them cannot be found out: {e}"))?;
        if !status.success() {
            return Err(format!("the command failed: {status}"));
        }
        if left.is_some_and(|left| left.is_ok_and(|mut left| !left.is_there())) {
            Ok(())
        } else {
            Err("the command did not read all of the shares".into())
        }
    }
}

#[cfg(not(windows))]
impl Shell {
    fn start(&self, command: &OsStr) -> Command {
        let mut shell = Command::new(&self.program);
        shell.args(self.options).arg("-c").arg(command).env_remove(API_KEY);
        shell
    }

    /// Reads the command and does not run it.
    fn check(&self) -> Command {
        let mut shell = Command::new(&self.program);
        shell.args(self.options).args(["-n", "-c"]).arg(&self.command).env_remove(API_KEY);
        shell
    }

    /// The terminal sends Ctrl-C and its own end to the command, too, which is to store the shares first.
    fn undisturbed(&self) -> OsString {
        let mut command = OsString::from("trap '' INT HUP; ");
        command.push(&self.command);
        command
    }
}

/// Shells, the best first, with the options under which a failure inside a command makes all of it fail: of any command,
/// and of any part of a pipeline where the shell knows how.
#[cfg(not(windows))]
fn shells() -> [(OsString, &'static [&'static str]); 3] {
    const PIPES: &[&str] = &["-eo", "pipefail"];
    [("sh".into(), PIPES), ("bash".into(), &["--posix", "-eo", "pipefail"]), ("sh".into(), &["-e"])]
}

#[cfg(windows)]
impl Shell {
    fn start(&self, command: &OsStr) -> Command {
        use std::os::windows::process::CommandExt as _;
        let mut shell = Command::new(&self.program);
        // `/S` takes the outer quotes away and leaves all between them as it is; `/D` starts nothing else before.
        let mut line = OsString::from("/D /S /C \"");
        line.push(command);
        line.push("\"");
        shell.args(self.options).raw_arg(line).env_remove(API_KEY);
        shell
    }

    /// Nothing but the command itself could tell whether it is one.
    fn check(&self) -> Command {
        self.start("exit".as_ref())
    }

    fn undisturbed(&self) -> OsString {
        self.command.clone()
    }
}

/// By its path: a name alone is looked for beside this program first, which may be a folder of downloads.
#[cfg(windows)]
fn shells() -> [(OsString, &'static [&'static str]); 1] {
    [(std::env::var_os("ComSpec").unwrap_or_else(|| "cmd.exe".into()), &[])]
}

/// What the command leaves unread: a pipe takes 64 KB that nobody ever reads.
struct Leftover(Option<File>);

impl Leftover {
    /// To be called when all was written: whoever holds a reading end is never told that there is no other.
    #[cfg(target_os = "linux")]
    fn of(stdin: ChildStdin) -> Self {
        use std::os::fd::AsRawFd as _;
        Self(File::open(format!("{OPEN_FILES}/{}", stdin.as_raw_fd())).ok())
    }

    /// Waits until all is read, or nobody is left to read it: what a pipe's own end is synchronized with is the other.
    #[cfg(windows)]
    fn of(stdin: ChildStdin) -> Self {
        let pipe = File::from(std::os::windows::io::OwnedHandle::from(stdin));
        Self(pipe.sync_all().is_err().then_some(pipe))
    }

    #[cfg(not(any(target_os = "linux", windows)))]
    fn of(_: ChildStdin) -> Self {
        Self(None)
    }

    /// Does not block once the command has ended and the writing end is closed.
    #[cfg(not(windows))]
    fn is_there(&mut self) -> bool {
        self.0.as_mut().is_some_and(|pipe| !matches!(pipe.read(&mut [0]), Ok(0)))
    }

    #[cfg(windows)]
    fn is_there(&mut self) -> bool {
        self.0.is_some()
    }
}
