//! TLS towards the server, as libpq's `sslmode` asks for it.

use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::parameters::{PostgresParameters, Verify};
use crate::{Error, ErrorKind, Result};

/// Builds the connector. Without roots of their own, verifying modes use the web's.
pub(super) fn connector(parameters: &PostgresParameters) -> Result<MakeRustlsConnect> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable("TLS versions can't be set", error))?;
    let builder = match parameters.verify {
        Verify::Full => builder.with_root_certificates(roots(parameters)?),
        Verify::Chain => {
            let roots = Arc::new(roots(parameters)?);
            let inner = WebPkiServerVerifier::builder_with_provider(roots, provider)
                .build()
                .map_err(|error| unusable("the CA file can't be used", error))?;
            let verifier = Arc::new(AnyName { inner });
            builder
                .dangerous()
                .with_custom_certificate_verifier(verifier)
        }
        Verify::Nothing => {
            let verifier = Arc::new(AnyCertificate { provider });
            builder
                .dangerous()
                .with_custom_certificate_verifier(verifier)
        }
    };
    let config = match (&parameters.tls.cert_file, &parameters.tls.key_file) {
        (Some(certificate), Some(key)) => {
            let chain = certificates(certificate)?;
            let key = PrivateKeyDer::from_pem_file(key)
                .map_err(|error| unreadable("key file", key, error))?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| unusable("certificate and key don't go together", error))?
        }
        (None, None) => builder.with_no_client_auth(),
        _ => {
            return Err(
                Error::new("preparing TLS to the database", ErrorKind::Endpoint)
                    .determinate()
                    .with_detail("a certificate and a key must be given together"),
            );
        }
    };
    Ok(MakeRustlsConnect::new(config))
}

fn roots(parameters: &PostgresParameters) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    match &parameters.tls.ca_file {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(file) => {
            for certificate in certificates(file)? {
                roots
                    .add(certificate)
                    .map_err(|error| unusable("a certificate in the CA file is invalid", error))?;
            }
        }
    }
    Ok(roots)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>)
        .map_err(|error| unreadable("certificate file", file, error))?;
    if read.is_empty() {
        return Err(
            Error::new("preparing TLS to the database", ErrorKind::Endpoint)
                .determinate()
                .with_detail(format!("no certificate in {}", file.display())),
        );
    }
    Ok(read)
}

fn unusable(what: &'static str, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new("preparing TLS to the database", ErrorKind::Endpoint)
        .determinate()
        .with_detail(what)
        .with_source(error)
}

fn unreadable(
    what: &str,
    file: &Path,
    error: impl std::error::Error + Send + Sync + 'static,
) -> Error {
    Error::new("preparing TLS to the database", ErrorKind::Endpoint)
        .determinate()
        .with_detail(format!("can't read the {what} {}", file.display()))
        .with_source(error)
}

/// `verify-ca`: the chain must lead to the roots, the name may be any.
#[derive(Debug)]
struct AnyName {
    inner: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        // The name is checked last, so that this error means that the chain is good.
        match self.inner.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        ) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// `require` without roots: encrypted, to whomever it may be.
#[derive(Debug)]
struct AnyCertificate {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
