//! A file for the shares: reserved before they exist, under its name only when whole, never over another.

mod error;
mod own_file;

use alloc::{format, string::String, vec::Vec};
use core::hash::BuildHasher as _;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::hash::RandomState;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

pub use error::StoreError;
use error::{EXISTS, FailedStep, display_path, failed_step};
use own_file::{OwnFile, if_supported, read, synchronize};

use crate::outcome::{Outcome, debug_as};
use crate::windows_names::forbidden_on_windows;
use crate::wire::backup::{BackupShares, MAX_GENERATE_RESPONSE};
use crate::wire::confirm::StoredShares;

/// A place for one file of shares, readable by its owner alone (mode 0600 on Unix; on Windows with the permissions of its
/// folder).
///
/// The content goes to a hidden file beside the target, `.portal-backup-….tmp`. Only when it is written, synchronized
/// with the disk and read back does it get the target's name, by a hard link, which cannot replace anything. Without
/// hard links (FAT, some network file systems) the target itself is created and written, so it is visible while it
/// grows. Dropping the slot removes the hidden file. A program that is killed leaves it behind, or without hard links
/// perhaps a part of the target; [`left_behind`](Self::left_behind) names such hidden files, which block nothing.
///
/// No file is removed, emptied, renamed or replaced but those that the slot itself has created.
///
/// ```
/// use portal_backup::{BackupShares, FileSlot};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("backup.json");
/// # let text = r#"{"SECP256K1":{"share":"YQ","id":"b"},"ED25519":{"share":"Yw","id":"d"}}"#;
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
#[must_use = "dropping a slot removes its hidden file"]
pub struct FileSlot {
    target: PathBuf,
    folder: Option<File>,
    hidden: PathBuf,
    file: OwnFile,
    has_hard_links: bool,
}

impl FileSlot {
    /// Makes sure that a file can be stored at `path`, before there is anything to store.
    ///
    /// Each step is tried with 64 KiB of zeroes, in a file that is removed again.
    ///
    /// # Errors
    ///
    /// - Something has that name already (a dangling link included): [`StoreError`] with
    ///   [`already_exists`](StoreError::already_exists) and [`Outcome::NotSent`]; [`load`](Self::load) what was stored
    ///   there, or choose another path.
    /// - The path names no file, the folder is missing, not writable or cannot be opened, the disk is full, or a step
    ///   fails: [`StoreError`] with [`Outcome::NotSent`]; choose another path or fix the folder.
    pub fn reserve(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let target = path.as_ref();
        let reserve = || {
            let (folder, name) = split(target).ok_or(("names no file", None))?;
            if let Some(why) = Some(name).filter(|_| cfg!(windows)).and_then(forbidden_on_windows) {
                return Err((why, None));
            }
            let folder = open_folder(folder).map_err(failed_step("its folder cannot be opened"))?;
            match target.symlink_metadata() {
                Ok(_) => return Err((EXISTS, None)),
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                Err(e) => return Err(failed_step("it cannot be looked for")(e)),
            }
            let has_hard_links = try_steps(target)?;
            let hidden = hidden_path(target);
            let file = OwnFile::create(&hidden).map_err(failed_step("no file can be created next to it"))?;
            let slot = Self { target: target.into(), folder, hidden, file, has_hard_links };
            slot.synchronize_folder()?;
            Ok(slot)
        };
        let advice = "nothing was sent; choose another path or fix the folder";
        reserve().map_err(|failed_step| StoreError::new(failed_step, target, Outcome::NotSent, advice))
    }

