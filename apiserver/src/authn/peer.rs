//! The other end of a connection: its certificate, and what authorities say of it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use helium_tls::{CertificateIdentity, ClientCas};
use parking_lot::Mutex;
use rustls_pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::user::UserInfo;

/// How long a verdict on a certificate is kept before the authorities are asked again.
pub const VERIFIED_FOR: Duration = Duration::from_secs(10);

/// Key of the extra attribute that names the certificate which a user showed.
const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";

/// One connection's other end. Shared by all its requests.
#[derive(Debug)]
pub struct Peer {
    address: Option<SocketAddr>,
    chain: Vec<CertificateDer<'static>>,
    subject: Option<Arc<CertificateIdentity>>,
    verdicts: Mutex<HashMap<&'static str, (Instant, bool)>>,
}

impl Peer {
    /// A peer that showed `chain`, leaf first; empty if it showed none. The handshake has proved
    /// that the peer holds the leaf's key, and nothing else.
    #[must_use]
    pub fn new(address: Option<SocketAddr>, chain: Vec<CertificateDer<'static>>) -> Self {
        // A subject that can't be read stays unverified, so that the request ends as 401.
        let subject = chain
            .first()
            .and_then(|leaf| CertificateIdentity::from_certificate(leaf).ok())
            .map(Arc::new);
        Self {
            address,
            chain,
            subject,
            verdicts: Mutex::default(),
        }
    }

    /// The peer's address, if the transport has one.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Whether a certificate was shown at all.
    #[must_use]
    pub fn has_certificate(&self) -> bool {
        !self.chain.is_empty()
    }

    /// The certificate's subject, if the authorities called `bundle` signed it.
    pub(super) fn verified(
        &self,
        cas: &ClientCas,
        bundle: &'static str,
    ) -> Option<Arc<CertificateIdentity>> {
        let subject = self.subject.as_ref()?;
        let now = Instant::now();
        let known = self.verdicts.lock().get(bundle).copied();
        let good = match known {
            Some((until, verdict)) if now < until => verdict,
            _ => {
                let verdict = cas.verify(bundle, &self.chain);
                self.verdicts
                    .lock()
                    .insert(bundle, (now + VERIFIED_FOR, verdict));
                verdict
            }
        };
        good.then(|| Arc::clone(subject))
    }

    /// The user that a verified subject stands for.
    pub(super) fn user(&self, subject: &CertificateIdentity) -> UserInfo {
        let mut user = UserInfo::new(
            subject.common_name.clone(),
            subject.organizations.iter().cloned(),
        );
        if let Some(leaf) = self.chain.first() {
            let hash = Sha256::digest(leaf.as_ref());
            let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
            user.extra
                .insert(CREDENTIAL_ID.to_owned(), vec![format!("X509SHA256={hex}")]);
        }
        user
    }
}
