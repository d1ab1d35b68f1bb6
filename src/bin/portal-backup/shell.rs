//! A shell command that stores or encrypts what it gets on its standard input.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read as _, Write as _};
use std::process::{Command, ExitStatus, Stdio};

use portal_backup::SecretBytes;

use crate::arguments::API_KEY;

/// The most that a command may write to its standard output.
const MAX_OUTPUT: usize = 16 << 20;
const NEEDS: &str = if cfg!(windows) { "%ComSpec%" } else { "sh and /dev/null" };

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
    pub(crate) fn find(option: &str, command: &OsStr) -> Result<Self, String> {
        let bytes = command.as_encoded_bytes();
        if bytes.trim_ascii().is_empty() {
            return Err(format!("{option} needs a command"));
        }
        if bytes.contains(&0) || cfg!(windows) && bytes.iter().any(|b| b"\r\n".contains(b)) {
            return Err(format!("{option} takes one line: a command ends where its line does"));
        }
        let mut why = String::new();
        for &shell in SHELLS {
            let shell = Self { shell, command: command.into() };
            match shell.to_command(true).stdin(Stdio::null()).output() {
                Ok(output) if output.status.success() => return Ok(shell),
                Ok(output) => {
                    let stderr = String::from_utf8_lossy(&output.stderr);
                    why = format!("{stderr}{option}: the shell does not take the command: {}", output.status);
                }
                Err(e) => why = format!("{option} needs {NEEDS}: {e}"),
            }
        }
        Err(why)
    }

    /// Runs the command with this on its standard input, which it must read to the end; returns what it writes to its
    /// standard output.
    pub(crate) fn run(&self, input: &[u8]) -> Result<SecretBytes, String> {
        let ended = drive(self.to_command(false), input);
        let (status, output, is_all_read) = ended.map_err(|e| format!("the command cannot be run: {e}"))?;
        let output = SecretBytes::new(output);
        match status.success() {
            false => Err(format!("the command failed: {status}")),
            true if !is_all_read => Err("the command did not read all of its input".into()),
            true if output.len() > MAX_OUTPUT => Err("the command wrote more than 16 MiB".into()),
            true => Ok(output),
        }
    }

    /// The command; or only a trial of the shell, which where that is possible reads the command.
    fn to_command(&self, is_trial: bool) -> Command {
        let (program, options) = self.shell;
        // By its path: a name alone is looked for beside this program first, which may be a folder of downloads.
        let by_path = if cfg!(windows) { std::env::var_os("ComSpec") } else { None };
        let mut shell = Command::new(by_path.unwrap_or_else(|| program.into()));
        shell.args(options).env_remove(API_KEY);
        #[cfg(not(windows))]
        {
            // Signals often go to the whole process group, also to the command, which is to store the shares first.
            let mut command = OsString::from("trap '' INT HUP TERM; ");
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

/// Runs a command with this input until it ends, even if one of its children keeps its pipes open. Returns its status, its
/// output up to a little more than is allowed, and whether it has read all of the input.
#[cfg(unix)]
fn drive(mut command: Command, mut input: &[u8]) -> io::Result<(ExitStatus, Vec<u8>, bool)> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    // This end is kept until the end, to see what has not been read.
    let (stdin, input_pipe) = pipe()?;
    let (output_pipe, stdout) = pipe()?;
    for pipe in [&input_pipe, &output_pipe] {
        rustix::io::ioctl_fionbio(pipe, true)?;
    }
    let mut child = command.stdin(stdin.try_clone()?).stdout(stdout).spawn()?;
    // It holds the child's ends of the pipes.
    drop(command);
    let (mut input_pipe, mut output_pipe) = (Some(input_pipe), Some(output_pipe));
    let mut output = Vec::new();
    loop {
        // Asked first: what it has written before it ended is in the pipe.
        let status = child.try_wait()?;
        if let Some(pipe) = &mut input_pipe {
            match pipe.write(input) {
                Ok(len) => input = input.get(len..).unwrap_or_default(),
                Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                Err(e) => return Err(e),
            }
            if input.is_empty() {
                input_pipe = None;
            }
        }
        if let Some(pipe) = &output_pipe {
            // Growing leaves copies behind, which the allocator of this program wipes.
            output.try_reserve(64 << 10)?;
            let room = MAX_OUTPUT + 1 - output.len();
            match pipe.take(room as u64).read_to_end(&mut output) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                read => {
                    read?;
                    output_pipe = None;
                }
            }
        }
        if let Some(status) = status {
            let is_all_read = input.is_empty() && rustix::io::ioctl_fionread(&stdin)? == 0;
            return Ok((status, output, is_all_read));
        }
        let writable = input_pipe.iter().map(|pipe| PollFd::new(pipe, PollFlags::OUT));
        let readable = output_pipe.iter().map(|pipe| PollFd::new(pipe, PollFlags::IN));
        // Nothing tells that the command has ended while one of its children keeps its output open.
        let timeout = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
        let _ = poll(&mut writable.chain(readable).collect::<Vec<_>>(), Some(&timeout));
    }
}

/// Its reading and its writing end, which no other child gets.
#[cfg(unix)]
fn pipe() -> io::Result<(std::fs::File, std::fs::File)> {
    let (reader, writer) = rustix::pipe::pipe()?;
    for end in [&reader, &writer] {
        rustix::io::fcntl_setfd(end, rustix::io::FdFlags::CLOEXEC)?;
    }
    Ok((reader.into(), writer.into()))
}

/// The same; here, a child of the command that keeps its output open is waited for.
#[cfg(not(unix))]
fn drive(mut command: Command, input: &[u8]) -> io::Result<(ExitStatus, Vec<u8>, bool)> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    std::thread::scope(|scope| {
        let write = move || {
            let Some(mut stdin) = stdin else { return false };
            // Flushing waits until all is read, and fails when nobody is left to read it.
            let flush =
                |stdin| std::fs::File::from(std::os::windows::io::OwnedHandle::from(stdin)).sync_all();
            stdin.write_all(input).and_then(|()| flush(stdin)).is_ok()
        };
        let writer = std::thread::Builder::new().spawn_scoped(scope, write)?;
        let mut output = Vec::new();
        if let Some(stdout) = stdout {
            stdout.take(MAX_OUTPUT as u64 + 1).read_to_end(&mut output)?;
        }
        let status = child.wait()?;
        Ok((status, output, writer.join().unwrap_or(false)))
    })
}
