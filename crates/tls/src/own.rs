//! Our own certificate and its key, reloaded when their files change.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::error::{Error, Result};
use crate::pem;
use crate::server::ServerTlsFiles;

/// A certificate that is shown to the other side. Clones are the same one.
#[derive(Debug, Clone)]
pub(crate) struct Own {
    files: Option<ServerTlsFiles>,
    resolver: Arc<Resolver>,
}

impl Own {
    pub(crate) fn load(files: ServerTlsFiles) -> Result<Self> {
        let key = certified_key(&files)?;
        Ok(Self {
            files: Some(files),
            resolver: Arc::new(Resolver::new(key)),
        })
    }

    /// From PEM texts in memory; never reloaded.
    pub(crate) fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Self> {
        let key = certified_key_from_pem(certificate, key, "the certificate", "the key")?;
        Ok(Self {
            files: None,
            resolver: Arc::new(Resolver::new(key)),
        })
    }

    /// What TLS configurations ask for the certificate.
    pub(crate) fn resolver(&self) -> Arc<Resolver> {
        Arc::clone(&self.resolver)
    }

    /// The chain that is shown now.
    pub(crate) fn chain(&self) -> Arc<CertifiedKey> {
        self.resolver.key.load_full()
    }

    /// Reads the files again; whether they hold another certificate. On an error the last good one
    /// stays.
    pub(crate) fn reload(&self) -> Result<bool> {
        let Some(files) = &self.files else {
            return Ok(false);
        };
        let fresh = certified_key(files)?;
        if fresh.cert == self.resolver.key.load().cert {
            return Ok(false);
        }
        self.resolver.key.store(Arc::new(fresh));
        Ok(true)
    }

    /// Calls [`Self::reload`] every `period` until `stop`. `purpose` says in logs what the
    /// certificate is for.
    pub(crate) async fn keep_fresh(
        self,
        purpose: &'static str,
        period: Duration,
        stop: CancellationToken,
    ) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(period) => {}
            }
            match self.reload() {
                Ok(true) => info!(purpose, "using a new certificate"),
                Ok(false) => {}
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    warn!(
                        error,
                        purpose, "keeping the last good certificate: reloading failed"
                    );
                }
            }
        }
    }
}

fn certified_key(files: &ServerTlsFiles) -> Result<CertifiedKey> {
    certified_key_from_pem(
        &pem::read(&files.certificate)?,
        &pem::read(&files.key)?,
        &files.certificate.display().to_string(),
        &files.key.display().to_string(),
    )
}

fn certified_key_from_pem(
    certificate: &[u8],
    key: &[u8],
    certificate_origin: &str,
    key_origin: &str,
) -> Result<CertifiedKey> {
    let chain = pem::certificates_from_pem(certificate, certificate_origin)?;
    let key = pem::key_from_pem(key, key_origin)?;
    CertifiedKey::from_der(chain, key, &crate::provider()).map_err(|source| Error::KeyMismatch {
        certificate: certificate_origin.to_owned(),
        key: key_origin.to_owned(),
        source,
    })
}

/// Hands out the certificate as it is at each handshake.
#[derive(Debug)]
pub(crate) struct Resolver {
    key: ArcSwap<CertifiedKey>,
}

impl Resolver {
    fn new(key: CertifiedKey) -> Self {
        Self {
            key: ArcSwap::from_pointee(key),
        }
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.key.load_full())
    }
}

impl ResolvesClientCert for Resolver {
    fn resolve(
        &self,
        _root_hint_subjects: &[&[u8]],
        _schemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        Some(self.key.load_full())
    }

    fn has_certs(&self) -> bool {
        true
    }
}
