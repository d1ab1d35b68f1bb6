//! Whom a client trusts, as whom it shows itself, and settings that cannot work.
#![cfg(all(feature = "client", feature = "ring"))]
#![allow(clippy::unwrap_used, clippy::panic)]

#[cfg(feature = "platform-verifier")]
mod child;
mod util;

use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use portal_backup::{ApiKey, Client, ClientBuilder, Error, Outcome, TransportErrorKind};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use util::certificates;
use util::faults::good;
use util::secrets::{self, KEY};
use util::server::Server;
use util::x509::{self, Identity, Request, Usage};

fn backup(client: &Client) -> Result<(), Error> {
    util::backup(client).map(drop)
}

/// With the bundled roots.
fn builder(url: &str) -> ClientBuilder {
    Client::builder(ApiKey::new(KEY).unwrap()).base_url(url).client_api_url(url).timeout(util::TIMEOUT)
}

fn private_server() -> Server {
    Server::start(util::tls(), good)
}

/// `build()` refuses, and says why without a secret; returns what it says.
#[track_caller]
fn mistake(builder: ClientBuilder) -> String {
    let error = match builder.build() {
        Err(error) => error,
        Ok(_) => panic!("it was built"),
    };
    assert!(matches!(error, Error::InvalidInput(_)), "{error:?}");
    assert_eq!(error.outcome(), Outcome::NotSent);
    let line = error.to_string();
    secrets::assert_none_in("the error", &format!("{line} {error:?}"));
    assert!(!line.contains('\n') && line.ends_with("nothing was sent"), "{line}");
    line
}

#[track_caller]
fn assert_says(line: &str, words: &[&str]) {
    for word in words {
        assert!(line.contains(word), "{line:?} does not say {word:?}");
    }
}

// ---- roots

#[test]
fn an_authority_that_is_not_trusted_is_named_with_both_remedies_and_not_tried_again() {
    let server = private_server();
    let (other_pem, _) = other_authority();
    for builder in [builder(&server.url()), builder(&server.url()).root_certs_pem(other_pem)] {
        let before = server.connections();
        let error = backup(&builder.build().unwrap()).unwrap_err();
        assert_eq!(error.outcome(), Outcome::NotSent, "{error}");
        let words =
            ["localhost: ", "an authority that is not trusted", "`root_certs_pem`", "add it to those of the system"];
        assert_says(&error.to_string(), &words);
        assert_eq!(server.connections() - before, 1, "a wrong certificate is not tried again");
    }
    assert_eq!(server.requests().len(), 0);
}

/// Another authority, and a server's certificate that it signed.
fn other_authority() -> (String, Arc<ServerConfig>) {
    let authority = Identity::authority("another one");
    let identity = Request::hosts(&["localhost"]).signed_by(&authority);
    (authority.pem(), certificates::config_with(identity, rustls::ALL_VERSIONS))
}

