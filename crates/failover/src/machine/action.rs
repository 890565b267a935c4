//! What a member asks for, and the answers.

use std::time::Duration;

use super::Reason;
use crate::kind::{DeadManSwitch, Mode};
use crate::lease::{LeaseView, Term};
use crate::names::{ClusterName, Token};
use crate::timing::{Boot, Timing};

/// What to do. Of each of the two kinds at most one is open: requests to the store are answered by
/// [`done_store`](super::Machine::done_store), jobs in the own cluster by [`done_cluster`](super::Machine::done_cluster). Only a `Stop` is
/// asked for while an `Apply` is open, and replaces it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// To the store: read the lease, linearizably. Asked for when an answer didn't tell what the record is.
    Read,
    /// To the store: begin a term, by a compare on `version` (`None`: create the lease). The annotation
    /// [`STOPPED`](crate::lease::STOPPED) is taken away, and `preferredHolder` too.
    Claim {
        /// The record that is replaced.
        version: Option<String>,
        /// Why.
        reason: Reason,
        /// Mode of the term.
        mode: Mode,
        /// Times of the term.
        timing: Timing,
        /// Whether the payload will have a switch.
        dead_man: DeadManSwitch,
        /// Earlier terms that may not be over.
        unconfirmed: Vec<Term>,
    },
    /// To the store: renew, by a compare on `version`. What isn't named here stays as the record has it.
    Renew {
        /// The record that is replaced.
        version: String,
        /// To whom the lease would be handed over: asks it whether it stands ready.
        preferred: Option<ClusterName>,
        /// Earlier terms that may not be over.
        unconfirmed: Vec<Term>,
    },
    /// To the store: give the lease up, by a compare on `version`. Everything is gone (F3).
    Release {
        /// The record that is replaced.
        version: String,
        /// The term that is over: the value of [`STOPPED`](crate::lease::STOPPED).
        token: Token,
        /// For whom it is kept for a moment.
        preferred: Option<ClusterName>,
        /// Why.
        reason: Reason,
        /// Earlier terms that may not be over.
        unconfirmed: Vec<Term>,
    },
    /// In the own cluster: write the footprint, then apply the payload. No write is sent after `until`.
    Apply {
        /// The term.
        token: Token,
        /// Mode of the term.
        mode: Mode,
        /// Times of the term.
        timing: Timing,
        /// Whether the payload has a switch.
        dead_man: DeadManSwitch,
        /// Which payload.
        payload: String,
        /// Nothing is sent after this moment.
        until: Boot,
    },
    /// In the own cluster: end what `Apply` does, wait until its writes (and those of an earlier life of the agent) are answered or
    /// timed out, delete what is owned, and wait until it is gone (F3). Without a footprint there is nothing to delete; then too the answer
    /// comes only when no `Apply` of this term can write any more.
    Stop {
        /// The term.
        token: Token,
        /// Whether pods must be gone too.
        mode: Mode,
    },
}

impl Action {
    /// Whether it goes to the store; otherwise it is a job in the own cluster.
    #[must_use]
    pub fn is_for_store(&self) -> bool {
        !matches!(self, Self::Apply { .. } | Self::Stop { .. })
    }
}

/// The store's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreDone {
    /// The lease is this (`None`: it doesn't exist). For `Read`.
    Read(Option<LeaseView>),
    /// The lease was written: this is its record now. For `Claim`, `Renew` and `Release`.
    Written(LeaseView),
    /// The compare failed or the server refused: nothing was written.
    Refused,
    /// No answer, or one that doesn't tell: it may have been written. For `Read`: nothing is known.
    Unknown,
    /// The store went back in time lately and begins no term; ask again after this long. For `Claim`.
    NotYet(Duration),
}

/// How a job in the own cluster ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClusterDone {
    /// The payload is applied.
    Applied,
    /// The payload can't be applied as it is: another try without a change is of little use.
    Rejected,
    /// Applying failed for now (own API server away, `until` over); a part of it may be there.
    ApplyFailed,
    /// Applying failed before anything of the payload was sent: not even the footprint is known to be there.
    ApplyNotBegun,
    /// Everything that was owned is gone.
    Gone,
    /// Stopping failed for now.
    StopFailed,
}

/// What [`Machine::next`](super::Machine::next) asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Next {
    /// To be done now.
    pub actions: Vec<Action>,
    /// When to ask again at the latest.
    pub wake: Option<Boot>,
}
