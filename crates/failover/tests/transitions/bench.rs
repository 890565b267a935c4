//! A machine alone on a bench: its surroundings are told to it step by step.
#![allow(unreachable_pub, missing_docs)]

use std::time::Duration;

use helium_failover::kind::{DeadManSwitch, Mode};
use helium_failover::lease::{Holder, LeaseView, Term};
use helium_failover::machine::{
    Action, Candidate, ClusterDone, Footprint, GroupView, Machine, Own, Reason, State, StoreDone,
};

/// When a bench begins.
pub const START: Boot = Boot(Duration::from_secs(1000));
use helium_failover::{Boot, ClusterName, Timing, Token};

/// T = 15 s, 5 s of which are for stopping: it begins 9.85 s after the last acknowledged sending.
pub const TIMING: Timing = Timing {
    lease: Duration::from_secs(15),
    stop_budget: Duration::from_secs(5),
};

pub fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub fn name(cluster: &str) -> ClusterName {
    ClusterName(cluster.to_owned())
}

pub fn own() -> Own {
    Own {
        ready: true,
        deleted: false,
        invalid: false,
        payload: "one".to_owned(),
        address: None,
    }
}

pub fn member(cluster: &str, rank: i64) -> Candidate {
    Candidate {
        cluster: name(cluster),
        rank,
        ready: true,
        alive: true,
        joined: "2026-01-01T00:00:00Z".to_owned(),
        stands_for: None,
        stopped: None,
    }
}

/// One machine, what it last saw, and what it asked for and wasn't answered yet.
pub struct Bench {
    pub machine: Machine,
    pub group: GroupView,
    pub own: Own,
    pub asked: Vec<Action>,
    pub wake: Option<Boot>,
    pub lease: Option<LeaseView>,
    now: Boot,
    version: u64,
}

impl Bench {
    /// `me` has rank 5; there is "west" with rank 10, which isn't ready, so that `me` is the best.
    pub fn new(me: &str) -> Self {
        Self::with(me, None)
    }

    pub fn with(me: &str, footprint: Option<Footprint>) -> Self {
        let mut west = member("west", 10);
        west.ready = false;
        let group = GroupView {
            timing: TIMING,
            mode: Mode::Fast,
            dead_man: DeadManSwitch::None,
            paused: false,
            preferred: None,
            force: None,
            members: vec![member(me, 5), west],
            last_term: None,
        };
        let mut bench = Self {
            machine: Machine::new(name(me), footprint),
            group,
            own: own(),
            asked: Vec::new(),
            wake: None,
            lease: None,
            now: START,
            version: 100,
        };
        bench.see();
        bench
    }

    pub fn now(&self) -> Boot {
        self.now
    }

    /// Tells object and group as they are.
    pub fn see(&mut self) {
        self.machine.see_own(self.now, Some(self.own.clone()));
        self.machine.see_group(self.now, Some(self.group.clone()));
        self.turn();
    }

    pub fn change(&mut self, change: impl FnOnce(&mut GroupView, &mut Own)) {
        change(&mut self.group, &mut self.own);
        self.see();
    }

    pub fn absent(&mut self) {
        self.lease = None;
        self.machine.see_lease(self.now, None);
        self.turn();
    }

    /// The watch shows a lease held by `cluster`.
    pub fn held(&mut self, cluster: &str, token: i64) {
        let view = self.view(Some((cluster, token)));
        self.show(view);
    }

    /// The watch shows this.
    pub fn show(&mut self, view: LeaseView) {
        self.lease = Some(view.clone());
        self.machine.see_lease(self.now, Some(view));
        self.turn();
    }

    /// The next version of the lease.
    pub fn view(&mut self, holder: Option<(&str, i64)>) -> LeaseView {
        self.version += 1;
        LeaseView {
            version: self.version.to_string(),
            holder: holder.map(|(cluster, token)| Holder {
                cluster: name(cluster),
                token: Token(token),
                duration: TIMING.lease,
                mode: self.group.mode,
                dead_man: None,
            }),
            preferred: None,
            unconfirmed: Vec::new(),
            stopped: None,
        }
    }

