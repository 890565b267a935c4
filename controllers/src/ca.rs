//! A bundle of authorities in a file that may change.

use std::path::{Path, PathBuf};

use helium_telemetry::Chain;
use tracing::{info, warn};

/// Why a bundle can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CaError {
    /// The file can't be read.
    #[error("reading the authority's file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        #[source]
        source: std::io::Error,
    },
    /// It holds no certificate, or a broken one.
    #[error("reading the authority's certificates")]
    Certificates(#[source] Box<helium_tls::Error>),
}

/// A PEM bundle in a file. A change that can't be used leaves the last good bundle in place: a half-written file
/// must not cut a cluster off.
#[derive(Debug)]
pub(crate) struct CaFile {
    path: PathBuf,
    bundle: Vec<u8>,
    /// The content that was refused last, so that it is told once.
    refused: Option<String>,
}

impl CaFile {
    /// Reads the bundle for the first time.
    ///
    /// # Errors
    /// [`CaError`] when there is none.
    pub(crate) async fn open(path: PathBuf) -> Result<Self, CaError> {
        let bundle = read(&path).await?;
        Ok(Self {
            path,
            bundle,
            refused: None,
        })
    }

    /// The bundle, PEM.
    pub(crate) fn bundle(&self) -> Vec<u8> {
        self.bundle.clone()
    }

    /// Reads the file again; returns whether the bundle is another one now.
    pub(crate) async fn refresh(&mut self) -> bool {
        match read(&self.path).await {
            Ok(bundle) => {
                self.refused = None;
                let changed = bundle != self.bundle;
                if changed {
                    info!(file = %self.path.display(), "the authority's bundle has changed");
                    self.bundle = bundle;
                }
                changed
            }
            Err(error) => {
                let text = Chain(&error).to_string();
                if self.refused.as_ref() != Some(&text) {
                    warn!(
                        error = text,
                        "the authority's bundle can't be used; the last good one stays"
                    );
                    self.refused = Some(text);
                }
                false
            }
        }
    }
}

async fn read(path: &Path) -> Result<Vec<u8>, CaError> {
    let bundle = tokio::fs::read(path)
        .await
        .map_err(|source| CaError::Read {
            path: path.to_owned(),
            source,
        })?;
    helium_tls::certificates_from_pem(&bundle, &path.display().to_string())
        .map_err(|source| CaError::Certificates(Box::new(source)))?;
    Ok(bundle)
}

#[cfg(test)]
mod tests {
    use helium_tls::pki::Authority;

    use super::*;

    #[tokio::test]
    async fn a_broken_bundle_leaves_the_last_good_one() {
        helium_tls::install_provider();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.crt");
        assert!(CaFile::open(path.clone()).await.is_err());
        let first = Authority::new("first").unwrap();
        std::fs::write(&path, first.certificate_pem()).unwrap();
        let mut file = CaFile::open(path.clone()).await.unwrap();
        assert!(!file.refresh().await);

        for broken in ["", "-----BEGIN CERTIFICATE-----\nAAAA\n"] {
            std::fs::write(&path, broken).unwrap();
            assert!(!file.refresh().await);
            assert_eq!(file.bundle(), first.certificate_pem().as_bytes());
        }
        let second = Authority::new("second").unwrap();
        std::fs::write(&path, second.certificate_pem()).unwrap();
        assert!(file.refresh().await);
        assert_eq!(file.bundle(), second.certificate_pem().as_bytes());
    }
}
