//! Backs a wallet up before its program is built: once, however often that is.
//!
//! `WALLET_DIR` names a folder, best by its whole path, with the generate response, `generate.json`, and the client API
//! key, `api-key`. The shares are stored there as `backup.json`.
//!
//! Cargo keeps what a build script prints, the values of the variables that `rerun-if-env-changed` names, and `OUT_DIR`;
//! and it hands its environment on to every program of the build. So neither the key nor a share is in any of them. The
//! folder belongs neither into the package, which may be published, nor into `target`, which may be cached or deleted.

use std::env;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::SystemTime;

use portal_backup::{ApiKey, Client, FileSlot, GenerateResponse, StoredShares};

fn main() {
    println!("cargo::rerun-if-env-changed=WALLET_DIR");
    if let Err(error) = back_up() {
        // One line, and the build fails.
        println!("cargo::error={error}");
    }
}

fn back_up() -> Result<(), Box<dyn Error>> {
    let folder = env::var_os("WALLET_DIR").ok_or("WALLET_DIR must name the folder of the wallet to back up")?;
    let folder = Path::new(&folder);
    let (backup, confirmed) = (folder.join("backup.json"), folder.join("backup.confirmed"));
    // While there is no such file, cargo runs this in every build.
    println!("cargo::rerun-if-changed={}", confirmed.display());
    if confirmed.exists() {
        return Ok(());
    }

    let client = client(&read(&folder.join("api-key"))?)?;
    let stored = match FileSlot::reserve(&backup) {
        Ok(slot) => make(&client, folder, slot)?,
        // An earlier build ended before it was confirmed.
        Err(error) if error.already_exists() => FileSlot::load(&backup)?.1,
        Err(error) => return Err(error.into()),
    };
    client.confirm(&stored)?;
    fs::write(confirmed, "")?;
    Ok(())
}

fn make(client: &Client, folder: &Path, slot: FileSlot) -> Result<StoredShares, Box<dyn Error>> {
    let text = read(&folder.join("generate.json"))?;
    let generate_response = GenerateResponse::parse(&text)?;
    match client.backup(&generate_response) {
        Ok(shares) => Ok(slot.store(&shares)?),
        Err(portal_backup::Error::Unreadable(response)) => {
            let name = format!("backup.unreadable-{}", SystemTime::UNIX_EPOCH.elapsed()?.as_millis());
            let kept = FileSlot::reserve(folder.join(name)).and_then(|slot| slot.store_bytes(response.expose_body()));
            Err(kept.map_or_else(|e| format!("{response}; it cannot be kept: {e}"), |()| response.to_string()).into())
        }
        Err(error) => Err(error.into()),
    }
}

fn client(api_key: &str) -> Result<Client, Box<dyn Error>> {
    let builder = Client::builder(ApiKey::new(api_key.trim_end())?);
    // `portal-backup sandbox` instead of Portal.
    Ok(match env::var("PORTAL_SANDBOX_URL") {
        Ok(url) => builder.base_url(&*url).client_api_url(&*url).build()?,
        Err(_) => builder.build()?,
    })
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))
}