    /// Lets time pass, waking as asked.
    pub fn pass(&mut self, by: Duration) {
        let end = self.now + by;
        while let Some(wake) = self.wake.filter(|wake| *wake <= end) {
            self.now = wake.max(self.now);
            self.turn();
        }
        self.now = end;
        self.turn();
    }

    /// Lets time pass without waking: the agent is paused.
    pub fn paused(&mut self, by: Duration) {
        self.now = self.now + by;
        self.turn();
    }

    fn turn(&mut self) {
        let next = self.machine.next(self.now);
        self.wake = next.wake.filter(|wake| *wake > self.now);
        for action in next.actions {
            if matches!(action, Action::Stop { .. }) {
                self.asked
                    .retain(|open| !matches!(open, Action::Apply { .. }));
            }
            self.asked.push(action);
        }
        for store in [true, false] {
            let open = self.asked.iter().filter(|one| one.is_for_store() == store);
            assert!(open.count() <= 1, "two at once: {:?}", self.asked);
        }
    }

    /// The only thing that is asked for; it stays open.
    pub fn sole(&self) -> Action {
        assert_eq!(self.asked.len(), 1, "{:?}", self.asked);
        self.asked[0].clone()
    }

    fn take(&mut self, store: bool) -> Action {
        let open = self
            .asked
            .iter()
            .position(|one| one.is_for_store() == store);
        self.asked
            .remove(open.unwrap_or_else(|| panic!("nothing is asked for: {:?}", self.asked)))
    }

    /// The open request was carried out: `cluster` holds the lease at `token` by it, with what the request said.
    pub fn wrote(&mut self, cluster: &str, token: i64) -> Action {
        self.wrote_sent(cluster, token, self.now)
    }

    /// The same, with the time of its sending.
    pub fn wrote_sent(&mut self, cluster: &str, token: i64, sent: Boot) -> Action {
        let ask = self.take(true);
        let mut view = self.view(Some((cluster, token)));
        match &ask {
            Action::Claim {
                unconfirmed, mode, ..
            } => {
                view.unconfirmed.clone_from(unconfirmed);
                if let Some(holder) = &mut view.holder {
                    holder.mode = *mode;
                }
            }
            Action::Renew {
                preferred,
                unconfirmed,
                ..
            } => {
                view.preferred.clone_from(preferred);
                view.unconfirmed.clone_from(unconfirmed);
            }
            Action::Release {
                token,
                preferred,
                unconfirmed,
                ..
            } => {
                view.holder = None;
                view.stopped = Some(*token);
                view.preferred.clone_from(preferred);
                view.unconfirmed.clone_from(unconfirmed);
            }
            other => panic!("not a write: {other:?}"),
        }
        self.lease = Some(view.clone());
        self.machine
            .done_store(self.now, sent, StoreDone::Written(view));
        self.turn();
        ask
    }

    /// The open request ended so.
    pub fn answered(&mut self, done: StoreDone) -> Action {
        let ask = self.take(true);
        self.machine.done_store(self.now, self.now, done);
        self.turn();
        ask
    }

    /// The open job ended so.
    pub fn job(&mut self, done: ClusterDone) -> Action {
        let job = self.take(false);
        self.machine.done_cluster(self.now, done);
        self.turn();
        job
    }

    /// An answer to a job that isn't open any more.
    pub fn late(&mut self, done: ClusterDone) {
        self.machine.done_cluster(self.now, done);
        self.turn();
    }

    /// The changes of state since the last call.
    #[track_caller]
    pub fn expect(&mut self, transitions: &[(State, State, Reason)]) {
        let took = self.machine.take_transitions();
        let took: Vec<_> = took
            .iter()
            .map(|one| (one.from, one.to, one.reason))
            .collect();
        assert_eq!(took, transitions);
    }

    /// Leads at token 5, with nothing open.
    pub fn leads(&mut self) {
        self.absent();
        let me = self.machine.me().0.clone();
        self.wrote(&me, 5);
        self.job(ClusterDone::Applied);
        assert_eq!(self.machine.state(), State::Leading);
        self.machine.take_transitions();
    }
}

pub fn term(cluster: &str, token: i64, mode: Mode) -> Term {
    Term {
        cluster: name(cluster),
        token: Token(token),
        mode,
        dead_man: None,
    }
}
