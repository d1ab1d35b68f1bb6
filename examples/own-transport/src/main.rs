//! Backs a wallet up over a transport of its own: the wire layer of `portal-backup` over the system's TLS.
//!
//! `own-transport GENERATE_RESPONSE BACKUP`, with the key in `PORTAL_CLIENT_API_KEY`. Run it again whenever it did not end
//! well. Without its client, the crate has no file store either: see `store`. With `PORTAL_SANDBOX_URL` it calls a
//! stand-in, which must speak TLS, too.

mod http;
mod response;

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, str};

use portal_backup::wire::{self, Failure, backup, confirm};
use portal_backup::{ApiKey, BackupShares, GenerateResponse, SecretBytes};

use crate::response::Response;

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args_os().skip(1).map(PathBuf::from).collect();
    let done = match arguments.as_slice() {
        [generate_response, backup] => back_up(generate_response, backup),
        _ => Err("usage: own-transport GENERATE_RESPONSE BACKUP".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("own-transport: {e}");
            ExitCode::FAILURE
        }
    }
}

fn back_up(generate_response: &Path, backup: &Path) -> Result<(), Box<dyn Error>> {
    let key = env::var("PORTAL_CLIENT_API_KEY").map_err(|e| format!("PORTAL_CLIENT_API_KEY: {e}"))?;
    let key = ApiKey::new(&key)?;
    // Made now, so that a file that cannot be made is found out before the shares exist.
    let mut file = open(backup).map_err(|e| format!("{}: {e}", backup.display()))?;
    let before = fs::read(backup)?;
    let shares = if before.is_empty() {
        make(&key, generate_response, backup).inspect_err(|_| drop(fs::remove_file(backup)))?
    } else {
        // An earlier run ended before it had confirmed them.
        BackupShares::parse(before).map_err(|e| format!("{}: {e}", backup.display()))?
    };
    let stored = shares
        .store(|json| store(&mut file, backup, json))
        .map_err(|e| format!("{}: {e}; nothing was confirmed, and the backup may be repeated", backup.display()))?;

    let response = call(&key, confirm::BASE_URL, &confirm::request(stored.share_pair_ids()))?;
    let confirmed = confirm::response(response.status, response.retry_after.as_deref(), response.body);
    Ok(confirmed.map_err(portal_backup::Error::from)?)
}

fn make(key: &ApiKey, generate_response: &Path, backup: &Path) -> Result<BackupShares, Box<dyn Error>> {
    let text = fs::read(generate_response).map_err(|e| format!("{}: {e}", generate_response.display()))?;
    let text = SecretBytes::new(text); // wiped when it is dropped
    let generate_response = GenerateResponse::parse(str::from_utf8(text.expose())?)?;
    let response = call(key, backup::BASE_URL, &backup::request(&generate_response))?;
    let shares = backup::response(response.status, response.retry_after.as_deref(), response.body);
    if let Err(Failure::Unreadable(response)) = &shares {
        // It may hold shares that somebody can still read.
        open(&backup.with_extension("unreadable"))?.write_all(response.expose_body())?;
    }
    Ok(shares.map_err(portal_backup::Error::from)?)
}

fn call(key: &ApiKey, base_url: &str, request: &wire::Request<'_>) -> Result<Response, Box<dyn Error>> {
    let sandbox = env::var("PORTAL_SANDBOX_URL");
    Ok(http::exchange(sandbox.as_deref().unwrap_or(base_url), key, request)?)
}

/// For adding to it, and for its owner alone.
fn open(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Returns when the shares would survive a power cut and can be read again.
fn store(file: &mut File, path: &Path, json: &str) -> io::Result<()> {
    if file.metadata()?.len() == 0 {
        file.write_all(json.as_bytes()).inspect_err(|_| drop(file.set_len(0)))?;
    }
    file.sync_all()?;
    if SecretBytes::new(fs::read(path)?).expose() != json.as_bytes() {
        return Err(io::Error::other("the file holds something else"));
    }
    #[cfg(unix)]
    File::open(path.canonicalize()?.parent().unwrap_or(path))?.sync_all()?; // the name
    Ok(())
}
