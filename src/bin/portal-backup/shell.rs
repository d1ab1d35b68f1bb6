//! A shell command that stores or encrypts what it gets on its standard input.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read as _, Write as _};
use std::process::{Command, ExitStatus, Stdio};

use crate::arguments::API_KEY;

/// The most that a command may write to its standard output.
const MAX_OUTPUT: usize = 16 << 20;

/// Shells, the best first, with the options that make the whole command fail when a part of it fails (`-e`), also a part of
/// a pipeline (`pipefail`).
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
        if bytes.trim_ascii().is_empty() || cfg!(windows) && bytes.iter().any(|b| b"\r\n".contains(b)) {
            return Err(format!("{option} needs a command, which on Windows is one line"));
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
                Err(e) => why = format!("{option} needs {}: {e}", shell.shell.0),
            }
        }
        Err(why)
    }

    /// Runs the command with this on its standard input, which it must read to the end; returns what it writes to its
    /// standard output. Its buffers are wiped by the allocator of this program.
    pub(crate) fn run(&self, input: &[u8]) -> Result<Vec<u8>, String> {
        let ended = pipe_through(self.to_command(false), input);
        let (status, output, is_all_read) = ended.map_err(|e| format!("the command cannot be run: {e}"))?;
        match output.len() {
            _ if !status.success() => Err(format!("the command failed: {status}")),
            _ if !is_all_read => Err("the command did not read all of its input".into()),
            len if len > MAX_OUTPUT => Err("the command wrote more than 16 MiB".into()),
            _ => Ok(output),
        }
    }

    /// The command; as a trial, the shell only parses it (`-n`), or on Windows only starts.
    #[cfg(not(windows))]
    fn to_command(&self, is_trial: bool) -> Command {
        let mut shell = Command::new(self.shell.0);
        // A signal often goes to the whole process group, but the command has to store the shares first. That it ignores the
        // signal is not enough: programs in Go end with SIGTERM all the same. But in a group of its own it could not ask at
        // the terminal.
        if std::fs::File::open("/dev/tty").is_err() {
            std::os::unix::process::CommandExt::process_group(&mut shell, 0);
        }
        let mut command = OsString::from("trap '' INT HUP TERM; ");
        command.push(&self.command);
        shell.env_remove(API_KEY).args(self.shell.1).args(is_trial.then_some("-n")).arg("-c").arg(command);
        shell
    }

    #[cfg(windows)]
    fn to_command(&self, is_trial: bool) -> Command {
        // By its path: a name alone is looked for beside this program first, which may be a folder of downloads.
        let mut shell = Command::new(std::env::var_os("ComSpec").unwrap_or_else(|| self.shell.0.into()));
        // `/S` takes the outer quotes away and leaves all between them as it is; `/D` starts nothing else before.
        let mut line = OsString::from("/D /S /C \"");
        line.push(if is_trial { OsStr::new("exit") } else { &self.command });
        line.push("\"");
        std::os::windows::process::CommandExt::raw_arg(shell.env_remove(API_KEY), line);
        shell
    }
}

/// Runs a command with this input until it ends, even if one of its children keeps its pipes open. Returns its status, its
/// output up to a little more than is allowed, and whether it has read all of the input.
#[cfg(unix)]
fn pipe_through(mut command: Command, mut input: &[u8]) -> io::Result<(ExitStatus, Vec<u8>, bool)> {
    use rustix::io::{FdFlags, fcntl_setfd, ioctl_fionbio, ioctl_fionread};
    // The reading end is kept, to see what has not been read.
    let (stdin, input_pipe) = rustix::pipe::pipe()?;
    fcntl_setfd(&stdin, FdFlags::CLOEXEC)?;
    fcntl_setfd(&input_pipe, FdFlags::CLOEXEC)?;
    ioctl_fionbio(&input_pipe, true)?;
    let mut child = command.stdin(stdin.try_clone()?).stdout(Stdio::piped()).spawn()?;
    let (mut input_pipe, mut output_pipe) = (Some(std::fs::File::from(input_pipe)), child.stdout.take());
    if let Some(pipe) = &output_pipe {
        ioctl_fionbio(pipe, true)?;
    }
    let mut output = Vec::new();
    loop {
        // Asked first: what it has written before it ended is in the pipe.
        let status = child.try_wait()?;
        if let Some(pipe) = &mut input_pipe {
            match pipe.write(input) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                len => input = input.get(len?..).unwrap_or_default(),
            }
        }
        input_pipe = input_pipe.filter(|_| !input.is_empty());
        if let Some(pipe) = &mut output_pipe {
            let room = MAX_OUTPUT + 1 - output.len();
            match pipe.take(room as u64).read_to_end(&mut output) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                read => output_pipe = read.map(|_| None)?,
            }
        }
        if let Some(status) = status {
            let is_all_read = input.is_empty() && ioctl_fionread(&stdin)? == 0;
            return Ok((status, output, is_all_read));
        }
        // Nothing tells that the command has ended while one of its children keeps its output open.
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// The same; here, a child of the command that keeps its output open is waited for.
#[cfg(not(unix))]
fn pipe_through(mut command: Command, input: &[u8]) -> io::Result<(ExitStatus, Vec<u8>, bool)> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    std::thread::scope(|scope| {
        let write = move || {
            let Some(mut stdin) = stdin else { return Ok(()) };
            stdin.write_all(input)?;
            // Flushing waits until all is read, and fails when nobody is left to read it.
            std::fs::File::from(std::os::windows::io::OwnedHandle::from(stdin)).sync_all()
        };
        let writer = std::thread::Builder::new().spawn_scoped(scope, write)?;
        let mut output = Vec::new();
        if let Some(stdout) = stdout {
            stdout.take(MAX_OUTPUT as u64 + 1).read_to_end(&mut output)?;
        }
        let status = child.wait()?;
        Ok((status, output, writer.join().is_ok_and(|written| written.is_ok())))
    })
}
