//! A payload is put into the cluster: looked at first, written down, then sent.
//!
//! Everything is looked at before anything is sent: kinds, namespaces, whose the objects are that are there already. So what is refused for such a
//! reason changes nothing. What only the server can judge (a field that isn't valid, a quota) is rehearsed for a payload that is there already, so
//! that a bad edit leaves it as it is. At the start of a term it shows while applying, since a rehearsal costs time that nobody leads; what was
//! applied by then stays, is in the footprint, and goes with the next stop.

mod definitions;
mod examine;
mod plan;
mod prune;
mod rehearse;
mod send;

use std::time::Duration;

use helium_failover::kind::{DeadManSwitch, Mode};
use helium_failover::machine::Phase;
use helium_failover::{Boot, GroupName, Timing, Token};
use tokio_util::sync::CancellationToken;

use super::document::Payload;
use super::footprint::{Put, Record, Stored};
use super::object::{Owner, Place};
use super::site::{Inner, Site};
use super::trouble::{Failure, FailureReason, Problem};
use super::turn::{Limits, Turn};
use super::wire::As;
use plan::Planned;
use prune::Pruned;

pub(super) use examine::{finalizers, pods_shelves};

/// The longest that an object that is being deleted, or a kind that isn't served yet, is waited for at once.
const PAUSE: Duration = Duration::from_millis(50);

/// The term that a payload is applied in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TermContext {
    /// Its token.
    pub token: Token,
    /// Its mode.
    pub mode: Mode,
    /// Its times.
    pub timing: Timing,
    /// What stops the payload's pods when the agent can't.
    pub dead_man: DeadManSwitch,
}

/// How [`Site::apply`] ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApplyOutcome {
    /// Everything is there as it was written, and what was dropped is deleted.
    Applied(Applied),
    /// A person must change something. What was applied before it was refused is in the footprint.
    Rejected(Vec<Problem>),
    /// Not now.
    Failed(Failure),
    /// Another agent has taken the footprint: this one may not touch the payload any more.
    Replaced {
        /// Its id.
        by: String,
    },
}

/// What was applied.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Applied {
    /// The objects, with their uids.
    pub inventory: Vec<Place>,
    /// How many of them weren't there before.
    pub created: usize,
    /// Objects that the payload had before and doesn't have any more, of which the deletion was asked for.
    pub pruned: Vec<Place>,
}

/// Why an application ends early.
#[derive(Debug)]
enum Halt {
    Rejected(Vec<Problem>),
    Failed(Failure),
    Replaced(String),
}

impl From<Failure> for Halt {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// One application.
#[derive(Debug)]
struct Job<'a> {
    site: &'a Inner,
    turn: &'a Turn,
    group: &'a GroupName,
    owner: &'a Owner,
    term: &'a TermContext,
    limits: Limits,
    user: Option<String>,
}

impl Site {
    /// Applies a payload in a term. Nothing is sent from `until` on, nor once `cancel` is cancelled or the group is being stopped;
    /// what is open then is waited for. `until` is when stopping must begin: writes have a quarter of the stop budget beyond it
    /// to be answered.
    pub async fn apply(
        &self,
        group: &GroupName,
        owner: &Owner,
        payload: &Payload,
        term: &TermContext,
        until: Boot,
        cancel: &CancellationToken,
    ) -> ApplyOutcome {
        let inner = &*self.inner;
        let turn = inner.turn(group);
        let era = turn.era();
        let limits = Limits {
            until,
            lands: until + term.timing.stop_budget / 4,
            request: inner.options.request_timeout,
            clock: inner.options.clock,
            stops: [era.clone(), cancel.clone()],
        };
        let place = tokio::select! {
            biased;
            () = cancel.cancelled() => None,
            place = turn.take(&era) => place,
        };
        let job = Job {
            site: inner,
            turn: &turn,
            group,
            owner,
            term,
            limits,
            user: inner.user(group),
        };
        let done = match place {
            // The same words as when it is ended later.
            None => Err(Halt::Failed(job.limits.bound().err().unwrap_or_else(
                || Failure::new(FailureReason::Ended, "the application was ended"),
            ))),
            Some(_place) => job.run(payload).await,
        };
        match done {
            Ok(applied) => ApplyOutcome::Applied(applied),
            Err(Halt::Rejected(problems)) => ApplyOutcome::Rejected(problems),
            Err(Halt::Failed(failure)) => ApplyOutcome::Failed(failure),
            Err(Halt::Replaced(by)) => ApplyOutcome::Replaced { by },
        }
    }
}

