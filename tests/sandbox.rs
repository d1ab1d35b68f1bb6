//! What the stand-in answers, asked without the client.
#![cfg(feature = "sandbox")]
#![allow(clippy::unwrap_used)]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use portal_backup::{GenerateResponse, Sandbox};
use serde_json::{Value, json};

const GENERATE: &str = "/v1/generate";
const BACKUP: &str = "/v1/backup";
const SIGNING: &str = "/api/v3/clients/me/signing-share-pairs";
const CONFIRM: &str = "/api/v3/clients/me/backup-share-pairs";

/// Status, content type and body.
fn call(
    sandbox: &Sandbox,
    (method, path): (&str, &str),
    authorization: Option<&str>,
    body: &str,
) -> (u16, String, String) {
    let mut connection = TcpStream::connect(sandbox.url().strip_prefix("http://").unwrap()).unwrap();
    let authorization = authorization.map(|value| format!("Authorization: {value}\r\n")).unwrap_or_default();
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nContent-Length: {length}\r\nConnection: close\r\n");
    write!(connection, "{head}{authorization}\r\n{body}").unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
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

    let (status, shares) = ask(&sandbox, ("POST", BACKUP), &json!({ "generateResponse": wallet }));
    assert_eq!(status, 200);
    assert!(sandbox.confirmed().is_empty(), "signing shares are no backup shares");
    assert_eq!(ask(&sandbox, ("PATCH", CONFIRM), &backup(&ids(&shares))), (204, String::new()));
    assert_eq!(sandbox.confirmed(), ids(&shares));

    let seen: Vec<_> = sandbox.requests().into_iter().map(|seen| (seen.path, seen.status)).collect();
    let expected = [(GENERATE, 200), (SIGNING, 204), (BACKUP, 200), (CONFIRM, 204)];
    assert_eq!(seen, expected.map(|(path, status)| (path.to_string(), status)));
}

#[test]
fn signing_shares_count_as_stored_in_any_order_and_again() {
    let sandbox = Sandbox::start().unwrap();
    let [first, second] = ids(sandbox.generate_response());
    for ids in [[first.clone(), second.clone()], [second, first]] {
        assert_eq!(ask(&sandbox, ("PATCH", SIGNING), &signing(&ids)).0, 204);
    }
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
        let other_status = if path == SIGNING { "STORED_CLIENT_BACKUP_SHARE" } else { "STORED_CLIENT" };
        let other_field = if path == SIGNING { "backupSharePairIds" } else { "signingSharePairIds" };
        for body in [
            json!({ "status": status, field: [a, a] }),
            json!({ "status": status, field: [a] }),
            json!({ "status": status, field: [] }),
            json!({ "status": status, field: [a, b, other[0]] }),
            json!({ "status": status, field: [a, b, a] }),
            json!({ "status": status, field: [a, "unknown"] }),
            json!({ "status": status, field: [a, ""] }),
            json!({ "status": status, field: [a, null] }),
            json!({ "status": status, field: [a, 1] }),
            json!({ "status": status, field: [a, other[1]] }),
            json!({ "status": status, field: other }),
            json!({ "status": status, field: format!("{a},{b}") }),
            json!({ "status": status, field: { "0": a, "1": b } }),
            json!({ "status": status, other_field: [a, b] }),
            json!({ "status": status }),
            json!({ "status": other_status, field: [a, b] }),
            json!({ "status": status.to_lowercase(), field: [a, b] }),
            json!({ "status": [status], field: [a, b] }),
            json!({ field: [a, b] }),
            json!([status, a, b]),
            json!({}),
            json!(null),
        ] {
            assert_eq!(ask(&sandbox, ("PATCH", path), &body), (400, "{}".into()), "{path} {body}");
        }
        let key = format!("Bearer {}", sandbox.api_key());
        for body in ["", "{", "\u{0}", &format!("{{\"status\":\"{status}\",\"{field}\":[\"{a}\",\"{b}\"]}}x")]
        {
            let answer = call(&sandbox, ("PATCH", path), Some(&key), body);
            assert_eq!(answer, (400, "application/json".into(), "{}".into()), "{path} {body}");
        }
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
    let wrong = [
        format!("Bearer {}", other.api_key()),
        format!("Basic {}", sandbox.api_key()),
        sandbox.api_key().to_string(),
        "Bearer".into(),
    ];
    for (asked, without, with_wrong, body) in [
        (("POST", GENERATE), &missing, &invalid, json!({})),
        (("POST", BACKUP), &missing, &invalid, json!({ "generateResponse": sandbox.generate_response() })),
        (("PATCH", SIGNING), &empty, &empty, signing(&[a, b])),
        (("PATCH", CONFIRM), &empty, &empty, backup(&[])),
    ] {
        assert_eq!(&call(&sandbox, asked, None, &body.to_string()), without, "{asked:?}");
        for wrong in &wrong {
            let answer = call(&sandbox, asked, Some(wrong), &body.to_string());
            assert_eq!(&answer, with_wrong, "{asked:?} with {wrong}");
        }
    }
}

#[test]
fn a_wrong_method_or_path_is_refused_by_name() {
    let sandbox = Sandbox::start().unwrap();
    for (path, right) in [(GENERATE, "POST"), (BACKUP, "POST"), (SIGNING, "PATCH"), (CONFIRM, "PATCH")] {
        for method in ["GET", "POST", "PATCH", "PUT", "DELETE"].into_iter().filter(|&method| method != right)
        {
            let (status, body) = ask(&sandbox, (method, path), &json!({}));
            assert_eq!(status, 405, "{method} {path}");
            assert!(body.contains("METHOD_NOT_ALLOWED"));
        }
    }
    for path in
        ["/", "/v1/recover", "/v1/backup/", "/api/v3/clients/me", "/api/v3/clients/me/signing-share-pairs/"]
    {
        let (status, body) = ask(&sandbox, ("PATCH", path), &json!({}));
        assert!(status == 404 && body.contains("NOT_FOUND"), "{path}: {status}");
    }
}