/// What a call says that is shown this certificate.
fn refused(identity: Identity, versions: &[&'static SupportedProtocolVersion], root: &str) -> String {
    let server = Server::start(Some(certificates::config_with(identity, versions)), good);
    let error = backup(&builder(&server.url()).root_certs_pem(root).build().unwrap()).unwrap_err();
    assert_eq!((error.outcome(), server.requests().len()), (Outcome::NotSent, 0), "{error}");
    assert_eq!((util::kind_of(&error), server.connections()), (TransportErrorKind::Tls, 1), "{error}");
    error.to_string()
}

#[test]
fn what_is_wrong_with_a_certificate_is_said_in_words_and_without_a_dump() {
    let authority = Identity::authority("of this test");
    let root = authority.pem();
    let request = || Request::hosts(&["localhost"]);
    let itself = Request { usage: Usage::SignsOthers, ..request() }.self_signed();
    let itself_as_root = itself.pem();
    for versions in [rustls::ALL_VERSIONS, &[&rustls::version::TLS12]] {
        for (request, words) in [
            (Request { years: 2001..2002, ..request() }, ["expired", "", "check the clock"]),
            (Request { years: 3001..3002, ..request() }, ["not valid yet", "", "check the clock"]),
            (Request::hosts(&["a.example", "127.0.0.2"]), ["for other names", ": a.example, ", "127.0.0.2"]),
            (Request::hosts(&[]), ["for other names", "", ""]),
            (Request { usage: Usage::OnlyForClients, ..request() }, ["not for servers", "", ""]),
            (Request { is_sha1: true, ..request() }, ["not supported", "SHA-1", ""]),
        ] {
            let line = refused(request.signed_by(&authority), versions, &root);
            assert_says(&line, &words);
            assert_has_no_dump(&line);
        }
    }
    let namesake = request().signed_by(&Identity::authority("of this test"));
    let line = refused(namesake, rustls::ALL_VERSIONS, &root);
    assert_says(&line, &["not signed by the trusted authority of that name", "RSA below 2048", "`root_certs_pem`"]);
    let line = refused(Request::hosts(&[KEY]).signed_by(&authority), rustls::ALL_VERSIONS, &root);
    assert_says(&line, &["for other names: [redacted]; "]);
    let line = refused(itself, rustls::ALL_VERSIONS, &itself_as_root);
    assert_says(&line, &["CA:TRUE", "which a server must not show", "CA:FALSE as its own root"]);
    assert_has_no_dump(&line);
    // As it advises.
    let itself = request().self_signed();
    let root = itself.pem();
    let server = Server::start(Some(certificates::config_with(itself, rustls::ALL_VERSIONS)), good);
    backup(&builder(&server.url()).root_certs_pem(root).build().unwrap()).unwrap();
}

#[track_caller]
fn assert_has_no_dump(line: &str) {
    for mark in ["[", "{", "Context", "Other(", "UnixTime", "\""] {
        assert!(!line.contains(mark), "{line}");
    }
}

#[test]
fn an_alert_or_something_else_than_tls_is_said_in_words() {
    for (bytes, words) in [
        (&b"\x15\x03\x03\0\x02\x02\x28"[..], ["no cipher in common", "client certificate"]),
        (b"\x15\x03\x03\0\x02\x02\x46", ["TLS failed", "AlertReceived(ProtocolVersion)"]),
        (b"\x15\x03\x03\0\x02\x02\x2a", ["client certificate", "BadCertificate"]),
        (b"\x15\x03\x03\0\x02\x02\x30", ["client certificate", "UnknownCA"]),
        (b"\x15\x03\x03\0\x02\x02\x74", ["wants a client certificate", "CertificateRequired"]),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", ["does not speak TLS", "port"]),
        (b"SSH-2.0-OpenSSH_9.2\r\n", ["does not speak TLS", "port"]),
        (b"\x16\x03\x03\0\x04\x02\0\0\0", ["TLS failed", "InvalidMessage"]),
    ] {
        let server = Server::start(None, move |c| {
            c.raw().read_some()?;
            c.raw().send(bytes)?;
            c.raw().silence()
        });
        let url = server.url().replace("http:", "https:");
        let error = backup(&builder(&url).build().unwrap()).unwrap_err();
        assert_eq!((error.outcome(), server.connections()), (Outcome::NotSent, 1), "{error}");
        assert_says(&error.to_string(), &words);
        assert_has_no_dump(&error.to_string());
    }
}

/// Roots of `tests/data/identities`, whose name is the kind of their key.
#[test]
fn a_root_whose_key_is_not_supported_vouches_for_nobody_which_the_call_says() {
    for root in key("unusable-roots").split_inclusive("-----END CERTIFICATE-----\n") {
        let kind = root.lines().next().unwrap();
        let namesake = Request::hosts(&["localhost"]).signed_by(&Identity::authority(kind));
        let line = refused(namesake, rustls::ALL_VERSIONS, root);
        assert_says(&line, &["a key that is not supported", "P-521", "check the address"]);
        assert_has_no_dump(&line);
    }
}

#[test]
fn a_root_that_cannot_be_read_is_a_mistake_and_one_that_is_no_certificate_is_left_out() {
    let section = |text: &str| format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
    let (good, (stranger, _)) = (certificates::root_pem(), other_authority());
    for bad in [
        section("!!!!"),
        good.replace("END CERTIFICATE", "END X509 CRL"),
        // Joined without a line break.
        format!("{}{stranger}", good.trim_end()),
        good.replace('\n', "\n    "),
    ] {
        for pem in [format!("{bad}{stranger}"), format!("{stranger}{bad}")] {
            let line = mistake(builder("https://localhost").root_certs_pem(&pem));
            assert_says(&line, &["a damaged root certificate", "`openssl x509 "]);
        }
    }
    let server = private_server();
    let line_lost = good.replace(good.split_inclusive('\n').nth(3).unwrap(), "");
    for none in [section("AAAA"), section(""), line_lost] {
        let line = mistake(builder("https://localhost").root_certs_pem(&none));
        assert_says(&line, &["no root certificate that can be used"]);
        for pem in [format!("{none}{good}"), format!("{good}{none}")] {
            backup(&builder(&server.url()).root_certs_pem(pem).build().unwrap()).unwrap();
        }
    }
}

#[test]
fn every_root_is_found_however_its_file_was_written() {
    let (stranger, config) = other_authority();
    let servers = [private_server(), Server::start(Some(config), good)];
    let good = certificates::root_pem();
    let both = stranger.clone() + good;
    let every_byte: Vec<u8> = (0..=255).collect();
    for (what, pem) in [
        ("other text and sections", format!("# one\n{good}\nsubject=x\n{stranger}{}", key("p256-sec1")).into()),
        ("a byte order mark", format!("\u{feff}{both}").into()),
        (
            "bytes that are no text",
            [&every_byte[..], b"\n", stranger.as_bytes(), b"# \xe9\0\n", good.as_bytes()].concat(),
        ),
        ("line breaks of DOS", both.replace('\n', "\r\n").into()),
    ] {
        for server in &servers {
            let client = builder(&server.url()).root_certs_pem(&pem).build();
            backup(&client.unwrap_or_else(|e| panic!("{what}: {e}"))).unwrap_or_else(|e| panic!("{what}: {e}"));
        }
    }
}

#[test]
fn what_is_no_pem_is_a_mistake_that_names_the_command_that_converts_it() {
    let pem = certificates::root_pem();
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let utf16: Vec<u8> = pem.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let keys = key("p256-pkcs8") + &key("rsa-pkcs1");
    let [crl, openssls] = ["X509 CRL", "TRUSTED CERTIFICATE"].map(|label| pem.replace("CERTIFICATE", label));
    let others = ["", "\n", "garbage", "\0\x01", &keys, &crl, &openssls].map(str::as_bytes);
    for file in others.into_iter().chain([&der[..], &der[..100], &utf16]) {
        let line = mistake(builder("https://localhost").root_certs_pem(file));
        assert_says(
            &line,
            &["root_certs_pem (--ca-cert) holds no root", "`openssl x509 -inform der -in OLD -out NEW`"],
        );
        let line = mistake(builder("https://localhost").client_cert_pem(file));
        assert_says(&line, &["client_cert_pem holds no client certificate", "`openssl x509 "]);
    }
    for len in 0..pem.trim_end().len() {
        mistake(builder("https://localhost").root_certs_pem(&pem[..len]));
    }
}

// ---- the platform's roots

#[test]
#[cfg(feature = "platform-verifier")]
fn the_platform_verifier_trusts_what_the_system_trusts_and_nothing_else() {
    let server = private_server();
    let folder = tempfile::tempdir().unwrap();
    let system = folder.path().join("system.pem");
    fs::write(&system, certificates::root_pem()).unwrap();
    let platform = || child::Child::new(&server.url()).roots("platform");

    assert_eq!(platform().env("SSL_CERT_FILE", &system).says(), "done");
    assert_eq!(server.requests().len(), 1);

    fs::write(&system, other_authority().0).unwrap();
    let untrusted = ["NotSent: backup: localhost", "an authority that is not trusted"];
    assert_says(&platform().env("SSL_CERT_FILE", &system).says(), &untrusted);
    let bundled = child::Child::new(&server.url()).roots("bundled").env("SSL_CERT_FILE", &system);
    assert_says(&bundled.says(), &untrusted);
    assert_eq!(server.requests().len(), 1);

    // As `openssl rehash` names it.
    fs::write(folder.path().join("0123abcd.0"), certificates::root_pem()).unwrap();
    assert_eq!(platform().env("SSL_CERT_DIR", folder.path()).says(), "done");

    // A system without roots.
    fs::write(&system, "").unwrap();
    for file in [system, folder.path().join("missing.pem")] {
        assert_says(&platform().env("SSL_CERT_FILE", &file).says(), &["NotSent: ", "roots"]);
    }
    assert_eq!(server.requests().len(), 2);
}

#[test]
#[cfg(not(feature = "platform-verifier"))]
fn without_its_feature_the_platform_verifier_is_a_mistake_that_names_the_feature() {
    assert_says(&mistake(builder("https://localhost").platform_verifier(true)), &["feature `platform-verifier`"]);
}

// ---- client certificates

fn key(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/identities").join(name);
    fs::read_to_string(path.with_extension("pem")).unwrap()
}

/// Signs what clients show.
fn clients_authority() -> &'static Identity {
    static AUTHORITY: OnceLock<Identity> = OnceLock::new();
    AUTHORITY.get_or_init(|| Identity::authority("signs clients"))
}