    /// Loads shares that were stored before, to confirm them.
    ///
    /// The file is read, checked, and synchronized once more with its folder, as far as the file system and the rights on
    /// the folder allow it.
    ///
    /// # Errors
    ///
    /// - There is no such file, it cannot be read, it cannot be synchronized though its file system can do that, or it
    ///   does not hold two whole shares with different ids: [`StoreError`] with [`Outcome::NotSent`]; take another copy,
    ///   or run the backup again.
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
        let load = || {
            let (text, file) = open().map_err(failed_step("it cannot be read"))?;
            let shares = BackupShares::parse(text.into_vec());
            let shares = shares.and_then(|shares| shares.check().map(|_| shares));
            let shares = shares.map_err(failed_step("it does not hold two whole shares"))?;
            let stored = shares.store(|_| match synchronize_again(&file, path) {
                // What cannot be written to has nothing to synchronize.
                Err(e) if e.kind() == ErrorKind::ReadOnlyFilesystem => Ok(()),
                synchronized => synchronized,
            });
            let stored = stored.map_err(failed_step("it cannot be synchronized"))?;
            Ok((shares, stored))
        };
        let advice = "nothing was sent; choose another file";
        load().map_err(|failed_step| StoreError::new(failed_step, path, Outcome::NotSent, advice))
    }

    /// Lists the hidden files that were made for this path: regular files with such a name that are not empty. None is
    /// opened or removed.
    ///
    /// Most likely an earlier run was killed while it stored. But such a file may also belong to a run that is still
    /// going, and in a folder that others can write to, somebody else may have made it. When there is no such run,
    /// delete them once a later backup is confirmed.
    pub fn left_behind(path: impl AsRef<Path>) -> Vec<PathBuf> {
        let Some((folder, name)) = split(path.as_ref()) else { return Vec::new() };
        let prefix = hidden_prefix(name);
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let left = entries.filter(|entry| {
            entry.file_name().as_encoded_bytes().starts_with(prefix.as_bytes())
                && entry.metadata().is_ok_and(|found| found.is_file() && found.len() > 0)
        });
        let mut left: Vec<_> = left.map(|entry| path.as_ref().with_file_name(entry.file_name())).collect();
        left.sort();
        left
    }

    /// The hidden file of this slot.
    ///
    /// If it is still there after [`store`](Self::store), it could not be removed and is a second name of the stored file.
    pub fn hidden_path(&self) -> &Path {
        &self.hidden
    }

    /// Stores the shares: written, synchronized, read back and compared, published, and the folder synchronized.
    ///
    /// # Errors
    ///
    /// - The disk is full or broken, the folder is gone, or something took the name meanwhile: [`StoreError`] with
    ///   [`Outcome::Unknown`]; the shares are still in `shares`: store them elsewhere, or run the backup again.
    pub fn store(self, shares: &BackupShares) -> Result<StoredShares, StoreError> {
        shares.store(|json| self.store_bytes(json.as_bytes()))
    }

    /// Keeps any bytes with the same care: encrypted shares, or the body of an [`Unreadable`](crate::Unreadable) success.
    ///
    /// # Errors
    ///
    /// - There are no bytes, or as for [`store`](Self::store); the bytes are still the caller's: keep them elsewhere.
    pub fn store_bytes(self, bytes: &[u8]) -> Result<(), StoreError> {
        let mut slot = self;
        slot.publish(bytes).map_err(|failed_step| slot.roll_back(failed_step))
    }

    fn publish(&mut self, bytes: &[u8]) -> Result<(), FailedStep> {
        let not_named = "it cannot be given its name";
        if bytes.is_empty() {
            return Err(failed_step("it would be empty")("there is nothing to keep"));
        }
        if self.has_hard_links {
            self.file.write(bytes)?;
        }
        // If this fails, the folder was replaced, and `synchronize_folder` would synchronize the wrong one.
        self.file.check(&self.hidden).map_err(failed_step("its hidden file cannot be found again"))?;
        if self.has_hard_links {
            self.file.link(&self.hidden, &self.target).map_err(failed_step(not_named))?;
        } else {
            // Dropping the old `OwnFile` removes the hidden file.
            self.file = OwnFile::create(&self.target).map_err(failed_step(not_named))?;
            self.file.write(bytes)?;
        }
        self.synchronize_folder()?;
        self.file.check(&self.target).map_err(failed_step("it cannot be found again"))?;
        self.file.names.retain(|name| *name != self.target);
        Ok(())
    }

    /// Makes new names outlive a power cut.
    fn synchronize_folder(&self) -> Result<(), FailedStep> {
        self.folder.as_ref().map_or(Ok(()), synchronize).map_err(failed_step("its folder cannot be synchronized"))
    }

    /// Removes what was not stored; if a name cannot be removed, empties the file.
    fn roll_back(&mut self, failed_step: FailedStep) -> StoreError {
        let stays = self.file.names.iter().find(|name| self.file.remove(name).is_err()).cloned();
        let mut advice = String::new();
        if let (Err(_), Some(name)) = (self.file.truncate(), stays) {
            advice = format!("{} holds them and can neither be removed nor emptied; ", display_path(&name));
        }
        advice += "the shares are not stored there; store them elsewhere, or run the backup again";
        StoreError::new(failed_step, &self.target, Outcome::Unknown, &advice)
    }
}

