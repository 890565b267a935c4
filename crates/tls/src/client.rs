//! The dialling side.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};

use crate::error::{Error, Result};
use crate::pem;

/// Files that say whom to trust and who we are; all optional.
#[derive(Debug, Clone, Default)]
pub struct ClientTlsFiles {
    /// PEM bundle of the authorities that may have signed the server's certificate. Without it only
    /// an empty set is trusted, so that every server is refused.
    pub ca: Option<PathBuf>,
    /// Our own certificate chain, if the server asks for one. Needs `key` too.
    pub certificate: Option<PathBuf>,
    /// The private key of `certificate`.
    pub key: Option<PathBuf>,
}

/// How to dial a server over TLS.
#[derive(Debug, Clone)]
pub struct ClientTls {
    config: Arc<ClientConfig>,
}

impl ClientTls {
    /// Loads the files. `alpn` lists the protocols to offer.
    pub fn load(files: &ClientTlsFiles, alpn: &[&str]) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        if let Some(path) = &files.ca {
            for certificate in pem::certificates_from_file(path)? {
                roots.add(certificate).map_err(|source| Error::Authority {
                    origin: path.display().to_string(),
                    source,
                })?;
            }
        }
        let builder = ClientConfig::builder_with_provider(crate::provider())
            .with_safe_default_protocol_versions()
            .map_err(Error::Config)?
            .with_root_certificates(roots);
        let mut config = match (&files.certificate, &files.key) {
            (Some(certificate), Some(key)) => builder
                .with_client_auth_cert(
                    pem::certificates_from_file(certificate)?,
                    pem::key_from_file(key)?,
                )
                .map_err(|source| Error::KeyMismatch {
                    certificate: certificate.display().to_string(),
                    key: key.display().to_string(),
                    source,
                })?,
            _ => builder.with_no_client_auth(),
        };
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Ok(Self {
            config: Arc::new(config),
        })
    }

    /// The configuration to dial with.
    pub fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.config)
    }
}
