//! What is said on standard error, to a terminal or to a file.

use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// A line on stderr, which may be closed.
pub(crate) fn say(line: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{line}");
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

/// Shows on a terminal for how many seconds a call has been under way.
pub(crate) struct Ticker(Option<(mpsc::Sender<()>, mpsc::Receiver<()>)>);

impl Ticker {
    pub(crate) fn start(what: &'static str, quiet: bool) -> Self {
        if quiet || !io::stderr().is_terminal() {
            return Self(None);
        }
        let (stop, stopped) = mpsc::channel();
        let (end, ended) = mpsc::channel();
        let tick = move || {
            for seconds in 0.. {
                let _ = write!(io::stderr(), "\r{what} … {seconds} s");
                if stopped.recv_timeout(Duration::from_secs(1)) != Err(mpsc::RecvTimeoutError::Timeout) {
                    break;
                }
            }
            let _ = write!(io::stderr(), "\r\x1b[K");
            drop(end);
        };
        // Without a thread there is no ticking, and nothing else is missing.
        Self(thread::Builder::new().spawn(tick).ok().map(|_| (stop, ended)))
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        if let Some((stop, ended)) = self.0.take() {
            drop(stop);
            // A terminal that is stopped (Ctrl-S) takes nothing: what was received must not wait for it.
            let _ = ended.recv_timeout(Duration::from_millis(200));
        }
    }
}
