//! What Portal's services say to a program that makes a wallet, backs it up and confirms what it stored.

use alloc::{format, string::String, vec::Vec};
use core::time::Duration;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::mpsc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde_json::Value;

use crate::outcome::debug_as;
use crate::wire;
use crate::wire::backup::GenerateResponse;

const GENERATE: &str = "/v1/generate";
const SIGNING_SHARES: &str = "/api/v3/clients/me/signing-share-pairs";

/// What the sandbox does to a request instead of responding properly.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Closes the connection when the head of the request has arrived, and does not act.
    CloseBeforeRequest,
    /// Acts, and closes the connection without a response.
    CloseBeforeResponse,
    /// Responds with this status and, if it is an error, with the body that the service has for it. Does not act.
    Status(u16),
    /// The same with the header `Retry-After`, in whole seconds.
    StatusRetryAfter(u16, Duration),
    /// Acts, and responds properly after this time, unless the client closes the connection before.
    Delay(Duration),
    /// Acts, and closes the connection in the middle of the body of its response; if it has none, as that of a
    /// confirmation, before the end of its head.
    CutBody,
    /// Acts, and responds with status 200 and this body.
    Body(Vec<u8>),
}

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

debug_as!(SeenRequest, self, "SeenRequest({} {}, {} bytes: {})", self.method, self.path, self.body.len(), self.status);

#[derive(Default)]
pub(super) struct Service {
    clients: Vec<Client>,
    /// The ids of backup shares that were confirmed, in order.
    pub(super) confirmed: Vec<String>,
    /// Each with the path that it waits for, if not for any.
    pub(super) faults: Vec<(Option<&'static str>, Fault)>,
    pub(super) requests: Vec<SeenRequest>,
    pub(super) watchers: Vec<mpsc::Sender<SeenRequest>>,
}

/// One client of Portal: its key, and the ids of the shares that were made with it.
#[derive(Default)]
struct Client {
    api_key: String,
    signing: Vec<String>,
    backup: Vec<String>,
}

impl Service {
    /// Adds a client; returns its key and the shares of a wallet.
    pub(super) fn add_client(&mut self) -> (String, String) {
        let api_key = format!("sandbox-{}", random_id());
        let mut client = Client { api_key: api_key.clone(), ..Client::default() };
        let generate_response = new_shares(&mut client.signing);
        self.clients.push(client);
        (api_key, generate_response)
    }

    pub(super) fn respond(&mut self, request: &SeenRequest) -> Response {
        let key = request.api_key.as_ref();
        let Some(client) = self.clients.iter_mut().find(|client| Some(&client.api_key) == key) else {
            return match key {
                Some(_) if !request.path.starts_with("/api/") => Response::new(401, "Authorization header is invalid"),
                _ => Response::with_status(401, &request.path),
            };
        };
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let ids = match (request.method.as_str(), request.path.as_str()) {
            ("POST", GENERATE) => return Response::new(200, new_shares(&mut client.signing)),
            ("POST", wire::backup::PATH) => {
                let generate = body["generateResponse"].as_str().unwrap_or_default();
                let is_known = GenerateResponse::parse(generate).is_ok();
                let new = is_known.then(|| Response::new(200, new_shares(&mut client.backup)));
                return new.unwrap_or(Response::with_status(400, &request.path));
            }
            ("PATCH", SIGNING_SHARES) => two_ids(&body, "STORED_CLIENT", "signingSharePairIds", &client.signing),
            ("PATCH", wire::confirm::PATH) => {
                let ids = two_ids(&body, "STORED_CLIENT_BACKUP_SHARE", "backupSharePairIds", &client.backup);
                let new = ids.iter().flatten().filter(|id| !self.confirmed.contains(id)).cloned();
                self.confirmed.extend(new.collect::<Vec<_>>());
                ids
            }
            _ => return Response::with_status(404, &request.path),
        };
        Response::with_status(if ids.is_some() { 204 } else { 400 }, &request.path)
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
    pub(super) body: Vec<u8>,
}

impl Response {
    pub(super) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, body: body.into() }
    }

    /// As the service with this path responds with this status.
    pub(super) fn with_status(status: u16, path: &str) -> Self {
        let (id, message) = match status {
            204 => return Self::new(204, ""),
            400 | 401 if path.starts_with("/api/") => return Self::new(status, "{}"),
            401 => return Self::new(401, "Authorization header is missing"),
            400 => ("BAD_REQUEST", "Can't parse the request body"),
            404 => ("NOT_FOUND", "No such endpoint"),
            429 => ("RATE_LIMITED", "Too many requests"),
            500.. => ("INTERNAL_ERROR", "Something went wrong"),
            _ => ("SANDBOX_FAULT", "This call was told to fail"),
        };
        Self::new(status, format!(r#"{{"id":"{id}","message":"{message}"}}"#))
    }

    /// With these headers, each with its line break.
    pub(super) fn to_http(&self, mut headers: String) -> Vec<u8> {
        if self.status != 204 {
            let content_type = if self.body.starts_with(b"{") { wire::CONTENT_TYPE } else { "text/plain" };
            headers += &format!("Content-Type: {content_type}\r\nContent-Length: {}\r\n", self.body.len());
        }
        let head = format!("HTTP/1.1 {} Sandbox\r\nConnection: close\r\n{headers}\r\n", self.status);
        [head.as_bytes(), &self.body].concat()
    }
}

/// The documented object with made-up shares, base64 without padding of a JSON text of 5.8 KB; their ids are issued.
fn new_shares(issued: &mut Vec<String>) -> String {
    let [secp256k1, ed25519] = [(); 2].map(|()| {
        let id = random_id();
        let mut share = format!(r#"{{"clientId":"{}","backupSharePairId":"{id}","sandbox":""#, random_id());
        while share.len() < 5800 {
            share += &random_id();
        }
        let share = STANDARD_NO_PAD.encode(share + "\"}");
        issued.push(id.clone());
        format!(r#"{{"share":"{share}","id":"{id}"}}"#)
    });
    format!(r#"{{"SECP256K1":{secp256k1},"ED25519":{ed25519}}}"#)
}

/// 25 characters, as many as the service's ids have; others in each call and each run.
fn random_id() -> String {
    let random = || RandomState::new().build_hasher().finish() >> 16;
    format!("c{:012x}{:012x}", random(), random())
}