/// Tries each step of storing with another hidden file; returns whether there are hard links.
fn try_steps(target: &Path) -> Result<bool, FailedStep> {
    // More than four responses of usual size.
    static BLANK: [u8; 64 << 10] = [0; 64 << 10];
    let [first, second] = [hidden_path(target), hidden_path(target)];
    let mut file = OwnFile::create(&first).map_err(failed_step("no file can be created next to it"))?;
    file.write(&BLANK)?;
    let linked = if_supported(file.link(&first, &second)).map_err(failed_step("it cannot be given its name"))?;
    let removed = file.names.iter().try_for_each(|name| file.remove(name));
    removed.map_err(failed_step("nothing can be removed from its folder"))?;
    Ok(linked)
}

debug_as!(FileSlot, self, "FileSlot {{ target: {:?}, .. }}", self.target);

/// The folder of a file and the file's name; `None` if the path is that of a folder, even when it is missing.
fn split(path: &Path) -> Option<(&Path, &OsStr)> {
    let (folder, name) = (path.parent()?, path.file_name()?);
    // There is also a `file_name` in `new/` and `new/.`
    let is_last = path.as_os_str().as_encoded_bytes().ends_with(name.as_encoded_bytes());
    is_last.then_some((if folder.as_os_str().is_empty() { Path::new(".") } else { folder }, name))
}

/// What the names of the hidden files for a target begin with: a hash stands for its name, since file systems bound a
/// name at 255 bytes, or at 143. It is FNV-1a, so that every version finds them.
fn hidden_prefix(target: &OsStr) -> String {
    let step = |hash: u64, &byte: &u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = target.as_encoded_bytes().iter().fold(0xcbf2_9ce4_8422_2325, step);
    format!(".portal-backup-{hash:016x}-")
}

/// A new random path for a hidden file. It has the target's unusual characters in it, so that a file system which does not
/// allow them fails now.
fn hidden_path(target: &Path) -> PathBuf {
    let name = target.file_name().unwrap_or_default();
    let is_unusual = |c: &char| !c.is_ascii_alphanumeric() && !"-_.".contains(*c);
    let unusual: String = name.to_string_lossy().chars().filter(is_unusual).take(20).collect();
    // After a fork, two processes have the same random numbers.
    let random = RandomState::new().hash_one((std::process::id(), SystemTime::now()));
    target.with_file_name(format!("{}{random:016x}{unusual}.tmp", hidden_prefix(name)))
}

/// Opens a folder, where the system can synchronize one.
fn open_folder(path: &Path) -> io::Result<Option<File>> {
    // With the dot, nothing but a folder is opened: opening a named pipe would wait.
    if cfg!(unix) { File::open(path.join(".")).map(Some) } else { Ok(None) }
}

/// Synchronizes what may have been stored by another process, with its folder.
fn synchronize_again(file: &File, path: &Path) -> io::Result<()> {
    synchronize(file)?;
    // The folder of the shares, and not that of a link to them.
    match path.canonicalize().and_then(|path| open_folder(path.parent().unwrap_or(&path))) {
        // Whoever may not list a folder cannot synchronize it. Nor whoever may not search those above.
        Err(e) if e.kind() == ErrorKind::PermissionDenied => Ok(()),
        folder => folder?.as_ref().map_or(Ok(()), synchronize),
    }
}
