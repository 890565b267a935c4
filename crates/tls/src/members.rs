//! Who is a member of the fleet: the decision behind every handshake between clusters.
//!
//! Each cluster has an authority of its own, and the fleet's members list them. A chain is a
//! member's if the certificate *names* exactly that member and that member's *own* authorities
//! signed it, and the member isn't revoked. The name alone is nothing, and the chain alone is
//! nothing: so no cluster can make an identity for another one.
//!
//! What holds:
//! 1. Nothing is remembered: the decision depends on the members as they were last set, and on the
//!    time. Instances with the same members decide the same.
//! 2. The fleet is *open* while no member lists an authority, and only then. A member whose text
//!    can't be read has closed the fleet as any other, and is itself accepted nowhere.
//! 3. The key of a revoked member's authority proves nobody's name, whoever else lists it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{CertificateError, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::error::{Error, Result};
use crate::identity::CertificateIdentity;
use crate::pem::certificates_from_pem;

/// Why a certificate isn't accepted as a member's. Its text is for logs and for clients.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Distrust {
    /// There is no certificate.
    #[error("no certificate was shown, and the fleet accepts only its members")]
    NoCertificate,
    /// It can't be parsed.
    #[error("the certificate can't be read")]
    Unreadable,
    /// It has no organisation `helium:cluster:<name>`.
    #[error("the certificate names no cluster (organisation helium:cluster:<name>)")]
    NoCluster,
    /// It names more than one cluster.
    #[error("the certificate names more than one cluster")]
    Ambiguous,
    /// No member of that name lists an authority.
    #[error("cluster {cluster} is not a member of the fleet")]
    NotMember {
        /// The cluster that the certificate names.
        cluster: String,
    },
    /// The member was shut out.
    #[error("cluster {cluster} was revoked: {reason}")]
    Revoked {
        /// The cluster that the certificate names.
        cluster: String,
        /// Why, in the words of whoever did it.
        reason: String,
    },
    /// The member's authorities don't vouch for the certificate: another one signed it, or it has
    /// expired, or it isn't for this use.
    #[error(
        "the certificate names cluster {cluster}, and that cluster's authorities don't vouch for it: {why}"
    )]
    NotVouched {
        /// The cluster that the certificate names.
        cluster: String,
        /// What is wrong with it.
        why: rustls::Error,
    },
}

impl From<Distrust> for rustls::Error {
    fn from(distrust: Distrust) -> Self {
        match distrust {
            Distrust::NoCertificate => Self::NoCertificatesPresented,
            Distrust::Unreadable => CertificateError::BadEncoding.into(),
            Distrust::NoCluster | Distrust::Ambiguous => {
                CertificateError::ApplicationVerificationFailure.into()
            }
            Distrust::NotMember { .. } => CertificateError::UnknownIssuer.into(),
            Distrust::Revoked { .. } => CertificateError::Revoked.into(),
            Distrust::NotVouched { why, .. } => why,
        }
    }
}

/// What the fleet says of one member.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MemberRecord {
    /// The cluster's name.
    pub cluster: String,
    /// PEM of its authorities; blank if it lists none.
    pub authorities: String,
    /// Whether it was shut out.
    pub revoked: bool,
    /// Why, for people.
    pub reason: String,
}

/// What became of [`MemberTrust::set`].
#[derive(Debug, Default)]
pub struct TrustUpdate {
    /// Whether anything is different from before.
    pub changed: bool,
    /// Members that list authorities which can't be used, and why.
    pub unusable: Vec<(String, Error)>,
}

/// The members' authorities, replaceable while connections are judged by them.
#[derive(Debug, Default)]
pub struct MemberTrust {
    current: ArcSwap<Members>,
}

#[derive(Debug, Default)]
struct Members {
    records: BTreeSet<MemberRecord>,
    standings: BTreeMap<String, Standing>,
}

/// Where a member that lists authorities stands.
#[derive(Debug)]
enum Standing {
    Trusted(Verifiers),
    Revoked { reason: String },
    Unusable,
}

/// A member's authorities, for both directions.
struct Verifiers {
    clients: Arc<dyn ClientCertVerifier>,
    servers: Arc<dyn ServerCertVerifier>,
}

impl fmt::Debug for Verifiers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Verifiers").finish_non_exhaustive()
    }
}

impl MemberTrust {
    /// An open fleet: no member lists an authority.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Replaces what is known of the members. Of two records of one name a revoked one counts.
    pub fn set(&self, records: impl IntoIterator<Item = MemberRecord>) -> TrustUpdate {
        let records: BTreeSet<MemberRecord> = records
            .into_iter()
            .filter(|record| !record.authorities.trim().is_empty())
            .collect();
        if records == self.current.load().records {
            return TrustUpdate::default();
        }
        let mut unusable = Vec::new();
        let standings = standings(&records, &mut unusable);
        self.current.store(Arc::new(Members { records, standings }));
        TrustUpdate {
            changed: true,
            unusable,
        }
    }

