//! What is read from files and from standard input, as editors and shells write it.
//!
//! No error shows the path: what is no file may be a secret in the wrong place.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, IsTerminal as _, Read};
use std::path::Path;

use portal_backup::{ApiKey, SecretBytes, wire};

use crate::exit_report::{Result, wrong};
use crate::terminal::{display_path, tell};

/// All of a file, or for `-` of standard input. A buffer that grows leaves copies behind, which the allocator of this
/// program wipes.
pub(crate) fn read(what: &str, from: &OsStr) -> Result<SecretBytes> {
    let limit = wire::backup::MAX_GENERATE_RESPONSE;
    let mut bytes = Vec::new();
    let mut read = |source: &mut dyn Read| source.take(limit as u64 + 1).read_to_end(&mut bytes);
    let is_typed = from == "-" && io::stdin().is_terminal();
    if is_typed {
        tell(format_args!("reading the {what} from standard input"));
    }
    let len = match from == "-" {
        true => read(&mut io::stdin()),
        false => File::open(from).and_then(|mut file| read(&mut file)),
    };
    let bytes = SecretBytes::new(bytes);
    let is_cut = |line: &[u8]| is_typed && line.len() >= 4095;
    match len.map_err(wrong(what))? {
        len if len > limit => Err(wrong(what)("it is longer than 4 MiB")),
        _ if bytes.expose().split(|b| *b == b'\n').any(is_cut) => {
            Err(wrong(what)("a terminal cuts lines at 4,095 bytes: use a file or a pipe"))
        }
        _ => Ok(bytes),
    }
}

/// The text without its byte order mark.
pub(crate) fn text<'a>(what: &str, bytes: &'a SecretBytes) -> Result<&'a str> {
    let text = core::str::from_utf8(bytes.expose());
    let text = text.map_err(|_| wrong(what)("it is not UTF-8, perhaps UTF-16: save it as UTF-8"))?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

pub(crate) fn read_key(file: &Path) -> Result<ApiKey> {
    let bytes = read("--api-key-file", file.as_os_str())?;
    let text = text("--api-key-file", &bytes)?;
    let key = ApiKey::new(text.trim_end_matches(['\r', '\n'])).map_err(wrong("--api-key-file"))?;
    warn_of_readers(file);
    Ok(key)
}

/// Says that not only its owner can read a file.
pub(crate) fn warn_of_readers(file: &Path) {
    #[cfg(unix)]
    let is_open = |found: std::fs::Metadata| {
        found.is_file() && std::os::unix::fs::PermissionsExt::mode(&found.permissions()) & 0o044 != 0
    };
    #[cfg(not(unix))]
    let is_open = |_| false;
    if file.metadata().is_ok_and(is_open) {
        tell(format_args!("warning     others can read {}: chmod 600", display_path(file)));
    }
}
