//! What is read from files and from standard input, as editors and shells write it.

use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::io::{self, IsTerminal as _, Read};
use std::path::Path;

use portal_backup::{ApiKey, SecretBytes, wire};

use crate::exit_report::{ExitReport, Result};
use crate::terminal::{Pollable, display_path, is_ready_after, say};

/// What was read, and from where.
pub(crate) struct Input {
    name: String,
    pub(crate) bytes: SecretBytes,
}

impl Input {
    /// A file, or `-` for standard input.
    pub(crate) fn json(what: &str, from: &OsStr) -> Result<Self> {
        let limit = wire::backup::MAX_GENERATE_RESPONSE;
        if from != "-" {
            return Self::open(what, from.as_ref(), limit);
        }
        let stdin = io::stdin();
        if stdin.is_terminal() {
            let _ = say(format_args!("reading the {what} from standard input"));
        }
        let input = Self::read("standard input".into(), stdin.lock(), 0, limit)?;
        let is_cut = |line: &[u8]| stdin.is_terminal() && line.len() >= 4095;
        match input.bytes.expose().split(|b| *b == b'\n').any(is_cut) {
            true => Err(input.unusable("a terminal cuts lines at 4,095 bytes: use a file or a pipe")),
            false => Ok(input),
        }
    }

    /// The file that an option names.
    pub(crate) fn open(what: &str, path: &Path, limit: usize) -> Result<Self> {
        let name = name_of(what, path);
        let opened = File::open(path).and_then(|file| Ok((file.metadata()?.len(), file)));
        let (len, file) = opened.map_err(|e| unusable(&name, e))?;
        Self::read(name, file, usize::try_from(len).unwrap_or(usize::MAX), limit)
    }

    /// Reads all there is. A buffer that grows leaves copies behind, which the allocator of this program wipes.
    fn read(name: String, mut from: impl Read + Pollable, len: usize, limit: usize) -> Result<Self> {
        let mut bytes = Vec::with_capacity(len.min(limit) + 1);
        let result = loop {
            let room = (limit + 1).saturating_sub(bytes.len()) as u64;
            match from.by_ref().take(room).read_to_end(&mut bytes) {
                Err(e) if is_ready_after(&e, &from, false) => {}
                result => break result,
            }
        };
        let input = Self { name, bytes: SecretBytes::new(bytes) };
        match result {
            Err(e) => Err(input.unusable(e)),
            Ok(_) if input.bytes.len() > limit => {
                Err(input.unusable(format_args!("it is longer than {} KiB", limit >> 10)))
            }
            Ok(_) => Ok(input),
        }
    }

    /// The text without its byte order mark; what is not UTF-8 is named.
    pub(crate) fn text(&self) -> Result<&str> {
        let bytes = self.bytes.expose();
        if let [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, _, ..] | [_, 0, ..] = bytes {
            return Err(self.unusable("it is UTF-16: save it as UTF-8"));
        }
        let text = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
        core::str::from_utf8(text).map_err(|_| self.unusable("it is not UTF-8"))
    }

    pub(crate) fn unusable(&self, why: impl fmt::Display) -> ExitReport {
        unusable(&self.name, why)
    }
}

pub(crate) fn read_key(file: &Path) -> Result<ApiKey> {
    let input = Input::open("--api-key-file", file, 8 << 10)?;
    let text = input.text()?;
    let line = text.strip_suffix('\n').unwrap_or(text);
    let key = ApiKey::new(line.strip_suffix('\r').unwrap_or(line)).map_err(|e| input.unusable(e))?;
    warn_of_readers(file);
    Ok(key)
}

/// Says that not only its owner can read a file.
pub(crate) fn warn_of_readers(file: &Path) {
    #[cfg(unix)]
    {
        use crate::terminal::tell;
        use std::os::unix::fs::PermissionsExt as _;
        if file.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o044 != 0) {
            tell(format_args!("warning     others can read {}: chmod 600", display_path(file)));
        }
    }
    #[cfg(not(unix))]
    let _ = file;
}

/// What a file is for, and its path. What is no file may be a secret in the wrong place, and is shown only if it looks
/// like a path.
fn name_of(what: &str, path: &Path) -> String {
    let bytes = path.as_os_str().as_encoded_bytes();
    let has_extension = path.extension().is_some_and(|extension| extension.len() < 6) && bytes.len() < 64;
    let is_in_folder = path.parent().is_some_and(|folder| !folder.as_os_str().is_empty() && folder.is_dir());
    let is_path = bytes.len() < 24 || has_extension || is_in_folder;
    match path.symlink_metadata().is_ok() || is_path && !bytes.iter().any(|b| b"{}\"\n".contains(b)) {
        true => format!("{what} {}", display_path(path)),
        false => what.into(),
    }
}

fn unusable(name: &str, why: impl fmt::Display) -> ExitReport {
    ExitReport::new(2, format!("{name}: {why}"))
}
