//! Dialling a server of which only the hash of a key is known.
//!
//! Who joins a fleet has nothing but what somebody handed over: a token and a hash. The server's chain must hold a
//! certificate whose public key has that hash, and, unless it is the server's own, that one must have signed the
//! server's. Time is the one thing that is not judged here: a machine whose clock is wrong has to learn that it is,
//! and the server's clock is only told behind the handshake. Whoever dials compares both clocks and then calls
//! [`PinnedTls::check_validity`] before any secret is sent.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore,
    SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::error::{Error, Result};
use crate::summary::{CertificateSummary, PublicKeyHash};

/// How to dial a server whose authority is known by hash, or by its certificate.
#[derive(Debug, Clone)]
pub struct PinnedTls {
    config: Arc<ClientConfig>,
    seen: Arc<Mutex<Seen>>,
}

/// What the server has shown.
#[derive(Debug, Default)]
struct Seen {
    chain: Vec<CertificateSummary>,
    /// The time in which all certificates of the chain are valid, in seconds since 1970.
    validity: Option<(i64, i64)>,
}

#[derive(Debug)]
struct Verifier {
    pins: Vec<PublicKeyHash>,
    authorities: Vec<CertificateDer<'static>>,
    provider: Arc<rustls::crypto::CryptoProvider>,
    seen: Arc<Mutex<Seen>>,
}

impl PinnedTls {
    /// A way to dial a server whose chain fits one of `pins`, or one of `authorities`.
    ///
    /// # Errors
    /// If an authority isn't a certificate.
    pub fn new(
        pins: Vec<PublicKeyHash>,
        authorities: Vec<CertificateDer<'static>>,
    ) -> Result<Self> {
        let verifier = Verifier::new(pins, authorities)?;
        let seen = Arc::clone(&verifier.seen);
        let mut config = ClientConfig::builder_with_provider(crate::provider())
            .with_safe_default_protocol_versions()
            .map_err(Error::Config)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            config: Arc::new(config),
            seen,
        })
    }

    /// The configuration to dial with.
    pub fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.config)
    }

    /// The chain that the server has shown in the last handshake, whether it was accepted or not.
    pub fn shown(&self) -> Vec<CertificateSummary> {
        self.seen.lock().chain.clone()
    }

    /// Whether the accepted chain is valid at `now`, in seconds since 1970; otherwise since when, or until
    /// when it was, in the same unit.
    ///
    /// # Errors
    /// The first and the last second in which it is valid.
    pub fn check_validity(&self, now: i64) -> Result<(), (i64, i64)> {
        match self.seen.lock().validity {
            Some((from, until)) if now < from || now > until => Err((from, until)),
            Some(_) => Ok(()),
            None => Err((0, 0)),
        }
    }
}

impl Verifier {
    fn new(
        mut pins: Vec<PublicKeyHash>,
        authorities: Vec<CertificateDer<'static>>,
    ) -> Result<Self> {
        for authority in &authorities {
            pins.push(PublicKeyHash::of(authority)?);
        }
        Ok(Self {
            pins,
            authorities,
            provider: crate::provider(),
            seen: Arc::default(),
        })
    }

