//! Ctrl-C, SIGTERM and SIGHUP: a run is ended with its files in order, and never between a response and its storage.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{io, process, thread};

use portal_backup::Outcome;

use crate::destination::Destination;
use crate::exit_report::{ExitReport, Result};

/// A run that signals can end.
#[derive(Clone)]
pub(crate) struct Signals(Arc<Mutex<State>>);

struct State {
    /// How a signal ends the run, with exit code 0 for 128 and the signal; `None` while a signal has to wait.
    report: Option<ExitReport>,
    /// What is given back then.
    destination: Option<Destination>,
    /// The first signal, if one came: its number and its name.
    signal: Option<(u8, &'static str)>,
}

impl Signals {
    /// Watches for signals, at first while nothing is sent.
    pub(crate) fn watch() -> Result<Self> {
        let report = ExitReport::new(0, "nothing was sent").outcome(Outcome::NotSent);
        let state = State { report: Some(report), destination: None, signal: None };
        let signals = Self(Arc::new(Mutex::new(state)));
        let watched = signals.clone();
        let started = call_on_signals(move |number, name| {
            let mut state = watched.state();
            state.signal.get_or_insert((number, name));
            state.end_if_due();
        });
        started.map_err(|e| ExitReport::new(2, format!("signals cannot be watched: {e}")))?;
        Ok(signals)
    }

    /// From here on, a signal ends the run like this, one that had to wait at once. It gives back the destination; none
    /// comes in while that is made.
    pub(crate) fn on_signal(
        &self,
        report: ExitReport,
        make: impl FnOnce() -> Result<Option<Destination>>,
    ) -> Result<()> {
        let mut state = self.state();
        state.destination = make()?;
        state.report = Some(report);
        state.end_if_due();
        Ok(())
    }

    /// From here on, a signal has to wait; returns the destination.
    pub(crate) fn defer_signals(&self) -> Option<Destination> {
        let mut state = self.state();
        state.report = None;
        state.destination.take()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The lock is held until the process ends, so that the run does not go on meanwhile.
    fn end_if_due(&mut self) {
        let Some((number, name)) = self.signal else { return };
        let Some(mut report) = self.report.take() else { return };
        drop(self.destination.take());
        report.what = format!("ended by {name}; {}", report.what);
        if report.code == 0 {
            report.code = 128 + number;
        }
        let code = report.code;
        // It ends though nobody reads what it says.
        let end = move || {
            thread::sleep(Duration::from_secs(1));
            process::exit(code.into())
        };
        let _ = thread::Builder::new().spawn(end);
        process::exit(report.tell().into());
    }
}

/// Calls this for each signal, in a thread of its own.
#[cfg(unix)]
fn call_on_signals(call: impl Fn(u8, &'static str) + Send + 'static) -> io::Result<()> {
    use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
    // What whoever started this program has it ignore, such as `nohup`: a bit for each. Only Linux tells.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let bits = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = bits.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).unwrap_or_default();
    let ending = [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| ignored >> (signal - 1) & 1 == 0);
    // Writing more than a limit on the size of files allows is to be an error and no death; and how a command has ended
    // cannot be found out while SIGCHLD is ignored.
    let mut signals = signal_hook::iterator::Signals::new(ending.chain([SIGXFSZ, SIGCHLD]))?;
    thread::Builder::new().spawn(move || {
        for signal in signals.forever() {
            match signal {
                SIGINT => call(2, "SIGINT"),
                SIGTERM => call(15, "SIGTERM"),
                SIGHUP => call(1, "SIGHUP"),
                _ => {}
            }
        }
    })?;
    Ok(())
}

#[cfg(not(unix))]
fn call_on_signals(call: impl Fn(u8, &'static str) + Send + 'static) -> io::Result<()> {
    ctrlc::set_handler(move || call(2, "Ctrl-C")).map_err(io::Error::other)
}
