//! Ctrl-C, SIGTERM and SIGHUP: a run is ended with its files in order, and never between a response and its storage.

use std::sync::Mutex;
use std::time::Duration;
use std::{io, process, thread};

use portal_backup::Outcome;
use serde_json::json;

use crate::destination::Destination;
use crate::exit_report::ExitReport;
use crate::terminal::lock;

static STATE: Mutex<State> = Mutex::new(State { report: None, destination: None, signal: None });

struct State {
    /// How a signal ends the run, with 128 plus its number in place of exit code 0; `None` while a signal has to wait.
    report: Option<ExitReport>,
    /// Dropped then, which removes the reserved file.
    destination: Option<Destination>,
    /// The first signal, if one came: its number and its name.
    signal: Option<(i32, &'static str)>,
}

/// Watches for signals, at first while nothing is sent.
pub(crate) fn watch() -> io::Result<()> {
    on_signal(ExitReport::new(0, "nothing was sent").with(json!({ "outcome": Outcome::NotSent })), None);
    call_on_signals(|number, name| {
        let mut state = lock(&STATE);
        state.signal.get_or_insert((number, name));
        state.end_if_due();
    })
}

/// From here on, a signal ends the run like this and gives back the destination; one that had to wait does so at once.
pub(crate) fn on_signal(report: ExitReport, destination: Option<Destination>) {
    let mut state = lock(&STATE);
    (state.report, state.destination) = (Some(report), destination);
    state.end_if_due();
}

/// From here on, a signal has to wait; returns the destination.
pub(crate) fn defer_signals() -> Option<Destination> {
    let mut state = lock(&STATE);
    state.report = None;
    state.destination.take()
}

impl State {
    /// Ends the process if a signal came and need not wait. The lock is held until then, so that the run does not go on.
    fn end_if_due(&mut self) {
        let Some((number, name)) = self.signal else { return };
        let Some(mut report) = self.report.take() else { return };
        self.destination = None;
        report.what = format!("ended by {name}; {}", report.what);
        if report.code == 0 {
            report.code = u8::try_from(128 + number).unwrap_or(u8::MAX);
        }
        // Writing to stderr blocks forever if its reader has stopped.
        let code = report.code.into();
        let _ = thread::Builder::new().spawn(move || {
            thread::sleep(Duration::from_secs(1));
            process::exit(code);
        });
        process::exit(report.print().into());
    }
}

/// Calls this for each signal, in a thread of its own.
#[cfg(unix)]
fn call_on_signals(call: impl Fn(i32, &'static str) + Send + 'static) -> io::Result<()> {
    use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
    // The bit mask of signals that this process was started with as ignored, as `nohup` does; only Linux shows it.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let bits = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = bits.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).unwrap_or_default();
    let ending = [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| ignored >> (signal - 1) & 1 == 0);
    // With a handler for SIGXFSZ, a file that would grow beyond its limit is an error and does not kill this process; and
    // while SIGCHLD is ignored, the exit status of a command is lost.
    let mut signals = signal_hook::iterator::Signals::new(ending.chain([SIGXFSZ, SIGCHLD]))?;
    let watch = move || {
        for signal in signals.forever().filter(|signal| ![SIGXFSZ, SIGCHLD].contains(signal)) {
            call(signal, signal_hook::low_level::signal_name(signal).unwrap_or("a signal"));
        }
    };
    thread::Builder::new().spawn(watch).map(drop)
}

#[cfg(not(unix))]
fn call_on_signals(call: impl Fn(i32, &'static str) + Send + 'static) -> io::Result<()> {
    ctrlc::set_handler(move || call(2, "Ctrl-C")).map_err(io::Error::other)
}
