//! What several test binaries share: certificates, a scripted server, and the table of faults.
// Each binary uses its part.
#![allow(dead_code, unreachable_pub)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

pub mod certificates;
pub mod faults;
pub mod logger;
pub mod secrets;
pub mod server;
pub mod x509;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use portal_backup::{
    ApiKey, BackupShares, Client, ClientBuilder, Error, GenerateResponse, StoredShares, TransportErrorKind,
};
use rustls::ServerConfig;

use self::server::Server;

/// The deadline of nearly every call to a server that fails.
pub const TIMEOUT: Duration = Duration::from_secs(2);
/// How much later than its deadline a call may end, however busy the machine.
pub const GRACE: Duration = Duration::from_secs(1);

/// A client of this server, with the deadline and the roots of these tests.
#[track_caller]
pub fn client(server: &Server) -> Client {
    builder(&server.url()).build().unwrap()
}

/// The settings of such a client, to be changed.
#[track_caller]
pub fn builder(url: &str) -> ClientBuilder {
    Client::builder(ApiKey::new(secrets::KEY).unwrap())
        .base_url(url)
        .client_api_url(url)
        .root_certs_pem(certificates::root_pem())
        .timeout(TIMEOUT)
}

/// A server's settings of TLS that these clients trust.
pub fn tls() -> Option<Arc<ServerConfig>> {
    Some(certificates::server_config(certificates::Certificate::Trusted))
}

/// What every backup of these tests is made of.
pub fn generate() -> GenerateResponse<'static> {
    GenerateResponse::parse(secrets::generate_response()).unwrap()
}

pub fn backup(client: &Client) -> Result<BackupShares, Error> {
    client.backup(&generate())
}

/// What every confirmation of these tests is of.
pub fn stored() -> StoredShares {
    StoredShares::from_share_pair_ids(["backup-secp-0", "backup-ed-0"]).unwrap()
}

pub fn confirm(client: &Client) -> Result<(), Error> {
    client.confirm(&stored())
}

/// Waits until this holds, but not for ever.
#[track_caller]
pub fn wait_for(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(20), "waited in vain for {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// What failed, of a call that ended without a response.
#[track_caller]
pub fn kind_of(error: &Error) -> TransportErrorKind {
    match error {
        Error::Transport(e) => e.kind(),
        other => panic!("{other}"),
    }
}

/// Does this to each of them, on a few threads.
pub fn in_parallel<I: Send, O: Send>(items: Vec<I>, threads: usize, each: impl Fn(I) -> O + Sync) -> Vec<O> {
    let items: Vec<_> = items.into_iter().map(|item| Mutex::new(Some(item))).collect();
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::SeqCst)) {
                    let one = each(item.lock().unwrap().take().unwrap());
                    done.lock().unwrap().push(one);
                }
            });
        }
    });
    done.into_inner().unwrap()
}

/// Runs the whole table: those that wait many at a time, those that work fewer, since all are timed.
pub fn run_table<O: Send>(table: Vec<faults::Fault>, each: impl Fn(faults::Fault) -> O + Sync) -> Vec<O> {
    let (large, table): (Vec<_>, Vec<_>) = table.into_iter().partition(|fault| fault.is_large);
    let (lasting, others): (Vec<_>, Vec<_>) = table.into_iter().partition(|fault| fault.lasts);
    let mut done = in_parallel(lasting, 48, &each);
    done.extend(in_parallel(others, 12, &each));
    done.extend(in_parallel(large, 12, &each));
    done
}

/// What is promised, against what was found.
pub fn expect<T: PartialEq + std::fmt::Debug>(what: &str, found: T, promised: T) -> Result<(), String> {
    if found == promised { Ok(()) } else { Err(format!("{what} is {found:?}, promised is {promised:?}")) }
}

/// Fails with all rows that do not hold, not with the first.
#[track_caller]
pub fn for_each_row<R>(rows: &[R], show: impl Fn(&R) -> String, check: impl Fn(&R) -> Result<(), String>) {
    let broken = rows.iter().filter_map(|row| Some((check(row).err()?, row)));
    let broken: Vec<_> = broken.map(|(why, row)| format!("{why}: {}", show(row))).collect();
    assert!(broken.is_empty(), "of {} rows, these do not hold:\n{}", rows.len(), broken.join("\n"));
}
