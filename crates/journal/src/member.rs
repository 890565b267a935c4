//! The instances that share a journal.

use crate::WriterId;

/// One instance, as it describes itself.
///
/// Nobody's clock is compared with anybody else's: a reader takes a member for alive while it sees
/// `heartbeat` change by its own clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Random per process start.
    pub id: WriterId,
    /// For people.
    pub name: String,
    /// Where to reach it; text in a form that the layer above chooses.
    pub addresses: String,
    /// The payload formats that it reads.
    pub formats: Vec<i16>,
    /// Grows while the instance lives.
    pub heartbeat: i64,
}
