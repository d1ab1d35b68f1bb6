//! Nothing is sent while a logger takes what would hold shares. A binary of its own, since a logger is for the process.
#![cfg(all(feature = "client", feature = "ring"))]
#![allow(clippy::unwrap_used, clippy::panic)]

mod util;

use log::LevelFilter;
use portal_backup::{Error, Outcome};
use util::faults::{good, response_of};
use util::logger::Logging;
use util::secrets;
use util::server::Server;
use util::{backup, confirm};

fn server() -> Server {
    Server::start(util::tls(), good)
}

#[test]
fn nothing_is_sent_while_ureq_proto_is_logged_at_trace() {
    for filter in [
        &[("", LevelFilter::Trace)][..],
        &[("ureq_proto", LevelFilter::Trace)],
        &[("ureq_proto::util", LevelFilter::Trace)],
        &[("", LevelFilter::Off), ("ureq_proto::u", LevelFilter::Trace)],
    ] {
        let logging = Logging::start(filter);
        let server = server();
        let client = util::client(&server);
        for error in [backup(&client).unwrap_err(), confirm(&client).unwrap_err()] {
            assert!(matches!(error, Error::InvalidInput(_)), "{error:?}");
            assert_eq!(error.outcome(), Outcome::NotSent);
            assert!(error.to_string().contains("ureq_proto"), "{error}");
        }
        assert_eq!(server.connections(), 0);
        secrets::assert_none_in("the log", &logging.lines().join("\n"));
    }
}

#[test]
fn a_program_that_opted_in_is_served_at_trace_and_its_log_has_no_key() {
    let logging = Logging::start(&[("", LevelFilter::Trace)]);
    let server = server();
    let client = util::builder(&server.url()).allow_trace_logging(true).build().unwrap();
    let shares = backup(&client).unwrap();
    let lines = logging.lines();
    assert!(lines.iter().any(|line| line.starts_with("TRACE ureq_proto::util")), "the reason is gone");
    assert!(lines.iter().all(|line| !line.contains(secrets::KEY)), "the log has the key");
    assert_eq!(shares.expose_json(), secrets::backup_response(0));
}

#[test]
fn other_targets_at_trace_and_ureq_proto_at_debug_stop_nothing() {
    for filter in [
        &[("", LevelFilter::Debug)][..],
        &[("", LevelFilter::Trace), ("ureq_proto", LevelFilter::Debug)],
        &[("", LevelFilter::Trace), ("ureq_proto", LevelFilter::Off)],
        &[("ureq", LevelFilter::Trace), ("ureq_proto", LevelFilter::Info), ("rustls", LevelFilter::Trace)],
        &[("portal_backup", LevelFilter::Trace)],
    ] {
        let _logging = Logging::start(filter);
        let server = server();
        let shares = backup(&util::client(&server)).unwrap();
        assert_eq!(shares.expose_json(), secrets::backup_response(0));
    }
}

#[test]
fn a_logger_that_turns_to_trace_between_two_calls_stops_the_second() {
    let server = Server::start(None, |c| {
        loop {
            c.request()?;
            c.send(response_of(200, &secrets::backup_response(0)))?;
        }
    });
    let client = util::client(&server);
    {
        let _logging = Logging::start(&[("", LevelFilter::Debug)]);
        drop(backup(&client).unwrap());
    }
    let _logging = Logging::start(&[("ureq_proto", LevelFilter::Trace)]);
    backup(&client).unwrap_err();
    assert_eq!(server.requests().len(), 1);
}
