//! Backs up many wallets: one client, a key for each, no faster than the service allows.
//!
//! `cargo run --example many_wallets -- WALLETS BACKUPS [A_MINUTE]`
//!
//! Of each wallet, the folder WALLETS holds `NAME.json`, what `generate` returned, and `NAME.key`, its key. The folder
//! BACKUPS gets `NAME.backup`, the shares, and then `NAME.confirmed`, an empty file; or `NAME.unreadable-…`, an answer that
//! may hold shares. Run it again whenever it did not end well, or was killed: it goes on where it was. Exit status: 0 when
//! all wallets are confirmed, 1 when some are left to do, 2 when it cannot begin.
//!
//! One call at a time. For more, start several, each with a folder and a share of the pace of its own.
#![allow(clippy::print_stderr)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};
use std::{env, fs, io, str, thread};

use portal_backup::{ApiKey, Client, Error, FileSlot, GenerateResponse, SecretBytes, StoredShares};

/// Wallets a minute. The service takes 50 backups in that time, and more confirmations.
const A_MINUTE: u32 = 50;

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

fn main() -> ExitCode {
    match run(&env::args_os().skip(1).map(PathBuf::from).collect::<Vec<_>>()) {
        Ok(left) => ExitCode::from(u8::from(!left.is_empty())),
        Err(error) => {
            eprintln!("many_wallets: {error}");
            ExitCode::from(2)
        }
    }
}

/// Which wallets are left to do, and why.
fn run(arguments: &[PathBuf]) -> Result<Vec<String>> {
    let (wallets, backups, a_minute) = match arguments {
        [wallets, backups] => (wallets, backups, A_MINUTE),
        [wallets, backups, number] => (wallets, backups, number.to_string_lossy().parse()?),
        _ => return Err("usage: many_wallets WALLETS BACKUPS [A_MINUTE]".into()),
    };
    let mut job = Job::new(backups, a_minute)?;
    let files = fs::read_dir(wallets).map_err(|e| format!("{}: {e}", wallets.display()))?;
    let mut wallets = files.map(|file| Ok(file?.path())).collect::<io::Result<Vec<_>>>()?;
    wallets.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    wallets.sort();
    if wallets.is_empty() || !backups.is_dir() {
        return Err(
            "WALLETS is to hold NAME.json and NAME.key of each wallet, and BACKUPS is to be a folder".into(),
        );
    }

    let mut left = Vec::new();
    for (number, wallet) in (1..).zip(&wallets) {
        let name = wallet.file_stem().unwrap_or_default().to_string_lossy();
        let said = job.back_up(wallet).unwrap_or_else(|error| {
            left.push(format!("{name}: {error}"));
            "left to do"
        });
        eprintln!("{number} of {}, {name}: {said}", wallets.len());
    }
    eprintln!("Done: {} of {}.", wallets.len() - left.len(), wallets.len());
    if !left.is_empty() {
        eprintln!("Left to do, by another run:\n  {}", left.join("\n  "));
    }
    Ok(left)
}

struct Job {
    client: Client,
    backups: PathBuf,
    pause: Duration,
    next: Instant,
}

impl Job {
    fn new(backups: &Path, a_minute: u32) -> Result<Self> {
        let builder = Client::builder(ApiKey::new("each-wallet-has-its-own")?);
        let client = match env::var("PORTAL_SANDBOX_URL") {
            Ok(url) => builder.base_url(&url).client_api_url(&url).build()?,
            Err(_) => builder.build()?,
        };
        let pause = Duration::from_secs(60) / a_minute.max(1);
        Ok(Self { client, backups: backups.into(), pause, next: Instant::now() })
    }

    /// Does what is left to do for one wallet, and says what that was.
    fn back_up(&mut self, wallet: &Path) -> Result<&'static str> {
        let backup = self.backups.join(wallet.file_name().unwrap_or_default()).with_extension("backup");
        let confirmed = backup.with_extension("confirmed");
        match (confirmed.exists(), backup.exists()) {
            (true, true) => return Ok("was done before"),
            (true, false) => return Err(format!("{} was confirmed, but is gone", backup.display()).into()),
            (false, _) => {}
        }
        let key = read(&wallet.with_extension("key"))?;
        let client = self.client.with_key(ApiKey::new(str::from_utf8(key.expose())?.trim_end())?);

        thread::sleep(self.next.saturating_duration_since(Instant::now()));
        self.next = Instant::now() + self.pause;
        let (stored, said) = match FileSlot::reserve(&backup) {
            Ok(slot) => (self.make(&client, wallet, &backup, slot)?, "backed up and confirmed"),
            // An earlier run ended before it had confirmed them.
            Err(e) if e.already_exists() => (FileSlot::load(&backup)?.1, "was stored before, is confirmed"),
            Err(e) => return Err(e.into()),
        };
        let answer = self.heed(client.confirm(&stored));
        answer.map_err(|e| format!("stored, but not confirmed: {e}"))?;
        // A note that is lost does no harm: the next run confirms once more.
        fs::write(&confirmed, "").map_err(|e| format!("{}: {e}", confirmed.display()))?;
        Ok(said)
    }

    fn make(
        &mut self,
        client: &Client,
        wallet: &Path,
        backup: &Path,
        slot: FileSlot,
    ) -> Result<StoredShares> {
        let text = read(wallet)?;
        let generate_response = GenerateResponse::parse(str::from_utf8(text.expose())?)?;
        let answer = self.heed(client.backup(&generate_response));
        if let Err(Error::Unreadable(answer)) = &answer {
            let now = SystemTime::UNIX_EPOCH.elapsed()?.as_millis();
            let name = backup.with_extension(format!("unreadable-{now}"));
            FileSlot::reserve(name)?.store_bytes(answer.expose_body())?;
        }
        Ok(slot.store(&answer?)?)
    }

    /// The client waits by itself for as long as the service asks, if its timeout allows. After that, the next wallet is
    /// to wait.
    fn heed<T>(&mut self, answer: Result<T, Error>) -> Result<T, Error> {
        if let Err(Error::Refused(said) | Error::Failed(said)) = &answer {
            self.next = self.next.max(Instant::now() + said.retry_after().unwrap_or_default());
        }
        answer
    }
}

/// Into a buffer that is wiped when it is dropped.
fn read(path: &Path) -> Result<SecretBytes> {
    Ok(SecretBytes::new(fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?))
}