/// A client's certificate for the key of that name, in PEM.
fn certificate_for(name: &str) -> String {
    signed_for(name, clients_authority())
}

fn signed_for(name: &str, issuer: &Identity) -> String {
    let key = PrivateKeyDer::from_pem_slice(key(name).as_bytes()).unwrap();
    Request { name: "a device", ..Request::hosts(&[]) }.signed_for(key, issuer).pem()
}

/// A server that talks to clients of that authority only.
fn demanding_server(versions: &[&'static SupportedProtocolVersion]) -> Server {
    let provider = Arc::new(ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(clients_authority().certificate.clone()).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().unwrap();
    let own = Request::hosts(&["localhost"]).signed_by(clients_authority());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![own.certificate], own.key)
        .unwrap();
    Server::start(Some(Arc::new(config)), |c| {
        let served = good(c);
        // The alert that says why, and then the end rather than a reset, which would overtake it.
        if served.is_err() {
            let _: io::Result<()> = c.raw().silence();
        }
        served
    })
}

fn demanded(server: &Server) -> ClientBuilder {
    builder(&server.url()).root_certs_pem(clients_authority().pem())
}

const KEYS: [&str; 7] =
    ["p256-pkcs8", "p256-sec1", "p384-pkcs8", "p384-sec1", "rsa-pkcs8", "rsa-pkcs1", "ed25519-pkcs8"];

#[test]
fn a_server_that_demands_a_certificate_takes_it_with_a_key_in_every_form() {
    for versions in [rustls::ALL_VERSIONS, &[&rustls::version::TLS12]] {
        let server = demanding_server(versions);
        for name in KEYS {
            let certificate = certificate_for(name);
            for pem in [format!("{certificate}{}", key(name)), format!("{}{certificate}", key(name))] {
                let client = demanded(&server).client_cert_pem(pem).build();
                let client = client.unwrap_or_else(|e| panic!("{name}: {e}"));
                backup(&client).unwrap_or_else(|e| panic!("{name}: {e}"));
            }
        }
        assert_eq!(server.requests().len(), 2 * KEYS.len());
    }
}

#[test]
fn a_chain_of_certificates_is_shown_whole() {
    let between = Request::authority("in between").signed_by(clients_authority());
    let own = signed_for("p256-pkcs8", &between);
    let server = demanding_server(rustls::ALL_VERSIONS);
    let whole = format!("{own}{}{}", between.pem(), key("p256-sec1"));
    backup(&demanded(&server).client_cert_pem(whole).build().unwrap()).unwrap();
    let lonely = demanded(&server).client_cert_pem(own + &key("p256-sec1")).build().unwrap();
    backup(&lonely).unwrap_err();
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_server_that_demands_a_certificate_gets_no_request_without_it() {
    let stranger = signed_for("p256-pkcs8", &Identity::authority("signs nobody")) + &key("p256-pkcs8");
    // In TLS 1.3 the handshake ends for the client before the server has looked at the certificate, and the request is
    // out; the server has read nothing of it.
    for versions in [rustls::ALL_VERSIONS, &[&rustls::version::TLS12]] {
        let server = demanding_server(versions);
        for builder in [demanded(&server), demanded(&server).client_cert_pem(&stranger)] {
            let error = backup(&builder.build().unwrap()).unwrap_err();
            assert_eq!(error.outcome(), Outcome::NotSent, "{error}");
            assert_says(&error.to_string(), &["localhost: ", "client certificate"]);
            secrets::assert_none_in("the error", &format!("{error} {error:?}"));
        }
        assert_eq!((server.connections(), server.requests().len()), (2, 0));
    }
}

/// A server that has accepted the client sends tickets, or a response.
#[test]
fn an_alert_after_the_request_is_a_refused_handshake_only_before_anything_else() {
    for (code, tickets, before, outcome) in [
        (41, 0, "", Outcome::NotSent),
        (46, 0, "", Outcome::NotSent),
        (116, 0, "", Outcome::NotSent),
        (116, 1, "", Outcome::Unknown),
        (116, 0, "HTTP/1.1 100 \r\n\r\n", Outcome::Unknown),
        (20, 0, "", Outcome::Unknown),
        (80, 0, "", Outcome::Unknown),
    ] {
        let mut config = ServerConfig::clone(&util::tls().unwrap());
        (config.send_tls13_tickets, config.enable_secret_extraction) = (tickets, true);
        let server = Server::start(Some(Arc::new(config)), move |c| {
            c.request()?;
            c.send(before)?;
            c.alert(code)?;
            c.raw().silence()
        });
        let error = backup(&util::client(&server)).unwrap_err();
        assert_eq!((error.outcome(), server.connections()), (outcome, 1), "{code} {tickets} {before:?}: {error}");
        assert_eq!(util::kind_of(&error), TransportErrorKind::Tls, "{error}");
        assert_eq!(error.to_string().contains("client certificate"), [41, 46, 116].contains(&code), "{error}");
    }
}

#[test]
fn a_client_certificate_that_cannot_be_used_is_a_mistake_that_says_why() {
    let section = |text: &str| format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
    let (bad, empty) = (section("!!!!"), section("AAAA"));
    let (p256, rsa) = (certificate_for("p256-pkcs8"), certificate_for("rsa-pkcs8"));
    let p256_key = key("p256-pkcs8");
    let other_key = x509::pem("PRIVATE KEY", x509::new_key().secret_der());
    let (unfit, none) =
        ("the private key is not that of the certificate", "holds a client certificate without a private key");
    for (pem, words) in [
        (format!("{p256}{}", key("p384-pkcs8")), unfit),
        (format!("{rsa}{}", key("p256-sec1")), unfit),
        (format!("{p256}{other_key}"), unfit),
        (p256.clone(), none),
        (format!("{p256}{}", key("rsa-pkcs8").replace("PRIVATE", "PUBLIC")), none),
        (format!("{p256}{}", &p256_key[..120]), none),
        (format!("{p256}{}", p256_key.replace("MIG", "AAA")), "client certificate cannot be used"),
        (format!("{p256}{}", key("p256-encrypted-pkcs8")), "decrypted with `openssl pkey -in OLD -out NEW`"),
        (format!("{p256}{}", key("rsa-encrypted-pkcs1")), "decrypted with `openssl pkey -in OLD -out NEW`"),
        (format!("{p256}{bad}{p256_key}"), "a damaged client certificate"),
        (format!("{empty}{p256_key}"), "client certificate cannot be used"),
    ] {
        let line = mistake(builder("https://localhost").client_cert_pem(pem));
        assert_says(&line, &["client certificate", words]);
        for secret in [&p256_key, &other_key] {
            assert!(!line.contains(&secret[40..60]), "{line}");
        }
    }
}

// ---- settings

#[test]
fn settings_out_of_range_are_a_mistake_that_names_the_setting_and_the_range() {
    let new = || builder("https://localhost");
    let (day, ms, ns) = (Duration::from_secs(24 * 60 * 60), Duration::from_millis(1), Duration::from_nanos(1));
    let both = new().root_certs_pem(certificates::root_pem()).platform_verifier(true);
    assert_says(&mistake(both), &["root_certs_pem and platform_verifier exclude each other"]);
    for time in [Duration::ZERO, ms - ns, day + ns, Duration::MAX] {
        assert_says(&mistake(new().timeout(time)), &["timeout must be from 1 ms to 24 h"]);
        assert_says(&mistake(new().connect_timeout(time)), &["connect_timeout must be from 1 ms to 24 h"]);
    }
    assert_says(&mistake(new().keep_alive(day + ns)), &["keep_alive must be at most 24 h"]);
    for attempts in [0, 101] {
        assert_says(&mistake(new().attempts(attempts)), &["attempts must be from 1 to 100"]);
    }
    for max in [0, (1 << 30) + 1] {
        let line = mistake(new().max_response_bytes(max));
        assert_says(&line, &["max_response_bytes must be from 1 byte to 1 GiB"]);
    }
    for (time, age, attempts, max) in [(ms, Duration::ZERO, 1, 1), (day, day, 100, 1 << 30)] {
        let extreme = new().timeout(time).connect_timeout(time).keep_alive(age).attempts(attempts);
        extreme.max_response_bytes(max).build().unwrap();
    }
}

#[test]
fn a_user_agent_is_one_line_of_visible_ascii() {
    let long = "a".repeat(256);
    for name in ["", " ", "\n", "a\r\nX: 1", "a\nb", "a\rb", "a\0b", "a\tb", "ä", "a\x7f", &format!("{long}a")] {
        assert_says(&mistake(builder("https://localhost").user_agent(name)), &["user_agent"]);
    }
    let server = private_server();
    for name in ["a", "device/1.0 (arm; \"x\") ~!#", &long] {
        backup(&util::builder(&server.url()).user_agent(name).build().unwrap()).unwrap();
        let head = String::from_utf8(server.requests().pop().unwrap()).unwrap();
        assert_eq!(util::server::header(&head, "user-agent"), Some(name));
    }
}

#[test]
fn what_was_pasted_into_the_wrong_setting_is_not_shown() {
    let new = || builder("https://localhost");
    for text in [KEY, secrets::generate_response(), &format!("https://{KEY}:x"), &format!("{KEY}\n")] {
        mistake(new().base_url(text));
        mistake(new().client_api_url(text));
        mistake(new().root_certs_pem(text));
        mistake(new().client_cert_pem(text));
    }
    mistake(new().user_agent(format!("{KEY}\n")));
    mistake(new().proxy(format!("{KEY}\n")));
    let shown = format!("{:?}", new().user_agent(KEY).client_cert_pem(KEY).proxy(KEY));
    secrets::assert_none_in("a builder", &shown);
}
