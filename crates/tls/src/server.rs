//! The serving side: one certificate, reloaded when its files change, and optional client
//! certificates.

use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme, crypto::CryptoProvider,
};
use rustls_pki_types::{CertificateDer, UnixTime};
use tokio_util::sync::CancellationToken;

use crate::cas::ClientCas;
use crate::error::{Error, Result};
use crate::own::Own;

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
    own: Own,
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
        Self::build(Own::load(files)?, judge(cas, auth), alpn)
    }

    /// The same, with somebody else deciding at each handshake whose certificate is accepted.
    pub fn load_judged(
        files: ServerTlsFiles,
        judge: Arc<dyn ClientJudge>,
        alpn: &[&str],
    ) -> Result<Self> {
        Self::build(Own::load(files)?, Some(judge), alpn)
    }

    /// The same from PEM texts in memory; such a server is never reloaded.
    pub fn from_pem(
        certificate: &[u8],
        key: &[u8],
        cas: Arc<ClientCas>,
        auth: ClientAuth,
        alpn: &[&str],
    ) -> Result<Self> {
        Self::build(Own::from_pem(certificate, key)?, judge(cas, auth), alpn)
    }

    fn build(own: Own, judge: Option<Arc<dyn ClientJudge>>, alpn: &[&str]) -> Result<Self> {
        let provider = crate::provider();
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(Error::Config)?;
        let builder = match judge {
            None => builder.with_no_client_auth(),
            Some(judge) => {
                builder.with_client_cert_verifier(Arc::new(Verifier { judge, provider }))
            }
        };
        let mut config = builder.with_cert_resolver(own.resolver() as _);
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Ok(Self {
            own,
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
        self.own.reload()
    }

    /// Calls [`Self::reload`] every `period` until `stop`. Polling is deliberate: mounted secrets
    /// change by a swap of symbolic links that file notifications often miss.
    pub async fn keep_fresh(self, period: Duration, stop: CancellationToken) {
        self.own.keep_fresh("serving", period, stop).await;
    }
}

/// Decides at the handshake whether a client may connect. Asked anew for every handshake, so that
/// it may change its mind while the server runs.
///
/// A client that resumes a session shows the certificate of its first handshake, and isn't judged
/// again: a server whose judge changes its mind judges the chain of each accepted connection too.
pub trait ClientJudge: Debug + Send + Sync {
    /// Whether a client must show a certificate at all.
    fn is_mandatory(&self) -> bool;

    /// Whether a client with this chain may connect now.
    ///
    /// # Errors
    /// Why not, which the client learns as a TLS alert.
    fn judge(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), rustls::Error>;
}

fn judge(cas: Arc<ClientCas>, auth: ClientAuth) -> Option<Arc<dyn ClientJudge>> {
    let mandatory = auth == ClientAuth::Require;
    (auth != ClientAuth::None).then(|| Arc::new(Bundles { cas, mandatory }) as _)
}

/// Judges by the bundles as they are at that moment.
#[derive(Debug)]
struct Bundles {
    cas: Arc<ClientCas>,
    mandatory: bool,
}

impl ClientJudge for Bundles {
    fn is_mandatory(&self) -> bool {
        self.mandatory
    }

    fn judge(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        if self.mandatory {
            self.cas.verify_any(end_entity, intermediates, now)?;
        }
        Ok(())
    }
}

/// Asks the judge, and checks that the client holds the certificate's key.
#[derive(Debug)]
struct Verifier {
    judge: Arc<dyn ClientJudge>,
    provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for Verifier {
    fn offer_client_auth(&self) -> bool {
        true
    }

    fn client_auth_mandatory(&self) -> bool {
        self.judge.is_mandatory()
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
        self.judge.judge(end_entity, intermediates, now)?;
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
