//! The dialling side between servers of a fleet: our certificate is reloaded, and whose certificate
//! is accepted may change while we run.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Result};
use crate::own::Own;
use crate::server::ServerTlsFiles;

/// Decides at the handshake whether a server is one that we want to talk to.
pub trait ServerJudge: Debug + Send + Sync {
    /// Whether a server with this chain (its own certificate first), reached under `name`, is
    /// accepted now.
    ///
    /// # Errors
    /// Why not.
    fn judge_server(
        &self,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), rustls::Error>;
}

/// How to dial another server of the fleet. Clones share their certificate.
#[derive(Debug, Clone)]
pub struct PeerTls {
    own: Own,
    config: Arc<ClientConfig>,
}

impl PeerTls {
    /// Loads our certificate for other servers. `alpn` lists the protocols to offer. Every
    /// connection is a full handshake: a resumed session would skip the judge.
    ///
    /// # Errors
    /// When the files can't be used.
    pub fn load(files: ServerTlsFiles, judge: Arc<dyn ServerJudge>, alpn: &[&str]) -> Result<Self> {
        let own = Own::load(files)?;
        let provider = crate::provider();
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(Error::Config)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Verifier { judge, provider }))
            .with_client_cert_resolver(own.resolver());
        config.resumption = Resumption::disabled();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Ok(Self {
            own,
            config: Arc::new(config),
        })
    }

    /// The configuration to dial with. It stays valid over reloads.
    #[must_use]
    pub fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.config)
    }

    /// The chain that we show now, our own certificate first.
    #[must_use]
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.own.chain().cert.clone()
    }

    /// Takes a new certificate from the files every `period`, until `stop`.
    pub async fn keep_fresh(self, period: Duration, stop: CancellationToken) {
        self.own.keep_fresh("peers", period, stop).await;
    }
}

#[derive(Debug)]
struct Verifier {
    judge: Arc<dyn ServerJudge>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let chain: Vec<CertificateDer<'_>> = std::iter::once(end_entity)
            .chain(intermediates)
            .cloned()
            .collect();
        self.judge.judge_server(&chain, server_name, now)?;
        Ok(ServerCertVerified::assertion())
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
