//! Named bundles of certificate authorities that client certificates are judged by.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::{CertificateDer, UnixTime};

use crate::error::{Error, Result};
use crate::pem::certificates_from_pem;

/// A set of named bundles (`client`, `requestheader`, …), replaceable while serving: clusters rotate
/// their authorities, and the ConfigMap that carries them changes under us.
#[derive(Debug, Default)]
pub struct ClientCas {
    bundles: ArcSwap<BTreeMap<String, Bundle>>,
}

#[derive(Debug, Clone)]
struct Bundle {
    roots: Arc<RootCertStore>,
    verifier: Arc<dyn ClientCertVerifier>,
    pem: Arc<[u8]>,
}

impl ClientCas {
    /// No bundle: no client certificate is trusted.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets or replaces the bundle `name` from PEM text. Returns whether anything changed. On an
    /// error the former bundle stays.
    pub fn set(&self, name: &str, pem: &[u8]) -> Result<bool> {
        if self
            .bundles
            .load()
            .get(name)
            .is_some_and(|old| &*old.pem == pem)
        {
            return Ok(false);
        }
        let mut roots = RootCertStore::empty();
        for certificate in certificates_from_pem(pem, name)? {
            roots.add(certificate).map_err(|source| Error::Authority {
                origin: name.to_owned(),
                source,
            })?;
        }
        let roots = Arc::new(roots);
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), crate::provider())
                .build()
                .map_err(|source| Error::Verifier {
                    origin: name.to_owned(),
                    source,
                })?;
        let bundle = Bundle {
            roots,
            verifier,
            pem: pem.into(),
        };
        self.bundles.rcu(|bundles| {
            let mut next = BTreeMap::clone(bundles);
            next.insert(name.to_owned(), bundle.clone());
            next
        });
        Ok(true)
    }

    /// Whether a bundle of that name is set.
    pub fn contains(&self, name: &str) -> bool {
        self.bundles.load().contains_key(name)
    }

    /// Whether no bundle is set at all.
    pub fn is_empty(&self) -> bool {
        self.bundles.load().is_empty()
    }

    /// Whether `chain` (end entity first) verifies against the bundle `name` now, for use as a
    /// client certificate. `false` if there is no such bundle or no certificate.
    pub fn verify(&self, name: &str, chain: &[CertificateDer<'_>]) -> bool {
        let Some((end_entity, intermediates)) = chain.split_first() else {
            return false;
        };
        self.bundles.load().get(name).is_some_and(|bundle| {
            bundle
                .verifier
                .verify_client_cert(end_entity, intermediates, UnixTime::now())
                .is_ok()
        })
    }

    /// Whether a chain verifies against any bundle, for use as a client certificate.
    ///
    /// # Errors
    /// Why not, by the last bundle that was asked.
    pub fn verify_any(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let mut last = rustls::Error::General("no authority for client certificates is set".into());
        for bundle in self.bundles.load().values() {
            match bundle
                .verifier
                .verify_client_cert(end_entity, intermediates, now)
            {
                Ok(_verified) => return Ok(()),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// The number of authorities over all bundles (for log lines).
    pub fn authorities(&self) -> usize {
        self.bundles
            .load()
            .values()
            .map(|bundle| bundle.roots.len())
            .sum()
    }
}
