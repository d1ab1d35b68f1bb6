//! A file for the shares: reserved before they exist, under its name only when whole, never over another.

mod error;
mod folder;
mod hidden;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek as _, Write as _};
use std::path::{Path, PathBuf};

pub use error::StoreError;
use error::{EXISTS, Failed, failed, shown};
use folder::{Folder, publish, read, read_back, rehearse_publish, split};

use crate::outcome::Outcome;
use crate::windows_names::forbidden_on_windows;
use crate::wire::backup::{BackupShares, MAX_GENERATE_RESPONSE};
use crate::wire::confirm::StoredShares;

/// A place for one file of shares, readable by its owner alone (mode 0600 on Unix; on Windows with the permissions of its
/// folder).
///
/// The content goes to a hidden file beside the target, `.portal-backup-….tmp`. Only when it is written, synchronized
/// with the disk and read back does it get the target's name, by a hard link, which cannot replace anything. Dropping
/// the slot removes the hidden file. A program that is killed may leave one behind, which blocks nothing: the next
/// [`reserve`](Self::reserve) of the same path removes it if it is empty, and else
/// [`left_behind`](Self::left_behind) names it.
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
    folder: Folder,
    hidden: PathBuf,
    file: File,
}

impl FileSlot {
    /// Makes sure that a file can be stored at `path`, before there is anything to store: each step is tried with 64 KiB
    /// of zeroes.
    ///
    /// # Errors
    ///
    /// - Something has that name already (a dangling link included), the path names no file, the folder is missing or
    ///   not writable, the disk is full, or a step fails: [`StoreError`] with [`Outcome::NotSent`]; choose another path or
    ///   fix the folder.
    pub fn reserve(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let target = path.as_ref();
        let reserve = || {
            let (folder, name) = split(target).ok_or(("names no file", None))?;
            if let Some(why) = if cfg!(windows) { forbidden_on_windows(name) } else { None } {
                return Err((why, None));
            }
            let folder = Folder::open(folder).map_err(failed("its folder cannot be opened"))?;
            hidden::sweep(&folder, target);
            match folder.at(name).symlink_metadata() {
                Ok(_) => return Err((EXISTS, None)),
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(failed("it cannot be looked for")(e)),
            }
            let created = hidden::create(&folder, target);
            let (hidden, file) = created.map_err(failed("no file can be created next to it"))?;
            let mut slot = Self { target: target.into(), folder, hidden, file };
            slot.rehearse()?;
            Ok(slot)
        };
        let advice = "nothing was sent; choose another path or fix the folder";
        reserve().map_err(|failed| StoreError::new(failed, target, Outcome::NotSent, advice))
    }

    /// Takes up shares that were stored before, to confirm them: read, checked, and synchronized once more with their
    /// folder.
    ///
    /// # Errors
    ///
    /// - There is no such file, it cannot be read or synchronized, or it does not hold two whole shares with different
    ///   ids: [`StoreError`] with [`Outcome::NotSent`]; take another copy, or run the backup again.
    pub fn load(path: impl AsRef<Path>) -> Result<(BackupShares, StoredShares), StoreError> {
        let path = path.as_ref();
        let open = || {
            // Opening a named pipe would wait for its other end.
            if !path.metadata()?.is_file() {
                return Err(io::Error::other("it is no file"));
            }
            // Windows synchronizes only what is open for writing.
            let file = OpenOptions::new().read(true).write(cfg!(windows)).open(path)?;
            Ok((read(&file, MAX_GENERATE_RESPONSE)?, file))
        };
        let synchronize = |file: File| {
            file.sync_all()?;
            // The name that a link leads to, as that is where the shares are.
            let path = path.canonicalize()?;
            let Some((folder, _)) = split(&path) else { return Ok(()) };
            let folder = Folder::open(folder)?;
            hidden::sweep(&folder, &path);
            folder.sync()
        };
        let load = || {
            let (text, file) = open().map_err(failed("it cannot be read"))?;
            let parsed = BackupShares::parse(text.into_vec());
            let shares = parsed.map_err(failed("it does not hold two shares"))?;
            let stored = shares.store(|_| match synchronize(file) {
                // What cannot be written to has nothing to synchronize.
                Err(e) if e.kind() == io::ErrorKind::ReadOnlyFilesystem => Ok(()),
                synchronized => synchronized,
            });
            let stored = stored.map_err(failed("it cannot be synchronized"))?;
            Ok((shares, stored))
        };
        let advice = "nothing was sent; take another copy of the shares";
        load().map_err(|failed| StoreError::new(failed, path, Outcome::NotSent, advice))
    }

    /// The hidden files of earlier runs for this path that hold something, shares most likely, and whose process is
    /// gone.
    ///
    /// They are never removed from here: delete them once a later backup is confirmed.
    #[must_use]
    pub fn left_behind(path: impl AsRef<Path>) -> Vec<PathBuf> {
        let path = path.as_ref();
        let folder = split(path).and_then(|(folder, _)| Folder::open(folder).ok());
        folder.map(|folder| hidden::sweep(&folder, path)).unwrap_or_default()
    }

