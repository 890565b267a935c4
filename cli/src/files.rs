//! A folder of ours: made, locked, and written to with care.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// A folder that this process has to itself, until dropped.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Makes the directory, for its owner only, and locks it against a second process.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let error = |source| Error::DataDir {
            path: path.to_owned(),
            source,
        };
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(error)?;
        let path = path.canonicalize().map_err(error)?;
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join("lock"))
            .map_err(error)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(Error::DataDirInUse { path }),
            Err(TryLockError::Error(source)) => Err(error(source)),
        }
    }

    /// The directory's absolute path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Writes a file that only its owner may read. The old content stays until the new one is complete.
pub(crate) fn write_secret(path: &Path, text: &str) -> Result<()> {
    let error = |source| Error::DataDir {
        path: path.to_owned(),
        source,
    };
    let partial = path.with_extension("partial");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&partial)
        .map_err(error)?;
    file.write_all(text.as_bytes()).map_err(error)?;
    std::fs::rename(&partial, path).map_err(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_process_on_a_data_directory_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = DataDir::open(&folder.path().join("data")).expect("opened");
        let error = DataDir::open(first.path()).expect_err("locked");
        assert!(matches!(error, Error::DataDirInUse { .. }), "{error}");
        drop(first);
        DataDir::open(&folder.path().join("data")).expect("free again");
    }

    #[test]
    fn secrets_are_readable_by_their_owner_only() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("kubeconfig");
        write_secret(&path, "one").expect("written");
        write_secret(&path, "two").expect("written again");
        assert_eq!(std::fs::read_to_string(&path).expect("read"), "two");
        let mode = std::fs::metadata(&path)
            .expect("metadata")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
