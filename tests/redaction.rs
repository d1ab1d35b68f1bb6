//! Whatever a server says, and wherever a secret was put by mistake: no error and no `Debug` shows a key or a share.

#![cfg(all(feature = "ring", feature = "sandbox"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that fails must stop")]

mod util;

use std::collections::HashSet;
use std::error::Error as StdError;
use std::fmt::{Debug, Display, Write as _};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use portal_backup::wire::{Failure, backup, confirm};
use portal_backup::{
    ApiKey, BackupShares, Client, ClientBuilder, Error, FileSlot, GenerateResponse, Sandbox, StoredShares,
};

/// Whose pieces must not be shown, and how long a piece is one.
struct Secrets {
    key: String,
    sent: [String; 2],
    made: [String; 2],
    generate: String,
    made_text: String,
    /// All that a piece of `piece` characters can be, by `piece`.
    pieces: [(usize, HashSet<Vec<u8>>); 2],
}

const KEY_PIECE: usize = 8;
const SHARE_PIECE: usize = 12;

impl Secrets {
    /// Shares as they are today: base64.
    fn base64() -> Self {
        Self::of(|seed| noise(seed, b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", 7700))
    }

    /// Shares as they were: JSON in a JSON string.
    fn json() -> Self {
        Self::of(|seed| {
            let number = |i: u64| noise(seed * 100 + i, b"0123456789", 150);
            let numbers: Vec<_> = (0..20).map(|i| format!(r#""n{i}":"{}""#, number(i))).collect();
            format!("{{{}}}", numbers.join(",\n"))
        })
    }

    fn of(share: impl Fn(u64) -> String) -> Self {
        let [sent, made] = [[1, 2], [3, 4]].map(|seeds| seeds.map(&share));
        let text = |shares: &[String; 2]| {
            let member = |share, id| serde_json::json!({ "share": share, "id": id });
            serde_json::json!({ "SECP256K1": member(&shares[0], "id-1"), "ED25519": member(&shares[1], "id-2") })
                .to_string()
        };
        let (generate, made_text) = (text(&sent), text(&made));
        let key = noise(5, b"abcdefghijklmnopqrstuvwxyz0123456789-", 40);
        let pieces_of = |text: &String, len| text.as_bytes().windows(len).map(Vec::from).collect::<Vec<_>>();
        let shares = sent.iter().chain(&made).flat_map(|share| pieces_of(share, SHARE_PIECE)).collect();
        let pieces = [(SHARE_PIECE, shares), (KEY_PIECE, pieces_of(&key, KEY_PIECE).into_iter().collect())];
        Self { key, sent, made, generate, made_text, pieces }
    }

    /// What is sent, and may come back.
    fn echoable(&self) -> impl Iterator<Item = (&str, usize)> {
        self.sent.iter().map(|share| (&**share, SHARE_PIECE)).chain([(&*self.key, KEY_PIECE)])
    }

    #[track_caller]
    fn assert_not_in(&self, what: &str, text: &str) {
        for (len, pieces) in &self.pieces {
            for text in [text, &unspelled(text)] {
                for shown in text.as_bytes().windows(*len) {
                    let shown = String::from_utf8_lossy(shown);
                    assert!(!pieces.contains(shown.as_bytes()), "{what}: shows {shown:?} in {text}");
                }
            }
        }
        // The `Debug` of bytes is a list of numbers.
        let numbers = text.split([',', '[', ']', ' ', '\n']).filter(|text| !text.is_empty());
        let mut row = 0;
        for number in numbers {
            row = if number.parse::<u8>().is_ok() { row + 1 } else { 0 };
            assert!(row < 5, "{what}: shows bytes in {text}");
        }
    }

    #[track_caller]
    fn assert_debug(&self, value: &dyn Debug) {
        for text in [format!("{value:?}"), format!("{value:#?}")] {
            assert!(!text.is_empty());
            self.assert_not_in("Debug", &text);
        }
    }

    #[track_caller]
    fn assert_error(&self, what: &str, e: &(dyn StdError + 'static)) {
        let mut next = Some(e);
        while let Some(e) = next {
            for text in [e.to_string(), format!("{e:?}"), format!("{e:#?}")] {
                self.assert_not_in(what, &text);
                let control = |c: char| c.is_control() && c != '\n' || "\u{202e}\u{2066}".contains(c);
                assert!(!text.contains(control), "{what}: {text:?}");
            }
            next = e.source();
        }
    }

    fn client(&self, server: &Server) -> Client {
        self.builder(server).build().unwrap()
    }

    fn builder(&self, server: &Server) -> ClientBuilder {
        Client::builder(ApiKey::new(&self.key).unwrap())
            .base_url(&server.url)
            .client_api_url(&server.url)
            .attempts(1)
            .keep_alive(Duration::ZERO)
            .timeout(Duration::from_secs(20))
    }

    /// Both calls, with this response; what they say is checked.
    #[track_caller]
    fn check_response(&self, server: &Server, client: &Client, what: &str, response: &[u8]) {
        *server.response.lock().unwrap() = response.to_vec();
        match client.backup(&GenerateResponse::parse(&self.generate).unwrap()) {
            Ok(shares) => {
                self.assert_debug(&shares);
                for id in shares.share_pair_ids() {
                    self.assert_not_in("an id", id);
                }
            }
            Err(e) => self.assert_all(what, e),
        }
        // The key alone is sent with a confirmation: of other secrets, nothing is known then.
        if response.windows(KEY_PIECE).any(|piece| self.pieces[1].1.contains(piece)) {
            if let Err(e) = client.confirm(&StoredShares::from_share_pair_ids(["id-1", "id-2"]).unwrap()) {
                self.assert_all(what, e);
            }
        }
    }

    #[track_caller]
    fn assert_all(&self, what: &str, e: impl Into<Error>) {
        let e = &e.into();
        self.assert_error(what, e);
        if let Error::Refused(inner) | Error::Failed(inner) = e {
            [inner.id(), inner.message()].into_iter().flatten().for_each(|text| self.assert_not_in(what, text));
        }
    }
}

/// Characters without a pattern, the same for each seed.
fn noise(seed: u64, alphabet: &[u8], len: usize) -> String {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(alphabet[(state >> 33) as usize % alphabet.len()])
    };
    (0..len).map(|_| next()).collect()
}

/// Sends the same bytes to every request.
struct Server {
    url: String,
    response: Arc<Mutex<Vec<u8>>>,
    _server: util::server::Server,
}

impl Server {
    fn start() -> Self {
        let response = Arc::new(Mutex::new(Vec::new()));
        let shared = response.clone();
        let server = util::server::Server::start(None, move |c| {
            c.request_unrecorded()?;
            let response = shared.lock().unwrap().clone();
            c.send(response)
        });
        Self { url: server.url(), response, _server: server }
    }
}

fn response(status: u16, body: impl Display) -> Vec<u8> {
    let body = body.to_string();
    format!("HTTP/1.1 {status} S\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into()
}

/// A text in JSON escapes that begin with so many backslashes.
fn spelled(text: &str, slashes: usize) -> String {
    text.encode_utf16().fold(String::new(), |mut text, unit| {
        write!(text, "{}u{unit:04x}", "\\".repeat(slashes)).unwrap();
        text
    })
}

/// What a reader makes of them.
fn unspelled(text: &str) -> String {
    let mut pieces = text.split("\\u");
    let mut out = pieces.next().unwrap_or_default().to_string();
    for piece in pieces {
        let unit = piece.get(..4).and_then(|digits| u32::from_str_radix(digits, 16).ok());
        match unit.and_then(char::from_u32) {
            Some(c) => out.extend([&*c.to_string(), &piece[4..]]),
            None => out += piece,
        }
    }
    out.replace('\\', "")
}

/// A text that repeats a secret, in every form in which it may come back.
fn echoes(secret: &str, piece: usize) -> Vec<String> {
    let mut echoes = vec![secret.to_string()];
    // Pieces of it, from the shortest that counts.
    for len in [piece, piece + 1, 63, 100] {
        for at in [0, secret.len() / 2, secret.len().saturating_sub(len)] {
            if let Some(part) = secret.get(at..(at + len).min(secret.len())) {
                echoes.extend([part.to_string(), format!("no such key: 'x{part}y'.")]);
            }
        }
    }
    let lines: Vec<_> = secret.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    let quoted = serde_json::json!(secret).to_string();
    echoes.extend([
        lines.join("\r\n"),
        format!("Bearer {secret}"),
        format!("{secret}{secret}"),
        secret.replace('+', "%2B").replace('/', "%2F"),
        secret.replace('"', "&quot;").replace('+', "&#43;"),
        serde_json::json!(quoted).to_string(),
        quoted,
    ]);
    // Where a text is cut.
    echoes.extend([280, 290, 300].map(|at| format!("{}{secret}", "a ".repeat(at / 2))));
    echoes.extend([2380, 2395, 65_530].map(|at| format!("{}{secret}", " ".repeat(at))));
    echoes
}

#[test]
fn no_refusal_repeats_a_secret() {
    for secrets in [Secrets::base64(), Secrets::json()] {
        let server = Server::start();
        let client = secrets.client(&server);
        for (secret, piece) in secrets.echoable() {
            for (number, echo) in echoes(secret, piece).into_iter().enumerate() {
                let quoted = serde_json::json!(echo).to_string();
                let [spelled, twice, thrice] = [1, 2, 4].map(|slashes| spelled(&echo, slashes));
                let forms = [
                    ("a message", 400, format!(r#"{{"id":"BAD_REQUEST","message":{quoted}}}"#)),
                    ("text", 500, echo.clone()),
                    ("an id", 401, format!(r#"{{"id":{quoted}}}"#)),
                    ("the error guide's form", 409, format!(r#"{{"error":{{"code":{quoted},"message":{quoted}}}}}"#)),
                    ("an error text", 500, format!(r#"{{"error":{quoted}}}"#)),
                    ("another member", 503, format!(r#"{{"detail":{quoted},"reason":{quoted}}}"#)),
                    ("a name", 403, format!(r#"{{{quoted}:1}}"#)),
                    ("a list", 404, format!(r#"{{"message":["m",{quoted}],"errors":[{quoted}]}}"#)),
                    ("JSON escapes", 422, format!(r#"{{"message":"{spelled}"}}"#)),
                    ("a bare string", 401, quoted.clone()),
                    ("a bare string in escapes", 401, format!(r#""{spelled}""#)),
                    ("JSON in a message", 400, format!(r#"{{"message":"{{\"a\":\"{twice}\"}}"}}"#)),
                    ("JSON in JSON in a message", 400, format!(r#"{{"message":"{thrice}"}}"#)),
                    ("a cut object", 400, format!(r#"{{"reason":"{spelled}"#)),
                    ("escapes in a text", 500, spelled),
                    ("HTML", 502, format!("<html><title>{echo}</title><p>{echo}</html>")),
                ];
                let some = if number < 6 { forms.len() } else { 2 };
                for (what, status, body) in &forms[..some] {
                    secrets.check_response(&server, &client, what, &response(*status, body));
                }
            }
        }
    }
}

#[test]
fn an_echo_is_replaced_and_nothing_else() {
    for secrets in [Secrets::base64(), Secrets::json()] {
        let server = Server::start();
        let client = secrets.client(&server);
        let generate = GenerateResponse::parse(&secrets.generate).unwrap();
        for (secret, piece) in secrets.echoable() {
            let (short, echo, other) = (&secret[20..19 + piece], &secret[..piece], &secret[30..30 + piece]);
            // Twice, and with what differs in one character.
            let text = format!("It is no. <{short}> {echo}, {other} x{echo} {}!{}", &short[1..], &short[..2]);
            let shown =
                format!("It is no. <{short}> [redacted], [redacted] x[redacted] {}!{}", &short[1..], &short[..2]);
            *server.response.lock().unwrap() = response(400, serde_json::json!({ "message": text }));
            let Err(Error::Refused(e)) = client.backup(&generate) else { panic!("not refused") };
            // From where JSON begins in a text, nothing is shown.
            let may_be_json = ["{", "[\"", "[["].iter().any(|start| text.contains(start));
            match e.message().unwrap().strip_suffix('…') {
                Some(beginning) if may_be_json => assert!(shown.starts_with(beginning), "{beginning}"),
                _ => assert_eq!(e.message(), Some(&*shown)),
            }
        }
    }
    let (secrets, server) = (Secrets::json(), Server::start());
    let at = secrets.sent[0].find('\n').unwrap();
    let placeholders = r#"{"SECP256K1":{"share":"abc","id":"1"},"ED25519":{"share":"abcd","id":"2"}}"#;
    for (generate, echo, shown) in [
        // A line break in a share is written as an escape, and may come back as itself.
        (&*secrets.generate, &secrets.sent[0][at - 6..at + 7], "[redacted]"),
        // A placeholder is no secret.
        (placeholders, "abc abcd abcde", "abc [redacted] [redacted]e"),
        // Some write a slash in JSON as an escape, which four digits behind it are no part of.
        (&placeholders.replace("abcd", "ab/cafe/12345"), r"no ab\/cafe\/12345.", "no [redacted]."),
    ] {
        *server.response.lock().unwrap() = response(400, echo);
        let e = secrets.client(&server).backup(&GenerateResponse::parse(generate).unwrap()).unwrap_err();
        assert!(e.to_string().contains(&format!("status 400, {shown};")), "{e}");
    }
}

#[test]
fn an_echo_of_the_whole_request_shows_nothing_of_it() {
    for secrets in [Secrets::base64(), Secrets::json()] {
        let server = Server::start();
        let client = secrets.client(&server);
        let request = backup::request(&GenerateResponse::parse(&secrets.generate).unwrap());
        let body = String::from_utf8(request.to_bytes().into_vec()).unwrap();
        let head = format!("POST /v1/backup HTTP/1.1\r\nauthorization: Bearer {}\r\n\r\n", secrets.key);
        for echo in [format!("{body}\r\n\r\n{head}"), body, head, secrets.generate.clone()] {
            for shown in [echo.clone(), serde_json::json!({ "message": echo }).to_string()] {
                secrets.check_response(&server, &client, "a refusal", &response(400, &shown));
                secrets.check_response(&server, &client, "a failure", &response(500, &shown));
            }
        }
    }
}

/// Heads with an echo at each `@`.
const HEADS: &str = "@|@ HTTP/1.1 200 OK|HTTP/1.1 @|HTTP/@ 200 OK|HTTP/1.1 400 @|HTTP/1.1 200 @|\
    HTTP/1.1 302 S\r\nLocation: https://@/|HTTP/1.1 302 S\r\nLocation: https://@.example.com/@?@|\
    HTTP/1.1 307 S\r\nLocation: https://user:@#example.com/|HTTP/1.1 308 S\r\nLocation: /@|\
    HTTP/1.1 308 S\r\nLocation: @|HTTP/1.1 308 S\r\nLocation: @://@|HTTP/1.1 429 S\r\nRetry-After: @|\
    HTTP/1.1 400 S\r\n@|HTTP/1.1 400 S\r\n@: @|HTTP/1.1 200 S\r\n@ x: @|HTTP/1.1 200 S\r\nContent-Length: @|\
    HTTP/1.1 200 S\r\nTransfer-Encoding: @|HTTP/1.1 200 S\r\nTransfer-Encoding: chunked\r\n\r\n@|\
    HTTP/1.1 200 S\r\nTransfer-Encoding: chunked\r\n\r\n5;@\r\nabc|HTTP/1.1 200 S\r\nContent-Encoding: @|\
    HTTP/1.1 400 S\r\nContent-Type: text/plain; charset=@|HTTP/1.1 401 S\r\nWWW-Authenticate: Bearer error=\"@\"|\
    HTTP/1.1 100 @\r\n\r\nHTTP/1.1 103 @\r\nLink: @";

#[test]
fn no_head_of_a_response_repeats_a_secret() {
    let secrets = Secrets::base64();
    let server = Server::start();
    let client = secrets.client(&server);
    for (secret, piece) in secrets.echoable() {
        let middle = secret.len() / 2;
        for echo in [secret, &secret[..piece], &secret[middle..middle + piece], &secret[..40]] {
            for head in HEADS.split('|').map(|head| head.replace('@', echo).replace('#', "@")) {
                secrets.check_response(&server, &client, &head, format!("{head}\r\n\r\n").as_bytes());
            }
        }
    }
}

#[test]
fn an_unreadable_success_is_kept_and_not_shown() {
    for secrets in [Secrets::base64(), Secrets::json()] {
        let server = Server::start();
        let client = secrets.client(&server);
        let text = &secrets.made_text;
        let made = &secrets.made[0];
        let quoted = serde_json::json!(made).to_string();
        for body in [
            text[..text.len() - 1].into(),
            text[..text.len() / 2].into(),
            format!("{text}{text}"),
            format!("x{text}"),
            quoted.clone(),
            made.clone(),
            format!("{{{quoted}:1}}"),
            format!(r#"{{"SECP256K1":{quoted}}}"#),
            format!(r#"{{"SECP256K1":{{"share":1,"id":{quoted}}}}}"#),
            format!(r#"{{"SECP256K1":{{"share":{quoted},"share":{quoted}}}}}"#),
            text.replacen("\"share\"", "\"Share\"", 1),
            text.replacen("\"id\"", &quoted, 1),
        ] {
            secrets.check_response(&server, &client, "a success", &response(200, &body));
            let Err(failure) = backup::response(200, None, body.clone().into()) else { panic!("{body}") };
            secrets.assert_error("wire", &failure);
            let Failure::Unreadable(e) = failure else { panic!("{body}") };
            assert_eq!(e.expose_body(), body.as_bytes());

            secrets.assert_all("a stored text", BackupShares::parse(body.as_str()).unwrap_err());
            secrets.assert_all("a generate response", GenerateResponse::parse(&body).unwrap_err());
        }
        // Cut short, and too long.
        let announced = format!("HTTP/1.1 200 S\r\nContent-Length: {}\r\n\r\n{text}", text.len() + 1);
        secrets.check_response(&server, &client, "a cut success", announced.as_bytes());
        let chunked = format!("HTTP/1.1 200 S\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{text}\r\nzz", text.len());
        secrets.check_response(&server, &client, "a cut success", chunked.as_bytes());
        let small = secrets.builder(&server).max_response_bytes(100).build().unwrap();
        secrets.check_response(&server, &small, "a long success", &response(200, text));
    }
}

#[test]
fn no_mistake_in_the_input_repeats_it() {
    for secrets in [Secrets::base64(), Secrets::json()] {
        for len in (0..secrets.generate.len()).step_by(53) {
            let Some(part) = secrets.generate.get(..len) else { continue };
            secrets.assert_all("a cut text", GenerateResponse::parse(part).unwrap_err());
            secrets.assert_all("a cut text", BackupShares::parse(part).unwrap_err());
        }
        for made in &secrets.made {
            // Put where something else belongs.
            let build = |set: &dyn Fn(ClientBuilder) -> ClientBuilder| {
                set(Client::builder(ApiKey::new(&secrets.key).unwrap())).build().map(drop)
            };
            let key = &secrets.key;
            let mut results = vec![
                ApiKey::new(&format!("{key}\n")).map(drop).map_err(Error::from),
                ApiKey::new(&format!("{key} {made}")).map(drop).map_err(Error::from),
                build(&|it| it.client_api_url(format!("ftp://{key}"))),
                build(&|it| it.proxy(format!("{key}://{key}"))),
                build(&|it| it.proxy(format!("socks5://user:{key}@localhost"))),
                build(&|it| it.user_agent(format!("{key}\n"))),
            ];
            for url in
                ["@", "https://user:@#example.com", "https://example.com/?@", "https://example.com:@", "http://@"]
            {
                results.push(build(&|it| it.base_url(url.replace('@', key).replace('#', "@"))));
            }
            results.push(build(&|it| it.base_url(format!("https://{key}_/"))));
            results.push(build(&|it| it.base_url(made)));
            for text in [made.clone(), pem("CERTIFICATE", made), pem("PRIVATE KEY", made)] {
                results.push(build(&|it| it.root_certs_pem(&text)));
                results.push(build(&|it| it.client_cert_pem(&text)));
            }
            for e in results.into_iter().filter_map(Result::err) {
                secrets.assert_all("a setting", e);
            }
        }
    }
}

fn pem(label: &str, text: &str) -> String {
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
}

#[test]
fn a_key_in_place_of_its_variable_is_not_quoted() {
    let not_set = "the environment variable for the client API key is not set";
    let secrets = Secrets::base64();
    let long = "N".repeat(65);
    for name in [&secrets.key, &secrets.made[0], &long, "A=B", "A\0B", "\u{1b}[2J"] {
        let e = ApiKey::from_env(name).unwrap_err();
        assert_eq!(e.to_string(), not_set, "{name:?}");
        secrets.assert_all("a variable", e);
    }
    assert!(ApiKey::from_env("").is_err());
    let e = ApiKey::from_env("PORTAL_BACKUP_IS_NOT_SET").unwrap_err();
    assert_eq!(e.to_string(), format!("{not_set}: PORTAL_BACKUP_IS_NOT_SET"));
}

#[test]
fn a_proxy_cannot_make_its_password_be_shown() {
    let secrets = Secrets::base64();
    let proxy = Server::start();
    let password = noise(9, b"abcdefghijklmnopqrstuvwxyz", 24);
    let credentials = "dXNlcjp1c2VyOnVzZXI6dXNlcjp1c2Vy";
    let client = Client::builder(ApiKey::new(&secrets.key).unwrap())
        .base_url("https://portal.invalid")
        .client_api_url("https://portal.invalid")
        .proxy(proxy.url.replace("//", &format!("//user:{password}@")))
        .attempts(1);
    assert!(!format!("{client:?}").contains(&password));
    let client = client.build().unwrap();
    assert!(!format!("{client:?}").contains(&password));
    for head in [
        format!("HTTP/1.1 407 {password}\r\nProxy-Authenticate: {credentials}"),
        format!("HTTP/1.1 403 Forbidden\r\nX: {password}"),
        password.clone(),
    ] {
        *proxy.response.lock().unwrap() = format!("{head}\r\n\r\n{password}").into();
        let e = client.backup(&GenerateResponse::parse(&secrets.generate).unwrap()).unwrap_err();
        assert!(!format!("{e} {e:?}").contains(&password), "{e}");
        secrets.assert_all("a proxy", e);
    }
}

#[test]
fn no_debug_shows_what_a_type_holds() {
    for secrets in [Secrets::base64(), Secrets::json()] {
        let server = Server::start();
        let key = ApiKey::new(&secrets.key).unwrap();
        secrets.assert_debug(&key);
        let generate = GenerateResponse::parse(&secrets.generate).unwrap();
        secrets.assert_debug(&generate);
        secrets.assert_debug(&backup::request(&generate));
        let shares = backup::response(200, None, secrets.made_text.clone().into()).unwrap();
        secrets.assert_debug(&shares);
        for share in [shares.secp256k1(), shares.ed25519()] {
            secrets.assert_debug(&share);
            if let Ok(decoded) = share.decode() {
                secrets.assert_debug(&decoded);
            }
        }
        secrets.assert_debug(&portal_backup::SecretBytes::new(secrets.made[0].clone().into()));
        let stored = shares.store(|_| Ok::<(), ()>(())).unwrap();
        secrets.assert_debug(&stored);
        secrets.assert_debug(&confirm::request(stored.share_pair_ids()));
        secrets.assert_debug(&secrets.builder(&server).client_cert_pem(&secrets.made[0]));
        secrets.assert_debug(&secrets.client(&server));
        let folder = tempfile::tempdir().unwrap();
        let slot = FileSlot::reserve(folder.path().join("backup.json")).unwrap();
        secrets.assert_debug(&slot);
        std::fs::write(folder.path().join("backup.json"), "theirs").unwrap();
        let e = slot.store(&shares).unwrap_err();
        assert!(e.source().is_some(), "what the system said");
        secrets.assert_all("the store", Error::from(e));
    }
}

#[test]
fn the_sandbox_does_not_show_what_it_saw() {
    let secrets = Secrets::base64();
    let sandbox = Sandbox::start().unwrap();
    let client = Client::builder(ApiKey::new(sandbox.api_key()).unwrap())
        .base_url(sandbox.url())
        .client_api_url(sandbox.url())
        .build()
        .unwrap();
    let shares = client.backup(&GenerateResponse::parse(&secrets.generate).unwrap()).unwrap();
    client.confirm(&shares.store(|_| Ok::<(), ()>(())).unwrap()).unwrap();
    assert!(!format!("{sandbox:?}").contains(sandbox.api_key()));
    assert_eq!(sandbox.requests().len(), 2);
    secrets.assert_debug(&sandbox.requests());
}
