//! Where a member stands, and why.

use std::fmt;

use crate::names::Token;
use crate::timing::Boot;

/// Where a member stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// May not lead.
    Standby,
    /// May lead.
    Candidate,
    /// Holds the lease and waits until earlier terms are over.
    Elected,
    /// Applies its payload.
    Starting,
    /// Leads.
    Leading,
    /// Stops, and still holds the lease.
    Draining,
    /// Stops, and doesn't know whether it holds the lease.
    Isolated,
}

impl State {
    /// Its name, as `status` shows it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Standby => "Standby",
            Self::Candidate => "Candidate",
            Self::Elected => "Elected",
            Self::Starting => "Starting",
            Self::Leading => "Leading",
            Self::Draining => "Draining",
            Self::Isolated => "Isolated",
        }
    }

    /// Whether a term is lived or being ended in it.
    #[must_use]
    pub fn has_term(self) -> bool {
        !matches!(self, Self::Standby | Self::Candidate)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why a member is in its state. The name is what `status` shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// It has just started and hasn't seen its object, the group and the lease.
    Fresh,
    /// Its object says `ready: false`.
    NotReady,
    /// Its object is deleted.
    Deleted,
    /// Its object, or the group, says what can't be followed.
    Invalid,
    /// The payload was refused; another try follows later.
    PayloadRefused,
    /// The payload couldn't be applied in time (the own API server is away); another try follows later.
    PayloadFailed,
    /// Somebody else leads or should.
    Waiting,
    /// The group is paused.
    Paused,
    /// No term may begin yet: the store went back in time.
    StoreWentBack,
    /// The lease was free.
    Free,
    /// The predecessor handed over.
    HandedOver,
    /// The predecessor's record had run out.
    Expired,
    /// A person forced it.
    Forced,
    /// A term that the same member had before is continued after a restart.
    Resumed,
    /// All earlier terms are over.
    Confirmed,
    /// The payload is applied.
    Applied,
    /// A member that comes first by rank or age is there.
    HigherRank,
    /// The group prefers another member.
    Preferred,
    /// Another member has the lease, or nobody.
    Lost,
    /// No renewal was acknowledged in time.
    NotRenewed,
    /// What must be deleted can't be: the lease is left to run out.
    StopFailed,
    /// The payload is gone and its end acknowledged.
    Stopped,
    /// The agent restarted and can't know whether its term is over.
    Restarted,
    /// The lease names this member at a token that it doesn't know: an answer was lost, or an earlier life of the agent.
    UnknownTerm,
}

impl Reason {
    /// Its name, as `status` shows it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fresh => "Fresh",
            Self::NotReady => "NotReady",
            Self::Deleted => "Deleted",
            Self::Invalid => "Invalid",
            Self::PayloadRefused => "PayloadRefused",
            Self::PayloadFailed => "PayloadFailed",
            Self::Waiting => "Waiting",
            Self::Paused => "Paused",
            Self::StoreWentBack => "StoreWentBack",
            Self::Free => "Free",
            Self::HandedOver => "HandedOver",
            Self::Expired => "Expired",
            Self::Forced => "Forced",
            Self::Resumed => "Resumed",
            Self::Confirmed => "Confirmed",
            Self::Applied => "Applied",
            Self::HigherRank => "HigherRank",
            Self::Preferred => "Preferred",
            Self::Lost => "Lost",
            Self::NotRenewed => "NotRenewed",
            Self::StopFailed => "StopFailed",
            Self::Stopped => "Stopped",
            Self::Restarted => "Restarted",
            Self::UnknownTerm => "UnknownTerm",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A change of state, for Events, history and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition {
    /// Before.
    pub from: State,
    /// After.
    pub to: State,
    /// Why.
    pub reason: Reason,
    /// The term that it concerns, if any.
    pub token: Option<Token>,
    /// When, by the member's boot clock.
    pub at: Boot,
}
