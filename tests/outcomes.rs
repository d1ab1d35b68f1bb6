//! Every fault of the table ends as promised, over real sockets and real TLS.
#![cfg(all(feature = "client", feature = "ring"))]
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod util;

use std::error::Error as _;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use portal_backup::{BackupShares, Client, Error, GenerateResponse, Outcome, StoredShares};
use util::faults::{self, Fault, Kept, Promise};
use util::{GRACE, expect, secrets};

/// What became of one call.
struct Seen {
    name: String,
    promise: Promise,
    lasts: bool,
    timeout: Duration,
    result: Result<Option<BackupShares>, Error>,
    connections: Option<usize>,
    took: Duration,
}

impl Seen {
    fn outcome(&self) -> Option<Outcome> {
        self.result.as_ref().err().map(Error::outcome)
    }
}

fn run(call: impl Fn(&Client, &Fault) -> Result<Option<BackupShares>, Error> + Sync) -> Vec<Seen> {
    util::run_table(faults::all(), |fault| one(fault, &call))
}

fn one(fault: Fault, call: impl Fn(&Client, &Fault) -> Result<Option<BackupShares>, Error>) -> Seen {
    // Made once, and not within the time that is measured.
    fault.generate_response();
    let stage = fault.stage();
    let timeout = fault.timeout();
    let client = util::builder(&stage.url).timeout(timeout).build().unwrap();
    let start = Instant::now();
    let result = call(&client, &fault);
    let took = start.elapsed();
    let connections = stage.server.as_ref().map(util::server::Server::connections);
    let Fault { name, promise, lasts, .. } = fault;
    Seen { name, promise, lasts, timeout, result, connections, took }
}

fn backups() -> &'static [Seen] {
    static SEEN: OnceLock<Vec<Seen>> = OnceLock::new();
    SEEN.get_or_init(|| {
        run(|client, fault| client.backup(&GenerateResponse::parse(fault.generate_response())?).map(Some))
    })
}

fn confirmations() -> &'static [Seen] {
    static SEEN: OnceLock<Vec<Seen>> = OnceLock::new();
    // One run at a time: they are timed.
    backups();
    SEEN.get_or_init(|| {
        // A confirmation that cannot leave while nobody reads has ids of megabytes.
        let long = "i".repeat(5 << 20);
        run(|client, fault| {
            let id = if fault.is_large { &long } else { "clu32l6c8008wuvz52jokyo3r" };
            client.confirm(&StoredShares::from_share_pair_ids([id, "another"]).unwrap()).map(|()| None)
        })
    })
}

#[track_caller]
fn for_each_row(seen: &[Seen], check: impl Fn(&Seen) -> Result<(), String>) {
    let show = |row: &Seen| {
        let result = row.result.as_ref().map(|_| "success").map_err(ToString::to_string);
        format!("{}\n    {result:?} after {:?}", row.name, row.took)
    };
    util::for_each_row(seen, show, check);
}

#[test]
fn each_fault_of_a_backup_has_the_outcome_that_is_promised() {
    println!("{} cases", backups().len());
    for_each_row(backups(), |row| expect("the outcome", row.outcome(), row.promise.outcome));
}

#[test]
fn each_fault_of_a_confirmation_has_the_outcome_that_is_promised() {
    for_each_row(confirmations(), |row| expect("the outcome", row.outcome(), row.promise.confirm_outcome));
}

#[test]
fn the_outcome_is_that_of_the_kind_of_error() {
    for_each_row(backups(), |row| {
        let kind = match &row.result {
            Ok(_) => "success",
            Err(Error::Transport(_)) if row.outcome() != Some(Outcome::Refused) => "transport",
            Err(Error::Refused(e)) if e.status() < 500 && e.status() >= 300 => "refused",
            Err(Error::Failed(e)) if e.status() >= 500 || matches!(e.status(), 101 | 408) => "failed",
            Err(Error::Unreadable(e)) if (200..300).contains(&e.status()) => "unreadable",
            Err(other) => return Err(format!("this error cannot be: {other:?}")),
        };
        expect("the keeping of a body", kind == "unreadable", row.promise.kept.is_some())?;
        expect("a response that refuses", kind == "refused", row.promise.outcome == Some(Outcome::Refused))
    });
}

