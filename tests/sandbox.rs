//! What the stand-in responds, with and without the client.
#![cfg(feature = "sandbox")]
#![allow(clippy::unwrap_used)]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use portal_backup::{ApiKey, BackupShares, Client, Error, Fault, GenerateResponse, Outcome, Sandbox};
use serde_json::{Value, json};

const GENERATE: &str = "/v1/generate";
const BACKUP: &str = "/v1/backup";
const SIGNING: &str = "/api/v3/clients/me/signing-share-pairs";
const CONFIRM: &str = "/api/v3/clients/me/backup-share-pairs";

/// All of the response; nothing if the connection was closed instead.
fn response(sandbox: &Sandbox, (method, path): (&str, &str), key: Option<&str>, body: &str) -> String {
    let mut connection = TcpStream::connect(sandbox.url().strip_prefix("http://").unwrap()).unwrap();
    let key = key.map(|value| format!("Authorization: {value}\r\n")).unwrap_or_default();
    let length = body.len();
    write!(connection, "{method} {path} HTTP/1.1\r\nContent-Length: {length}\r\n{key}\r\n{body}").unwrap();
    let mut response = Vec::new();
    // What is cut or closed may also end with an error.
    let _ = connection.read_to_end(&mut response);
    String::from_utf8(response).unwrap()
}

/// Status, content type and body.
fn call(sandbox: &Sandbox, call: (&str, &str), key: Option<&str>, body: &str) -> (u16, String, String) {
    let response = response(sandbox, call, key, body);
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    let content_type = head.lines().find_map(|line| line.strip_prefix("Content-Type: ")).unwrap_or_default();
    (head[9..12].parse().unwrap(), content_type.into(), body.into())
}

/// With its key; status and body.
fn ask(sandbox: &Sandbox, call: (&str, &str), body: &Value) -> (u16, String) {
    let key = format!("Bearer {}", sandbox.api_key());
    let (status, _, body) = self::call(sandbox, call, Some(&key), &body.to_string());
    (status, body)
}

fn ids(shares: &str) -> [String; 2] {
    let shares: Value = serde_json::from_str(shares).unwrap();
    ["SECP256K1", "ED25519"].map(|curve| shares[curve]["id"].as_str().unwrap().to_string())
}

fn signing(ids: &[String]) -> Value {
    json!({ "status": "STORED_CLIENT", "signingSharePairIds": ids })
}

fn backup(ids: &[String]) -> Value {
    json!({ "status": "STORED_CLIENT_BACKUP_SHARE", "backupSharePairIds": ids })
}

#[test]
fn a_program_gets_through_from_generating_to_confirming() {
    let sandbox = Sandbox::start().unwrap();
    let (status, wallet) = ask(&sandbox, ("POST", GENERATE), &json!({}));
    assert_eq!(status, 200);
    GenerateResponse::parse(&wallet).unwrap();
    assert_eq!(ask(&sandbox, ("PATCH", SIGNING), &signing(&ids(&wallet))), (204, String::new()));
    let [first, second] = ids(&wallet);
    assert_eq!(ask(&sandbox, ("PATCH", SIGNING), &signing(&[second, first])).0, 204, "in any order, and again");

    let (status, shares) = ask(&sandbox, ("POST", BACKUP), &json!({ "generateResponse": wallet }));
    assert_eq!(status, 200);
    assert!(sandbox.confirmed().is_empty(), "signing shares are no backup shares");
    assert_eq!(ask(&sandbox, ("PATCH", CONFIRM), &backup(&ids(&shares))), (204, String::new()));
    assert_eq!(sandbox.confirmed(), ids(&shares));

    let seen: Vec<_> = sandbox.requests().into_iter().map(|seen| (seen.path, seen.status)).collect();
    let expected = [(GENERATE, 200), (SIGNING, 204), (SIGNING, 204), (BACKUP, 200), (CONFIRM, 204)];
    assert_eq!(seen, expected.map(|(path, status)| (path.to_string(), status)));
}

