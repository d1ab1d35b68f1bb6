//! A logger that takes what a test wants, and remembers it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use log::{LevelFilter, Log, Metadata, Record};

/// Which targets are logged up to which level: the longest prefix that fits decides.
type Filter = &'static [(&'static str, LevelFilter)];

struct Capture {
    filter: Mutex<Filter>,
    lines: Mutex<Vec<String>>,
}

static CAPTURE: Capture = Capture { filter: Mutex::new(&[]), lines: Mutex::new(Vec::new()) };
/// The logger is one for the process; tests take turns.
static TURN: Mutex<()> = Mutex::new(());

/// As long as this lives, the filter holds and nobody else logs.
pub struct Logging(#[allow(dead_code)] MutexGuard<'static, ()>);

impl Logging {
    pub fn start(filter: Filter) -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        // Fails for all but the first, which set the same.
        let _ = log::set_logger(&CAPTURE);
        log::set_max_level(LevelFilter::Trace);
        *CAPTURE.filter.lock().unwrap() = filter;
        CAPTURE.lines.lock().unwrap().clear();
        Self(turn)
    }

    /// Everything since the start, a line a record: level, target and text.
    pub fn lines(&self) -> Vec<String> {
        CAPTURE.lines.lock().unwrap().clone()
    }
}

impl Drop for Logging {
    fn drop(&mut self) {
        *CAPTURE.filter.lock().unwrap() = &[];
    }
}

impl Log for Capture {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let filter = *self.filter.lock().unwrap();
        let fitting = filter.iter().filter(|(prefix, _)| metadata.target().starts_with(prefix));
        fitting.max_by_key(|(prefix, _)| prefix.len()).is_some_and(|(_, level)| metadata.level() <= *level)
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let line = format!("{} {} {}", record.level(), record.target(), record.args());
            self.lines.lock().unwrap().push(line);
        }
    }

    fn flush(&self) {}
}
