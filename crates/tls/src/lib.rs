//! TLS for every Helium process: loading, reloading, client certificates, and a small authority.
//!
//! * [`ServerTls`] serves one certificate that is reloaded when its files change. Clients may be
//!   asked for a certificate ([`ClientAuth`]).
//! * [`ClientCas`] holds named bundles of certificate authorities. Several may be trusted at the
//!   handshake; *which* of them signed a client's certificate is asked later, per request, because
//!   a front proxy and an ordinary user are told apart by exactly that.
//! * [`MemberTrust`] decides which cluster of the fleet a chain belongs to, by the authorities that
//!   the fleet's members list. [`ClientJudge`] and [`ServerJudge`] are how such a decision enters a
//!   handshake.
//! * [`ClientTls`] is the other side: how one of our processes dials a server; [`PinnedTls`] dials one of which
//!   only a key's hash is known. [`PeerTls`] is how servers of a fleet dial each other.
//! * [`pki`] issues certificates: for single-machine use, for tests, and for a cluster's own servers.
//!
//! Invariants:
//! 1. The only cryptographic provider is `ring`, and it is always passed explicitly: a second
//!    provider that some dependency links in can't change what is used.
//! 2. A reload that fails keeps the last good certificate and says so; it never stops the server.
//! 3. A certificate is never trusted because of its name alone: a name is read only from a chain
//!    that one of the bundles has verified.
//!
//! What it will not do: talk to an external issuer, or store keys anywhere but in files with
//! owner-only permissions.

mod cas;
mod client;
mod error;
mod identity;
mod members;
mod own;
mod peer;
mod pem;
mod pinned;
pub mod pki;
mod server;
mod summary;

use std::sync::Arc;

pub use cas::ClientCas;
pub use client::{ClientTls, ClientTlsFiles};
pub use error::{Error, Result};
pub use identity::{CLUSTER_PREFIX, CertificateIdentity, Component};
pub use members::{Distrust, MemberRecord, MemberTrust, TrustUpdate};
pub use peer::{PeerTls, ServerJudge};
pub use pem::{certificates_from_file, certificates_from_pem, key_from_file, key_from_pem};
pub use pinned::PinnedTls;
pub use server::{ClientAuth, ClientJudge, ServerTls, ServerTlsFiles};
pub use summary::{CertificateSummary, PublicKeyHash};

/// The cryptographic provider that all our TLS uses (invariant 1).
pub fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Makes [`provider`] the process default, for libraries that don't take one as an argument.
/// Calling it again does nothing.
pub fn install_provider() {
    // The error only says that a default is already there, which is what we want.
    let _already_installed = rustls::crypto::ring::default_provider().install_default();
}
