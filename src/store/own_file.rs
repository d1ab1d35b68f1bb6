//! A file that this process created: the only kind of file that it writes to, empties or removes.

use alloc::{format, vec, vec::Vec};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Seek as _, Write as _};
#[cfg(unix)]
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::error::{FailedStep, failed_step};
use crate::secret::SecretBytes;

/// An open file, and the names that this process gave it. Dropping it removes those that are left.
pub(super) struct OwnFile {
    file: File,
    pub(super) names: Vec<PathBuf>,
}

impl OwnFile {
    /// Creates a file that did not exist, for its owner alone.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        #[cfg(unix)]
        options.mode(0o600);
        let own = Self { file: options.open(path)?, names: vec![path.into()] };
        // A umask can take rights from the owner, too. Where there are no modes, they cannot be changed.
        #[cfg(unix)]
        if_supported(own.file.set_permissions(fs::Permissions::from_mode(0o600)))?;
        Ok(own)
    }

    /// Writes the content of an empty file, synchronizes it and reads it back.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), FailedStep> {
        self.file.write_all(bytes).map_err(failed_step("it cannot be written"))?;
        self.file.sync_all().map_err(failed_step("it cannot be synchronized"))?;
        let found = read(&self.file, bytes.len()).map_err(failed_step("it cannot be read back"))?;
        if found.expose() == bytes { Ok(()) } else { Err(("it does not hold what was written", None)) }
    }

    pub(super) fn truncate(&self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.sync_all()
    }

    /// Gives the file another name, which must be free.
    pub(super) fn link(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let mut linked = fs::hard_link(from, to);
        while linked.as_ref().is_err_and(|e| e.kind() == ErrorKind::Interrupted) {
            linked = fs::hard_link(from, to);
        }
        // A network file system can lose the response to a link that it has made.
        #[cfg(unix)]
        if to.symlink_metadata().is_ok_and(|found| self.is_same_inode(&found)) {
            linked = Ok(());
        }
        linked?;
        self.names.push(to.into());
        Ok(())
    }

    /// Makes sure that this name leads to the file.
    pub(super) fn check(&self, name: &Path) -> io::Result<()> {
        if self.is_at(name)? { Ok(()) } else { Err(io::Error::other("something else has its name")) }
    }

    fn is_at(&self, name: &Path) -> io::Result<bool> {
        let found = name.symlink_metadata()?;
        #[cfg(unix)]
        if self.is_same_inode(&found) {
            return Ok(true);
        }
        // In sshfs each hard link has its own inode, and std knows none on Windows: the content decides.
        let own = read(&self.file, usize::MAX)?;
        if !found.is_file() || (cfg!(unix) && own.is_empty()) {
            return Ok(false);
        }
        // Should a pipe have taken the place meanwhile, opening it for reading alone would wait.
        let other = OpenOptions::new().read(true).write(cfg!(unix)).open(name)?;
        Ok(read(&other, own.len())?.expose() == own.expose())
    }

    #[cfg(unix)]
    fn is_same_inode(&self, found: &fs::Metadata) -> bool {
        self.file.metadata().is_ok_and(|own| (own.dev(), own.ino()) == (found.dev(), found.ino()))
    }

    /// Removes a name, if it leads to the file.
    pub(super) fn remove(&self, name: &Path) -> io::Result<()> {
        if self.is_at(name)? { fs::remove_file(name) } else { Ok(()) }
    }
}

impl Drop for OwnFile {
    fn drop(&mut self) {
        self.names.iter().for_each(|name| _ = self.remove(name));
    }
}

/// All of a file, in a buffer of its size: one that grows would leave copies behind.
pub(super) fn read(mut file: &File, max: usize) -> io::Result<SecretBytes> {
    let len = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    if len > max {
        return Err(io::Error::other(format!("it is longer than {max} bytes")));
    }
    let mut bytes = SecretBytes::zeroed(len);
    file.rewind()?;
    file.read_exact(bytes.expose_mut())?;
    Ok(bytes)
}

/// Synchronizes a file or folder, unless its file system cannot do that at all.
pub(super) fn synchronize(file: &File) -> io::Result<()> {
    match file.sync_all() {
        Err(e) if matches!(e.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => Ok(()),
        synchronized => synchronized,
    }
}

/// `true` if the operation succeeded, `false` if the file system does not support it.
pub(super) fn if_supported(result: io::Result<()>) -> io::Result<bool> {
    // What FAT says on Windows, and `EPERM` elsewhere.
    const ERROR_INVALID_FUNCTION: i32 = 1;
    match result {
        Err(e) if matches!(e.kind(), ErrorKind::PermissionDenied | ErrorKind::Unsupported) => Ok(false),
        Err(e) if e.raw_os_error() == Some(ERROR_INVALID_FUNCTION) => Ok(false),
        result => result.map(|()| true),
    }
}
