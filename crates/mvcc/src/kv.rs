//! A version of a key, and the change that made it.

use std::sync::Arc;

use bytes::Bytes;

use crate::{LeaseId, Revision};

/// One version of one key.
///
/// A tombstone, which stands for the key's absence from its `mod_revision` on, carries only key
/// and `mod_revision`; its `version` is 0, which no live version's is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyValue {
    /// The key.
    pub key: Bytes,
    /// The value.
    pub value: Bytes,
    /// The revision that created the key (since its last deletion).
    pub create_revision: Revision,
    /// The revision of this version.
    pub mod_revision: Revision,
    /// Counts the puts since the creation, from 1.
    pub version: i64,
    /// The lease that the key is attached to, or [`LeaseId::NONE`].
    pub lease: LeaseId,
}

impl KeyValue {
    /// What a deletion at `mod_revision` leaves.
    #[must_use]
    pub fn tombstone(key: Bytes, mod_revision: Revision) -> Self {
        Self {
            key,
            value: Bytes::new(),
            create_revision: Revision::UNSET,
            mod_revision,
            version: 0,
            lease: LeaseId::NONE,
        }
    }

    /// Whether this stands for the key's absence.
    #[must_use]
    pub fn is_tombstone(&self) -> bool {
        self.version == 0
    }

    /// About how much memory the version holds, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        const FIXED: usize = 64;
        self.key.len() + self.value.len() + FIXED
    }
}

/// What happened to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// It was created or replaced.
    Put,
    /// It was deleted.
    Delete,
}

/// One change of one key. A clone shares the versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// The version that the change made; a tombstone for a deletion.
    pub kv: Arc<KeyValue>,
    /// The version before; none for a creation, and none once that version is compacted.
    pub prev_kv: Option<Arc<KeyValue>>,
}

impl Event {
    /// The change from `prev_kv` to `kv`.
    #[must_use]
    pub fn new(kv: Arc<KeyValue>, prev_kv: Option<Arc<KeyValue>>) -> Self {
        let kind = if kv.is_tombstone() {
            EventKind::Delete
        } else {
            EventKind::Put
        };
        Self { kind, kv, prev_kv }
    }

    /// The revision of the change.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.kv.mod_revision
    }

    /// Whether the change brought the key into being.
    #[must_use]
    pub fn is_create(&self) -> bool {
        self.kind == EventKind::Put && self.kv.create_revision == self.kv.mod_revision
    }
}
