//! Requests about the group's Lease: their text, their sending, and what their answers come to.

use std::time::Duration;

use helium_failover::kind::DeadManSwitch;
use helium_failover::machine::{Action, StoreDone};
use jiff::Timestamp;
use serde_json::Value;
use tokio::time::Instant;
use tracing::warn;

use super::Member;
use super::jobs::Finished;
use crate::failover::store::{self, Answer};
use crate::failover::{clock, record, switch};

impl Member {
    pub(super) fn act_at_store(&mut self, action: Action) {
        self.store.begin();
        let client = self.shared.clients.borrow().clone();
        let group = self.group.clone();
        let bound = store::bound(self.lease_duration(&action));
        let record = match &action {
            Action::Read => {
                self.jobs.spawn(async move {
                    let answer = store::read(client, &group, bound).await;
                    Finished::Store(Box::new(action), answer)
                });
                return;
            }
            _ => self.record(&action),
        };
        let begins = matches!(action, Action::Claim { .. });
        let Some(record) = record else {
            // A record that isn't remembered any more is certainly not the newest.
            let answer = Answer {
                sent: clock::now(),
                done: StoreDone::Refused,
                record: None,
                refusal: None,
                took: Duration::ZERO,
            };
            self.jobs
                .spawn(async move { Finished::Store(Box::new(action), answer) });
            return;
        };
        self.jobs.spawn(async move {
            let answer = store::write(client, &group, &record, bound, begins).await;
            Finished::Store(Box::new(action), answer)
        });
    }

    /// T of the term that an action is about.
    pub(super) fn lease_duration(&mut self, action: &Action) -> Duration {
        if let Action::Claim { timing, .. } = action {
            self.timing = Some(*timing);
        }
        self.timing
            .map_or(Duration::from_secs(15), |timing| timing.lease)
    }

    /// The text of the lease that an action writes.
    pub(super) fn record(&self, action: &Action) -> Option<Value> {
        let base = |version: &str| {
            let mut records = self.records.iter();
            records
                .find(|(known, _)| known == version)
                .map(|(_, record)| record)
        };
        let now = Timestamp::now();
        let group = &self.group;
        match action {
            Action::Claim {
                version,
                reason,
                mode,
                timing,
                dead_man,
                unconfirmed,
            } => {
                let base = match version {
                    Some(version) => Some(base(version)?),
                    None => None,
                };
                let term = record::Begin {
                    cluster: &self.shared.me,
                    address: self.address.as_deref(),
                    reason: *reason,
                    mode: *mode,
                    timing: *timing,
                    dead_man: (*dead_man == DeadManSwitch::Probe).then(|| switch::takes(*timing)),
                    unconfirmed,
                };
                Some(record::begun(base, group, &term, now))
            }
            Action::Renew {
                version,
                preferred,
                unconfirmed,
            } => Some(record::renewed(
                base(version)?,
                group,
                preferred.as_ref(),
                self.address.as_deref(),
                unconfirmed,
                now,
            )),
            Action::Release {
                version,
                token,
                preferred,
                reason,
                unconfirmed,
            } => Some(record::released(
                base(version)?,
                group,
                *token,
                preferred.as_ref(),
                *reason,
                unconfirmed,
                now,
            )),
            _ => None,
        }
    }

    /// The store has answered.
    pub(super) fn store_answered(&mut self, action: &Action, answer: Answer) {
        self.store.end(true, Instant::now());
        let now = clock::now();
        if let Some(record) = answer.record {
            let version = record["metadata"]["resourceVersion"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            self.keep_record(&version, record);
        }
        if matches!(action, Action::Renew { .. } | Action::Claim { .. }) {
            self.shared
                .metrics
                .renewal(answer.took, matches!(answer.done, StoreDone::Written(_)));
        }
        if let Some(refusal) = answer.refusal {
            warn!(group = %self.group, refusal, "the group's lease was refused");
            let note = format!(
                "the control plane refuses to write Lease {}/{}: {refusal}",
                self.group.namespace,
                self.group.lease()
            );
            self.tell_once("LeaseRefused", "Renew", &note);
        }
        self.machine.done_store(now, answer.sent, answer.done);
        if let (Some(token), Some(sent)) = (self.machine.token(), self.machine.sent()) {
            self.shared.memory.renewed(&self.group, token, sent);
            if let Some((_, alive)) = self.alive.as_ref().filter(|(of, _)| *of == token) {
                alive.send_replace(Some(sent));
            }
        }
    }
}
