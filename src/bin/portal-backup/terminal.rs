//! What is said on standard error and printed on standard output.

use std::fmt;
use std::io::{self, IsTerminal as _, Write};
#[cfg(unix)]
pub(crate) use std::os::fd::AsFd as Pollable;
#[cfg(windows)]
pub(crate) use std::os::windows::io::AsHandle as Pollable;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// Whether only errors are to be said, and whether a line of JSON is to be printed.
pub(crate) static QUIET: AtomicBool = AtomicBool::new(false);
pub(crate) static JSON: AtomicBool = AtomicBool::new(false);

/// Log lines that are not written yet: between the response and the stored file, nothing may wait for a reader.
static LOG: Mutex<Vec<String>> = Mutex::new(Vec::new());
/// Whether the terminal shows the seconds of a call; changes while standard error is locked.
static SHOWS_SECONDS: AtomicBool = AtomicBool::new(false);

struct Logger;

impl log::Log for Logger {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.target() == "portal_backup"
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            LOG.lock().unwrap_or_else(PoisonError::into_inner).push(record.args().to_string());
        }
    }

    fn flush(&self) {}
}

/// Shows what the library logs: all of it, or on a terminal what it waits for.
pub(crate) fn show_log(is_verbose: bool) {
    let waits = io::stderr().is_terminal() && !QUIET.load(Ordering::Relaxed);
    let level = match (is_verbose, waits) {
        (true, _) => log::LevelFilter::Debug,
        (false, true) => log::LevelFilter::Info,
        _ => return,
    };
    if log::set_logger(&Logger).is_ok() {
        log::set_max_level(level);
    }
}

/// Says on stderr what must be read.
pub(crate) fn say(line: impl fmt::Display) -> io::Result<()> {
    write_lines(&mut io::stderr().lock(), &format!("{line}\n"))
}

/// Says on stderr what has been done.
pub(crate) fn tell(line: impl fmt::Display) {
    if !QUIET.load(Ordering::Relaxed) {
        let _ = say(line);
    }
}

/// Writes what is left of the log.
pub(crate) fn show_logged() {
    let _ = write_lines(&mut io::stderr().lock(), "");
}

/// Writes the log lines that wait, and then this.
fn write_lines(stderr: &mut io::StderrLock<'_>, lines: &str) -> io::Result<()> {
    let log = std::mem::take(&mut *LOG.lock().unwrap_or_else(PoisonError::into_inner));
    let mut text: String = log.into_iter().map(|line| line + "\n").collect();
    text += lines;
    if !text.is_empty() && SHOWS_SECONDS.swap(false, Ordering::Relaxed) {
        // Over the seconds: not every terminal can erase a line.
        text.insert_str(0, &format!("\r{:40}\r", ""));
    }
    // In one piece, since a command may write there as well.
    write_all(stderr, text.as_bytes())
}

/// Shows on a terminal for how many seconds a call has been under way, and the log while it comes.
pub(crate) fn show_progress<T>(word: &'static str, call: impl FnOnce() -> T) -> T {
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    let shows_seconds = io::stderr().is_terminal() && !is_dumb && !QUIET.load(Ordering::Relaxed);
    let (start, (call_runs, call_ends)) = (Instant::now(), mpsc::channel::<()>());
    let show = move || {
        let mut stderr = io::stderr().lock();
        let is_over = call_ends.try_recv() == Err(mpsc::TryRecvError::Disconnected);
        if is_over || write_lines(&mut stderr, "").is_err() {
            return false;
        }
        if shows_seconds {
            SHOWS_SECONDS.store(true, Ordering::Relaxed);
            let _ = write!(stderr, "\r{word} … {} s", start.elapsed().as_secs());
        }
        drop(stderr);
        call_ends.recv_timeout(Duration::from_millis(200)) == Err(mpsc::RecvTimeoutError::Timeout)
    };
    if shows_seconds || log::max_level() > log::LevelFilter::Off {
        // Without a thread, nothing is shown before the end.
        let _ = thread::Builder::new().spawn(move || while show() {});
    }
    let result = call();
    drop(call_runs);
    result
}

/// Prints to stdout.
pub(crate) fn print(text: impl fmt::Display) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    write_all(&mut stdout, format!("{text}\n").as_bytes())?;
    loop {
        match stdout.flush() {
            Err(e) if is_ready_after(&e, &stdout, true) => {}
            flushed => return flushed,
        }
    }
}

fn write_all(out: &mut (impl Write + Pollable), mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match out.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(len) => bytes = bytes.get(len..).unwrap_or_default(),
            Err(e) if is_ready_after(&e, out, true) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Whether this only means that a stream does not block; then it waits until the stream is ready.
pub(crate) fn is_ready_after(e: &io::Error, stream: &impl Pollable, is_writing: bool) -> bool {
    #[cfg(unix)]
    if e.kind() == io::ErrorKind::WouldBlock {
        use rustix::event::{PollFd, PollFlags, poll};
        let flags = if is_writing { PollFlags::OUT } else { PollFlags::IN };
        return poll(&mut [PollFd::new(stream, flags)], None).is_ok_and(|ready| ready > 0);
    }
    let _ = (stream, is_writing);
    e.kind() == io::ErrorKind::Interrupted
}

/// A path as the user wrote it, with what a terminal would act on escaped.
pub(crate) fn display_path(path: &Path) -> String {
    let show = |c: char| if is_printable(c) { c.to_string() } else { c.escape_debug().to_string() };
    path.to_string_lossy().chars().map(show).collect()
}

/// Whether a terminal shows it, in a text that has begun.
fn is_printable(c: char) -> bool {
    matches!(c, '\\' | '\'' | '"') || format!("a{c}").escape_debug().count() == 2
}
