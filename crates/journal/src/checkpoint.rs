//! The checkpoint: the state at one slot as rows, and the claim under which it is written.

use std::fmt;

use bytes::Bytes;
use rand::RngCore as _;

use crate::{EntryId, Slot};

/// What the checkpoint's rows stand for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointMeta {
    /// The slot whose state the rows hold; the journal's floor.
    pub slot: Slot,
    /// The id of the entry in that slot.
    pub id: EntryId,
    /// The store revision there.
    pub revision: i64,
    /// Everything beside keys, encoded by the layer above.
    pub state: Bytes,
}

/// The random name of one checkpointer's turn.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClaimId(pub [u8; 16]);

impl ClaimId {
    /// A new random claim.
    #[must_use]
    pub fn random() -> Self {
        let mut bytes = [0; 16];
        rand::rng().fill_bytes(&mut bytes);
        Self(bytes)
    }
}

impl fmt::Debug for ClaimId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClaimId(")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}

/// One key of the checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvRow {
    /// Any bytes, also empty or not UTF-8.
    pub key: Bytes,
    /// Any bytes.
    pub value: Bytes,
    /// Revision of its creation.
    pub create_revision: i64,
    /// Revision of its last change.
    pub mod_revision: i64,
    /// Changes since its creation.
    pub version: i64,
    /// Its lease, zero without one.
    pub lease: i64,
}

/// The answer to a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claimed {
    /// The turn is the caller's until somebody else claims; the rows are exactly the state at the
    /// expected slot.
    Won,
    /// The checkpoint is not at the expected slot.
    Moved {
        /// Where it is.
        slot: Slot,
    },
}

/// The answer to a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chunked {
    /// All of the chunk was written.
    Written,
    /// Somebody else has the turn, or the checkpoint has advanced: nothing was written.
    ClaimLost,
}

/// The answer to an advance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advanced {
    /// The checkpoint, and with it the floor, is at the new slot.
    Moved,
    /// Nothing changed: the turn is somebody else's, the checkpoint is already further, or the
    /// journal has no such entry at that slot (the database went back in time).
    ClaimLost,
}

/// One page of the checkpoint's rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KvPage {
    /// Rows of the state at the asked slot, in ascending byte order of keys (very long ones aside).
    Rows {
        /// The rows.
        rows: Vec<KvRow>,
        /// Where the next page starts; `None` when this is the last one.
        next: Option<Bytes>,
    },
    /// The checkpoint is not at the asked slot any more: load it again from its start.
    Moved {
        /// Where it is.
        slot: Slot,
    },
}
