//! What is printed: results on standard output, everything else on standard error.

use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// `--quiet` and `--json`.
pub(crate) static QUIET: AtomicBool = AtomicBool::new(false);
pub(crate) static JSON: AtomicBool = AtomicBool::new(false);

/// Lines that are not written yet: between the response and the stored file, nothing may wait for a reader.
pub(crate) static LOG: Mutex<String> = Mutex::new(String::new());
/// Whether the terminal shows the seconds of a call; changes while standard error is locked.
static SHOWS_SECONDS: AtomicBool = AtomicBool::new(false);

struct Logger;

impl log::Log for Logger {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.target() == "portal_backup"
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            *lock(&LOG) += &format!("{}\n", record.args());
        }
    }

    fn flush(&self) {}
}

/// Ignores poisoning: nothing under these locks leaves anything half changed.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether stderr is a terminal, without `--quiet`.
fn is_interactive() -> bool {
    io::stderr().is_terminal() && !QUIET.load(Ordering::Relaxed)
}

/// Makes the standard streams blocking, and shows the log: with `--verbose` up to debug, else on a terminal
/// up to info.
pub(crate) fn prepare(is_verbose: bool) {
    #[cfg(unix)]
    {
        use std::os::fd::AsFd as _;
        for stream in [io::stdin().as_fd(), io::stdout().as_fd(), io::stderr().as_fd()] {
            let _ = rustix::io::ioctl_fionbio(stream, false);
        }
    }
    let level = if is_verbose { log::LevelFilter::Debug } else { log::LevelFilter::Info };
    if (is_verbose || is_interactive()) && log::set_logger(&Logger).is_ok() {
        log::set_max_level(level);
    }
}

/// Prints a line to stderr, also with `--quiet`.
pub(crate) fn print_stderr(line: impl fmt::Display) -> io::Result<()> {
    write_after_log(&format!("{line}\n"))
}

/// Prints a line about the progress to stderr, but not with `--quiet`.
pub(crate) fn print_status(line: impl fmt::Display) {
    if !QUIET.load(Ordering::Relaxed) {
        let _ = print_stderr(line);
    }
}

/// Writes the log lines that wait and then this text to stderr: in one piece, since a command may write there as well.
pub(crate) fn write_after_log(text: &str) -> io::Result<()> {
    let mut stderr = io::stderr().lock();
    let mut all = std::mem::take(&mut *lock(&LOG)) + text;
    if !all.is_empty() && SHOWS_SECONDS.swap(false, Ordering::Relaxed) {
        // Over the seconds: not every terminal can erase a line.
        all.insert_str(0, &format!("\r{:40}\r", ""));
    }
    stderr.write_all(all.as_bytes())
}

/// Shows on a terminal for how many seconds a call has been under way, and the log while it comes.
pub(crate) fn show_progress<T>(word: &'static str, call: impl FnOnce() -> T) -> T {
    let (start, (call_runs, call_ends)) = (Instant::now(), mpsc::channel::<()>());
    let shows_seconds = is_interactive() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
    let show = move || {
        while call_ends.recv_timeout(Duration::from_millis(200)) == Err(mpsc::RecvTimeoutError::Timeout) {
            let mut stderr = io::stderr().lock();
            // Once more under the lock: after the call, the terminal is not ours.
            let is_running = call_ends.try_recv() == Err(mpsc::TryRecvError::Empty);
            if is_running && write_after_log("").is_ok() && shows_seconds {
                SHOWS_SECONDS.store(true, Ordering::Relaxed);
                let _ = write!(stderr, "\r{word} … {} s", start.elapsed().as_secs());
            }
        }
    };
    if log::max_level() > log::LevelFilter::Off {
        // Without a thread, nothing is shown before the end.
        let _ = thread::Builder::new().stack_size(256 << 10).spawn(show);
    }
    let result = call();
    drop(call_runs);
    result
}

pub(crate) fn print_stdout(text: impl fmt::Display) -> io::Result<()> {
    writeln!(io::stdout(), "{text}").and_then(|()| io::stdout().flush())
}

/// A path as the user wrote it, with what a terminal would act on escaped.
pub(crate) fn display_path(path: &Path) -> String {
    let escaped = path.to_string_lossy().escape_debug().to_string();
    escaped.replace(r"\'", "'").replace("\\\"", "\"").replace(r"\\", r"\")
}
