//! What is said on standard error and printed on standard output.
//!
//! Threads of their own write both, since a full pipe or a terminal that is held with Ctrl-S takes nothing for as long as
//! it likes, and no step of a run may wait for that.

use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;
use std::sync::LazyLock;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SendError, Sender};
use std::thread;
use std::time::{Duration, Instant};

/// How long the end of a run waits for a reader.
const PATIENCE: Duration = Duration::from_secs(1);

enum Said {
    Line(String),
    /// Seconds are to tick after this word; the empty word ends that.
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
        let next = match word {
            "" => said.recv().map_err(|_| RecvTimeoutError::Disconnected),
            _ => said.recv_timeout(Duration::from_secs(1)),
        };
        if !word.is_empty() {
            // Over what is ticking there: not every terminal can erase a line.
            let _ = write!(io::stderr(), "\r{:40}\r", "");
        }
        match next {
            // In one piece, since a command may write there as well.
            Ok(Said::Line(line)) => is_written &= io::stderr().write_all((line + "\n").as_bytes()).is_ok(),
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

/// A line on stderr.
pub(crate) fn say(line: fmt::Arguments<'_>) {
    if let Err(SendError(Said::Line(line))) = STDERR.send(Said::Line(line.to_string())) {
        let _ = writeln!(io::stderr(), "{line}");
    }
}

/// Waits until all is written that was said, but not for long; whether it is.
pub(crate) fn finish() -> bool {
    let (asked, answer) = mpsc::channel();
    let is_asked = STDERR.send(Said::End(asked)).is_ok();
    !is_asked || answer.recv_timeout(PATIENCE).unwrap_or_default()
}

/// Says what went wrong: as it is to a file, and in lines of a terminal's width to a terminal.
pub(crate) fn complain(what: &str) {
    let is_terminal = io::stderr().is_terminal();
    for line in what.lines() {
        // An indented line is a command to be copied.
        if is_terminal && !line.starts_with(' ') {
            wrap(line, 80).iter().for_each(|line| say(format_args!("{line}")));
        } else {
            say(format_args!("{line}"));
        }
    }
}

fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last().map_or(0, |line| line.chars().count());
        if line > 0 && line + 1 + word.chars().count() > width {
            lines.push(format!("  {word}"));
        } else if let Some(last) = lines.last_mut() {
            if line > 0 {
                last.push(' ');
            }
            last.push_str(word);
        }
    }
    lines
}

/// Shows on a terminal for how many seconds a call has been under way, until it is dropped.
pub(crate) struct Ticker(());

impl Ticker {
    pub(crate) fn start(what: &'static str, quiet: bool) -> Option<Self> {
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        if quiet || is_dumb || !io::stderr().is_terminal() {
            return None;
        }
        STDERR.send(Said::Ticks(what)).ok().map(|()| Self(()))
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        let _ = STDERR.send(Said::Ticks(""));
    }
}

/// Prints to stdout, and waits for a reader as long as it takes.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout();
    writeln!(out, "{text}").and_then(|()| out.flush())
}

/// Prints to stdout, but does not wait for a reader for long.
pub(crate) fn print_impatiently(text: String) -> io::Result<()> {
    let (done, result) = mpsc::channel();
    thread::Builder::new().spawn(move || done.send(print(&text)))?;
    result.recv_timeout(PATIENCE).unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// A path as the user wrote it, with what a terminal would act on escaped.
pub(crate) fn shown(path: &Path) -> String {
    let mut shown = String::new();
    for c in path.to_string_lossy().chars() {
        match c {
            '\\' | '\'' | '"' => shown.push(c),
            _ => _ = write!(shown, "{}", c.escape_debug()),
        }
    }
    shown
}