    fn verify(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<(i64, i64), TlsError> {
        let unreadable = |_error| TlsError::InvalidCertificate(CertificateError::BadEncoding);
        let leaf = CertificateSummary::of(end_entity).map_err(unreadable)?;
        if self.pins.contains(&leaf.key_hash) {
            rustls::client::verify_server_name(&ParsedCertificate::try_from(end_entity)?, name)?;
            return Ok((leaf.not_before, leaf.not_after));
        }
        let candidates = intermediates.iter().chain(&self.authorities);
        let mut last = TlsError::InvalidCertificate(CertificateError::UnknownIssuer);
        for candidate in candidates {
            let summary = CertificateSummary::of(candidate).map_err(unreadable)?;
            if !self.pins.contains(&summary.key_hash) {
                continue;
            }
            let from = leaf.not_before.max(summary.not_before);
            let until = leaf.not_after.min(summary.not_after);
            let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
            let within = seconds.clamp(from.min(until), until).max(0);
            let when = UnixTime::since_unix_epoch(Duration::from_secs(within.unsigned_abs()));
            let mut roots = RootCertStore::empty();
            roots.add(candidate.clone().into_owned())?;
            let verifier = WebPkiServerVerifier::builder_with_provider(
                Arc::new(roots),
                Arc::clone(&self.provider),
            )
            .build()
            .map_err(|error| TlsError::General(error.to_string()))?;
            match verifier.verify_server_cert(end_entity, intermediates, name, ocsp, when) {
                Ok(_verified) => return Ok((from, until)),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let chain = std::iter::once(end_entity).chain(intermediates);
        let chain = chain.filter_map(|certificate| CertificateSummary::of(certificate).ok());
        *self.seen.lock() = Seen {
            chain: chain.collect(),
            validity: None,
        };
        let validity = self.verify(end_entity, intermediates, name, ocsp, now)?;
        self.seen.lock().validity = Some(validity);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificates_from_pem;
    use crate::pki::Authority;

    fn chain(pem: &str) -> Vec<CertificateDer<'static>> {
        certificates_from_pem(pem.as_bytes(), "test").expect("certificates")
    }

    fn hash(pem: &str) -> PublicKeyHash {
        PublicKeyHash::of(&chain(pem)[0]).expect("a hash")
    }

    const HOUR: u64 = 3600;

    struct Fixture {
        authority: Authority,
        leaf: String,
        now: u64,
    }

    impl Fixture {
        fn new() -> Self {
            let authority = Authority::new("ca").expect("an authority");
            let issued = authority.issue_server("server", &["localhost"]);
            Self {
                leaf: issued.expect("issued").certificate_pem,
                now: UnixTime::now().as_secs(),
                authority,
            }
        }

        fn root(&self) -> &str {
            self.authority.certificate_pem()
        }

        fn both(&self) -> String {
            format!("{}{}", self.leaf, self.root())
        }
    }

    /// Whether the chain is accepted, and whether it is valid at that time.
    fn judge(
        pins: &[PublicKeyHash],
        authorities: &str,
        shown: &str,
        host: &'static str,
        now: u64,
    ) -> Result<bool, TlsError> {
        let authorities = if authorities.is_empty() {
            Vec::new()
        } else {
            chain(authorities)
        };
        let verifier = Verifier::new(pins.to_vec(), authorities).expect("pins");
        let pinned = PinnedTls {
            config: PinnedTls::new(Vec::new(), Vec::new()).expect("none").config,
            seen: Arc::clone(&verifier.seen),
        };
        let certificates = chain(shown);
        let name = ServerName::try_from(host).expect("a name");
        let time = UnixTime::since_unix_epoch(Duration::from_secs(now));
        verifier.verify_server_cert(&certificates[0], &certificates[1..], &name, &[], time)?;
        assert_eq!(pinned.shown().len(), certificates.len());
        let now = i64::try_from(now).expect("a time");
        Ok(pinned.check_validity(now).is_ok())
    }

    #[test]
    fn a_chain_fits_by_the_hash_of_its_authority_its_own_or_a_known_authority() {
        let it = Fixture::new();
        let (root, leaf) = (hash(it.root()), hash(&it.leaf));
        let judge = |pins: &[PublicKeyHash], known: &str, shown: &str| {
            judge(pins, known, shown, "localhost", it.now)
        };
        assert_eq!(judge(std::slice::from_ref(&root), "", &it.both()), Ok(true));
        assert_eq!(judge(&[leaf], "", &it.leaf), Ok(true));
        assert_eq!(judge(&[], it.root(), &it.leaf), Ok(true));
        // The authority's hash says nothing of a server that doesn't show its authority.
        assert!(judge(&[root], "", &it.leaf).is_err());
        assert!(judge(&[], "", &it.both()).is_err());
    }

    #[test]
    fn another_authority_a_shown_but_foreign_one_and_another_name_are_refused() {
        let (it, other) = (Fixture::new(), Fixture::new());
        let pins = [hash(it.root())];
        let judge = |shown: &str, host: &'static str| judge(&pins, "", shown, host, it.now);
        assert!(judge(&other.both(), "localhost").is_err());
        // A thief can show the real authority beside a certificate of his own.
        let forged = format!("{}{}", other.leaf, it.root());
        assert!(judge(&forged, "localhost").is_err());
        assert!(judge(&it.both(), "elsewhere").is_err());
        let leaf = [hash(&it.leaf)];
        let named = super::tests::judge(&leaf, "", &it.leaf, "elsewhere", it.now);
        assert!(named.is_err());
    }

    #[test]
    fn a_wrong_clock_passes_the_handshake_and_is_told_afterwards() {
        let it = Fixture::new();
        let pins = [hash(it.root())];
        for now in [it.now - 2 * HOUR, it.now + 24 * 400 * HOUR] {
            assert_eq!(judge(&pins, "", &it.both(), "localhost", now), Ok(false));
        }
    }
}
