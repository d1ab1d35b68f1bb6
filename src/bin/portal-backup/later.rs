//! The command that confirms later, as it is pasted into a shell.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use portal_backup::StoredShares;

use crate::arguments::Call;

/// With the file that holds the shares, or else with their ids.
pub(crate) fn later(stored: &StoredShares, file: Option<&Path>, call: &Call) -> String {
    let mut words = vec!["portal-backup confirm".to_string()];
    let path = |path: &Option<PathBuf>| path.as_ref().map(|path| quoted(path.as_os_str()));
    let options = [
        ("--api-key-file", path(&call.api_key_file)),
        ("--client-api-url", call.client_api_url.as_ref().map(quoted)),
        ("--ca-cert", path(&call.ca_cert)),
    ];
    for (name, value) in options {
        words.extend(value.map(|value| format!("{name} {value}")));
    }
    let ids = stored.share_pair_ids();
    let stored = file.map_or(ids.map(OsStr::new).to_vec(), |file| vec![file.as_os_str()]);
    if stored.iter().any(|word| word.as_encoded_bytes().starts_with(b"-")) {
        words.push("--".into());
    }
    words.extend(stored.into_iter().map(quoted));
    words.join(" ")
}

/// A word for the shell; what a terminal would act on is not printed as it is.
fn quoted(word: impl AsRef<OsStr>) -> String {
    let bytes = word.as_ref().as_encoded_bytes();
    let is_plain =
        |b: &u8| b.is_ascii_alphanumeric() || b"_-./:@%+=".contains(b) || (cfg!(windows) && *b == b'\\');
    match core::str::from_utf8(bytes) {
        Ok(word) if bytes.iter().all(is_plain) && !word.is_empty() => word.into(),
        // No name of a file holds a quote there.
        Ok(word) if cfg!(windows) => format!("\"{word}\""),
        Ok(word) if bytes.iter().all(|&b| b == b' ' || b.is_ascii_graphic()) => {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
        _ => {
            // Of bash, zsh, ksh and POSIX.1-2024.
            let escaped = |&b: &u8| match b {
                b'\'' | b'\\' => format!("\\{}", char::from(b)),
                b' '..=b'~' => char::from(b).into(),
                _ => format!("\\{b:03o}"),
            };
            format!("$'{}'", bytes.iter().map(escaped).collect::<String>())
        }
    }
}
