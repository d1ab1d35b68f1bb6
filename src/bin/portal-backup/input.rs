//! What is read from files and from standard input, as editors and shells write it.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, IsTerminal as _, Read};
use std::path::Path;

use portal_backup::{SecretBytes, wire};

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
    read_bounded(stdin.lock(), limit).map_err(|e| unusable(what, &e))
}

pub(crate) fn read_file(what: &str, path: &Path, limit: usize) -> Result<SecretBytes> {
    File::open(path).and_then(|file| read_bounded(file, limit)).map_err(|e| unusable(what, &e))
}

/// The text without its byte order mark; what is not UTF-8 is named.
pub(crate) fn text_of<'t>(what: &str, bytes: &'t SecretBytes) -> Result<&'t str> {
    let bytes = bytes.expose();
    let encoding = match bytes {
        [0xff, 0xfe, 0, 0, ..] | [_, 0, 0, 0, ..] | [0, 0, ..] => Some("UTF-32"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, _, ..] | [_, 0, ..] => Some("UTF-16"),
        _ => None,
    };
    if let Some(encoding) = encoding {
        return Err(unusable(what, &format_args!("it is {encoding}: save it as UTF-8")));
    }
    let text = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    core::str::from_utf8(text).map_err(|_| unusable(what, &"it is not UTF-8"))
}

fn unusable(what: &str, why: &dyn core::fmt::Display) -> Box<Ending> {
    Ending::new(2, format!("{what}: {why}; nothing was sent"))
}

/// Reads all there is into a buffer that is wiped.
fn read_bounded(mut from: impl Read, limit: usize) -> io::Result<SecretBytes> {
    // Never grown, which would leave copies behind.
    let mut room = vec![0; limit + 1];
    let mut len = 0;
    while len <= limit {
        match from.read(&mut room[len..]) {
            Ok(0) => break,
            Ok(n) => len += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => {
                drop(SecretBytes::new(room));
                return Err(e);
            }
        }
    }
    room.truncate(len);
    let text = SecretBytes::new(room);
    if len > limit {
        return Err(io::Error::other(format!("it is longer than {} KiB", limit >> 10)));
    }
    Ok(text)
}
