//! Ctrl-C, SIGTERM and SIGHUP: a run is ended with its files in order, and never between an answer and its storage.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{io, process};

use portal_backup::Outcome;

use crate::destination::Place;
use crate::ending::{Ending, Result};
use crate::terminal::tell;

/// A run that signals can end.
#[derive(Clone)]
pub(crate) struct Signals(Arc<Mutex<State>>);

struct State {
    /// How a signal ends the run, with exit code 0 for 128 and the signal; `None` while a signal has to wait.
    ending: Option<Ending>,
    /// What is given back then.
    place: Option<Place>,
    /// The last signal, if one came: its number and its name.
    signal: Option<(u8, &'static str)>,
}

impl Signals {
    /// Watches for signals, at first while nothing is sent.
    pub(crate) fn watch() -> Result<Self> {
        let ending = Ending::new(0, "nothing was sent").outcome(Outcome::NotSent);
        let state = State { ending: Some(ending), place: None, signal: None };
        let signals = Self(Arc::new(Mutex::new(state)));
        let watched = signals.clone();
        let started = call_on_signals(move |number, name| {
            let mut state = watched.state();
            if state.signal.replace((number, name)).is_none() && state.ending.is_none() {
                tell(format_args!("{name} has to wait until the shares are stored"));
            }
            state.end_if_due();
        });
        started.map_err(|e| Ending::new(2, format!("signals cannot be watched: {e}; nothing was sent")))?;
        Ok(signals)
    }

    /// From here on, a signal ends the run like this, one that had to wait at once. It gives back the place; none comes in
    /// while that is made.
    pub(crate) fn end_with(
        &self,
        ending: Ending,
        make: impl FnOnce() -> Result<Option<Place>>,
    ) -> Result<()> {
        let mut state = self.state();
        state.place = make()?;
        state.ending = Some(ending);
        state.end_if_due();
        Ok(())
    }

    /// From here on, a signal has to wait; returns the place.
    pub(crate) fn hold_back(&self) -> Option<Place> {
        let mut state = self.state();
        state.ending = None;
        state.place.take()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The lock is held until the process ends, so that the run does not go on meanwhile.
    fn end_if_due(&mut self) {
        let Some((number, name)) = self.signal else { return };
        let Some(mut ending) = self.ending.take() else { return };
        drop(self.place.take());
        ending.what = format!("ended by {name}; {}", ending.what);
        if ending.code == 0 {
            ending.code = 128 + number;
        }
        process::exit(ending.tell().into());
    }
}

/// Calls this for each signal, in a thread of its own.
#[cfg(unix)]
fn call_on_signals(call: impl Fn(u8, &'static str) + Send + 'static) -> io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
    // What whoever started this program has it ignore, such as `nohup`: a bit for each.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let bits = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = bits.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).unwrap_or_default();
    let ending = [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| ignored >> (signal - 1) & 1 == 0);
    // Writing more than a limit on the size of files allows is to be an error and no death.
    let mut signals = signal_hook::iterator::Signals::new(ending.chain([SIGXFSZ]))?;
    std::thread::Builder::new().spawn(move || {
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
