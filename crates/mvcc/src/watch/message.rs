//! What goes into a stream and what comes out.

use crate::{Event, KeyRange, Revision};

/// A stream of the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub(super) u64);

/// A watcher's identifier on its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct WatchId(pub i64);

impl WatchId {
    /// In a request: whatever is free. (It is also the first identifier that is given out.)
    pub const AUTO: Self = Self(0);
    /// In a message: the stream itself.
    pub const STREAM: Self = Self(-1);
}

/// A watcher that a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchRequest {
    /// Which identifier it gets.
    pub id: WatchId,
    /// Which keys. An empty key stands for the lowest possible one.
    pub range: KeyRange,
    /// The first revision to see; zero is the one after the current.
    pub start_revision: Revision,
    /// Leave out puts.
    pub no_put: bool,
    /// Leave out deletions.
    pub no_delete: bool,
    /// Send the version before each change along.
    pub prev_kv: bool,
    /// Send progress messages.
    pub progress_notify: bool,
}

impl WatchRequest {
    /// A watcher of `range` from now on, without options.
    #[must_use]
    pub fn new(range: KeyRange) -> Self {
        Self {
            id: WatchId::AUTO,
            range,
            start_revision: Revision::UNSET,
            no_put: false,
            no_delete: false,
            prev_kv: false,
            progress_notify: false,
        }
    }
}

/// Why a watcher is refused. The stream goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WatchRefusal {
    /// The stream has a watcher of that identifier.
    #[error("duplicate watch identifier on the stream")]
    DuplicateId,
    /// No key can be in the range.
    #[error("the range is empty")]
    EmptyRange,
    /// The start revision is below zero, which etcd calls compacted.
    #[error("the start revision is negative")]
    NegativeStart,
}

/// A message for the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchMessage {
    /// The watcher that it is about; [`WatchId::STREAM`] if it is about none.
    pub id: WatchId,
    /// The header's revision: the store's. In [`WatchBody::Progress`] it is a promise that every
    /// change up to it was delivered; beside events it is none, their own revisions count. Zero in
    /// [`WatchBody::Compacted`], as in etcd.
    pub revision: Revision,
    /// What it says.
    pub body: WatchBody,
}

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchBody {
    /// The watcher exists. Always its first message.
    Created,
    /// There will be no such watcher.
    Refused(WatchRefusal),
    /// These changes happened; whole revisions, never empty.
    Events(Vec<Event>),
    /// Nothing else happened up to the revision: to that watcher, or to all of the stream.
    Progress,
    /// The client ended the watcher.
    Canceled,
    /// The watcher ended, because the next change that it had to see is compacted.
    Compacted {
        /// The oldest revision that a watch can start from.
        compact_revision: Revision,
    },
}

/// What a poll of a stream brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Poll {
    /// To be sent in this order.
    pub messages: Vec<WatchMessage>,
    /// There is more to be had without waiting to be woken.
    pub more: bool,
    /// The stream has ended; the client should connect again.
    pub closed: bool,
}
