//! Giving up compacted history in small steps.
//!
//! A version can be given up only if its key changed at or below the floor since the compaction
//! before, and every such change still has its record in the history. So following the records up
//! to the floor finds all the work, without a walk over the keys. The record *at* the floor stays
//! (watches may start there) and is followed again by the next compaction, which is how the
//! tombstones at the floor go away.

use std::collections::VecDeque;

use super::State;
use crate::{
    Revision,
    history::{Changes, History},
};

/// How far compaction has come.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress {
    /// Records below the floor whose keys are still to be trimmed, oldest first.
    retired: VecDeque<Changes>,
    /// How many events of the first of them are done.
    done: usize,
    /// The floor whose own record is being followed, and how many of its events are done.
    boundary: (Revision, usize),
}

impl Progress {
    /// Takes over a whole history that ended.
    pub(super) fn retire(&mut self, mut history: History) {
        while let Some(changes) = history.pop_below(Revision(i64::MAX)) {
            self.retired.push_back(changes);
        }
    }
}

impl State {
    /// Gives up some of what compactions have made unreadable, about `budget` changes' worth, and
    /// answers whether there is more to do. A change costs a few microseconds at most.
    pub fn compact_step(&mut self, budget: usize) -> bool {
        let floor = self.compact_revision();
        let mut left = budget.max(1);
        while left > 0 {
            if self.compaction.retired.is_empty() {
                match self.history.pop_below(floor) {
                    Some(changes) => self.compaction.retired.push_back(changes),
                    None => return self.follow_boundary(floor, left),
                }
            }
            let progress = &mut self.compaction;
            let Some(changes) = progress.retired.front() else {
                break;
            };
            let events = changes.events();
            let upto = events.len().min(progress.done + left);
            for event in &events[progress.done..upto] {
                self.keyspace.trim(&event.kv.key, floor);
            }
            left -= upto - progress.done;
            progress.done = upto;
            if upto == events.len() {
                progress.retired.pop_front();
                progress.done = 0;
            }
        }
        true
    }

    /// Trims the keys of the record at the floor, then everything else that is as old.
    fn follow_boundary(&mut self, floor: Revision, budget: usize) -> bool {
        let progress = &mut self.compaction;
        if progress.boundary.0 != floor {
            progress.boundary = (floor, 0);
        }
        if let Some(changes) = self.history.get_mut(floor) {
            let events = changes.events_mut();
            let done = progress.boundary.1;
            let upto = events.len().min(done + budget);
            for event in &mut events[done..upto] {
                // The version before is below the floor.
                event.prev_kv = None;
                self.keyspace.trim(&event.kv.key, floor);
            }
            progress.boundary.1 = upto;
            if upto < events.len() {
                return true;
            }
        }
        while self
            .stamps
            .get(1)
            .is_some_and(|(revision, _)| *revision <= floor)
        {
            self.stamps.pop_front();
        }
        false
    }
}
