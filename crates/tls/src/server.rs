//! The serving side: one certificate, reloaded when its files change, and optional client
//! certificates.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{
    DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme, crypto::CryptoProvider,
};
use rustls_pki_types::{CertificateDer, UnixTime};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::cas::ClientCas;
use crate::error::{Error, Result};
use crate::pem;

/// Where a server's certificate lives.
#[derive(Debug, Clone)]
pub struct ServerTlsFiles {
    /// PEM chain, the server's own certificate first.
    pub certificate: PathBuf,
    /// PEM private key.
    pub key: PathBuf,
}

/// What a server asks of a client at the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    /// No certificate is asked for.
    None,
    /// A certificate is asked for but may be missing, and one from an unknown authority is let
    /// through: whoever handles the request decides with [`ClientCas::verify`], and can answer 401
    /// in words instead of cutting the connection.
    Request,
    /// A certificate that one of the bundles verifies is demanded.
    Require,
}

/// A server's TLS state; cheap to clone.
#[derive(Debug, Clone)]
pub struct ServerTls {
    files: Option<ServerTlsFiles>,
    resolver: Arc<Resolver>,
    config: Arc<ServerConfig>,
}

impl ServerTls {
    /// Loads the certificate and prepares a configuration that offers `alpn` (for example `h2` and
    /// `http/1.1`) in that order.
    pub fn load(
        files: ServerTlsFiles,
        cas: Arc<ClientCas>,
        auth: ClientAuth,
        alpn: &[&str],
    ) -> Result<Self> {
        let key = certified_key(&files)?;
        Self::build(Some(files), key, cas, auth, alpn)
    }

    /// The same from PEM texts in memory; such a server is never reloaded.
    pub fn from_pem(
        certificate: &[u8],
        key: &[u8],
        cas: Arc<ClientCas>,
        auth: ClientAuth,
        alpn: &[&str],
    ) -> Result<Self> {
        let certified = certified_key_from_pem(certificate, key, "the certificate", "the key")?;
        Self::build(None, certified, cas, auth, alpn)
    }

    fn build(
        files: Option<ServerTlsFiles>,
        key: CertifiedKey,
        cas: Arc<ClientCas>,
        auth: ClientAuth,
        alpn: &[&str],
    ) -> Result<Self> {
        let provider = crate::provider();
        let resolver = Arc::new(Resolver {
            key: ArcSwap::from_pointee(key),
        });
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(Error::Config)?;
        let builder = match auth {
            ClientAuth::None => builder.with_no_client_auth(),
            ClientAuth::Request | ClientAuth::Require => {
                builder.with_client_cert_verifier(Arc::new(Verifier {
                    cas,
                    mandatory: auth == ClientAuth::Require,
                    provider,
                }))
            }
        };
        let mut config = builder.with_cert_resolver(Arc::clone(&resolver) as _);
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Ok(Self {
            files,
            resolver,
            config: Arc::new(config),
        })
    }

    /// The configuration to accept connections with. It stays valid over reloads.
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }

    /// Reads the files again and, if they hold another certificate, serves that from now on.
    /// Returns whether anything changed. On an error the last good certificate stays (invariant 2).
    pub fn reload(&self) -> Result<bool> {
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

    /// Calls [`Self::reload`] every `period` until `stop`. Polling is deliberate: mounted secrets
    /// change by a swap of symbolic links that file notifications often miss.
    pub async fn keep_fresh(self, period: Duration, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(period) => {}
            }
            match self.reload() {
                Ok(true) => info!("serving a new certificate"),
                Ok(false) => {}
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    warn!(error, "keeping the last good certificate: reloading failed");
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

#[derive(Debug)]
struct Resolver {
    key: ArcSwap<CertifiedKey>,
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.key.load_full())
    }
}

/// Judges client certificates by the bundles as they are at that moment.
#[derive(Debug)]
struct Verifier {
    cas: Arc<ClientCas>,
    mandatory: bool,
    provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for Verifier {
    fn offer_client_auth(&self) -> bool {
        true
    }

    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // No hints: a client with several certificates then offers its default one, and bundles
        // may change while the server runs.
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        if self.mandatory {
            self.cas.verify_any(end_entity, intermediates, now)?;
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