    /// Whether no member lists an authority, so that certificates can't be judged by members.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.current.load().standings.is_empty()
    }

    /// How many members are accepted, and how many are revoked.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let members = self.current.load();
        let count = |kind: fn(&Standing) -> bool| {
            members.standings.values().filter(|one| kind(one)).count()
        };
        (
            count(|one| matches!(one, Standing::Trusted(_))),
            count(|one| matches!(one, Standing::Revoked { .. })),
        )
    }

    /// Which member a client with this chain (its own certificate first) is at `now`.
    ///
    /// # Errors
    /// Why it is none. In an open fleet nobody is a member.
    pub fn judge_client(
        &self,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<String, Distrust> {
        self.judge(chain, |verifiers, end_entity, intermediates| {
            verifiers
                .clients
                .verify_client_cert(end_entity, intermediates, now)
                .map(drop)
        })
    }

    /// Which member a server with this chain is that was reached under `name`.
    ///
    /// # Errors
    /// Why it is none.
    pub fn judge_server(
        &self,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<String, Distrust> {
        self.judge(chain, |verifiers, end_entity, intermediates| {
            verifiers
                .servers
                .verify_server_cert(end_entity, intermediates, name, &[], now)
                .map(drop)
        })
    }

    fn judge(
        &self,
        chain: &[CertificateDer<'_>],
        verify: impl FnOnce(
            &Verifiers,
            &CertificateDer<'_>,
            &[CertificateDer<'_>],
        ) -> Result<(), rustls::Error>,
    ) -> Result<String, Distrust> {
        let (end_entity, intermediates) = chain.split_first().ok_or(Distrust::NoCertificate)?;
        let identity = CertificateIdentity::from_certificate(end_entity)
            .map_err(|_unreadable| Distrust::Unreadable)?;
        let cluster = identity.cluster()?.to_owned();
        match self.current.load().standings.get(&cluster) {
            None | Some(Standing::Unusable) => Err(Distrust::NotMember { cluster }),
            Some(Standing::Revoked { reason }) => Err(Distrust::Revoked {
                cluster,
                reason: reason.clone(),
            }),
            Some(Standing::Trusted(verifiers)) => {
                match verify(verifiers, end_entity, intermediates) {
                    Ok(()) => Ok(cluster),
                    Err(why) => Err(Distrust::NotVouched { cluster, why }),
                }
            }
        }
    }
}

fn standings(
    records: &BTreeSet<MemberRecord>,
    unusable: &mut Vec<(String, Error)>,
) -> BTreeMap<String, Standing> {
    let (revoked, others): (Vec<_>, Vec<_>) = records.iter().partition(|record| record.revoked);
    let mut standings = BTreeMap::new();
    let mut burnt = BTreeSet::new();
    for record in revoked {
        match roots(record) {
            Ok(roots) => burnt.extend(roots.roots.iter().map(key)),
            Err(error) => unusable.push((record.cluster.clone(), error)),
        }
        let reason = record.reason.trim();
        let reason = if reason.is_empty() {
            "no reason was given"
        } else {
            reason
        };
        let standing = Standing::Revoked {
            reason: reason.to_owned(),
        };
        standings.insert(record.cluster.clone(), standing);
    }
    for record in others {
        // What was revoked stays so, should a name be there twice.
        standings.entry(record.cluster.clone()).or_insert_with(|| {
            match verifiers(record, &burnt) {
                Ok(verifiers) => Standing::Trusted(verifiers),
                Err(error) => {
                    unusable.push((record.cluster.clone(), error));
                    Standing::Unusable
                }
            }
        });
    }
    standings
}

/// What makes two authorities the same one.
fn key(anchor: &rustls_pki_types::TrustAnchor<'_>) -> Vec<u8> {
    anchor.subject_public_key_info.to_vec()
}

fn roots(record: &MemberRecord) -> Result<RootCertStore> {
    let origin = format!("the member {}", record.cluster);
    let mut roots = RootCertStore::empty();
    for certificate in certificates_from_pem(record.authorities.as_bytes(), &origin)? {
        roots.add(certificate).map_err(|source| Error::Authority {
            origin: origin.clone(),
            source,
        })?;
    }
    Ok(roots)
}

fn verifiers(record: &MemberRecord, burnt: &BTreeSet<Vec<u8>>) -> Result<Verifiers> {
    let mut roots = roots(record)?;
    roots.roots.retain(|anchor| !burnt.contains(&key(anchor)));
    let roots = Arc::new(roots);
    let error = |source| Error::Verifier {
        origin: format!("the member {}", record.cluster),
        source,
    };
    let clients =
        WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), crate::provider());
    let servers = WebPkiServerVerifier::builder_with_provider(roots, crate::provider());
    Ok(Verifiers {
        clients: clients.build().map_err(error)?,
        servers: servers.build().map_err(error)?,
    })
}

#[cfg(test)]
mod tests;
