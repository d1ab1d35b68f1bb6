//! The public API, item by item: what changes here is a breaking change, and belongs into the changelog.
//!
//! A name or signature that goes or changes does not compile; a type of a dependency cannot creep in, since each
//! signature is written out. `tests/autotraits.rs` holds the rest of the promise.
#![cfg(all(feature = "sandbox", feature = "ring"))]
#![allow(clippy::type_complexity, clippy::unwrap_used)]

use std::error::Error as StdError;
use std::fmt::{Debug, Display};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use portal_backup::wire::{self, Body, Failure, Request};
use portal_backup::{
    ApiKey, BackupShares, Client, ClientBuilder, Error, Fault, FileSlot, GenerateResponse, InvalidInput,
    MpcErrorResponse, MpcShare, NotBase64, Outcome, Sandbox, SecretBytes, SeenRequest, StoreError,
    StoredShares, TransportError, Unreadable,
};

#[test]
fn the_calls_have_these_signatures() {
    let _: fn(&str, &str) -> Result<BackupShares, Error> = portal_backup::backup;
    let _: fn(ApiKey) -> Result<Client, Error> = Client::new;
    let _: fn(ApiKey) -> ClientBuilder = Client::builder;
    let _: fn(&Client, &GenerateResponse<'_>) -> Result<BackupShares, Error> = Client::backup;
    let _: fn(&Client, &StoredShares) -> Result<(), Error> = Client::confirm;
}

#[test]
fn the_builder_has_these_settings() {
    let _: fn(ApiKey) -> ClientBuilder = ClientBuilder::new;
    let _: fn(ClientBuilder, &'static str) -> ClientBuilder = ClientBuilder::base_url;
    let _: fn(ClientBuilder, String) -> ClientBuilder = ClientBuilder::client_api_url;
    let _: fn(ClientBuilder, Duration) -> ClientBuilder = ClientBuilder::timeout;
    let _: fn(ClientBuilder, Duration) -> ClientBuilder = ClientBuilder::connect_timeout;
    let _: fn(ClientBuilder, u32) -> ClientBuilder = ClientBuilder::attempts;
    let _: fn(ClientBuilder, &'static [u8]) -> ClientBuilder = ClientBuilder::root_certs_pem;
    let _: fn(ClientBuilder, &'static str) -> ClientBuilder = ClientBuilder::client_cert_pem;
    let _: fn(ClientBuilder, bool) -> ClientBuilder = ClientBuilder::platform_verifier;
    let _: fn(ClientBuilder, &'static str) -> ClientBuilder = ClientBuilder::proxy;
    let _: fn(ClientBuilder, bool) -> ClientBuilder = ClientBuilder::proxy_from_env;
    let _: fn(ClientBuilder, Duration) -> ClientBuilder = ClientBuilder::keep_alive;
    let _: fn(ClientBuilder, usize) -> ClientBuilder = ClientBuilder::max_response_bytes;
    let _: fn(ClientBuilder, &'static str) -> ClientBuilder = ClientBuilder::user_agent;
    let _: fn(ClientBuilder, bool) -> ClientBuilder = ClientBuilder::allow_trace_logging;
    let _: fn(ClientBuilder) -> Result<Client, Error> = ClientBuilder::build;
}

#[test]
fn what_goes_in_and_comes_out_has_these_signatures() {
    let _: fn(&str) -> Result<ApiKey, InvalidInput> = ApiKey::new;
    let _: fn(&str) -> Result<ApiKey, InvalidInput> = ApiKey::from_env;
    let _: fn(&ApiKey) -> &str = ApiKey::expose;
    let _: for<'a> fn(&'a str) -> Result<GenerateResponse<'a>, InvalidInput> =
        |text| GenerateResponse::parse(text);

    let _: fn(Vec<u8>) -> Result<BackupShares, InvalidInput> = BackupShares::parse;
    let _: fn(&'static str) -> Result<BackupShares, InvalidInput> = BackupShares::parse;
    let _: fn(&BackupShares) -> MpcShare<'_> = BackupShares::secp256k1;
    let _: fn(&BackupShares) -> MpcShare<'_> = BackupShares::ed25519;
    let _: fn(&BackupShares) -> [&str; 2] = BackupShares::share_pair_ids;
    let _: fn(&BackupShares) -> &str = BackupShares::expose_json;
    let _: fn(&BackupShares, fn(&str) -> Result<(), i32>) -> Result<StoredShares, i32> = BackupShares::store;

    let _: for<'a> fn(&MpcShare<'a>) -> &'a str = |share| share.id();
    let _: for<'a> fn(&MpcShare<'a>) -> &'a str = |share| share.expose_share();
    let _: fn(&MpcShare<'_>) -> Result<SecretBytes, NotBase64> = |share| share.decode();
    let _: fn(Vec<u8>) -> SecretBytes = SecretBytes::new;
    let _: fn(&SecretBytes) -> &[u8] = SecretBytes::expose;
    let _: fn(&SecretBytes) -> usize = SecretBytes::len;
    let _: fn(&SecretBytes) -> bool = SecretBytes::is_empty;
    let _: fn(SecretBytes) -> Vec<u8> = SecretBytes::into_vec;

    let _: fn([&str; 2]) -> Result<StoredShares, InvalidInput> = StoredShares::from_share_pair_ids;
    let _: fn(&StoredShares) -> [&str; 2] = StoredShares::share_pair_ids;

    let _: fn(&'static Path) -> Result<FileSlot, StoreError> = FileSlot::reserve;
    let _: fn(String) -> Result<FileSlot, StoreError> = FileSlot::reserve;
    let _: fn(&'static Path) -> Result<(BackupShares, StoredShares), StoreError> = FileSlot::load;
    let _: fn(&'static Path) -> Vec<PathBuf> = FileSlot::left_behind;
    let _: fn(&FileSlot) -> &Path = FileSlot::hidden_path;
    let _: fn(FileSlot, &BackupShares) -> Result<StoredShares, StoreError> = FileSlot::store;
    let _: fn(FileSlot, &[u8]) -> Result<(), StoreError> = FileSlot::store_bytes;
}

#[test]
fn errors_have_these_variants_and_signatures() {
    fn is_error<T: StdError + Debug + Display + Send + Sync + 'static>() {}
    is_error::<Error>();
    is_error::<Failure>();
    is_error::<InvalidInput>();
    is_error::<NotBase64>();
    is_error::<StoreError>();
    is_error::<TransportError>();
    is_error::<Unreadable>();

    fn every(e: &Error) -> &dyn Display {
        match e {
            Error::InvalidInput(e) => e as &InvalidInput,
            Error::Transport(e) => e as &TransportError,
            Error::Refused(e) | Error::Failed(e) => e as &MpcErrorResponse,
            Error::Unreadable(e) => e as &Unreadable,
            Error::Store(e) => e as &StoreError,
            other => other,
        }
    }
    assert!(!every(&ApiKey::new("").unwrap_err().into()).to_string().is_empty());
    let _: fn(&Error) -> Outcome = Error::outcome;
    let _: fn(&InvalidInput) -> Outcome = InvalidInput::outcome;
    let _: fn(&TransportError) -> Outcome = TransportError::outcome;
    let _: fn(&MpcErrorResponse) -> Outcome = MpcErrorResponse::outcome;
    let _: fn(&Unreadable) -> Outcome = Unreadable::outcome;
    let _: fn(&Failure) -> Outcome = Failure::outcome;
    let _: fn(&StoreError) -> Outcome = StoreError::outcome;
    let _: fn(Failure) -> Error = Error::from;
    let _: fn(&InvalidInput) -> Option<(usize, usize)> = InvalidInput::position;
    let _: fn(&MpcErrorResponse) -> u16 = MpcErrorResponse::status;
    let _: fn(&MpcErrorResponse) -> Option<&str> = MpcErrorResponse::id;
    let _: fn(&MpcErrorResponse) -> Option<&str> = MpcErrorResponse::message;
    let _: fn(&MpcErrorResponse) -> Option<Duration> = MpcErrorResponse::retry_after;
    let _: fn(&Unreadable) -> u16 = Unreadable::status;
    let _: fn(&Unreadable) -> &[u8] = Unreadable::expose_body;
    let _: fn(Unreadable) -> Vec<u8> = Unreadable::into_body;
    let _: fn(&StoreError) -> &Path = StoreError::path;
    let _: fn(&StoreError) -> bool = StoreError::already_exists;
    let _: [Outcome; 3] = [Outcome::NotSent, Outcome::Refused, Outcome::Unknown];
}

#[test]
fn the_wire_layer_has_these_signatures() {
    let _: for<'t> fn(&GenerateResponse<'t>) -> Request<'t> = wire::backup::request;
    let _: fn(u16, Option<&str>, Vec<u8>) -> Result<BackupShares, Failure> = wire::backup::response;
    let _: for<'t> fn([&'t str; 2]) -> Request<'t> = wire::confirm::request;
    let _: fn(u16, Option<&str>, Vec<u8>) -> Result<(), Failure> = wire::confirm::response;
    let _: fn(&Request<'_>) -> &'static str = |request| request.method();
    let _: fn(&Request<'_>) -> &'static str = |request| request.path();
    let _: fn(&Request<'_>) -> usize = |request| request.body_len();
    let _: for<'t> fn(&Request<'t>) -> Body<'t> = |request| request.body();
    let _: fn(&mut Body<'_>, &mut [u8]) -> usize = |body, buffer| body.read(buffer);
    let _: fn(&Body<'_>) -> usize = |body| body.remaining();
    let _: fn(&Request<'_>) -> SecretBytes = |request| request.to_bytes();
    let _: [&str; 3] = [wire::CONTENT_TYPE, wire::backup::BASE_URL, wire::confirm::BASE_URL];
    let _: usize = wire::backup::MAX_GENERATE_RESPONSE;
}

#[test]
fn the_sandbox_has_these_signatures() {
    let _: fn() -> io::Result<Sandbox> = Sandbox::start;
    let _: fn(u16) -> io::Result<Sandbox> = Sandbox::start_on;
    let _: fn(&Sandbox) -> &str = Sandbox::url;
    let _: fn(&Sandbox) -> &str = Sandbox::api_key;
    let _: fn(&Sandbox) -> String = Sandbox::add_api_key;
    let _: fn(&Sandbox) -> &str = Sandbox::generate_response;
    let _: [fn(&Sandbox, Fault); 3] =
        [Sandbox::fail_next, Sandbox::fail_next_backup, Sandbox::fail_next_confirm];
    let _: fn(&Sandbox) -> mpsc::Receiver<SeenRequest> = Sandbox::watch;
    let _: fn(&Sandbox) -> Vec<SeenRequest> = Sandbox::requests;
    let _: fn(&Sandbox) -> Vec<String> = Sandbox::confirmed;
    fn fields(seen: &SeenRequest) -> (&str, &str, &Option<String>, &[u8], u16) {
        (&seen.method, &seen.path, &seen.api_key, &seen.body, seen.status)
    }
    let _: fn(&SeenRequest) -> (&str, &str, &Option<String>, &[u8], u16) = fields;
}

/// Whatever is public is in the list, item by item: what is added there must be kept for long.
///
/// `PORTAL_BACKUP_UPDATE=1 cargo test --all-features --test api` writes the list anew.
#[test]
fn everything_public_is_in_the_list() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let list = root.join("tests/data/public_api.txt");
    let mut found = String::new();
    let mut names = Vec::new();
    files(&root.join("src"), &mut names);
    names.sort();
    for path in names {
        let name = path.strip_prefix(root.join("src")).unwrap().with_extension("").display().to_string();
        let source = fs::read_to_string(&path).unwrap();
        let items = public_items(&source);
        if !items.is_empty() {
            found += &format!("\n{name}\n{items}");
        }
    }
    if std::env::var_os("PORTAL_BACKUP_UPDATE").is_some() {
        fs::write(&list, &found).unwrap();
    }
    let listed = fs::read_to_string(&list).unwrap();
    let (found, listed): (Vec<_>, Vec<_>) = (found.lines().collect(), listed.lines().collect());
    let added: Vec<_> = found.iter().filter(|line| !listed.contains(line)).collect();
    let gone: Vec<_> = listed.iter().filter(|line| !found.contains(line)).collect();
    assert!(found == listed, "added: {added:#?}, gone: {gone:#?}");
}

#[test]
fn the_readme_and_the_front_page_show_the_same_program() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |name| fs::read_to_string(root.join(name)).unwrap();
    let program = |text: &str| {
        let from = text.find("use portal_backup::{ApiKey, Client, FileSlot").unwrap();
        text[from..from + text[from..].find("```").unwrap()].to_string()
    };
    let front_page: String = read("src/lib.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("//!"))
        .map(|line| format!("{}\n", line.strip_prefix(' ').unwrap_or(line)))
        .collect();
    assert_eq!(program(&read("README.md")), program(&front_page));
    let tables = read("README.md") + &read("docs/platforms.md");
    for row in front_page.lines().filter(|line| line.starts_with("| `")) {
        assert!(tables.contains(row), "neither the README nor the guide on platforms has the row {row}");
    }
}

/// The files of the library, in folders and below.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("bin") {
            files(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// Each item that is `pub`, up to its body, and the variants of enums; the lints see to it that `pub` is public.
fn public_items(source: &str) -> String {
    let mut items = String::new();
    let mut in_enum = false;
    let mut lines = source.lines();
    while let Some(line) = lines.next() {
        let is_variant =
            in_enum && line.strip_prefix("    ").is_some_and(|rest| rest.starts_with(char::is_uppercase));
        if !is_variant && !line.trim_start().starts_with("pub ") {
            in_enum &= line != "}";
            continue;
        }
        in_enum |= line.starts_with("pub enum ");
        let mut item = line.trim().to_string();
        while !item.ends_with(['{', ';', ',', '}']) {
            item = format!("{item} {}", lines.next().unwrap().trim());
        }
        items += &format!("    {}\n", item.trim_end_matches(['{', ';', ',', ' ']));
    }
    items
}