/// Of both calls that tell what is stored.
#[test]
fn what_was_not_issued_or_is_not_two_pairs_does_not_count_as_stored() {
    let sandbox = Sandbox::start().unwrap();
    let wallet = sandbox.generate_response();
    let (_, shares) = ask(&sandbox, ("POST", BACKUP), &json!({ "generateResponse": wallet }));
    for (path, status, field, [a, b], other) in [
        (SIGNING, "STORED_CLIENT", "signingSharePairIds", ids(wallet), ids(&shares)),
        (CONFIRM, "STORED_CLIENT_BACKUP_SHARE", "backupSharePairIds", ids(&shares), ids(wallet)),
    ] {
        for body in [
            json!({ "status": status, field: [a, a] }),
            json!({ "status": status, field: [a] }),
            json!({ "status": status, field: [a, b, other[0]] }),
            json!({ "status": status, field: [a, "unknown"] }),
            json!({ "status": status, field: [a, null] }),
            json!({ "status": status, field: [a, other[1]] }),
            json!({ "status": status, field: other }),
            json!({ "status": status, field: format!("{a},{b}") }),
            json!({ "status": status }),
            json!({ "status": status.to_lowercase(), field: [a, b] }),
            json!({ field: [a, b] }),
            json!([status, a, b]),
            json!(format!("{{\"status\":\"{status}\",\"{field}\":[\"{a}\",\"{b}\"]}}")),
        ] {
            assert_eq!(ask(&sandbox, ("PATCH", path), &body), (400, "{}".into()), "{path} {body}");
        }
        let key = format!("Bearer {}", sandbox.api_key());
        assert_eq!(call(&sandbox, ("PATCH", path), Some(&key), "{").0, 400);
        assert!(sandbox.confirmed().is_empty());
        assert_eq!(ask(&sandbox, ("PATCH", path), &json!({ "status": status, field: [a, b] })).0, 204);
    }
}

#[test]
fn without_the_key_each_call_is_refused_as_its_service_does() {
    let sandbox = Sandbox::start().unwrap();
    let other = Sandbox::start().unwrap();
    let [a, b] = ids(sandbox.generate_response());
    let missing = (401, "text/plain".into(), "Authorization header is missing".into());
    let invalid = (401, "text/plain".into(), "Authorization header is invalid".into());
    let empty = (401, "application/json".into(), "{}".into());
    let wrong = [other.api_key(), "x", &sandbox.api_key()[1..]].map(|key| format!("Bearer {key}"));
    for (asked, without, with_wrong, body) in [
        (("POST", GENERATE), &missing, &invalid, json!({})),
        (("POST", BACKUP), &missing, &invalid, json!({ "generateResponse": sandbox.generate_response() })),
        (("PATCH", SIGNING), &empty, &empty, signing(&[a, b])),
        (("PATCH", CONFIRM), &empty, &empty, backup(&[])),
    ] {
        for header in [None, Some(sandbox.api_key()), Some("Bearer"), Some("Basic YTpi")] {
            assert_eq!(&call(&sandbox, asked, header, &body.to_string()), without, "{asked:?}");
        }
        for wrong in &wrong {
            let response = call(&sandbox, asked, Some(wrong), &body.to_string());
            assert_eq!(&response, with_wrong, "{asked:?} with {wrong}");
        }
    }
}

#[test]
fn a_wrong_method_or_path_is_not_found() {
    let sandbox = Sandbox::start().unwrap();
    for (path, right) in [(GENERATE, "POST"), (BACKUP, "POST"), (SIGNING, "PATCH"), (CONFIRM, "PATCH")] {
        let methods = ["GET", "POST", "PATCH", "PUT", "DELETE"].into_iter();
        for method in methods.filter(|&method| method != right) {
            assert_eq!(ask(&sandbox, (method, path), &json!({})).0, 404, "{method} {path}");
        }
    }
    for path in ["/", "/v1/recover", "/v1/backup/", "/api/v3/clients/me"] {
        let (status, body) = ask(&sandbox, ("PATCH", path), &json!({}));
        assert!(status == 404 && body.contains("NOT_FOUND"), "{path}: {status}");
    }
}

fn client(sandbox: &Sandbox, timeout: Duration) -> Client {
    let builder = Client::builder(ApiKey::new(sandbox.api_key()).unwrap());
    let builder = builder.base_url(sandbox.url()).client_api_url(sandbox.url());
    builder.attempts(1).timeout(timeout).build().unwrap()
}

fn back_up(sandbox: &Sandbox, client: &Client) -> Result<BackupShares, Error> {
    client.backup(&GenerateResponse::parse(sandbox.generate_response()).unwrap())
}

#[test]
fn each_key_confirms_its_own_shares_and_no_others() {
    let sandbox = Sandbox::start().unwrap();
    let first = client(&sandbox, Duration::from_secs(20));
    let second = first.with_key(ApiKey::new(&sandbox.add_api_key()).unwrap());
    let mut confirmed = Vec::new();
    for (own, other) in [(&first, &second), (&second, &first)] {
        let shares = back_up(&sandbox, own).unwrap();
        let stored = shares.store(|_| Ok::<(), ()>(())).unwrap();
        assert_eq!(other.confirm(&stored).unwrap_err().outcome(), Outcome::Refused);
        assert_eq!(sandbox.confirmed(), confirmed);
        own.confirm(&stored).unwrap();
        confirmed.extend(shares.share_pair_ids().map(String::from));
        assert_eq!(sandbox.confirmed(), confirmed);
    }
    let is_first = |key: Option<String>| key.as_deref() == Some(sandbox.api_key());
    let keys: Vec<_> = sandbox.requests().into_iter().map(|request| is_first(request.api_key)).collect();
    assert_eq!(keys, [true, false, true, false, true, false]);
}

