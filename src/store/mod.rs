//! A file for the shares: reserved before they exist, under its name only when whole, never over another.

mod error;
mod folder;
mod hidden;

use alloc::format;
use core::fmt;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

pub use error::StoreError;
use error::{EXISTS, Failed};
use folder::{Folder, read_back, split};
use hidden::{Hidden, Left, first_slot};

use crate::secret::SecretBytes;
use crate::windows_names::forbidden_on_windows;
use crate::wire::backup::{BackupShares, MAX_GENERATE_RESPONSE};
use crate::wire::confirm::StoredShares;

/// A place for one file of shares, readable by its owner alone (mode 0600 on Unix; on Windows with the permissions of its
/// folder).
///
/// The content goes to a hidden file beside the target, `.portal-backup-….tmp`. Only when it is written, synchronized
/// with the disk and read back does it get the target's name, by a hard link, which cannot replace anything. Dropping
/// the slot removes the hidden file. A program that is killed may leave one behind, which blocks nothing: the next
/// [`reserve`](Self::reserve) of the same path removes it if it is empty, and else names it in
/// [`left_behind`](Self::left_behind).
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
/// assert!(FileSlot::reserve(&path).is_err_and(|e| e.already_exists()), "never over another file");
///
/// // Later, in another process: what `Client::confirm` takes.
/// let (_shares, stored_before) = FileSlot::load(&path)?;
/// assert_eq!(stored_before, stored);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "dropping a slot gives its place back"]
pub struct FileSlot {
    target: PathBuf,
    name: OsString,
    folder: Folder,
    hidden: Hidden,
    hidden_path: PathBuf,
    left: Left,
    is_published: bool,
}

impl FileSlot {
    /// Makes sure that a file can be stored at `path`, before there is anything to store: each step is tried with 64 KiB
    /// of zeroes.
    ///
    /// # Errors
    ///
    /// - Something has that name already (a dangling link included), the path names no file, the folder is missing or
    ///   not writable, the disk is full, or a step fails: [`StoreError`] with
    ///   [`Outcome::NotSent`](crate::Outcome::NotSent); choose another path or fix the folder.
    pub fn reserve(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        first_slot();
        let target = path.as_ref();
        let fail = |step, cause| StoreError::not_reserved(target, step, Some(cause));
        let (name, folder) =
            split(target).ok_or_else(|| StoreError::not_reserved(target, "names no file", None))?;
        if let Some(why) = if cfg!(windows) { forbidden_on_windows(name) } else { None } {
            return Err(StoreError::not_reserved(target, why, None));
        }
        let folder = Folder::open(folder).map_err(|e| fail("its folder cannot be opened", e))?;
        let left = Left::sweep(&folder, name);
        match folder.at(name).symlink_metadata() {
            Ok(found) if left.may_replace(&found) => {
                fs::remove_file(folder.at(name)).map_err(|e| {
                    fail("still is an empty file of an earlier run, which cannot be removed", e)
                })?;
            }
            Ok(_) => return Err(StoreError::not_reserved(target, EXISTS, None)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(fail("it cannot be looked for", e)),
        }
        let hidden =
            Hidden::create(&folder, name).map_err(|e| fail("no file can be created next to it", e))?;
        let (target, name, hidden_path) = (target.into(), name.into(), folder.shown(&hidden.name));
        let mut slot = Self { target, name, folder, hidden, hidden_path, left, is_published: false };
        match slot.hidden.rehearse(&slot.folder, &slot.name) {
            Ok(()) => Ok(slot),
            Err((step, cause)) => Err(StoreError::not_reserved(&slot.target, step, Some(cause))),
        }
    }

    /// Takes up shares that were stored before, to confirm them: read, checked, and synchronized once more with their
    /// folder.
    ///
    /// # Errors
    ///
    /// - There is no such file, it cannot be read or synchronized, or it does not hold two whole shares with different
    ///   ids: [`StoreError`] with [`Outcome::NotSent`](crate::Outcome::NotSent); take another copy, or run the backup
    ///   again.
    pub fn load(path: impl AsRef<Path>) -> Result<(BackupShares, StoredShares), StoreError> {
        let path = path.as_ref();
        let unread = |e: io::Error| StoreError::not_loaded(path, "it cannot be read", e);
        // Opening a named pipe would wait for its other end.
        if !path.metadata().map_err(unread)?.is_file() {
            return Err(StoreError::not_loaded(path, "it cannot be read", "it is no file"));
        }
        // Windows synchronizes only what is open for writing.
        let mut file = OpenOptions::new().read(true).write(cfg!(windows)).open(path).map_err(unread)?;
        let text = read(&mut file).map_err(unread)?;
        let damaged = |e| StoreError::not_loaded(path, "it does not hold two shares", e);
        let shares = BackupShares::parse(text.into_vec()).map_err(damaged)?;
        let stored = StoredShares::from_share_pair_ids(shares.share_pair_ids()).map_err(damaged)?;
        let synced = file.sync_all().and_then(|()| {
            // The name that a link leads to, as that is where the shares are.
            let path = path.canonicalize()?;
            let Some((name, folder)) = split(&path) else { return Ok(()) };
            let folder = Folder::open(folder)?;
            Left::sweep(&folder, name);
            folder.sync()
        });
        match synced {
            // What cannot be written to has nothing to synchronize.
            Err(e) if e.kind() != io::ErrorKind::ReadOnlyFilesystem => {
                Err(StoreError::not_loaded(path, "it cannot be synchronized", e))
            }
            _ => Ok((shares, stored)),
        }
    }

    /// The hidden files of earlier runs for this path that hold something, shares most likely, and whose process is
    /// gone.
    ///
    /// They are never removed from here: delete them once a later backup is confirmed.
    #[must_use]
    pub fn left_behind(&self) -> &[PathBuf] {
        &self.left.holding
    }

    /// The hidden file of this slot. If it is still there after [`store`](Self::store), it could not be removed and is a
    /// second name of the stored file.
    #[must_use]
    pub fn hidden_path(&self) -> &Path {
        &self.hidden_path
    }

    /// Stores the shares: written, synchronized, read back and compared, published, and the folder synchronized.
    ///
    /// # Errors
    ///
    /// - The disk is full or broken, the folder is gone, or something took the name meanwhile: [`StoreError`] with
    ///   [`Outcome::Unknown`](crate::Outcome::Unknown); nothing partial has the target's name, and the shares are still
    ///   in `shares`: store them elsewhere, or run the backup again.
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
        let mut written = self.publish(bytes);
        if matches!(&written, Err((_, e)) if e.kind() == io::ErrorKind::NotFound) && !self.is_published {
            // Somebody has removed the hidden file, perhaps a run on another machine that took it for left behind.
            if self.replace_hidden().is_ok() {
                written = self.publish(bytes);
            }
        }
        written.and_then(|()| self.check(bytes)).map_err(|failed| {
            let left = self.take_back();
            StoreError::not_stored(self.target.clone(), failed, left)
        })
    }

