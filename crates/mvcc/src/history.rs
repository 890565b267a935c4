//! The changes in revision order, from the compact revision on: what watches catch up from.

use std::collections::VecDeque;

use crate::{Event, Revision};

/// The changes of one revision, in the order in which they were made.
#[derive(Debug, Clone)]
pub(crate) enum Changes {
    One(Event),
    Many(Box<[Event]>),
}

impl Changes {
    /// `None` if there is no change.
    pub(crate) fn new(mut events: Vec<Event>) -> Option<Self> {
        match events.len() {
            0 => None,
            1 => events.pop().map(Self::One),
            _ => Some(Self::Many(events.into())),
        }
    }

    pub(crate) fn events(&self) -> &[Event] {
        match self {
            Self::One(event) => std::slice::from_ref(event),
            Self::Many(events) => events,
        }
    }

    pub(crate) fn events_mut(&mut self) -> &mut [Event] {
        match self {
            Self::One(event) => std::slice::from_mut(event),
            Self::Many(events) => events,
        }
    }
}

/// One record for each revision from `first` on, without a gap.
#[derive(Debug, Clone)]
pub(crate) struct History {
    first: Revision,
    records: VecDeque<Changes>,
}

impl History {
    /// An empty history whose next revision is `first`.
    pub(crate) fn starting_at(first: Revision) -> Self {
        Self {
            first,
            records: VecDeque::new(),
        }
    }

    /// The oldest revision whose changes are known; the next one to come if there is none.
    pub(crate) fn first(&self) -> Revision {
        self.first
    }

    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// Adds the changes of the next revision.
    pub(crate) fn push(&mut self, changes: Changes) {
        self.records.push_back(changes);
    }

    /// The changes of a revision.
    pub(crate) fn get_mut(&mut self, revision: Revision) -> Option<&mut Changes> {
        let index = self.index(revision)?;
        self.records.get_mut(index)
    }

    /// The changes from a known revision on.
    pub(crate) fn iter_from(&self, from: Revision) -> impl Iterator<Item = (Revision, &Changes)> {
        let from = from.max(self.first);
        let skip = self
            .index(from)
            .unwrap_or(usize::MAX)
            .min(self.records.len());
        let numbers = (from.0..).map(Revision);
        numbers.zip(self.records.range(skip..))
    }

    /// Takes the oldest changes if they are below `floor`.
    pub(crate) fn pop_below(&mut self, floor: Revision) -> Option<Changes> {
        if self.first >= floor {
            return None;
        }
        let changes = self.records.pop_front()?;
        self.first = self.first.next();
        Some(changes)
    }

    fn index(&self, revision: Revision) -> Option<usize> {
        usize::try_from(revision.0.checked_sub(self.first.0)?).ok()
    }
}
