//! The state machine of one member of one group.
//!
//! It is level-triggered: the runtime tells it the newest of everything it sees (`see_*`), the outcome of what it was asked to do
//! ([`Machine::done`]), and asks what to do now ([`Machine::next`]), each with the time of the member's boot clock. It may be asked as
//! often as one likes; it must be asked at the moment that it names. At most one request to the store and one job in the member's own cluster are
//! open at a time.
//!
//! ```text
//! Standby ⇄ Candidate → Elected → Starting → Leading → Draining → Candidate or Standby
//!                          └────────┴─────────┴──→ Isolated → Candidate or Standby
//! ```
//!
//! | state | what it means | store | own cluster |
//! |---|---|---|---|
//! | Standby | may not lead: not ready, deleted, paused by its own trouble | watches | nothing of the payload is there |
//! | Candidate | may lead | claims the lease when it is its turn | nothing is there |
//! | Elected | holds the lease at a token; an earlier term may not be over | renews | nothing is there |
//! | Starting | all earlier terms are over | renews | the payload is applied |
//! | Leading | the payload is applied | renews | edits are applied |
//! | Draining | leads no more, by its own decision or by being told | renews until all is gone, then gives the lease up | the payload is deleted |
//! | Isolated | could not renew in time, or has lost the lease | nothing until all is gone; then acknowledges | the payload is deleted |

use std::time::Duration;

use crate::kind::{DeadManSwitch, Mode};
use crate::lease::{LeaseView, Term};
use crate::names::{ClusterName, Token};
use crate::timing::{Boot, Timing};

/// Where a member stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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

/// Why a member is in its state. The name is what `status` shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Its object says `ready: false`.
    NotReady,
    /// Its object is deleted.
    Deleted,
    /// Its object, or the group, says what can't be followed.
    Invalid,
    /// The payload was refused; another try follows later.
    PayloadRefused,
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
    /// The payload is applied.
    Applied,
    /// A member of higher rank is there.
    HigherRank,
    /// The group prefers another member.
    Preferred,
    /// Another member has the lease.
    Lost,
    /// No renewal was acknowledged in time.
    NotRenewed,
    /// The payload is gone and its end acknowledged.
    Stopped,
    /// The agent restarted and can't know whether its term is over.
    Restarted,
}

/// What the member's own object says, once it was found to be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Own {
    /// May lead.
    pub ready: bool,
    /// Being deleted.
    pub deleted: bool,
    /// What it says can't be followed.
    pub invalid: bool,
    /// Identifies the payload's text; another one is applied anew.
    pub payload: String,
    /// Address for others.
    pub address: Option<String>,
}

/// A member of the group as the others see it. The list is the same everywhere but for `alive`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Who.
    pub cluster: ClusterName,
    /// Its rank.
    pub rank: i64,
    /// May lead, as it says.
    pub ready: bool,
    /// Whether its cluster's heartbeat is there. For order only, never for safety.
    pub alive: bool,
    /// When it became a member: of equal ranks the older leads.
    pub joined: String,
    /// Its answer to `preferredHolder`.
    pub stands_for: Option<Token>,
    /// Terms of its own up to this one are over.
    pub stopped: Option<Token>,
}

/// The group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupView {
    /// Times for new terms.
    pub timing: Timing,
    /// Mode for new terms.
    pub mode: Mode,
    /// Switch for new terms.
    pub dead_man: DeadManSwitch,
    /// No term begins, nobody hands over.
    pub paused: bool,
    /// Who leads while it can, whatever the ranks.
    pub preferred: Option<ClusterName>,
    /// A person's word.
    pub force: Option<(Token, ClusterName)>,
    /// All members, this one among them.
    pub members: Vec<Candidate>,
}

/// What is left of an earlier life of this agent, as its own cluster says (F4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Footprint {
    /// The term.
    pub token: Token,
    /// Its times.
    pub timing: Timing,
    /// Its mode.
    pub mode: Mode,
    /// Identifies the payload that was applied.
    pub payload: String,
    /// Whether stopping had begun: a term that was being stopped is never resumed.
    pub stopping: bool,
    /// When the last acknowledged renewal was sent, if that is known and of this boot of the machine.
    pub sent: Option<Boot>,
}

/// What to do. Those with an answer are answered by [`Machine::done`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// To the store: begin a term, by a compare on `version` (`None`: the lease doesn't exist).
    Claim {
        /// The record that is replaced.
        version: Option<String>,
        /// Why.
        reason: Reason,
        /// Mode and times of the term.
        mode: Mode,
        /// Times of the term.
        timing: Timing,
        /// Whether the payload will have a switch.
        dead_man: DeadManSwitch,
        /// Earlier terms that may not be over.
        unconfirmed: Vec<Term>,
    },
    /// To the store: renew, by a compare on `version`.
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
        /// The term that is over.
        token: Token,
        /// For whom it is kept for a moment.
        preferred: Option<ClusterName>,
        /// Why.
        reason: Reason,
        /// Earlier terms that may not be over.
        unconfirmed: Vec<Term>,
    },
    /// In the own cluster: write the footprint, then apply the payload. Must not begin any write after `until`.
    Apply {
        /// The term.
        token: Token,
        /// Which payload.
        payload: String,
        /// Nothing is sent after this moment.
        until: Boot,
    },
    /// In the own cluster: end what `Apply` does, wait until its writes are answered or timed out, delete what is owned, and wait until
    /// it is gone.
    Stop {
        /// The term.
        token: Token,
        /// Whether pods must be gone too.
        mode: Mode,
    },
}

/// The answer to an [`Action`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done {
    /// The lease was written: this is its record now. For `Claim`, `Renew` and `Release`.
    Written(LeaseView),
    /// The compare failed or the server refused: nothing was written, and the record is another one.
    Refused,
    /// No answer, or one that doesn't tell: it may have been written.
    Unknown,
    /// The store went back in time lately and begins no term; ask again after this long.
    NotYet(Duration),
    /// The payload is applied.
    Applied,
    /// The payload can't be applied as it is.
    Rejected,
    /// Applying or stopping failed for now (own API server away, time over).
    Failed,
    /// Everything that was owned is gone.
    Gone,
}

/// One member of one group.
#[derive(Debug)]
pub struct Machine {
    me: ClusterName,
    state: State,
}

/// What [`Machine::next`] asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Next {
    /// To be done now.
    pub actions: Vec<Action>,
    /// When to ask again at the latest.
    pub wake: Option<Boot>,
}

impl Machine {
    /// A member, with what is left of an earlier life.
    #[must_use]
    pub fn new(me: ClusterName, footprint: Option<Footprint>) -> Self {
        let state = match footprint {
            None => State::Standby,
            Some(_) => State::Isolated,
        };
        Self { me, state }
    }

    /// Who.
    #[must_use]
    pub fn me(&self) -> &ClusterName {
        &self.me
    }

    /// Where it stands.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }
}
