//! What evaluation reads from: a state, or a state with a batch on top.

use std::{ops::ControlFlow, sync::Arc};

use crate::{KeyRange, KeyValue, Revision, State};

pub(crate) trait View {
    /// The newest revision that can be seen.
    fn revision(&self) -> Revision;

    /// The oldest.
    fn compact_revision(&self) -> Revision;

    /// A key's version at a revision, if it exists then.
    fn get(&self, key: &[u8], at: Revision) -> Option<&Arc<KeyValue>>;

    /// Shows the keys of a range that exist at a revision, in order, until told to stop.
    fn scan(
        &self,
        range: &KeyRange,
        at: Revision,
        visit: &mut dyn FnMut(&Arc<KeyValue>) -> ControlFlow<()>,
    );

    /// How many keys of a range exist at a revision.
    fn count(&self, range: &KeyRange, at: Revision) -> u64;
}

impl View for State {
    fn revision(&self) -> Revision {
        self.revision()
    }

    fn compact_revision(&self) -> Revision {
        self.compact_revision()
    }

    fn get(&self, key: &[u8], at: Revision) -> Option<&Arc<KeyValue>> {
        self.keyspace().get(key, at)
    }

    fn scan(
        &self,
        range: &KeyRange,
        at: Revision,
        visit: &mut dyn FnMut(&Arc<KeyValue>) -> ControlFlow<()>,
    ) {
        for kv in self
            .keyspace()
            .iter(range)
            .filter_map(|node| node.live_at(at))
        {
            if visit(kv).is_break() {
                return;
            }
        }
    }

    fn count(&self, range: &KeyRange, at: Revision) -> u64 {
        self.keyspace().count(range, at)
    }
}
