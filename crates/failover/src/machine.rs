//! The state machine of one member of one group.
//!
//! It is level-triggered: the runtime tells it the newest of everything it sees (`see_*`), the outcome of what it was asked to do
//! ([`Machine::done_store`], [`Machine::done_cluster`]), and asks what to do now ([`Machine::next`]), each with the time of the member's boot clock. It may be asked as
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

mod action;
mod state;
mod view;

pub use action::{Action, ClusterDone, Next, StoreDone};
pub use state::{Reason, State, Transition};
pub use view::{Candidate, Footprint, GroupView, Own, Phase};

use crate::lease::{LeaseView, Term};
use crate::names::{ClusterName, Token};
use crate::timing::Boot;

/// One member of one group.
#[derive(Debug)]
pub struct Machine {
    me: ClusterName,
    state: State,
    reason: Reason,
    own: Option<Option<Own>>,
    group: Option<Option<GroupView>>,
    lease: Option<Option<LeaseView>>,
    transitions: Vec<Transition>,
}

impl Machine {
    /// A member, with what is left of an earlier life. Until it is told otherwise it has read nothing.
    #[must_use]
    pub fn new(me: ClusterName, footprint: Option<Footprint>) -> Self {
        let (state, reason) = match footprint {
            None => (State::Standby, Reason::Fresh),
            Some(_) => (State::Isolated, Reason::Restarted),
        };
        Self {
            me,
            state,
            reason,
            own: None,
            group: None,
            lease: None,
            transitions: Vec::new(),
        }
    }

    /// Its own object; `None`: there is none.
    pub fn see_own(&mut self, _now: Boot, own: Option<Own>) {
        self.own = Some(own);
    }

    /// The group; `None`: there is none.
    pub fn see_group(&mut self, _now: Boot, group: Option<GroupView>) {
        self.group = Some(group);
    }

    /// The lease, as a watch or a list has it: it may be old; `None`: there is none.
    pub fn see_lease(&mut self, _now: Boot, lease: Option<LeaseView>) {
        self.lease = Some(lease);
    }

    /// The store's answer to the open request, which was sent at `sent`: the time must have been taken *before* the sending (F2).
    pub fn done_store(&mut self, _now: Boot, _sent: Boot, _done: StoreDone) {}

    /// The open job in the own cluster ended so. A job that was replaced by a `Stop` gives no answer.
    pub fn done_cluster(&mut self, _now: Boot, _done: ClusterDone) {}

    /// What to do now, and when to ask again at the latest. May be asked at any time.
    pub fn next(&mut self, _now: Boot) -> Next {
        Next::default()
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

    /// Why.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// Token of the term that is lived or being ended.
    #[must_use]
    pub fn token(&self) -> Option<Token> {
        None
    }

    /// When stopping begins unless another renewal is acknowledged. Only in Elected, Starting, Leading and Draining.
    #[must_use]
    pub fn deadline(&self) -> Option<Boot> {
        None
    }

    /// Send time of the last acknowledged renewal of the present term: what the state file keeps for [`Footprint::sent`].
    #[must_use]
    pub fn sent(&self) -> Option<Boot> {
        None
    }

    /// `ready` of its entry: it may lead, and nothing that it knows of prevents it.
    #[must_use]
    pub fn ready(&self) -> bool {
        false
    }

    /// `standsFor` of its entry.
    #[must_use]
    pub fn stands_for(&self) -> Option<Token> {
        None
    }

    /// `stopped` of its entry. Complete only after the group was seen: an entry is not written before that.
    #[must_use]
    pub fn stopped(&self) -> Option<Token> {
        None
    }

    /// Payload that is known to be applied in the present term.
    #[must_use]
    pub fn applied(&self) -> Option<&str> {
        None
    }

    /// Earlier terms of the present lease that nobody has confirmed to be over.
    #[must_use]
    pub fn unconfirmed(&self) -> &[Term] {
        &[]
    }

    /// Whether nothing of this member is left: no payload, no term, no open request. A finalizer may go, and the machine.
    #[must_use]
    pub fn at_rest(&self) -> bool {
        self.state == State::Standby
    }

    /// Changes of state since the last call, the oldest first.
    pub fn take_transitions(&mut self) -> Vec<Transition> {
        std::mem::take(&mut self.transitions)
    }
}
