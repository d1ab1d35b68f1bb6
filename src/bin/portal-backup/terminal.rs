//! What is said on standard error and printed on standard output.
//!
//! Threads write both: a full pipe, or a terminal that is held with Ctrl-S, takes nothing for as long as it likes, and no
//! step of a run may wait for that.

use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SendError, Sender};
use std::thread;
use std::time::{Duration, Instant};

/// How long the end of a run waits for a reader.
const PATIENCE: Duration = Duration::from_secs(1);

/// Whether only errors are to be said, and whether a line of JSON is to be printed.
pub(crate) static QUIET: AtomicBool = AtomicBool::new(false);
pub(crate) static JSON: AtomicBool = AtomicBool::new(false);

enum Said {
    Line(String),
    /// From here to the next line, the seconds are shown after this word.
    Ticks(&'static str),
    /// All was said: was it written?
    End(Sender<bool>),
}

static STDERR: LazyLock<Sender<Said>> = LazyLock::new(|| {
    let (sender, said) = mpsc::channel();
    // Without a thread, the sender finds nobody to send to.
    let _ = thread::Builder::new().spawn(move || write(&said));
    sender
});

fn write(said: &Receiver<Said>) {
    let (mut is_written, mut word, mut since) = (true, "", Instant::now());
    loop {
        let next = said.recv_timeout(Duration::from_secs(1));
        if !word.is_empty() {
            // Over the seconds: not every terminal can erase a line.
            let _ = write!(io::stderr(), "\r{:40}\r", "");
        }
        match next {
            Ok(Said::Line(line)) => {
                // In one piece, since a command may write there as well.
                let text: String = line.lines().map(|line| wrapped(line) + "\n").collect();
                is_written &= io::stderr().write_all(text.as_bytes()).is_ok();
                word = "";
            }
            Ok(Said::Ticks(next)) => (word, since) = (next, Instant::now()),
            Ok(Said::End(asked)) => _ = asked.send(is_written),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if !word.is_empty() {
            let _ = write!(io::stderr(), "{word} … {} s", since.elapsed().as_secs());
        }
    }
}

/// A line for a terminal of 80 columns, broken between words; an indented one is a command to be copied.
fn wrapped(line: &str) -> String {
    if line.starts_with(' ') || !io::stderr().is_terminal() {
        return line.into();
    }
    let (mut wrapped, mut width) = (String::with_capacity(line.len() + 8), 0);
    for word in line.split(' ') {
        let len = word.chars().count();
        if width > 0 && width + 1 + len > 80 {
            wrapped.push_str("\n  ");
            width = 2;
        } else if !wrapped.is_empty() {
            wrapped.push(' ');
            width += 1;
        }
        wrapped.push_str(word);
        width += len;
    }
    wrapped
}

/// Says on stderr what must be read.
pub(crate) fn say(line: fmt::Arguments<'_>) {
    if let Err(SendError(Said::Line(line))) = STDERR.send(Said::Line(line.to_string())) {
        let _ = writeln!(io::stderr(), "{line}");
    }
}

/// Says on stderr what has been done.
pub(crate) fn tell(line: fmt::Arguments<'_>) {
    if !QUIET.load(Ordering::Relaxed) {
        say(line);
    }
}

/// Waits until all is written that was said, but not for long; whether it is.
pub(crate) fn finish() -> bool {
    let (asked, answer) = mpsc::channel();
    let is_asked = STDERR.send(Said::End(asked)).is_ok();
    !is_asked || answer.recv_timeout(PATIENCE).unwrap_or_default()
}

/// Shows on a terminal for how many seconds a call has been under way.
pub(crate) fn ticking<T>(word: &'static str, call: impl FnOnce() -> T) -> T {
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    let ticks = io::stderr().is_terminal() && !is_dumb && !QUIET.load(Ordering::Relaxed);
    let word = if ticks { word } else { "" };
    let _ = STDERR.send(Said::Ticks(word));
    let result = call();
    let _ = STDERR.send(Said::Ticks(""));
    result
}

/// Prints to stdout, but does not wait for a reader for long.
pub(crate) fn print(text: String) -> io::Result<()> {
    let (done, result) = mpsc::channel();
    let write = move |mut out: io::Stdout| writeln!(out, "{text}").and_then(|()| out.flush());
    thread::Builder::new().spawn(move || done.send(write(io::stdout())))?;
    result.recv_timeout(PATIENCE).unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// A path as the user wrote it, with what a terminal would act on escaped.
pub(crate) fn shown(path: &Path) -> String {
    let escape = |c| match c {
        '\\' | '\'' | '"' => String::from(c),
        _ => c.escape_debug().to_string(),
    };
    path.to_string_lossy().chars().map(escape).collect()
}
