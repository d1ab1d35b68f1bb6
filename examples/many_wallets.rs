//! Backs up many wallets: one client, a key for each, no faster than the service allows.
//!
//! `cargo run --example many_wallets -- WALLETS BACKUPS [A_MINUTE [THREADS]]`
//!
//! Of each wallet, the folder WALLETS holds `NAME.json`, what `generate` returned, and `NAME.key`, its key. The folder
//! BACKUPS gets `NAME.backup`, the shares, and then `NAME.confirmed`, an empty file; or `NAME.unreadable-…`, a response that
//! may hold shares. Run it again whenever it did not end well, or was killed: it goes on where it was. Exit status: 0 when
//! all wallets are confirmed, 1 when some are left to do, 2 when it cannot begin.
#![allow(clippy::print_stderr)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use std::{env, fs, io, str, thread};

use portal_backup::{ApiKey, Client, Error, FileSlot, GenerateResponse, SecretBytes, StoredShares};

/// Wallets a minute. The service takes 50 backups in that time, and more confirmations.
const A_MINUTE: u32 = 50;
/// Calls at the same time.
const THREADS: usize = 8;

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

fn main() -> ExitCode {
    match run(&env::args().skip(1).collect::<Vec<_>>()) {
        Ok(is_done) => ExitCode::from(u8::from(!is_done)),
        Err(error) => {
            eprintln!("many_wallets: {error}");
            ExitCode::from(2)
        }
    }
}

/// Whether all wallets are confirmed.
fn run(arguments: &[String]) -> Result<bool> {
    let [wallets, backups, numbers @ ..] = arguments else {
        return Err("usage: many_wallets WALLETS BACKUPS [A_MINUTE [THREADS]]".into());
    };
    let a_minute = numbers.first().map_or(Ok(A_MINUTE), |number| number.parse())?;
    let threads = numbers.get(1).map_or(Ok(THREADS), |number| number.parse())?;
    let files = fs::read_dir(wallets).map_err(|e| format!("{wallets}: {e}"))?;
    let mut wallets = files.map(|file| Ok(file?.path())).collect::<io::Result<Vec<_>>>()?;
    wallets.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    wallets.sort();
    if wallets.is_empty() || !Path::new(backups).is_dir() {
        return Err("WALLETS must hold NAME.json and NAME.key of each wallet, BACKUPS must be a folder".into());
    }

    let job = Job { client: client()?, backups: backups.into(), pace: Pace::new(a_minute) };
    let (next, left) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some(wallet) = wallets.get(next.fetch_add(1, Ordering::Relaxed)) {
            let name = wallet.file_stem().unwrap_or_default().to_string_lossy();
            let result = job.back_up(wallet).unwrap_or_else(|error| {
                left.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{name}: {error}"));
                "left to do"
            });
            eprintln!("{name}: {result}");
        }
    };
    thread::scope(|scope| (0..threads).for_each(|_| _ = scope.spawn(work)));
    let mut left = left.into_inner().unwrap_or_else(PoisonError::into_inner);
    left.sort();
    eprintln!("Done: {} of {}.", wallets.len() - left.len(), wallets.len());
    if !left.is_empty() {
        eprintln!("Left to do:\n  {}", left.join("\n  "));
    }
    Ok(left.is_empty())
}

fn client() -> Result<Client, Error> {
    let builder = Client::builder(ApiKey::new("each-wallet-has-its-own")?);
    match env::var("PORTAL_SANDBOX_URL") {
        Ok(url) => builder.base_url(&url).client_api_url(&url).build(),
        Err(_) => builder.build(),
    }
}

/// When the next call may begin: one pace for all threads.
struct Pace {
    next: Mutex<Instant>,
    pause: Duration,
}

impl Pace {
    fn new(a_minute: u32) -> Self {
        Self { next: Mutex::new(Instant::now()), pause: Duration::from_secs(60) / a_minute.max(1) }
    }

    fn wait(&self) {
        let turn = self.push(Duration::ZERO, self.pause);
        thread::sleep(turn.saturating_duration_since(Instant::now()));
    }

    /// The next turn, which begins after `delay` at the earliest and is followed by `pause`.
    fn push(&self, delay: Duration, pause: Duration) -> Instant {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = (*next).max(Instant::now() + delay);
        *next = turn + pause;
        turn
    }
}

struct Job {
    client: Client,
    backups: PathBuf,
    pace: Pace,
}

impl Job {
    /// Does what is left to do for one wallet, and says what that was.
    fn back_up(&self, wallet: &Path) -> Result<&'static str> {
        let backup = self.backups.join(wallet.file_name().unwrap_or_default()).with_extension("backup");
        let confirmed = backup.with_extension("confirmed");
        for file in FileSlot::left_behind(&backup) {
            eprintln!("{}: of a run that was killed, or that still goes on", file.display());
        }
        match (confirmed.exists(), backup.exists()) {
            (true, true) => return Ok("was done before"),
            (true, false) => return Err(format!("{} was confirmed, but is gone", backup.display()).into()),
            (false, _) => {}
        }
        let key = read(&wallet.with_extension("key"))?;
        let client = self.client.with_key(ApiKey::new(str::from_utf8(key.expose())?.trim_end())?);
        self.pace.wait();
        let (stored, result) = match FileSlot::reserve(&backup) {
            Ok(slot) => (self.make(&client, wallet, &backup, slot)?, "backed up and confirmed"),
            // An earlier run ended before it had confirmed them.
            Err(e) if e.already_exists() => (FileSlot::load(&backup)?.1, "was stored before, is confirmed"),
            Err(e) => return Err(e.into()),
        };
        let confirmation = self.heed(client.confirm(&stored));
        confirmation.map_err(|e| format!("stored, but not confirmed: {e}"))?;
        // A note that is lost does no harm: the next run confirms once more.
        fs::write(&confirmed, "").map_err(|e| format!("{}: {e}", confirmed.display()))?;
        Ok(result)
    }

    fn make(&self, client: &Client, wallet: &Path, backup: &Path, slot: FileSlot) -> Result<StoredShares> {
        let text = read(wallet)?;
        let generate_response = GenerateResponse::parse(str::from_utf8(text.expose())?)?;
        let shares = self.heed(client.backup(&generate_response));
        if let Err(Error::Unreadable(response)) = &shares {
            let now = SystemTime::UNIX_EPOCH.elapsed()?.as_millis();
            let name = backup.with_extension(format!("unreadable-{now}"));
            FileSlot::reserve(name)?.store_bytes(response.expose_body())?;
        }
        Ok(slot.store(&shares?)?)
    }

    /// The client itself waits for `Retry-After`, if that fits into its timeout. What did not fit, all threads wait for.
    fn heed<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        result.inspect_err(|error| _ = self.pace.push(error.retry_after().unwrap_or_default(), Duration::ZERO))
    }
}

/// Into a buffer that is wiped when it is dropped.
fn read(path: &Path) -> Result<SecretBytes> {
    Ok(SecretBytes::new(fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?))
}
