//! What Portal's services answer to a program that makes a wallet, backs it up and says what it stored.

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde_json::Value;

use crate::wire;
use crate::wire::backup::GenerateResponse;

const GENERATE: &str = "/v1/generate";
const SIGNING_SHARES: &str = "/api/v3/clients/me/signing-share-pairs";

/// One client of Portal: its key, and the ids of its share pairs.
pub(super) struct Service {
    pub(super) api_key: String,
    signing: Vec<String>,
    backup: Vec<String>,
    /// Of the backup share pairs, those that were confirmed, in order.
    pub(super) confirmed: Vec<String>,
}

impl Service {
    pub(super) fn new() -> Self {
        let api_key = format!("sandbox-{}", random_id());
        Self { api_key, signing: Vec::new(), backup: Vec::new(), confirmed: Vec::new() }
    }

    pub(super) fn answer(
        &mut self,
        method: &str,
        path: &str,
        authorization: Option<&str>,
        body: &[u8],
    ) -> Answer {
        let is_client_api = match path {
            GENERATE | wire::backup::PATH => false,
            SIGNING_SHARES | wire::confirm::PATH => true,
            _ => return Answer::error(404, "NOT_FOUND", "No such endpoint"),
        };
        match authorization.map(|given| self.is_key(given)) {
            Some(true) => {}
            _ if is_client_api => return Answer::json(401, "{}"),
            Some(false) => return Answer::text(401, "Authorization header is invalid"),
            None => return Answer::text(401, "Authorization header is missing"),
        }
        match (method, path) {
            ("POST", GENERATE) => Answer::json(200, self.generate()),
            ("POST", wire::backup::PATH) => self.backup(body),
            ("PATCH", SIGNING_SHARES) => {
                let ids = two_ids(body, "STORED_CLIENT", "signingSharePairIds", &self.signing);
                ids.map_or(Answer::json(400, "{}"), |_| Answer::empty(204))
            }
            ("PATCH", wire::confirm::PATH) => {
                let ids = two_ids(body, "STORED_CLIENT_BACKUP_SHARE", "backupSharePairIds", &self.backup);
                let Some(mut ids) = ids.map(Vec::from) else { return Answer::json(400, "{}") };
                ids.retain(|id| !self.confirmed.contains(id));
                self.confirmed.append(&mut ids);
                Answer::empty(204)
            }
            _ => Answer::error(405, "METHOD_NOT_ALLOWED", "Wrong method for this endpoint"),
        }
    }

    fn is_key(&self, authorization: &str) -> bool {
        authorization
            .split_once(' ')
            .is_some_and(|(scheme, key)| scheme.eq_ignore_ascii_case("bearer") && key.trim() == self.api_key)
    }

    /// The signing shares of a new wallet.
    pub(super) fn generate(&mut self) -> String {
        let (ids, shares) = new_shares();
        self.signing.extend(ids);
        shares
    }

    fn backup(&mut self, body: &[u8]) -> Answer {
        let request = serde_json::from_slice::<Value>(body).unwrap_or_default();
        let generate = request["generateResponse"].as_str().unwrap_or_default();
        if GenerateResponse::parse(generate).is_err() {
            return Answer::error(400, "BAD_REQUEST", "Can't parse the request body");
        }
        let (ids, shares) = new_shares();
        self.backup.extend(ids);
        Answer::json(200, shares)
    }
}

/// The two ids in a request of the Client API, if they differ, were issued, and the status is the right one.
fn two_ids(body: &[u8], status: &str, field: &str, issued: &[String]) -> Option<[String; 2]> {
    let request: Value = serde_json::from_slice(body).ok()?;
    let [first, second] = request[field].as_array()?.as_slice() else { return None };
    let ids = [first.as_str()?, second.as_str()?];
    let are_known = ids.iter().all(|id| issued.iter().any(|issued| issued == id));
    (request["status"] == status && first != second && are_known).then(|| ids.map(String::from))
}

pub(super) struct Answer {
    pub(super) status: u16,
    content_type: Option<&'static str>,
    pub(super) body: Vec<u8>,
}

impl Answer {
    fn empty(status: u16) -> Self {
        Self { status, content_type: None, body: Vec::new() }
    }

    pub(super) fn json(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, content_type: Some(wire::CONTENT_TYPE), body: body.into() }
    }

    pub(super) fn text(status: u16, body: &str) -> Self {
        Self { status, content_type: Some("text/plain"), body: body.into() }
    }

    fn error(status: u16, id: &str, message: &str) -> Self {
        Self::json(status, serde_json::json!({ "id": id, "message": message }).to_string())
    }

    /// As a service fails with this status.
    pub(super) fn failing(status: u16) -> Self {
        match status {
            204 => Self::empty(status),
            401 => Self::text(401, "Authorization header is missing"),
            400 => Self::error(400, "BAD_REQUEST", "Can't parse the request body"),
            429 => Self::error(429, "RATE_LIMITED", "Too many requests"),
            500.. => Self::error(status, "INTERNAL_ERROR", "Something went wrong"),
            _ => Self::error(status, "SANDBOX_FAULT", "This call was told to fail"),
        }
    }

    pub(super) fn to_http(&self) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} Sandbox\r\n", self.status);
        if let Some(content_type) = self.content_type {
            head += &format!("Content-Type: {content_type}\r\nContent-Length: {}\r\n", self.body.len());
        }
        if self.status == 429 {
            head += "Retry-After: 1\r\n";
        }
        head += "\r\n";
        [head.as_bytes(), &self.body].concat()
    }
}

/// Two ids, and the documented object with made-up shares: base64 without padding of a JSON text of 5.8 KB.
fn new_shares() -> ([String; 2], String) {
    let ids = [random_id(), random_id()];
    let [secp256k1, ed25519] = ids.each_ref().map(|id| {
        let mut share = format!(r#"{{"clientId":"{}","backupSharePairId":"{id}","sandbox":""#, random_id());
        while share.len() < 5800 {
            share += &format!("{:016x}", random());
        }
        share += "\"}";
        format!(r#"{{"share":"{}","id":"{id}"}}"#, STANDARD_NO_PAD.encode(share))
    });
    (ids, format!(r#"{{"SECP256K1":{secp256k1},"ED25519":{ed25519}}}"#))
}

/// 25 characters, as many as the service's ids have.
fn random_id() -> String {
    format!("c{:012x}{:012x}", random() >> 16, random() >> 16)
}

/// Different in each call and each run; nothing here needs more than that.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
