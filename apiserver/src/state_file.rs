//! Files in the state directory: small, replaced as a whole, and never believed without a checksum.
//!
//! The first line says what the file is, in which version, and the SHA-256 of all that follows. A file that is cut off,
//! changed by hand or of a version that this program doesn't know is an error for the reader, who goes on without it: what
//! is kept here makes a start better, and nothing depends on it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// Why a file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system says no.
    #[error("{doing} {path}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// What is there isn't what was written.
    #[error("{path} is broken: {reason}; remove the file to be rid of this message")]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// A file of one kind and version in a directory.
#[derive(Debug, Clone)]
pub struct StateFile {
    path: PathBuf,
    kind: &'static str,
}

impl StateFile {
    /// The file that `kind` (a name and a version, such as `departures v1`) has in a directory. Nothing is touched yet.
    #[must_use]
    pub fn new(directory: &Path, kind: &'static str) -> Self {
        let name = kind.split(' ').next().unwrap_or(kind);
        Self {
            path: directory.join(name),
            kind,
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was written last; `None` if nothing was. Blocks.
    ///
    /// # Errors
    /// [`Error`] when it can't be read or isn't whole.
    pub fn read(&self) -> Result<Option<Vec<u8>>, Error> {
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(self.failed("reading", source)),
        };
        let end = text.iter().position(|byte| *byte == b'\n');
        let Some(end) = end else {
            return Err(self.broken("it has no first line"));
        };
        let (first, body) = (&text[..end], &text[end + 1..]);
        let header = std::str::from_utf8(first).ok();
        let header = header.and_then(|line| line.strip_prefix("helium "));
        let Some((kind, sum)) = header.and_then(|line| line.rsplit_once(" sha256:")) else {
            return Err(self.broken("its first line is none of ours"));
        };
        if kind != self.kind {
            return Err(self.broken("it is of another kind or version"));
        }
        if sum != checksum(body) {
            return Err(self.broken("its checksum is wrong"));
        }
        Ok(Some(body.to_vec()))
    }

    /// Replaces it: whoever reads finds the old content or the new, also after a crash. Makes the directory if it isn't
    /// there. Blocks.
    ///
    /// # Errors
    /// [`Error::Io`]; the old content is still there then.
    pub fn write(&self, body: &[u8]) -> Result<(), Error> {
        let directory = self.path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(directory)
            .map_err(|source| self.failed("making the folder of", source))?;
        let next = self.path.with_extension("next");
        let write = || -> io::Result<()> {
            let mut file = File::create(&next)?;
            writeln!(file, "helium {} sha256:{}", self.kind, checksum(body))?;
            file.write_all(body)?;
            file.sync_all()?;
            fs::rename(&next, &self.path)?;
            File::open(directory)?.sync_all()
        };
        write().map_err(|source| self.failed("writing", source))
    }

    /// What an unusable content is called, for readers who look deeper than this file does.
    #[must_use]
    pub fn broken(&self, reason: &'static str) -> Error {
        Error::Broken {
            path: self.path.clone(),
            reason,
        }
    }

    fn failed(&self, doing: &'static str, source: io::Error) -> Error {
        Error::Io {
            doing,
            path: self.path.clone(),
            source,
        }
    }
}

fn checksum(body: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(body) {
        // Writing to a String can't fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_replaced_as_a_whole() {
        let dir = tempfile::tempdir().unwrap();
        let file = StateFile::new(&dir.path().join("deeper"), "things v1");
        assert!(file.read().unwrap().is_none());
        file.write(b"one").unwrap();
        file.write(b"two\nlines").unwrap();
        assert_eq!(file.read().unwrap().unwrap(), b"two\nlines");
        let names: Vec<_> = fs::read_dir(dir.path().join("deeper")).unwrap().collect();
        assert_eq!(names.len(), 1, "{names:?}");
    }

    #[test]
    fn what_is_cut_off_changed_or_of_another_version_is_refused_with_the_files_name() {
        let dir = tempfile::tempdir().unwrap();
        let file = StateFile::new(dir.path(), "things v1");
        file.write(b"some content").unwrap();
        let whole = fs::read(file.path()).unwrap();
        for length in 0..whole.len() {
            fs::write(file.path(), &whole[..length]).unwrap();
            let error = file.read().unwrap_err().to_string();
            assert!(error.contains("things"), "{error}");
        }
        let mut changed = whole.clone();
        *changed.last_mut().unwrap() ^= 1;
        fs::write(file.path(), &changed).unwrap();
        assert!(file.read().unwrap_err().to_string().contains("checksum"));
        fs::write(file.path(), &whole).unwrap();
        let later = StateFile::new(dir.path(), "things v2");
        assert!(later.read().unwrap_err().to_string().contains("version"));
    }
}