#[test]
fn shares_that_arrived_are_the_shares_that_were_sent() {
    for_each_row(backups(), |row| {
        let Ok(Some(shares)) = &row.result else { return Ok(()) };
        expect("the text", shares.expose_json().trim(), &*secrets::backup_response(0))
    });
}

#[test]
fn a_success_that_is_not_understood_keeps_every_byte() {
    for_each_row(backups(), |row| {
        let Some(Kept { of, least, is_raw }) = &row.promise.kept else { return Ok(()) };
        let Err(Error::Unreadable(e)) = &row.result else { return Err("not unreadable".into()) };
        expect("that the whole response is kept", e.is_raw(), *is_raw)?;
        let words = match &*row.name {
            name if name.starts_with("an endless body") => "it is longer than 1048576 bytes;",
            name if name.starts_with("reset inside a body") => "the connection broke after ",
            name if name.starts_with("silent in") => "the time was up after ",
            _ => "",
        };
        let kept = e.expose_body();
        let is_whole = of.starts_with(kept) && kept.len() >= *least && e.to_string().contains(words);
        if is_whole { Ok(()) } else { Err(format!("kept {} bytes, not {least} to {}: {e}", kept.len(), of.len())) }
    });
}

#[test]
fn no_backup_outlasts_its_deadline() {
    for_each_row(backups(), within_the_deadline);
}

#[test]
fn no_confirmation_outlasts_its_deadline() {
    for_each_row(confirmations(), within_the_deadline);
}

fn within_the_deadline(row: &Seen) -> Result<(), String> {
    if row.took > row.timeout + GRACE {
        Err("too late".into())
    } else if row.lasts && row.took < row.timeout * 7 / 8 {
        Err("gave up before its time".into())
    } else {
        Ok(())
    }
}

#[test]
fn a_backup_that_may_have_arrived_is_never_sent_again() {
    for_each_row(backups(), |row| match row.connections {
        Some(connections) => expect("the number of tries", connections, row.promise.connections),
        None => Ok(()),
    });
}

#[test]
fn a_confirmation_is_repeated_after_what_may_pass() {
    for_each_row(confirmations(), |row| match row.connections {
        Some(connections) => expect("the number of tries", connections, row.promise.confirm_connections),
        None => Ok(()),
    });
}

#[test]
fn a_failed_backup_is_told_in_one_line_that_says_what_to_do() {
    for_each_row(backups(), one_line_of_advice);
}

#[test]
fn each_failed_confirmation_is_told_in_one_line_that_says_what_to_do() {
    for_each_row(confirmations(), one_line_of_advice);
    for_each_row(confirmations(), |row| {
        let Err(Error::Unreadable(e)) = &row.result else { return Ok(()) };
        expect("talk of shares to keep", e.to_string().contains("in its body"), false)
    });
}

fn one_line_of_advice(row: &Seen) -> Result<(), String> {
    let Err(error) = &row.result else { return Ok(()) };
    let line = error.to_string();
    if line.contains(char::is_control) || line.len() > 1000 {
        return Err("it is not one line".into());
    }
    let advice: &[&str] = match error.outcome() {
        Outcome::NotSent => &[
            "the request was not sent; try again",
            "the request was not sent; check the name and the network",
            "the request was not sent; check the address",
        ],
        Outcome::Refused => &[" before you call again", "try again later"],
        Outcome::Unknown => &["the call may be repeated"],
    };
    let is_said = advice.iter().any(|advice| line.contains(advice));
    if is_said { Ok(()) } else { Err("it does not say what to do".into()) }
}

#[test]
fn no_failure_shows_a_secret() {
    for row in backups().iter().chain(confirmations()) {
        let Err(error) = &row.result else { continue };
        secrets::assert_none_in(&row.name, &format!("{error} {error:?} {error:#?}"));
        let mut source = error.source();
        while let Some(inner) = source {
            secrets::assert_none_in(&row.name, &format!("{inner} {inner:?} {inner:#?}"));
            source = inner.source();
        }
        match error {
            Error::Refused(e) | Error::Failed(e) => {
                secrets::assert_none_in(&row.name, &format!("{:?} {:?}", e.id(), e.message()));
            }
            _ => {}
        }
    }
}
