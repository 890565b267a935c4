//! A group's Lease: what of it the machine reads, and the annotations that carry it.

use std::time::Duration;

use crate::kind::Mode;
use crate::names::{ClusterName, Token};

/// Annotation: address of the leader; it becomes `status.leaderAddress` of the group.
pub const ADDRESS: &str = "helium.dev/failover-address";
/// Annotation: `Fast` or `Strict`, as the holder understands it in this term.
pub const MODE: &str = "helium.dev/failover-mode";
/// Annotation: the holder's stop budget in milliseconds.
pub const STOP_BUDGET: &str = "helium.dev/failover-stop-budget";
/// Annotation: `true` where the holder's payload has a dead-man's switch.
pub const DEAD_MAN: &str = "helium.dev/failover-dead-man";
/// Annotation: earlier terms that nobody has confirmed to be over, as `cluster=token,cluster=token`.
pub const UNCONFIRMED: &str = "helium.dev/failover-unconfirmed";
/// Annotation of a lease that was given up: token of the term that is over, its payload gone (F3).
pub const STOPPED: &str = "helium.dev/failover-stopped";
/// Annotation: why this term began, or why it was given up; it becomes the group's `status.reason`.
pub const REASON: &str = "helium.dev/failover-reason";

/// A term that may not be over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// Who led.
    pub cluster: ClusterName,
    /// Its token.
    pub token: Token,
    /// Whether its payload has a dead-man's switch, and how long that takes after the record ran out.
    pub dead_man: Option<Duration>,
}

/// What the machine sees of the group's Lease at one resourceVersion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseView {
    /// resourceVersion: a claim or renewal is a compare on it.
    pub version: String,
    /// Who holds it, if anybody.
    pub holder: Option<Holder>,
    /// To whom the holder would hand over, or for whom a free lease is kept for a moment.
    pub preferred: Option<ClusterName>,
    /// Earlier terms that may not be over.
    pub unconfirmed: Vec<Term>,
}

/// A holder, as its last record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its cluster.
    pub cluster: ClusterName,
    /// The term's token.
    pub token: Token,
    /// How long the record holds.
    pub duration: Duration,
    /// The mode in which it understands the term.
    pub mode: Mode,
    /// Whether its payload has a dead-man's switch, and how long that takes after the record ran out.
    pub dead_man: Option<Duration>,
}
