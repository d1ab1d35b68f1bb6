//! A build without the feature `ring`, where the program brings the crypto provider.
//!
//! `cargo test --no-default-features --features client --test no_provider`
#![cfg(all(feature = "client", not(feature = "ring")))]
#![allow(clippy::unwrap_used, clippy::panic)]

mod util;

use portal_backup::{ApiKey, Client, Error, GenerateResponse, Outcome};
use util::certificates::{self, Certificate};
use util::server::Server;
use util::{faults, secrets};

/// One test, since a process has one provider and never loses it again.
#[test]
fn without_a_provider_build_says_what_to_do_and_with_the_programs_own_a_call_works() {
    let server = Server::start(Some(certificates::server_config(Certificate::Trusted)), faults::good);
    let generate = GenerateResponse::parse(secrets::generate_response()).unwrap();

    let key = || ApiKey::new(secrets::KEY).unwrap();
    let tries = [
        Client::new(key()),
        util::builder(&server.url()).build(),
        util::builder("http://localhost:1").build(),
        Client::builder(key()).client_cert_pem("garbage").build(),
        portal_backup::backup(secrets::KEY, secrets::generate_response()).map(|_| panic!("it was sent")),
    ];
    for tried in tries {
        let Err(error) = tried else { panic!("a client was built") };
        assert!(matches!(error, Error::InvalidInput(_)), "{error:?}");
        assert_eq!(error.outcome(), Outcome::NotSent);
        let line = error.to_string();
        for word in ["no crypto provider", "`ring`", "`CryptoProvider::install_default`", "nothing was sent"] {
            assert!(line.contains(word), "{line:?} does not say {word:?}");
        }
    }

    rustls::crypto::ring::default_provider().install_default().unwrap();
    let client = util::builder(&server.url()).build().unwrap();
    let shares = client.backup(&generate).unwrap();
    assert_eq!(shares.share_pair_ids(), ["backup-secp-0", "backup-ed-0"]);
    assert_eq!(server.requests().len(), 1);
}
