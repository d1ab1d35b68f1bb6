//! What is read from files and from standard input, as editors and shells write it.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, IsTerminal as _, Read};
use std::path::Path;

use portal_backup::{ApiKey, SecretBytes, wire};

use crate::ending::{Ending, Result};
use crate::terminal::say;

/// A file, or `-` for standard input.
pub(crate) fn read_json(what: &str, from: &OsStr) -> Result<SecretBytes> {
    let limit = wire::backup::MAX_GENERATE_RESPONSE;
    if from != "-" {
        return read_file(what, from.as_ref(), limit);
    }
    let stdin = io::stdin();
    if stdin.is_terminal() {
        say(format_args!("reading the {what} from standard input"));
    }
    read(what, stdin.lock(), limit)
}

pub(crate) fn read_key(file: &Path) -> Result<ApiKey> {
    let bytes = read_file("--api-key-file", file, 8 << 10)?;
    let text = text_of("--api-key-file", &bytes)?;
    let line = text.strip_suffix('\n').unwrap_or(text);
    Ok(ApiKey::new(line.strip_suffix('\r').unwrap_or(line))?)
}

pub(crate) fn read_file(what: &str, path: &Path, limit: usize) -> Result<SecretBytes> {
    read(what, File::open(path).map_err(|e| unusable(what, e))?, limit)
}

/// The text without its byte order mark; what is not UTF-8 is named.
pub(crate) fn text_of<'t>(what: &str, bytes: &'t SecretBytes) -> Result<&'t str> {
    let bytes = bytes.expose();
    let encoding = match bytes {
        [0xff, 0xfe, 0, 0, ..] | [_, 0, 0, 0, ..] | [0, 0, ..] => "UTF-32",
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, _, ..] | [_, 0, ..] => "UTF-16",
        _ => {
            let text = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
            return core::str::from_utf8(text).map_err(|_| unusable(what, "it is not UTF-8"));
        }
    };
    Err(unusable(what, format_args!("it is {encoding}: save it as UTF-8")))
}

fn unusable(what: &str, why: impl core::fmt::Display) -> Ending {
    Ending::new(2, format!("{what}: {why}; nothing was sent"))
}

/// Reads all there is into a buffer that is wiped, and never grown, which would leave copies behind.
fn read(what: &str, from: impl Read, limit: usize) -> Result<SecretBytes> {
    let mut room = Vec::with_capacity(limit + 1);
    let result = from.take(limit as u64 + 1).read_to_end(&mut room);
    let bytes = SecretBytes::new(room);
    result.map_err(|e| unusable(what, e))?;
    if bytes.len() > limit {
        return Err(unusable(what, format_args!("it is longer than {} KiB", limit >> 10)));
    }
    Ok(bytes)
}
