//! What Portal's services say to a program that makes a wallet, backs it up and confirms what it stored.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde_json::Value;

use crate::wire;
use crate::wire::backup::GenerateResponse;

const GENERATE: &str = "/v1/generate";
const SIGNING_SHARES: &str = "/api/v3/clients/me/signing-share-pairs";

/// A request that the sandbox received whole.
///
/// `Debug` shows method, path, size and status.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SeenRequest {
    /// The HTTP method.
    pub method: String,
    /// The path.
    pub path: String,
    /// The key behind `Authorization: Bearer`, if there is one.
    pub api_key: Option<String>,
    /// The body.
    pub body: Vec<u8>,
    /// The status of the response, whether or not it is sent.
    pub status: u16,
}

impl fmt::Debug for SeenRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { method, path, body, status, .. } = self;
        write!(f, "SeenRequest({method} {path}, {} bytes: {status})", body.len())
    }
}

#[derive(Default)]
pub(super) struct Service {
    clients: Vec<Client>,
    /// The ids of backup shares that were confirmed, in order.
    pub(super) confirmed: Vec<String>,
}

/// One client of Portal: its key, and the ids of the shares that were made with it.
pub(super) struct Client {
    pub(super) api_key: String,
    signing: Vec<String>,
    backup: Vec<String>,
}

impl Service {
    pub(super) fn add_client(&mut self) -> &mut Client {
        let api_key = format!("sandbox-{}", random_id());
        self.clients.push(Client { api_key, signing: Vec::new(), backup: Vec::new() });
        let last = self.clients.len() - 1;
        &mut self.clients[last]
    }

    pub(super) fn respond(&mut self, request: &SeenRequest) -> Response {
        let key = request.api_key.as_ref();
        let Some(client) = self.clients.iter_mut().find(|client| Some(&client.api_key) == key) else {
            return match key {
                _ if request.path.starts_with("/api/") => Response::json(401, "{}"),
                Some(_) => Response::new(401, "text/plain", "Authorization header is invalid"),
                None => Response::with_status(401),
            };
        };
        let body = serde_json::from_slice(&request.body).unwrap_or_default();
        match (request.method.as_str(), request.path.as_str()) {
            ("POST", GENERATE) => Response::json(200, client.generate()),
            ("POST", wire::backup::PATH) => client.backup(&body),
            ("PATCH", SIGNING_SHARES) => {
                let ids = two_ids(&body, "STORED_CLIENT", "signingSharePairIds", &client.signing);
                Response::confirmed(ids.is_some())
            }
            ("PATCH", wire::confirm::PATH) => {
                let ids = two_ids(&body, "STORED_CLIENT_BACKUP_SHARE", "backupSharePairIds", &client.backup);
                let response = Response::confirmed(ids.is_some());
                let is_new = |id: &String| !self.confirmed.contains(id);
                let new: Vec<_> = ids.into_iter().flatten().filter(is_new).collect();
                self.confirmed.extend(new);
                response
            }
            _ => Response::error(404, "NOT_FOUND", "No such endpoint"),
        }
    }
}

impl Client {
    /// The signing shares of a new wallet.
    pub(super) fn generate(&mut self) -> String {
        let (ids, shares) = new_shares();
        self.signing.extend(ids);
        shares
    }

    fn backup(&mut self, request: &Value) -> Response {
        let generate = request["generateResponse"].as_str().unwrap_or_default();
        if GenerateResponse::parse(generate).is_err() {
            return Response::with_status(400);
        }
        let (ids, shares) = new_shares();
        self.backup.extend(ids);
        Response::json(200, shares)
    }
}

/// The two ids in a request of the Client API, if they differ, were issued, and the status is the right one.
fn two_ids(request: &Value, status: &str, field: &str, issued: &[String]) -> Option<[String; 2]> {
    let [first, second] = request[field].as_array()?.as_slice() else { return None };
    let ids = [first.as_str()?, second.as_str()?];
    let are_known = ids.iter().all(|id| issued.iter().any(|issued| issued == id));
    (request["status"] == status && first != second && are_known).then(|| ids.map(String::from))
}

pub(super) struct Response {
    pub(super) status: u16,
    headers: String,
    pub(super) body: Vec<u8>,
}

impl Response {
    fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        let headers = format!("Content-Type: {content_type}\r\nContent-Length: {}\r\n", body.len());
        Self { status, headers, body }
    }

    pub(super) fn json(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self::new(status, wire::CONTENT_TYPE, body)
    }

    fn confirmed(is_confirmed: bool) -> Self {
        if is_confirmed { Self::with_status(204) } else { Self::json(400, "{}") }
    }

    fn error(status: u16, id: &str, message: &str) -> Self {
        Self::json(status, format!(r#"{{"id":"{id}","message":"{message}"}}"#))
    }

    /// As a service responds with this status.
    pub(super) fn with_status(status: u16) -> Self {
        match status {
            204 => Self { status, headers: String::new(), body: Vec::new() },
            400 => Self::error(400, "BAD_REQUEST", "Can't parse the request body"),
            401 => Self::new(401, "text/plain", "Authorization header is missing"),
            429 => Self::error(429, "RATE_LIMITED", "Too many requests"),
            500.. => Self::error(status, "INTERNAL_ERROR", "Something went wrong"),
            _ => Self::error(status, "SANDBOX_FAULT", "This call was told to fail"),
        }
    }

    pub(super) fn retry_after(mut self, delay: Duration) -> Self {
        self.headers += &format!("Retry-After: {}\r\n", delay.as_secs());
        self
    }

    pub(super) fn to_http(&self) -> Vec<u8> {
        let head = format!("HTTP/1.1 {} Sandbox\r\nConnection: close\r\n{}\r\n", self.status, self.headers);
        [head.as_bytes(), &self.body].concat()
    }
}

/// Two ids, and the documented object with made-up shares: base64 without padding of a JSON text of 5.8 KB.
fn new_shares() -> ([String; 2], String) {
    let ids = [random_id(), random_id()];
    let [secp256k1, ed25519] = ids.each_ref().map(|id| {
        let mut share = format!(r#"{{"clientId":"{}","backupSharePairId":"{id}","sandbox":""#, random_id());
        while share.len() < 5800 {
            share += &random_id();
        }
        share += "\"}";
        format!(r#"{{"share":"{}","id":"{id}"}}"#, STANDARD_NO_PAD.encode(share))
    });
    (ids, format!(r#"{{"SECP256K1":{secp256k1},"ED25519":{ed25519}}}"#))
}

/// 25 characters, as many as the service's ids have; others in each call and each run.
fn random_id() -> String {
    let random = || RandomState::new().build_hasher().finish() >> 16;
    format!("c{:012x}{:012x}", random(), random())
}
