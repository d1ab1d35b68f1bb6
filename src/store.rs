//! A file for the shares: reserved before they exist, under its name only when whole, never over another.

use alloc::format;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::outcome::Outcome;
use crate::redact::printable;
use crate::secret::SecretBytes;
use crate::windows_names::forbidden_on_windows;
use crate::wire::backup::BackupShares;
use crate::wire::confirm::StoredShares;

/// A place for one file of shares, readable by its owner alone (mode 0600 on Unix).
///
/// The content goes to a hidden file beside the target, `.NAME.….tmp`. Only when it is written, synchronized with the
/// disk and read back does it get the target's name, by a hard link, which cannot replace anything. Dropping the slot
/// removes the hidden file; a program that is killed may leave one behind, which blocks nothing and may be deleted
/// once a later backup is confirmed.
///
/// ```
/// use portal_backup::{BackupShares, FileSlot};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("backup.json");
/// # let text = r#"{"SECP256K1":{"share":"a","id":"b"},"ED25519":{"share":"c","id":"d"}}"#;
/// let slot = FileSlot::reserve(&path)?; // before the shares exist
/// let shares = BackupShares::parse(text)?; // in real use: from `Client::backup`
/// let stored = slot.store(&shares)?;
/// assert_eq!(std::fs::read_to_string(&path)?, text);
/// assert!(FileSlot::reserve(&path).is_err(), "never over another file");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "dropping a slot gives its place back"]
pub struct FileSlot {
    target: PathBuf,
    /// Open, so that it can be synchronized in the end.
    #[cfg(unix)]
    folder: File,
    temporary: Temporary,
}

impl FileSlot {
    /// Makes sure that a file can be stored at `path`, before there is anything to store.
    ///
    /// # Errors
    ///
    /// - Something has that name already (a dangling link included), the path names no file, the folder is missing or
    ///   not writable: [`StoreError`] with [`Outcome::NotSent`]; choose another path or fix the folder.
    pub fn reserve(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        first_slot();
        let target = path.as_ref();
        let fail = |step, cause| StoreError { step, cause, path: target.into(), outcome: Outcome::NotSent };
        let (Some(name), Some(folder), false) = (target.file_name(), target.parent(), names_folder(target))
        else {
            return Err(fail("names no file", None));
        };
        if let Some(why) = if cfg!(windows) { forbidden_on_windows(name) } else { None } {
            return Err(fail(why, None));
        }
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        match target.symlink_metadata() {
            Ok(found) if is_left_by_a_kill(&found, folder, name) => {
                fs::remove_file(target).map_err(|e| {
                    fail("still is an empty file of an earlier run, which cannot be removed", Some(e))
                })?;
            }
            Ok(_) => return Err(fail("exists already, and nothing is replaced", None)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(fail("its folder cannot be searched", Some(e))),
        }
        Ok(Self {
            target: target.into(),
            #[cfg(unix)]
            folder: File::open(folder).map_err(|e| fail("its folder cannot be opened", Some(e)))?,
            temporary: Temporary::create(folder, name)
                .map_err(|e| fail("no file can be created next to it", Some(e)))?,
        })
    }

    /// Stores the shares: written, synchronized, read back and compared, published, and the folder synchronized.
    ///
    /// # Errors
    ///
    /// - The disk is full or broken, the folder is gone, or something took the name meanwhile: [`StoreError`] with
    ///   [`Outcome::Unknown`]; nothing partial has the target's name, and the shares are still in `shares`: store them
    ///   elsewhere, or run the backup again.
    pub fn store(self, shares: &BackupShares) -> Result<StoredShares, StoreError> {
        shares.store(|json| self.write(json.as_bytes()))
    }

    /// Keeps any bytes with the same care: the body of an [`Unreadable`](crate::Unreadable) success.
    ///
    /// # Errors
    ///
    /// - As for [`store`](Self::store); the bytes are still the caller's: keep them elsewhere.
    pub fn store_bytes(self, bytes: &[u8]) -> Result<(), StoreError> {
        self.write(bytes)
    }

    fn write(mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.try_write(bytes).map_err(|(step, cause)| {
            let path = self.target.clone();
            StoreError { step, cause: Some(cause), path, outcome: Outcome::Unknown }
        })
    }

    /// Goes step by step; an error comes with the step that failed.
    fn try_write(&mut self, bytes: &[u8]) -> Result<(), (&'static str, io::Error)> {
        self.temporary.file.write_all(bytes).map_err(|e| ("it cannot be written", e))?;
        self.temporary.file.sync_all().map_err(|e| ("it cannot be synchronized", e))?;
        read_back(&self.temporary.path, bytes).map_err(|e| ("it cannot be read back", e))?;
        self.publish().map_err(|e| ("it cannot be given its name", e))?;
        #[cfg(unix)]
        sync_folder(&self.folder).map_err(|e| {
            // Reported as not stored, so it must not stand in the way of the next run.
            let _ = fs::remove_file(&self.target);
            ("its folder cannot be synchronized", e)
        })?;
        Ok(())
    }

    fn publish(&mut self) -> io::Result<()> {
        match fs::hard_link(&self.temporary.path, &self.target) {
            Ok(()) => return Ok(()),
            Err(e) if matches!(e.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound) => {
                return Err(e);
            }
            // FAT and some network and phone file systems have no hard links.
            Err(_) => {}
        }
        // The name is taken by an empty file, which fails if there is one, and only that is replaced. A kill in between
        // leaves both: see `is_left_by_a_kill`.
        drop(create_private(&self.target)?);
        let renamed = fs::rename(&self.temporary.path, &self.target);
        match renamed {
            Ok(()) => self.temporary.is_gone = true,
            Err(_) => _ = fs::remove_file(&self.target),
        }
        renamed
    }
}

impl fmt::Debug for FileSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileSlot").field("target", &self.target).finish_non_exhaustive()
    }
}

