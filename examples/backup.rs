//! Backs a wallet up: makes the shares, stores them, and only then confirms them. `cargo run --example backup`
//!
//! Reads what `generate` returned from `generate.json`, stores the shares in `backup.json`, both in the current folder,
//! and takes the key from `PORTAL_CLIENT_API_KEY`. Run it again whenever it did not end well: shares that are stored
//! already are confirmed, and no others are made. With `PORTAL_SANDBOX_URL` it calls `portal-backup sandbox`.
#![allow(clippy::print_stderr)]

use std::time::{Duration, SystemTime};
use std::{env, fmt, fs, thread};

use portal_backup::{ApiKey, BackupShares, Client, Error, FileSlot, GenerateResponse, Outcome, SecretBytes};

const GENERATE_RESPONSE: &str = "generate.json";
const BACKUP: &str = "backup.json";

fn main() -> Result<(), Failed> {
    let client = client()?;
    let stored = match FileSlot::reserve(BACKUP) {
        Ok(slot) => {
            let shares = make(&client)?;
            slot.store(&shares)? // 0600, synchronized, read back
        }
        Err(e) if e.already_exists() => {
            eprintln!("{BACKUP} is there already: no other shares are made.");
            FileSlot::load(BACKUP)?.1
        }
        Err(e) => return Err(e.into()),
    };
    // Whatever the outcome, the next step is the same: the shares are safe, and confirming twice does no harm.
    client
        .confirm(&stored)
        .map_err(|e| Failed(format!("{e}\n{BACKUP} is stored, but not confirmed: run this again")))?;
    eprintln!("{BACKUP} is stored and confirmed.");
    Ok(())
}

fn make(client: &Client) -> Result<BackupShares, Failed> {
    let text = fs::read(GENERATE_RESPONSE).map_err(|e| Failed(format!("{GENERATE_RESPONSE}: {e}")))?;
    let text = SecretBytes::new(text); // wiped when it is dropped
    let generate_response = GenerateResponse::parse(std::str::from_utf8(text.expose())?)?;

    let mut tries = 0;
    loop {
        tries += 1;
        let error = match client.backup(&generate_response) {
            Ok(shares) => return Ok(shares),
            Err(error) => error,
        };
        if let Error::Unreadable(response) = &error {
            // It may hold both shares, in a form that somebody can still read.
            let name = format!("{BACKUP}.unreadable-{}", SystemTime::UNIX_EPOCH.elapsed()?.as_millis());
            let kept = FileSlot::reserve(&name).and_then(|slot| slot.store_bytes(response.expose_body()));
            kept.map_err(|e| Failed(format!("{error}\nIt cannot be kept: {e}")))?;
            eprintln!("The response is kept in {name}.");
        }
        let pause = error.retry_after().unwrap_or(Duration::from_secs(tries));
        match error.outcome() {
            // The client has tried this up to three times by itself, where that could help.
            Outcome::NotSent => return Err(error.into()),
            Outcome::Refused => return Err(Failed(format!("{error}\nNo shares were made."))),
            // It makes a new pair. Portal does not use the one that was lost, as nobody confirms it.
            Outcome::Unknown if tries < 3 && pause < Duration::from_secs(60) => {
                eprintln!("{error}\nOnce more in {} s.", pause.as_secs());
                thread::sleep(pause);
            }
            Outcome::Unknown => return Err(error.into()),
        }
    }
}

fn client() -> Result<Client, Error> {
    let builder = Client::builder(ApiKey::from_env("PORTAL_CLIENT_API_KEY")?);
    match env::var("PORTAL_SANDBOX_URL") {
        Ok(url) => builder.base_url(&url).client_api_url(&url).build(),
        Err(_) => builder.build(),
    }
}

/// What `main` ends with: Rust prints its `Debug`, and people read it.
struct Failed(String);

impl fmt::Debug for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<E: std::error::Error> From<E> for Failed {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}
