//! The store: an etcd v3 endpoint (or several), as one Kubernetes API server uses it.
//!
//! Only the request shapes that kube-apiserver sends are used, so that everything that serves it
//! serves us: ranges pinned to a revision, transactions that compare one `mod_revision`, watches
//! with previous values and progress, compaction guarded by `compact_rev_key`, leases shared by many events.
//!
//! Invariants:
//! - **St1** A write is one transaction with a compare on its key's `mod_revision`; no object is ever put
//!   blindly. What belongs to it ([`Alongside`]: a lease's term, the record of a group) is in the same transaction.
//! - **St2** A write whose outcome is unknown (the connection broke) is resolved by sending the same
//!   compare again and looking at what is there, never assumed. What stays unknown is reported as
//!   [`Error::Unavailable`] with `outcome_known == false`, or as [`Error::Overtaken`] if the key has changed since.
//! - **St3** A read without a revision is linearizable. Pages after the first are pinned to the revision
//!   of the first.
//! - **St4** Nothing here blocks start: a store that is down is an error per call, and every call tries
//!   again.
//!
//! What it will not do: cache (see [`crate::cache`]), or interpret values.

pub mod codec;
mod compactor;
mod connect;
mod error;
mod expiry;
mod keys;
mod kv;
mod outcome;
mod watch;

use std::sync::Arc;
use std::time::Duration;

pub use compactor::run as run_compactor;
pub use error::{Error, Refusal, Result};
pub use expiry::Expiry;
pub use keys::{Keyspace, Prefix};
pub use kv::{Alongside, Beside, Page, Record};
pub use outcome::Written;
pub use watch::{Change, Update, WatchStream};

use crate::config::StoreConfig;
use connect::Endpoints;

/// Time that one call may take before it counts as failed.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Time that a health probe may take, as kube-apiserver's etcd check has it.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(2);

/// A handle to the store. Cheap to clone; all clones share their connections.
#[derive(Clone)]
pub struct Store {
    endpoints: Arc<Endpoints>,
    keys: Keyspace,
}

impl Store {
    /// Prepares connections. None is made before the first call, so this succeeds with the store down; it
    /// fails on unreadable certificates or no endpoint at all.
    pub fn open(config: &StoreConfig) -> Result<Self> {
        Ok(Self {
            endpoints: Arc::new(Endpoints::open(config)?),
            keys: Keyspace::new(&config.prefix),
        })
    }

    /// Tells why the store doesn't let this cluster in, if it doesn't: who isn't a member is refused there too.
    #[must_use]
    pub fn shut_out(&self) -> tokio::sync::watch::Receiver<Option<Refusal>> {
        self.endpoints.shut_out()
    }

    /// Where things are stored.
    #[must_use]
    pub fn keys(&self) -> &Keyspace {
        &self.keys
    }

    /// Whether the last call got no answer from anybody: whoever can do without the store needn't ask first.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.endpoints.is_silent()
    }

    /// Whether the store answers a linearizable read within two seconds.
    pub async fn health(&self) -> Result<()> {
        let key = self.keys.health();
        match tokio::time::timeout(HEALTH_TIMEOUT, self.get(&key)).await {
            Ok(answer) => answer.map(|_| ()),
            Err(_) => Err(Error::Timeout {
                doing: "probe the store",
                outcome_known: true,
            }),
        }
    }
}
