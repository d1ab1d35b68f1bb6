//! A shell command that gets the shares on its standard input.

use std::ffi::OsStr;
use std::fs::File;
#[cfg(not(windows))]
use std::io::Read as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};

use crate::API_KEY;

const OPEN_FILES: &str = "/proc/self/fd";
const NEEDS: &str = if cfg!(windows) { "%ComSpec%" } else { "sh, /proc and /dev/null" };

/// Makes sure that the command can be started, before there is anything to store. Nothing of it is run.
pub(crate) fn check(command: &OsStr) -> Result<(), String> {
    let bytes = command.as_encoded_bytes();
    if bytes.trim_ascii().is_empty() {
        return Err("--store-with needs a command".into());
    }
    if cfg!(windows) && bytes.iter().any(|b| b"\r\n\0".contains(b)) {
        return Err("--store-with takes one line: a command ends where its line does".into());
    }
    if cfg!(target_os = "linux") && !Path::new(OPEN_FILES).exists() {
        // It is how to see whether the command reads.
        return Err(format!("--store-with needs {NEEDS}: there is no {OPEN_FILES}"));
    }
    let tried = trial(command).env_remove(API_KEY).stdin(Stdio::null()).stdout(Stdio::null()).status();
    match tried.map_err(|e| format!("--store-with needs {NEEDS}: {e}"))? {
        status if status.success() => Ok(()),
        status => Err(format!("--store-with: the shell does not take the command: {status}")),
    }
}

/// Runs the command with this on its standard input, which it must read to the end. Its standard output is dropped,
/// since a command that prints what it stores would print the shares.
pub(crate) fn pipe_into(command: &OsStr, bytes: &[u8]) -> Result<(), String> {
    let mut child = shell(command)
        .env_remove(API_KEY)
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

#[cfg(not(windows))]
fn shell(command: &OsStr) -> Command {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(command);
    shell
}

/// Reads the command and does not run it.
#[cfg(not(windows))]
fn trial(command: &OsStr) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-n", "-c"]).arg(command);
    shell
}

#[cfg(windows)]
fn shell(command: &OsStr) -> Command {
    use std::os::windows::process::CommandExt as _;
    // By its path: a name alone is looked for beside this program first, which may be a folder of downloads.
    let mut shell = Command::new(std::env::var_os("ComSpec").unwrap_or_else(|| "cmd.exe".into()));
    // `/S` takes the outer quotes away and leaves all between them as it is; `/D` starts nothing else before.
    let mut line = std::ffi::OsString::from("/D /S /C \"");
    line.push(command);
    line.push("\"");
    shell.raw_arg(line);
    shell
}

/// Nothing but the command itself could tell whether it is one.
#[cfg(windows)]
fn trial(_: &OsStr) -> Command {
    shell("exit".as_ref())
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