/// Whether a path is that of a folder, though `file_name` would find a name in it.
fn names_folder(path: &Path) -> bool {
    let bytes = path.as_os_str().as_encoded_bytes();
    let separated = |end: &[u8]| bytes.strip_suffix(end).and_then(|rest| rest.last()).copied();
    [separated(b""), separated(b".")].iter().flatten().any(|&b| std::path::is_separator(b.into()))
}

/// Whether the name is held by nothing but the empty file of [`FileSlot::publish`], whose hidden file is still there
/// and whose process is not.
fn is_left_by_a_kill(found: &fs::Metadata, folder: &Path, name: &OsStr) -> bool {
    // What follows the target's name in that of a hidden file that was written to.
    let rest_of_hidden = |entry: io::Result<fs::DirEntry>| {
        let entry = entry.ok()?;
        let hidden = entry.file_name();
        let rest = hidden.as_encoded_bytes().strip_prefix(b".")?.strip_prefix(name.as_encoded_bytes())?;
        let rest = rest.strip_prefix(b".")?.strip_suffix(b".tmp")?;
        // Else it is the hidden file of a target with a longer name.
        if !rest.iter().all(|b| b.is_ascii_hexdigit() || *b == b'-') {
            return None;
        }
        entry.metadata().is_ok_and(|hidden| hidden.len() > 0).then(|| rest.to_vec())
    };
    if !found.is_file() || found.len() > 0 {
        return false;
    }
    let hidden: Vec<_> = fs::read_dir(folder).into_iter().flatten().filter_map(rest_of_hidden).collect();
    !hidden.is_empty() && !hidden.iter().any(|rest| is_running(rest))
}

/// Whether the process runs whose number and time begin this part of a hidden file's name; where nobody can tell, it
/// does not.
fn is_running(hidden: &[u8]) -> bool {
    let mut parts = hidden.split(|&b| b == b'-').map(|hex| core::str::from_utf8(hex).unwrap_or_default());
    let process = parts.next().and_then(|hex| u32::from_str_radix(hex, 16).ok()).unwrap_or_default();
    let time = parts.next().and_then(|hex| u128::from_str_radix(hex, 16).ok()).unwrap_or_default();
    if process == std::process::id() {
        // In a container, an earlier process may well have had the same number.
        return time >= first_slot();
    }
    cfg!(target_os = "linux") && Path::new(&format!("/proc/{process}")).exists()
}

/// Nanoseconds since 1970.
fn now() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos()
}

/// When this process reserved for the first time.
fn first_slot() -> u128 {
    static FIRST: OnceLock<u128> = OnceLock::new();
    *FIRST.get_or_init(now)
}

/// The hidden file, removed on drop.
struct Temporary {
    path: PathBuf,
    file: File,
    is_gone: bool,
}

impl Temporary {
    fn create(folder: &Path, name: &OsStr) -> io::Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        loop {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let mut hidden = OsString::from(".");
            hidden.push(name);
            hidden.push(format!(".{:x}-{:x}-{count:x}.tmp", std::process::id(), now()));
            let path = folder.join(hidden);
            match create_private(&path) {
                Ok(file) => return Ok(Self { path, file, is_gone: false }),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e),
            }
        }
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.is_gone {
            // Best effort: whatever is left has a name of its own and is in nobody's way.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Makes a file that did not exist, for its owner alone from the first moment.
fn create_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Compares what the name leads to with what was written.
fn read_back(path: &Path, expected: &[u8]) -> io::Result<()> {
    let mut file = File::open(path)?;
    let mut found = SecretBytes::zeroed(expected.len().min(16 << 10) + 1);
    let mut rest = expected;
    loop {
        match file.read(found.expose_mut()) {
            Ok(0) if rest.is_empty() => return Ok(()),
            Ok(n) if n > 0 && rest.starts_with(&found.expose()[..n]) => rest = &rest[n..],
            Ok(_) => return Err(io::Error::other("the file does not hold what was written")),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// Makes a new name outlive a power cut.
#[cfg(unix)]
fn sync_folder(folder: &File) -> io::Result<()> {
    match folder.sync_all() {
        // A file system that does not know this for folders has nothing to synchronize either.
        Err(e) if matches!(e.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
        result => result,
    }
}

/// The file for the shares could not be made, written or published.
pub struct StoreError {
    step: &'static str,
    cause: Option<io::Error>,
    path: PathBuf,
    outcome: Outcome,
}

impl StoreError {
    /// Where the shares were to go.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// [`Outcome::NotSent`] from [`FileSlot::reserve`], before there are shares; [`Outcome::Unknown`] from storing them.
    #[must_use]
    pub const fn outcome(&self) -> Outcome {
        self.outcome
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = printable(&self.path.to_string_lossy(), 4096);
        let Self { step, cause, .. } = self;
        write!(f, "{path}: {step}")?;
        if let Some(cause) = cause {
            write!(f, " ({cause})")?;
        }
        f.write_str("; ")?;
        f.write_str(match self.outcome {
            Outcome::NotSent => "nothing was sent; choose another path or fix the folder",
            _ => "the shares are not stored there; store them elsewhere, or run the backup again",
        })
    }
}

impl core::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        self.cause.as_ref().map(|cause| cause as _)
    }
}

impl fmt::Debug for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
