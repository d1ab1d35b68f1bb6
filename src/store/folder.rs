//! The folder of a target: its entries, reached through the open folder where the system can, and synchronized.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use crate::secret::SecretBytes;

/// An open folder.
pub(super) struct Folder {
    path: PathBuf,
    /// A path that leads to the open folder even when it was renamed; else the same as `path`.
    through: PathBuf,
    #[cfg(unix)]
    open: File,
}

impl Folder {
    #[cfg(unix)]
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        use std::os::fd::AsRawFd as _;
        let open = File::open(path)?;
        let through = PathBuf::from(alloc::format!("/proc/self/fd/{}", open.as_raw_fd()));
        let has_proc = cfg!(target_os = "linux") && through.is_dir();
        Ok(Self { path: path.into(), through: if has_proc { through } else { path.into() }, open })
    }

    #[cfg(not(unix))]
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        if !path.metadata()?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(Self { path: path.into(), through: path.into() })
    }

    /// The path of an entry, to work with.
    pub(super) fn at(&self, name: &OsStr) -> PathBuf {
        self.through.join(name)
    }

    /// The path of an entry, to be shown.
    pub(super) fn shown(&self, name: &OsStr) -> PathBuf {
        self.path.join(name)
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = fs::DirEntry> {
        fs::read_dir(&self.through).into_iter().flatten().flatten()
    }

    /// Makes new names outlive a power cut, on systems that know this for folders.
    pub(super) fn sync(&self) -> io::Result<()> {
        #[cfg(unix)]
        match self.open.sync_all() {
            // A file system that does not know this for folders has nothing to synchronize either.
            Err(e) if matches!(e.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {}
            result => return result,
        }
        Ok(())
    }
}

/// The name of a file and the path of its folder; `None` if the path is that of a folder, even when it is missing.
pub(super) fn split(path: &Path) -> Option<(&OsStr, &Path)> {
    // `file_name` would find a name in `folder/` and `folder/.`
    let last = path.as_os_str().as_encoded_bytes().strip_suffix(b".").unwrap_or_default().last();
    let end = path.as_os_str().as_encoded_bytes().last();
    if [last, end].iter().flatten().any(|&&b| std::path::is_separator(b.into())) {
        return None;
    }
    let (name, folder) = (path.file_name()?, path.parent()?);
    Some((name, if folder.as_os_str().is_empty() { Path::new(".") } else { folder }))
}

/// Makes a file that did not exist, for its owner alone from the first moment.
pub(super) fn create_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    // Others may read and remove it, and nobody else may write to it: that is how `is_running` knows.
    #[cfg(windows)]
    std::os::windows::fs::OpenOptionsExt::share_mode(&mut options, 1 | 4);
    options.open(path)
}

/// Compares what the name leads to with what was written.
pub(super) fn read_back(path: &Path, expected: &[u8]) -> io::Result<()> {
    use std::io::Read as _;
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
