//! One key with its versions.

use std::sync::Arc;

use bytes::Bytes;

use crate::{KeyValue, Revision};

/// A key's versions, oldest first. There is at least one.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// Also in every version, but a search should touch no more memory than it must.
    key: Bytes,
    latest: Arc<KeyValue>,
    older: Vec<Arc<KeyValue>>,
}

/// What a trim gave up.
pub(crate) struct Trimmed {
    pub(crate) versions: u64,
    pub(crate) bytes: u64,
    /// No version is left.
    pub(crate) gone: bool,
}

impl Node {
    pub(crate) fn new(kv: Arc<KeyValue>) -> Self {
        Self {
            key: kv.key.clone(),
            latest: kv,
            older: Vec::new(),
        }
    }

    pub(crate) fn key(&self) -> &[u8] {
        &self.key
    }

    pub(crate) fn latest(&self) -> &Arc<KeyValue> {
        &self.latest
    }

    /// Adds a version that is newer than the others, and answers the one before.
    pub(crate) fn push(&mut self, kv: Arc<KeyValue>) -> Arc<KeyValue> {
        let previous = std::mem::replace(&mut self.latest, kv);
        self.older.push(Arc::clone(&previous));
        previous
    }

    /// The newest version at or below a revision, tombstones included.
    pub(crate) fn at(&self, at: Revision) -> Option<&Arc<KeyValue>> {
        if self.latest.mod_revision <= at {
            return Some(&self.latest);
        }
        let below = self.older.partition_point(|kv| kv.mod_revision <= at);
        self.older.get(below.checked_sub(1)?)
    }

    /// The key's version at a revision, if it exists then.
    pub(crate) fn live_at(&self, at: Revision) -> Option<&Arc<KeyValue>> {
        self.at(at).filter(|kv| !kv.is_tombstone())
    }

    /// The versions, oldest first.
    pub(crate) fn versions(&self) -> impl Iterator<Item = &Arc<KeyValue>> {
        self.older.iter().chain(std::iter::once(&self.latest))
    }

    /// See [`Keyspace::trim`](super::Keyspace::trim).
    pub(crate) fn trim(&mut self, floor: Revision) -> Trimmed {
        let below = self.older.partition_point(|kv| kv.mod_revision <= floor);
        let is_past = |kv: &KeyValue| kv.is_tombstone() && kv.mod_revision < floor;
        let (drop, gone) = if self.latest.mod_revision <= floor {
            (self.older.len(), is_past(&self.latest))
        } else {
            match below.checked_sub(1) {
                Some(newest) if is_past(&self.older[newest]) => (below, false),
                Some(newest) => (newest, false),
                None => (0, false),
            }
        };
        let mut trimmed = Trimmed {
            versions: drop as u64,
            bytes: 0,
            gone,
        };
        trimmed.bytes = self.older.drain(..drop).map(|kv| kv.size() as u64).sum();
        if self.older.is_empty() {
            self.older = Vec::new();
        }
        if gone {
            trimmed.versions += 1;
            trimmed.bytes += self.latest.size() as u64;
        }
        trimmed
    }
}
