//! What is read from files and from standard input, as editors and shells write it.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, IsTerminal as _, Read};
use std::path::Path;

use portal_backup::{ApiKey, SecretBytes, wire};

use crate::exit_report::{Result, exit_2};
use crate::terminal::{display_path, print_status};

/// What was read, and from where.
pub(crate) struct Input {
    pub(crate) source: String,
    pub(crate) bytes: SecretBytes,
}

impl Input {
    /// All of a file, or for `-` of standard input. A buffer that grows leaves copies behind, which the allocator of this
    /// program wipes.
    pub(crate) fn read(what: &str, from: &OsStr) -> Result<Self> {
        let limit = wire::backup::MAX_GENERATE_RESPONSE;
        let (name, mut bytes) = (name_of(what, from), Vec::new());
        let mut read = |source: &mut dyn Read| source.take(limit as u64 + 1).read_to_end(&mut bytes);
        let is_typed = from == "-" && io::stdin().is_terminal();
        let len = match from == "-" {
            true => read(&mut io::stdin()),
            false => File::open(from).and_then(|mut file| read(&mut file)),
        };
        // First of all, since an error below drops it.
        let bytes = SecretBytes::new(bytes);
        let source = if from == "-" { "standard input".into() } else { display_path(from.as_ref()) };
        let is_cut = |line: &[u8]| is_typed && line.len() >= 4095;
        match len.map_err(exit_2(&name))? {
            len if len > limit => Err(exit_2(&name)("it is longer than 4 MiB")),
            _ if bytes.expose().split(|b| *b == b'\n').any(is_cut) => {
                Err(exit_2(&name)("a terminal cuts lines at 4,095 bytes: use a file or a pipe"))
            }
            _ => Ok(Self { source, bytes }),
        }
    }

    /// The text without its byte order mark.
    pub(crate) fn text(&self) -> Result<&str> {
        let text = core::str::from_utf8(self.bytes.expose());
        let text = text.map_err(|_| exit_2(&self.source)("it is not UTF-8, perhaps UTF-16: save it as UTF-8"))?;
        Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
    }
}

/// What a file is for, and its path. If there is no such file, it may be a secret that was passed by mistake, and is shown
/// only if it looks like a path.
fn name_of(what: &str, from: &OsStr) -> String {
    let path = Path::new(from);
    let has_extension = path.extension().is_some_and(|extension| extension.len() < 6) && from.len() < 64;
    let is_path = path.exists() || from.len() < 24 || has_extension || path.parent().is_some_and(Path::is_dir);
    match is_path {
        _ if from == "-" => format!("{what} from standard input"),
        true => format!("{what} {}", display_path(path)),
        false => what.into(),
    }
}

pub(crate) fn read_key(file: &Path) -> Result<ApiKey> {
    let input = Input::read("--api-key-file", file.as_os_str())?;
    let key = ApiKey::new(input.text()?.trim_end_matches(['\r', '\n']))
        .map_err(exit_2(&format!("--api-key-file {}", input.source)))?;
    warn_of_readers(file);
    Ok(key)
}

/// Warns of a file that others than its owner can read.
pub(crate) fn warn_of_readers(file: &Path) {
    #[cfg(unix)]
    let is_open = |found: std::fs::Metadata| {
        found.is_file() && std::os::unix::fs::PermissionsExt::mode(&found.permissions()) & 0o044 != 0
    };
    #[cfg(not(unix))]
    let is_open = |_| false;
    if file.metadata().is_ok_and(is_open) {
        print_status(format_args!("warning     others can read {}: chmod 600", display_path(file)));
    }
}