    fn publish(&mut self, bytes: &[u8]) -> Result<(), Failed> {
        self.hidden.write(&self.folder, bytes)?;
        let named = self.hidden.publish(&self.folder, &self.name);
        named.map_err(|e| ("it cannot be given its name", e))?;
        self.is_published = true;
        Ok(())
    }

    fn replace_hidden(&mut self) -> io::Result<()> {
        let emptied = self.hidden.file.set_len(0);
        self.hidden = Hidden::create(&self.folder, &self.name)?;
        self.hidden_path = self.folder.shown(&self.hidden.name);
        self.folder.sync().and(emptied)
    }

    fn check(&self, bytes: &[u8]) -> Result<(), Failed> {
        self.folder.sync().map_err(|e| ("its folder cannot be synchronized", e))?;
        // By the caller's path, which leads elsewhere if a folder on it was renamed.
        read_back(&self.target, bytes).map_err(|e| ("it cannot be found again", e))
    }

    /// Removes what was written, or else empties it; returns a name under which it still is.
    fn take_back(&mut self) -> Option<PathBuf> {
        let mut left = None;
        if self.hidden.remove(&self.folder).is_err() {
            left = Some(self.hidden_path.clone());
        }
        if self.is_published && fs::remove_file(self.folder.at(&self.name)).is_err() {
            left = Some(self.target.clone());
        }
        self.hidden.is_renamed = true;
        left.filter(|_| self.hidden.file.set_len(0).and_then(|()| self.hidden.file.sync_all()).is_err())
    }
}

impl Drop for FileSlot {
    fn drop(&mut self) {
        // What cannot be removed is empty, or a second name of what is stored.
        let _ = self.hidden.remove(&self.folder);
    }
}

impl fmt::Debug for FileSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileSlot").field("target", &self.target).finish_non_exhaustive()
    }
}

/// Reads all of a file into a buffer that is wiped and never grown, which would leave copies behind.
fn read(file: &mut File) -> io::Result<SecretBytes> {
    let len = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    if len > MAX_GENERATE_RESPONSE {
        return Err(io::Error::other(format!("it is longer than {} MiB", MAX_GENERATE_RESPONSE >> 20)));
    }
    let mut text = SecretBytes::zeroed(len);
    file.read_exact(text.expose_mut())?;
    Ok(text)
}