impl Job<'_> {
    fn who(&self) -> As<'_> {
        self.user.as_deref().map_or(As::Agent, As::User)
    }

    async fn run(&self, payload: &Payload) -> Result<Applied, Halt> {
        let mut planned = self.plan(payload).await?;
        let strays = self.examine(&mut planned).await?;
        if planned.iter().any(|one| one.present.is_some()) {
            self.rehearse(&planned).await?;
        }
        let begun = self.begin(payload, &planned, strays).await?;
        let mut created = 0;
        for (step, places) in plan::steps(&planned) {
            let placed = self.send_all(&planned, &places).await?;
            for (index, uid, is_new) in placed {
                planned[index].place.uid = Some(uid);
                created += usize::from(is_new);
            }
            if step == super::order::Step::Definitions {
                self.definitions_served(&planned).await?;
            }
        }
        let inventory: Vec<Place> = planned.iter().map(|one| one.place.clone()).collect();
        let pruned = self.prune(&begun.record.dropped).await?;
        self.finish(begun, &inventory, &pruned).await?;
        Ok(Applied {
            inventory,
            created,
            pruned: pruned.deleted,
        })
    }

    /// P1: what will be there, and what was, is written down.
    async fn begin(
        &self,
        payload: &Payload,
        planned: &[Planned],
        strays: Vec<Place>,
    ) -> Result<Stored, Halt> {
        // What can't change between reading and writing is asked first.
        if let Some(stored) = self.turn.memory() {
            self.may_begin(&stored.record)?;
        }
        let term = self.term;
        let put = self
            .site
            .footprints
            .put(
                self.group,
                self.turn.memory(),
                || self.limits.bound(),
                |before| {
                    let inventory: Vec<Place> =
                        planned.iter().map(|one| one.place.clone()).collect();
                    let mut dropped: Vec<Place> = Vec::new();
                    let earlier = before.into_iter().flat_map(Record::everything);
                    for place in earlier.chain(&strays) {
                        let is_known = |known: &Place| known.is(place);
                        if !inventory.iter().any(is_known) && !dropped.iter().any(is_known) {
                            dropped.push(place.clone());
                        }
                    }
                    let millis =
                        |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
                    let record = Record {
                        namespace: self.group.namespace.clone(),
                        callsign: self.group.callsign.clone(),
                        owner: self.owner.clone(),
                        agent: self.site.footprints.agent.clone(),
                        token: term.token,
                        mode: term.mode,
                        dead_man: term.dead_man,
                        lease_millis: millis(term.timing.lease),
                        stop_budget_millis: millis(term.timing.stop_budget),
                        request_millis: millis(self.limits.request),
                        payload: payload.hash().to_owned(),
                        phase: Phase::Starting,
                        inventory,
                        dropped,
                    };
                    match before {
                        // Another one was written meanwhile: it stays as it is, and ends this.
                        Some(before) if self.may_begin(before).is_err() => before.clone(),
                        _ => record,
                    }
                },
            )
            .await;
        let stored = self.settled(put)?;
        self.may_begin(&stored.record)?;
        if stored.record.token != term.token || stored.record.phase != Phase::Starting {
            let message = "the footprint was written by somebody else meanwhile; it is tried again";
            return Err(Failure::new(FailureReason::Busy, message).into());
        }
        Ok(stored)
    }

    /// A term that is being stopped isn't begun again, nor one that was followed by another.
    fn may_begin(&self, before: &Record) -> Result<(), Failure> {
        let is_over = before.token > self.term.token
            || (before.token == self.term.token && before.phase == Phase::Stopping);
        if is_over {
            let message = format!("the term of token {} is over", self.term.token);
            return Err(Failure::new(FailureReason::Ended, message));
        }
        Ok(())
    }

    fn settled(&self, put: Put) -> Result<Stored, Halt> {
        match put {
            Put::Done(stored) => {
                self.turn.remember(Some(Stored::clone(&stored)));
                Ok(*stored)
            }
            Put::Replaced(by) => Err(Halt::Replaced(by)),
            Put::Failed(failure) => Err(Halt::Failed(failure)),
        }
    }

    /// Every write was answered, and this is all there is.
    async fn finish(
        &self,
        begun: Stored,
        inventory: &[Place],
        pruned: &Pruned,
    ) -> Result<(), Halt> {
        let all = begun.record.clone();
        let put = self
            .site
            .footprints
            .put(
                self.group,
                Some(begun),
                || self.limits.bound(),
                |before| {
                    // Removed under our hands: what we know is written anew.
                    let mut record = before.unwrap_or(&all).clone();
                    if record.phase == Phase::Starting && record.token == self.term.token {
                        record.phase = Phase::Running;
                        record.inventory = inventory.to_vec();
                        record.dropped.clone_from(&pruned.remaining);
                    }
                    record
                },
            )
            .await;
        self.settled(put).map(|_| ())
    }
}
