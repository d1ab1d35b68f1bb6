//! The folder of a target, and the files in it: made, given a name, read.

use alloc::format;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::secret::SecretBytes;

/// An open folder.
pub(super) struct Folder {
    /// Leads to the open folder even when that was renamed, where the system can do this; else as the caller wrote it.
    path: PathBuf,
    #[cfg(unix)]
    open: File,
}

impl Folder {
    #[cfg(unix)]
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let open = File::open(path)?;
        let through = PathBuf::from(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&open)));
        let has_proc = cfg!(target_os = "linux") && through.is_dir();
        Ok(Self { path: if has_proc { through } else { path.into() }, open })
    }

    #[cfg(not(unix))]
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.into() })
    }

    /// The path of an entry, by its name or by any path to it.
    pub(super) fn at(&self, entry: impl AsRef<Path>) -> PathBuf {
        self.path.join(entry.as_ref().file_name().unwrap_or_default())
    }

    /// Makes new names outlive a power cut, where the system can do this for folders.
    pub(super) fn sync(&self) -> io::Result<()> {
        #[cfg(unix)]
        match self.open.sync_all() {
            Err(e) if matches!(e.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {}
            result => return result,
        }
        Ok(())
    }
}

/// The folder of a file and the file's name; `None` if the path is that of a folder, even when it is missing.
pub(super) fn split(path: &Path) -> Option<(&Path, &OsStr)> {
    let (folder, name) = (path.parent()?, path.file_name()?);
    // There is also a `file_name` in `new/` and `new/.`
    let is_last = path.as_os_str().as_encoded_bytes().ends_with(name.as_encoded_bytes());
    is_last.then_some((if folder.as_os_str().is_empty() { Path::new(".") } else { folder }, name))
}

/// Makes a file that did not exist, for its owner alone from the first moment.
pub(super) fn create_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    // Others may read and remove it, but not write to it: that is how `is_running` knows.
    #[cfg(windows)]
    std::os::windows::fs::OpenOptionsExt::share_mode(&mut options, 1 | 4);
    options.open(path)
}

/// Gives a file a second name, or where there is no such thing renames it; never over another file.
pub(super) fn publish(hidden: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(hidden, to) {
        // FAT and some network and phone file systems have no hard links.
        Err(e) if !matches!(e.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound) => {}
        result => return result,
    }
    // Making an empty file fails if the name is taken; only that file is replaced then. A kill in between leaves both.
    drop(create_private(to)?);
    fs::rename(hidden, to).inspect_err(|_| _ = fs::remove_file(to))
}

/// Tries to publish an empty file in a folder that is made for this, since the name must not appear yet.
pub(super) fn rehearse_publish(rehearsal: &Path, hidden: &Path, to: &Path) -> io::Result<()> {
    match fs::create_dir(rehearsal) {
        // Some folders take files only.
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => return Ok(()),
        made => made?,
    }
    let names = [hidden, to].map(|path| rehearsal.join(path.file_name().unwrap_or_default()));
    let published = create_private(&names[0]).and_then(|file| {
        drop(file);
        publish(&names[0], &names[1])
    });
    // What cannot be removed is empty, and the next run tries again.
    names.iter().for_each(|name| _ = fs::remove_file(name));
    let _ = fs::remove_dir(rehearsal);
    published
}

/// All of a file, in a buffer that never grows, which would leave copies behind.
pub(super) fn read(mut file: &File, max: usize) -> io::Result<SecretBytes> {
    let len = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    if len > max {
        return Err(io::Error::other(format!("it is longer than {} MiB", max >> 20)));
    }
    let mut text = SecretBytes::zeroed(len);
    file.read_exact(text.expose_mut())?;
    Ok(text)
}

/// Compares what the name leads to with what was written.
pub(super) fn read_back(path: &Path, expected: &[u8]) -> io::Result<()> {
    let file = File::open(path)?;
    let is_whole =
        file.metadata()?.len() == expected.len() as u64 && read(&file, expected.len())?.expose() == expected;
    if is_whole { Ok(()) } else { Err(io::Error::other("the file does not hold what was written")) }
}
