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
mod alarm;
mod cluster;
mod handover;
mod order;
mod record;
mod state;
mod step;
mod store;
mod term;
mod turn;
mod view;

pub use action::{Action, ClusterDone, Next, StoreDone};
pub use state::{Reason, State, Transition};
pub use view::{Candidate, Footprint, GroupView, Own, Phase};

use alarm::Alarm;
use cluster::{Cluster, Refusal};
use handover::Handover;
use record::Record;
use store::Store;
use term::Held;

use crate::lease::{LeaseView, Term};
use crate::names::{ClusterName, Token};
use crate::timing::Boot;

/// One member of one group.
#[derive(Debug)]
pub struct Machine {
    me: ClusterName,
    state: State,
    reason: Reason,
    /// `None`: never read. `Some(None)`: there is none. The same for the group.
    own: Option<Option<Own>>,
    group: Option<Option<GroupView>>,
    record: Record,
    /// The term that is lived or being ended: there in every state but Standby and Candidate.
    held: Option<Held>,
    /// Every term of this member up to this one is over, and its payload gone.
    over: Option<Token>,
    /// Nothing that is known here keeps it from leading.
    eligible: bool,
    store: Store,
    cluster: Cluster,
    refusal: Refusal,
    handover: Handover,
    /// No claim before this moment (F5).
    not_yet: Option<Boot>,
    /// A claim of this machine that replaced this record, or a later one, was not answered: it may have begun a term.
    blind: Option<Token>,
    unconfirmed: Vec<Term>,
    transitions: Vec<Transition>,
}

impl Machine {
    /// A member, with what is left of an earlier life. Until it is told otherwise it has read nothing.
    ///
    /// A term whose last acknowledged renewal is known ([`Footprint::sent`]) goes on until its deadline, and beyond it if a
    /// renewal is acknowledged. Without that nobody knows whether it is over, so it is stopped.
    #[must_use]
    pub fn new(me: ClusterName, footprint: Option<Footprint>) -> Self {
        let known = |left: &Footprint| left.sent.is_some() && left.phase != Phase::Stopping;
        let (state, reason) = match &footprint {
            None => (State::Standby, Reason::Fresh),
            Some(left) if !known(left) => (State::Isolated, Reason::Restarted),
            Some(left) if left.phase == Phase::Running => (State::Leading, Reason::Resumed),
            Some(_) => (State::Starting, Reason::Resumed),
        };
        let mut record = Record::default();
        let held = footprint.as_ref().map(|left| {
            record.doubt();
            let ends = (state == State::Isolated).then_some(reason);
            Held {
                ends,
                ..Held::left(left)
            }
        });
        Self {
            me,
            state,
            reason,
            own: None,
            group: None,
            record,
            held,
            over: None,
            eligible: false,
            store: Store::default(),
            cluster: Cluster::default(),
            refusal: Refusal::default(),
            handover: Handover::default(),
            not_yet: None,
            blind: None,
            unconfirmed: Vec::new(),
            transitions: Vec::new(),
        }
    }

    /// Its own object; `None`: there is none.
    pub fn see_own(&mut self, _now: Boot, own: Option<Own>) {
        self.own = Some(own);
    }

    /// The group; `None`: there is none.
    pub fn see_group(&mut self, _now: Boot, group: Option<GroupView>) {
        if let Some(entry) = group.as_ref().and_then(|group| group.member(&self.me)) {
            // What an earlier life has acknowledged stays true, and stays said.
            self.over = self.over.max(entry.stopped);
        }
        self.group = Some(group);
    }

    /// The lease, as a watch or a list has it: it may be old; `None`: there is none.
    pub fn see_lease(&mut self, now: Boot, lease: Option<LeaseView>) {
        if self.record.seen(now, lease) {
            self.store.news();
        }
    }

    /// What to do now, and when to ask again at the latest. May be asked at any time.
    pub fn next(&mut self, now: Boot) -> Next {
        let mut alarm = Alarm::new(now);
        self.settle(&mut alarm);
        let job = self.job(&mut alarm);
        let request = self.request(&mut alarm);
        Next {
            actions: job.into_iter().chain(request).collect(),
            wake: alarm.wake(),
        }
    }

    fn group_seen(&self) -> Option<&GroupView> {
        self.group.as_ref()?.as_ref()
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
        self.held.as_ref().map(|held| held.token)
    }

    /// When stopping begins unless another renewal is acknowledged. In Elected, Starting, Leading and Draining.
    #[must_use]
    pub fn deadline(&self) -> Option<Boot> {
        let held = self.held.as_ref()?;
        (self.state != State::Isolated)
            .then(|| held.deadline())
            .flatten()
    }

    /// Send time of the last acknowledged write of the present term: what the state file keeps, with the token, for [`Footprint::sent`].
    #[must_use]
    pub fn sent(&self) -> Option<Boot> {
        self.held.as_ref()?.sent
    }

    /// `ready` of its entry: it may lead, and nothing that it knows of prevents it.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.eligible && self.state != State::Isolated
    }

    /// `standsFor` of its entry: the token of the term that it would succeed at once.
    #[must_use]
    pub fn stands_for(&self) -> Option<Token> {
        let able = self.state == State::Candidate && self.eligible && self.not_yet.is_none();
        let paused = self.group_seen()?.paused;
        let view = self.record.known()??;
        let holder = view.holder.as_ref()?;
        let asked = view.preferred.as_ref() == Some(&self.me) && holder.cluster != self.me;
        (able && !paused && asked).then_some(holder.token)
    }

    /// `stopped` of its entry. Complete only after the group was seen: an entry is not written before that.
    #[must_use]
    pub fn stopped(&self) -> Option<Token> {
        self.over
    }

    /// Payload that is known to be applied in the present term.
    #[must_use]
    pub fn applied(&self) -> Option<&str> {
        self.held.as_ref()?.applied.as_deref()
    }

    /// Earlier terms of the present lease that nobody has confirmed to be over, while this member has a term. In Elected, those of them
    /// that are waited for: strict ones, and in strict mode all.
    #[must_use]
    pub fn unconfirmed(&self) -> &[Term] {
        &self.unconfirmed
    }

    /// Whether nothing of this member is left: no payload, no term, no open request, and no record that names it. A finalizer may
    /// go, and the machine.
    #[must_use]
    pub fn at_rest(&self) -> bool {
        self.state == State::Standby
            && self.held.is_none()
            && self.store.is_idle()
            && self.cluster.is_idle()
            && self.record.known().is_some()
            && self.record.names(&self.me).is_none()
    }

    /// Changes of state since the last call, the oldest first.
    pub fn take_transitions(&mut self) -> Vec<Transition> {
        std::mem::take(&mut self.transitions)
    }
}