#[test]
fn a_fault_spoils_the_call_that_it_is_aimed_at_and_no_other() {
    let sandbox = Sandbox::start().unwrap();
    let backup = |_| ask(&sandbox, ("POST", BACKUP), &json!({ "generateResponse": "" })).0;
    let confirm = || ask(&sandbox, ("PATCH", CONFIRM), &json!({})).0;
    sandbox.fail_next_confirm(Fault::Status(501));
    sandbox.fail_next(Fault::Status(502));
    sandbox.fail_next_backup(Fault::Status(503));
    sandbox.fail_next(Fault::Status(504));
    let backups: Vec<_> = (0..4).map(backup).collect();
    assert_eq!(backups, [502, 503, 504, 400], "in order, and each once");
    assert_eq!([confirm(), confirm()], [501, 400]);
}

#[test]
fn each_fault_does_what_it_says() {
    let sandbox = Sandbox::start().unwrap();
    let body = json!({ "generateResponse": sandbox.generate_response() }).to_string();
    let key = format!("Bearer {}", sandbox.api_key());
    let spoilt = |fault| {
        let seen = sandbox.requests().len();
        sandbox.fail_next_backup(fault);
        let response = response(&sandbox, ("POST", BACKUP), Some(&key), &body);
        (response, sandbox.requests().get(seen).map(|request| request.status))
    };

    assert_eq!(spoilt(Fault::CloseBeforeRequest), (String::new(), None));
    assert_eq!(spoilt(Fault::CloseBeforeResponse), (String::new(), Some(200)));
    let (response, status) = spoilt(Fault::Status(429));
    assert!(response.starts_with("HTTP/1.1 429 ") && !response.contains("Retry-After") && status == Some(429));
    let (response, status) = spoilt(Fault::StatusRetryAfter(503, Duration::from_secs(20)));
    assert!(response.starts_with("HTTP/1.1 503 ") && response.contains("\r\nRetry-After: 20\r\n"));
    assert_eq!(status, Some(503));
    assert_eq!(spoilt(Fault::Status(204)).0, "HTTP/1.1 204 Sandbox\r\nConnection: close\r\n\r\n");
    let (response, status) = spoilt(Fault::Body(b"not what is documented".to_vec()));
    assert!(response.ends_with("Content-Length: 22\r\n\r\nnot what is documented") && status == Some(200));
    let (response, status) = spoilt(Fault::CutBody);
    let (head, cut) = response.split_once("\r\n\r\n").unwrap();
    let announced: usize = head.rsplit_once("Content-Length: ").unwrap().1.parse().unwrap();
    assert!(cut.len() > announced / 3 && cut.len() < announced && status == Some(200));

    let start = Instant::now();
    assert!(spoilt(Fault::Delay(Duration::from_millis(50))).0.ends_with("}}"));
    assert!(start.elapsed() >= Duration::from_millis(50));
    assert!(spoilt(Fault::Delay(Duration::ZERO)).0.ends_with("}}"));
    // Longer than anybody waits.
    sandbox.fail_next(Fault::Delay(Duration::MAX));
    let error = back_up(&sandbox, &client(&sandbox, Duration::from_millis(200))).unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown);

    let client = client(&sandbox, Duration::from_secs(20));
    let stored = back_up(&sandbox, &client).unwrap().store(|_| Ok::<(), ()>(())).unwrap();
    for (fault, says) in [(Fault::CutBody, "the connection broke"), (Fault::Status(401), "status 401; check the key")] {
        sandbox.fail_next_confirm(fault);
        assert!(client.confirm(&stored).unwrap_err().to_string().contains(says), "{says}");
    }
}

#[test]
fn each_request_can_be_waited_for_until_the_sandbox_is_gone() {
    let sandbox = Sandbox::start().unwrap();
    ask(&sandbox, ("POST", GENERATE), &json!({}));
    let [requests, same] = [sandbox.watch(), sandbox.watch()];
    drop(sandbox.watch());
    let watcher = thread::spawn(move || requests.into_iter().map(|request| format!("{request:?}")).collect());
    ask(&sandbox, ("PATCH", CONFIRM), &json!({}));
    assert_eq!(same.recv().unwrap(), sandbox.requests()[1], "from now on");
    ask(&sandbox, ("GET", "/x"), &json!({}));
    drop(sandbox);
    let seen: Vec<String> = watcher.join().unwrap();
    let line = |text: &str| format!("SeenRequest({text})");
    assert_eq!(seen, [line(&format!("PATCH {CONFIRM}, 2 bytes: 400")), line("GET /x, 2 bytes: 404")]);
}
