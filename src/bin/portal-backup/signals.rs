//! Ctrl-C, SIGTERM and SIGHUP: a run is ended with its files in order, and never between an answer and its storage.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{io, process, thread};

use portal_backup::Outcome;
use signal_hook::{consts, flag};

use crate::destination::Place;
use crate::ending::{Ending, Result};
use crate::terminal::say;

/// A run that signals can end.
pub(crate) struct Signals {
    /// `None` while something has to be brought to its end first.
    waiting: Mutex<Option<Waiting>>,
    /// The number of the last signal; 0 for none.
    caught: Arc<AtomicUsize>,
}

struct Waiting {
    /// Given back when the run is ended.
    place: Option<Place>,
    /// How it ends then; an exit code of 0 stands for 128 and the signal.
    ending: Ending,
}

impl Signals {
    /// Watches for signals, at first while nothing is sent.
    pub(crate) fn watch(json: bool, quiet: bool) -> Result<Arc<Self>> {
        let what = "nothing was sent".into();
        let ending = Ending { what, outcome: Some(Outcome::NotSent), ..Ending::default() };
        let waiting = Mutex::new(Some(Waiting { place: None, ending }));
        let signals = Arc::new(Self { waiting, caught: Arc::default() });
        let watched = signals.clone();
        let watch = move || {
            let mut is_said = false;
            loop {
                thread::sleep(Duration::from_millis(50));
                watched.look(json, quiet, &mut is_said);
            }
        };
        let start = || {
            thread::Builder::new().spawn(watch)?;
            let ignored = ignored();
            for &(signal, _) in SIGNALS.iter().filter(|(signal, _)| ignored >> (signal - 1) & 1 == 0) {
                flag::register_usize(signal, signals.caught.clone(), signal.unsigned_abs() as usize)?;
            }
            io::Result::Ok(())
        };
        start().map_err(|e| Ending::new(2, format!("signals cannot be watched: {e}; nothing was sent")))?;
        Ok(signals)
    }

    /// From here on, a signal ends the run like this.
    pub(crate) fn wait(&self, ending: Ending) {
        *self.waiting() = Some(Waiting { place: None, ending });
    }

    /// The same with a place; no signal comes in while that is made.
    pub(crate) fn wait_with(&self, make: impl FnOnce() -> Result<Place>, ending: Ending) -> Result<()> {
        let mut waiting = self.waiting();
        *waiting = Some(Waiting { place: Some(make()?), ending });
        Ok(())
    }

    /// From here on, a signal has to wait; returns the place.
    pub(crate) fn finish(&self) -> Option<Place> {
        self.waiting().take()?.place
    }

    /// The name of the signal that came last.
    pub(crate) fn caught(&self) -> Option<&'static str> {
        self.find().map(|(_, name)| name)
    }

    fn find(&self) -> Option<(i32, &'static str)> {
        let caught = self.caught.load(Ordering::SeqCst);
        SIGNALS.into_iter().find(|(signal, _)| signal.unsigned_abs() as usize == caught)
    }

    fn waiting(&self) -> MutexGuard<'_, Option<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the run if there was a signal, or says once that it has to wait.
    fn look(&self, json: bool, quiet: bool, is_said: &mut bool) {
        let Some((signal, name)) = self.find() else { return };
        // Held until the process ends, so that the run does not go on meanwhile.
        let mut waiting = self.waiting();
        let Some(Waiting { place, mut ending }) = waiting.take() else {
            if !quiet && !core::mem::replace(is_said, true) {
                say(format_args!("{name} has to wait until the shares are stored"));
            }
            return;
        };
        drop(place);
        ending.what = format!("ended by {name}; {}", ending.what);
        if ending.code == 0 {
            ending.code = 128 + u8::try_from(signal).unwrap_or_default();
        }
        process::exit(ending.tell(json, quiet).into());
    }
}

#[cfg(unix)]
const SIGNALS: [(i32, &str); 3] =
    [(consts::SIGINT, "SIGINT"), (consts::SIGTERM, "SIGTERM"), (consts::SIGHUP, "SIGHUP")];
#[cfg(not(unix))]
const SIGNALS: [(i32, &str); 2] = [(consts::SIGINT, "Ctrl-C"), (consts::SIGTERM, "SIGTERM")];

/// The signals that whoever started this program has it ignore, such as `nohup`: a bit for each.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let bits = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    bits.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).unwrap_or_default()
}

/// Writing more than a limit on the size of files allows is to be an error and no death.
pub(crate) fn survive_file_limit() {
    #[cfg(unix)]
    {
        let _ = flag::register(consts::SIGXFSZ, Arc::<std::sync::atomic::AtomicBool>::default());
    }
}
