//! What is new is read, and told to the machine.

use std::sync::Arc;

use helium_failover::Boot;
use helium_failover::lease::LeaseView;
use helium_failover::machine::Own;
use serde_json::Value;

use super::{Member, RECORDS, Seen};
use crate::failover::clock;
use crate::failover::event::Subject;
use crate::failover::group::Group;
use crate::failover::payload::Payload;
use crate::failover::plan::{self, Problem};

impl Member {
    /// Tells the machine what is new.
    pub(super) fn look(&mut self) {
        let inputs = self.inputs.borrow_and_update().clone();
        let now = clock::now();
        let seen = std::mem::replace(&mut self.seen, inputs);
        let news = !self.seen.own.is(&seen.own);
        if news {
            self.read_own();
            self.see_own(now);
        }
        let alive = match (&self.seen.alive, &seen.alive) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, None) => true,
            _ => false,
        };
        if news || !self.seen.group.is(&seen.group) || !alive {
            self.see_group(now);
        }
        if !self.seen.lease.is(&seen.lease) {
            match &self.seen.lease {
                Seen::Unread => {}
                Seen::Absent => self.machine.see_lease(now, None),
                Seen::There(object) => {
                    if let Ok(record) = serde_json::to_value(&**object) {
                        let view = LeaseView::of(&record);
                        self.keep_record(&view.version, record);
                        self.machine.see_lease(now, Some(view));
                    }
                }
            }
        }
    }

    pub(super) fn keep_record(&mut self, version: &str, record: Value) {
        if self.records.iter().any(|(known, _)| known == version) {
            return;
        }
        if self.records.len() >= RECORDS {
            self.records.pop_front();
        }
        self.records.push_back((version.to_owned(), record));
    }

    pub(super) fn read_own(&mut self) {
        let found = self.seen.own.object().cloned();
        let found = found.filter(|object| {
            // Another object in this one's place is another member.
            object.metadata.uid.as_deref() == Some(self.uid.as_str())
        });
        if let Some(object) = &found {
            self.subject = Subject::of(object);
        }
        self.own = found;
        let Some(object) = self.own.clone() else {
            return;
        };
        let spec = match plan::spec(&object) {
            Ok(spec) => spec,
            Err(problem) => return self.complain(Some(problem)),
        };
        self.address.clone_from(&spec.service_address);
        let rank = plan::rank(&spec);
        if let Ok(rank) = rank {
            self.rank = rank;
        }
        let mut problem = rank.err();
        if self.text.as_ref() != Some(&spec.payload) {
            match Payload::parse(&spec.payload, &self.group.namespace) {
                Ok(payload) => {
                    self.payload = Some(Arc::new(payload));
                    self.text = Some(spec.payload);
                }
                Err(error) => {
                    self.payload = None;
                    self.text = None;
                    problem = Some(Problem::new("InvalidPayload", error.to_string()));
                }
            }
        }
        self.complain(problem);
    }

    /// Notes what is wrong with the object, and tells it when it is new.
    pub(super) fn complain(&mut self, problem: Option<Problem>) {
        if let Some(problem) = problem
            .as_ref()
            .filter(|new| self.problem.as_ref() != Some(new))
        {
            self.tell(true, problem.reason, "Read", &problem.message.clone());
        }
        self.problem = problem;
    }

    pub(super) fn see_own(&mut self, now: Boot) {
        if matches!(self.seen.own, Seen::Unread) {
            return;
        }
        let Some(object) = &self.own else {
            return self.machine.see_own(now, None);
        };
        // Nothing is begun for an object that could vanish without a word.
        let deleted = plan::is_deleted(object);
        if !plan::is_held(object) && !deleted && !self.machine.state().has_term() {
            return;
        }
        let spec = plan::spec(object);
        let own = Own {
            ready: spec.is_ok_and(|spec| spec.ready) && !self.leaving,
            deleted,
            invalid: self.problem.is_some(),
            payload: self
                .payload
                .as_ref()
                .map(|payload| payload.hash().to_owned())
                .unwrap_or_default(),
            address: self.address.clone(),
        };
        self.machine.see_own(now, Some(own));
    }

    pub(super) fn see_group(&mut self, now: Boot) {
        let object = match &self.seen.group {
            Seen::Unread => return,
            Seen::Absent => {
                self.view = None;
                self.entry_written = None;
                return self.machine.see_group(now, None);
            }
            Seen::There(object) => object,
        };
        let read = Group::read(object).and_then(|group| {
            let view = group.view(self.seen.alive.as_deref())?;
            Ok((group, view))
        });
        match read {
            Ok((group, mut view)) => {
                if self.own.is_some()
                    && let Some(me) = view
                        .members
                        .iter_mut()
                        .find(|member| member.cluster == self.shared.me)
                {
                    // Our entry follows our object, and may be behind it.
                    me.rank = self.rank;
                }
                if self.joined.is_none()
                    && let Some(entry) = group.entry(&self.shared.me)
                {
                    self.joined = entry.joined.as_deref().and_then(|time| time.parse().ok());
                }
                self.view = Some(group);
                self.group_problem = None;
                self.machine.see_group(now, Some(view));
            }
            // The last that was understood holds on.
            Err(problem) => {
                if self.group_problem.as_ref() != Some(&problem) {
                    self.tell(true, problem.reason, "Read", &problem.message.clone());
                }
                self.group_problem = Some(problem);
            }
        }
    }
}
