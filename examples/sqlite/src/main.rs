//! Backs a wallet up into an SQLite database: `backup-into-sqlite DATABASE WALLET GENERATE_RESPONSE`.
//!
//! Run it again whenever it did not end well, or was killed. Once the shares are in the database it makes no others: it
//! only confirms these. Shares that were lost before that were never confirmed, so Portal does not use them.
//!
//! The key is in `PORTAL_CLIENT_API_KEY`. With `PORTAL_SANDBOX_URL` it calls `portal-backup sandbox` instead of Portal.

use std::error::Error;
use std::fs::{self, OpenOptions};
use std::path::Path;
use std::process::ExitCode;
use std::{env, io};

use portal_backup::{ApiKey, BackupShares, Client, GenerateResponse};
use rusqlite::{Connection, OptionalExtension as _};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [database, wallet, generate_response] = arguments.as_slice() else {
        eprintln!("usage: backup-into-sqlite DATABASE WALLET GENERATE_RESPONSE");
        return ExitCode::from(2);
    };
    match back_up(Path::new(database), wallet, Path::new(generate_response)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("backup-into-sqlite: {e}");
            ExitCode::FAILURE
        }
    }
}

fn back_up(database: &Path, wallet: &str, generate_response: &Path) -> Result<(), Box<dyn Error>> {
    let client = client()?;
    let connection = open(database)?;
    let row = "SELECT shares, confirmed FROM backup WHERE wallet = ?1 AND shares IS NOT NULL";
    let row = connection.query_row(row, [wallet], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)));
    let shares = match row.optional()? {
        Some((_, true)) => return Ok(()),
        Some((json, false)) => BackupShares::parse(json)?,
        None => make(&client, &connection, wallet, generate_response)?,
    };
    let stored = shares.store(|json| store(&connection, database, wallet, json))?;
    client.confirm(&stored)?;
    connection.execute("UPDATE backup SET confirmed = TRUE WHERE wallet = ?1", [wallet])?;
    Ok(())
}

fn make(
    client: &Client,
    connection: &Connection,
    wallet: &str,
    generate_response: &Path,
) -> Result<BackupShares, Box<dyn Error>> {
    let text = fs::read_to_string(generate_response);
    let text = text.map_err(|e| format!("{}: {e}", generate_response.display()))?;
    let generate_response = GenerateResponse::parse(&text)?;
    // A database that cannot be written to is found out now, and not after the shares exist.
    let reserve = "INSERT INTO backup (wallet) VALUES (?1) ON CONFLICT (wallet) DO UPDATE SET writes = writes + 1";
    connection.execute(reserve, [wallet])?;
    match client.backup(&generate_response) {
        Err(portal_backup::Error::Unreadable(response)) => {
            let keep = "UPDATE backup SET unreadable = ?2 WHERE wallet = ?1";
            connection.execute(keep, (wallet, response.expose_body()))?;
            Err(response.into())
        }
        result => Ok(result?),
    }
}

fn client() -> Result<Client, Box<dyn Error>> {
    let builder = Client::builder(ApiKey::from_env("PORTAL_CLIENT_API_KEY")?);
    Ok(match env::var("PORTAL_SANDBOX_URL") {
        Ok(url) => builder.base_url(&*url).client_api_url(&*url).build()?,
        Err(_) => builder.build()?,
    })
}

fn open(database: &Path) -> Result<Connection, Box<dyn Error>> {
    create(database).map_err(|e| format!("{}: {e}", database.display()))?;
    let connection = Connection::open(database)?;
    // With this journal, a commit returns when it is on the disk. With SQLite's usual one `FULL` is not enough: a power
    // cut can bring back the deleted journal, and with it the state before the commit.
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // macOS: past the disk's own cache, too. Other systems do that anyway.
    connection.pragma_update(None, "fullfsync", true)?;
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS backup (
            wallet TEXT PRIMARY KEY,
            shares TEXT,
            confirmed INTEGER NOT NULL DEFAULT FALSE,
            unreadable BLOB,
            writes INTEGER NOT NULL DEFAULT 0
        ) STRICT",
    )?;
    Ok(connection)
}

/// SQLite itself would let everybody read it. Its other files have the mode of this one.
fn create(database: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(database) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(e),
        _ => Ok(()),
    }
}

/// Returns when the shares would survive a power cut and another program can read them.
fn store(connection: &Connection, database: &Path, wallet: &str, json: &str) -> Result<(), Box<dyn Error>> {
    // Shares that are there already may not be on the disk yet: the run that wrote them may have been killed. This commit
    // puts them there, too. It needs something to change: SQLite writes nothing for a row that stays the same.
    let update = "UPDATE backup SET shares = ?2, writes = writes + 1
        WHERE wallet = ?1 AND (shares IS NULL OR shares = ?2)";
    connection.execute(update, [wallet, json])?;

    let compare = "SELECT shares IS ?2 FROM backup WHERE wallet = ?1";
    match Connection::open(database)?.query_row(compare, [wallet, json], |row| row.get(0))? {
        true => Ok(()),
        false => Err("the database holds other shares of this wallet".into()),
    }
}