    /// The hidden file of this slot. If it is still there after [`store`](Self::store), it could not be removed and is a
    /// second name of the stored file.
    #[must_use]
    pub fn hidden_path(&self) -> &Path {
        &self.hidden
    }

    /// Stores the shares: written, synchronized, read back and compared, published, and the folder synchronized.
    ///
    /// # Errors
    ///
    /// - The disk is full or broken, the folder is gone, or something took the name meanwhile: [`StoreError`] with
    ///   [`Outcome::Unknown`]; nothing partial has the target's name, and the shares are still in `shares`: store them
    ///   elsewhere, or run the backup again.
    pub fn store(self, shares: &BackupShares) -> Result<StoredShares, StoreError> {
        shares.store(|json| self.store_bytes(json.as_bytes()))
    }

    /// Keeps any bytes with the same care: the body of an [`Unreadable`](crate::Unreadable) success.
    ///
    /// # Errors
    ///
    /// - There are no bytes, or as for [`store`](Self::store); the bytes are still the caller's: keep them elsewhere.
    pub fn store_bytes(self, bytes: &[u8]) -> Result<(), StoreError> {
        let mut slot = self;
        let mut published = slot.publish(bytes);
        if published.is_err() && slot.folder.at(&slot.hidden).symlink_metadata().is_err() {
            // Somebody has removed the hidden file, perhaps a run on another machine that took it for left behind.
            let create = |()| hidden::create(&slot.folder, &slot.target);
            if let Ok(created) = slot.file.set_len(0).and_then(create) {
                (slot.hidden, slot.file) = created;
                published = slot.publish(bytes);
            }
        }
        published.map_err(|failed| slot.take_back(failed, &[&slot.hidden]))?;
        slot.check(bytes).map_err(|failed| slot.take_back(failed, &[&slot.hidden, &slot.target]))
    }

    /// Tries each step of storing while there is nothing to lose, and leaves the hidden file empty.
    fn rehearse(&mut self) -> Result<(), Failed> {
        // More than four answers of usual size.
        static BLANK: [u8; 64 << 10] = [0; 64 << 10];
        self.fill(&BLANK)?;
        let emptied = self.file.set_len(0).and_then(|()| self.file.rewind());
        emptied.map_err(failed("it cannot be emptied"))?;
        let rehearsal = self.folder.at(&self.hidden).with_extension("tmp.d");
        rehearse_publish(&rehearsal, &self.hidden, &self.target)
            .map_err(failed("no file can be given its name"))?;
        self.folder.sync().map_err(failed("its folder cannot be synchronized"))
    }

    /// Writes, synchronizes and reads back.
    fn fill(&mut self, bytes: &[u8]) -> Result<(), Failed> {
        self.file.write_all(bytes).map_err(failed("it cannot be written"))?;
        self.file.sync_all().map_err(failed("it cannot be synchronized"))?;
        read_back(&self.folder.at(&self.hidden), bytes).map_err(failed("it cannot be read back"))
    }

    fn publish(&mut self, bytes: &[u8]) -> Result<(), Failed> {
        if bytes.is_empty() {
            return Err(failed("it would be empty")("there is nothing to keep"));
        }
        self.fill(bytes)?;
        let named = publish(&self.folder.at(&self.hidden), &self.folder.at(&self.target));
        named.map_err(failed("it cannot be given its name"))
    }

    fn check(&self, bytes: &[u8]) -> Result<(), Failed> {
        self.folder.sync().map_err(failed("its folder cannot be synchronized"))?;
        // By the caller's path, which leads elsewhere if a folder on it was renamed.
        read_back(&self.target, bytes).map_err(failed("it cannot be found again"))
    }

    /// Removes the names of what is not stored; if one stays, empties the file.
    fn take_back(&self, failed: Failed, names: &[&PathBuf]) -> StoreError {
        let stay = |name: &&&PathBuf| fs::remove_file(self.folder.at(name)).is_err();
        let stays = names.iter().filter(stay).fold(None, |_, name| Some(name));
        let cannot_be_emptied = |_: &_| self.file.set_len(0).and_then(|()| self.file.sync_all()).is_err();
        let mut advice = String::new();
        if let Some(name) = stays.filter(cannot_be_emptied) {
            advice = format!("{} holds the shares and can neither be removed nor emptied; ", shown(name));
        }
        advice += "the shares are not stored there; store them elsewhere, or run the backup again";
        StoreError::new(failed, &self.target, Outcome::Unknown, advice)
    }
}

impl Drop for FileSlot {
    fn drop(&mut self) {
        // What cannot be removed is empty, or a second name of what is stored.
        let _ = fs::remove_file(self.folder.at(&self.hidden));
    }
}

impl fmt::Debug for FileSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileSlot").field("target", &self.target).finish_non_exhaustive()
    }
}
