//! A shell command that gets the shares on its standard input.

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};

use crate::arguments::API_KEY;

const OPEN_FILES: &str = "/proc/self/fd";
const NEEDS: &str = if cfg!(windows) { "%ComSpec%" } else { "sh, /proc and /dev/null" };

/// Shells, the best first, with the options under which a failure inside a command makes all of it fail: of any command,
/// and of any part of a pipeline where the shell knows how.
const SHELLS: &[(&str, &[&str])] = if cfg!(windows) {
    &[("cmd.exe", &[])]
} else {
    &[("sh", &["-eo", "pipefail"]), ("bash", &["--posix", "-eo", "pipefail"]), ("sh", &["-e"])]
};

/// A command, and a shell that can run it.
pub(crate) struct Shell {
    shell: (&'static str, &'static [&'static str]),
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
        let mut why = String::new();
        for &shell in SHELLS {
            let shell = Self { shell, command: command.into() };
            match shell.start(true).stdin(Stdio::null()).output() {
                Ok(output) if output.status.success() => return Ok(shell),
                Ok(output) => {
                    let said = String::from_utf8_lossy(&output.stderr);
                    why =
                        format!("{said}--store-with: the shell does not take the command: {}", output.status);
                }
                Err(e) => why = format!("--store-with needs {NEEDS}: {e}"),
            }
        }
        Err(why)
    }

    /// Runs the command with this on its standard input, which it must read to the end. Its standard output is dropped,
    /// since a command that prints what it stores would print the shares.
    pub(crate) fn pipe(&self, bytes: &[u8]) -> Result<(), String> {
        let started = self.start(false).stdin(Stdio::piped()).stdout(Stdio::null()).spawn();
        let mut child = started.map_err(|e| format!("the command cannot be started: {e}"))?;
        let written = child.stdin.take().map(|mut stdin| stdin.write_all(bytes).map(|()| reading_of(stdin)));
        let status = child.wait();
        let status =
            status.map_err(|e| format!("whether the command stored them cannot be found out: {e}"))?;
        if !status.success() {
            return Err(format!("the command failed: {status}"));
        }
        if written.and_then(Result::ok).is_some_and(|is_all_read| is_all_read()) {
            Ok(())
        } else {
            Err("the command did not read all of the shares".into())
        }
    }

    /// Starts the command; or only tries the shell, and where that is possible has it read the command.
    fn start(&self, is_trial: bool) -> Command {
        let (program, options) = self.shell;
        // By its path: a name alone is looked for beside this program first, which may be a folder of downloads.
        let by_path = if cfg!(windows) { std::env::var_os("ComSpec") } else { None };
        let mut shell = Command::new(by_path.unwrap_or_else(|| program.into()));
        shell.args(options).env_remove(API_KEY);
        #[cfg(not(windows))]
        {
            // The terminal sends Ctrl-C and its own end to the command, too, which is to store the shares first.
            let mut command = OsString::from("trap '' INT HUP; ");
            command.push(&self.command);
            shell.args(is_trial.then_some("-n")).arg("-c").arg(command);
        }
        #[cfg(windows)]
        {
            // `/S` takes the outer quotes away and leaves all between them as it is; `/D` starts nothing else before.
            let mut line = OsString::from("/D /S /C \"");
            line.push(if is_trial { OsStr::new("exit") } else { &self.command });
            line.push("\"");
            std::os::windows::process::CommandExt::raw_arg(&mut shell, line);
        }
        shell
    }
}

/// Whether the command reads all that was written, which may be in the pipe still; to be asked when it has ended.
fn reading_of(stdin: ChildStdin) -> impl FnOnce() -> bool {
    #[cfg(target_os = "linux")]
    {
        use std::io::Read as _;
        // Opened after the writing: whoever holds a reading end is never told that there is no other.
        let pipe = std::fs::File::open(format!("{OPEN_FILES}/{}", std::os::fd::AsRawFd::as_raw_fd(&stdin)));
        move || pipe.is_ok_and(|mut pipe| matches!(pipe.read(&mut [0]), Ok(0)))
    }
    #[cfg(windows)]
    {
        // This waits until all is read, and fails when nobody is left to read it.
        let flushed = std::fs::File::from(std::os::windows::io::OwnedHandle::from(stdin)).sync_all();
        move || flushed.is_ok()
    }
    #[cfg(not(any(target_os = "linux", windows)))]
    {
        drop(stdin);
        || true
    }
}
