//! Every key with its versions, in key order.
//!
//! A B-tree of depth two: an ordered map of *chunks* of up to [`CHUNK_MAX`] neighbouring keys.
//! A chunk knows how many of its keys are alive and when it last changed, so counting a range
//! costs one step per chunk, also at an old revision wherever nothing changed since: a page out
//! of a large list costs its own length.

use std::{
    collections::{BTreeMap, btree_map},
    ops::Bound,
    sync::Arc,
};

use bytes::Bytes;

use crate::{KeyRange, KeyValue, Revision};

mod node;

pub(crate) use node::Node;

const CHUNK_MAX: usize = 128;
/// Neighbours are merged when together they aren't larger than this.
const CHUNK_MERGE: usize = 64;

/// The revision at which reads see the newest versions.
pub(crate) const LATEST: Revision = Revision(i64::MAX);

#[derive(Debug, Clone)]
pub(crate) struct Keyspace {
    /// By lower bound. A chunk's keys are at or above its own bound and below the next one's;
    /// the first bound is the empty key.
    chunks: BTreeMap<Bytes, Chunk>,
    live: u64,
    versions: u64,
    bytes: u64,
}

#[derive(Debug, Clone, Default)]
struct Chunk {
    nodes: Vec<Node>,
    live: u32,
    /// The newest revision in the chunk, trimmed versions included.
    changed: Revision,
}

impl Default for Keyspace {
    fn default() -> Self {
        let chunks = BTreeMap::from([(Bytes::new(), Chunk::default())]);
        Self {
            chunks,
            live: 0,
            versions: 0,
            bytes: 0,
        }
    }
}

impl Keyspace {
    /// How many keys exist.
    pub(crate) fn live(&self) -> u64 {
        self.live
    }

    /// How many versions are held, tombstones included.
    pub(crate) fn versions(&self) -> u64 {
        self.versions
    }

    /// About how much memory the versions hold.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn node(&self, key: &[u8]) -> Option<&Node> {
        let (_, chunk) = self.chunks.range::<[u8], _>(at_or_below(key)).next_back()?;
        let at = chunk.find(key).ok()?;
        Some(&chunk.nodes[at])
    }

    /// The key's version at a revision, if it exists then.
    pub(crate) fn get(&self, key: &[u8], at: Revision) -> Option<&Arc<KeyValue>> {
        self.node(key)?.live_at(at)
    }

    /// Adds a version that is newer than the key's others, and answers the one before if the key
    /// existed then.
    pub(crate) fn insert(&mut self, kv: Arc<KeyValue>) -> Option<Arc<KeyValue>> {
        let (_, chunk) = self
            .chunks
            .range_mut::<[u8], _>(at_or_below(&kv.key))
            .next_back()?;
        let alive = !kv.is_tombstone();
        self.versions += 1;
        self.bytes += kv.size() as u64;
        chunk.changed = chunk.changed.max(kv.mod_revision);
        let previous = match chunk.find(&kv.key) {
            Ok(at) => {
                let previous = chunk.nodes[at].push(kv);
                (!previous.is_tombstone()).then_some(previous)
            }
            Err(at) => {
                chunk.nodes.insert(at, Node::new(kv));
                None
            }
        };
        let before = i64::from(previous.is_some());
        let change = i64::from(alive) - before;
        chunk.live = chunk.live.wrapping_add_signed(change as i32);
        self.live = self.live.wrapping_add_signed(change);
        if let Some((bound, upper)) = chunk.split() {
            self.chunks.insert(bound, upper);
        }
        previous
    }

    /// Drops the key's versions that a compaction at `floor` gives up: all below the newest at or
    /// below it, and that one too if it is a tombstone below it.
    pub(crate) fn trim(&mut self, key: &[u8], floor: Revision) {
        let Some((bound, chunk)) = self
            .chunks
            .range_mut::<[u8], _>(at_or_below(key))
            .next_back()
        else {
            return;
        };
        let Ok(at) = chunk.find(key) else { return };
        let trimmed = chunk.nodes[at].trim(floor);
        self.versions -= trimmed.versions;
        self.bytes -= trimmed.bytes;
        if trimmed.gone {
            chunk.nodes.remove(at);
            if chunk.nodes.len() < CHUNK_MERGE / 2 && !bound.is_empty() {
                let bound = bound.clone();
                self.merge(&bound);
            }
        }
    }

    /// Moves the keys of the chunk at `bound` to the one before, if they fit well.
    fn merge(&mut self, bound: &Bytes) {
        let mut two = self.chunks.range_mut::<[u8], _>(at_or_below(bound));
        let (Some((_, chunk)), Some((_, before))) = (two.next_back(), two.next_back()) else {
            return;
        };
        if before.nodes.len() + chunk.nodes.len() <= CHUNK_MERGE {
            before.nodes.append(&mut chunk.nodes);
            before.live += chunk.live;
            before.changed = before.changed.max(chunk.changed);
            self.chunks.remove(bound);
        }
    }

    /// Every key of `range` that has versions, alive or not, in order.
    pub(crate) fn iter<'a>(&'a self, range: &'a KeyRange) -> Nodes<'a> {
        if range.is_single() {
            let node = self.node(range.key());
            let first = node.map_or(&[][..], std::slice::from_ref).iter();
            return Nodes {
                first,
                rest: None,
                upper: None,
            };
        }
        let mut chunks = self.chunks.range::<[u8], _>(at_or_below(range.key()));
        let first = match chunks.next_back() {
            Some((_, chunk)) if !range.is_empty() => chunk.nodes[chunk.from(range.key())..].iter(),
            _ => [].iter(),
        };
        let above = (Bound::Excluded(&range.key()[..]), Bound::Unbounded);
        let rest = (!range.is_empty()).then(|| self.chunks.range::<[u8], _>(above));
        Nodes {
            first,
            rest,
            upper: range.upper().map(|end| &end[..]),
        }
    }

    /// How many keys of `range` exist at a revision.
    pub(crate) fn count(&self, range: &KeyRange, at: Revision) -> u64 {
        if range.is_single() {
            return u64::from(self.get(range.key(), at).is_some());
        }
        if range.is_empty() {
            return 0;
        }
        let upper = range.upper().map(|end| &end[..]);
        let below = self
            .chunks
            .range::<[u8], _>(at_or_below(range.key()))
            .next_back();
        let mut count = below.map_or(0, |(_, chunk)| chunk.count(Some(range.key()), upper, at));
        let above = (Bound::Excluded(&range.key()[..]), Bound::Unbounded);
        for (bound, chunk) in self.chunks.range::<[u8], _>(above) {
            if upper.is_some_and(|upper| bound >= upper) {
                break;
            }
            count += chunk.count(None, upper, at);
        }
        count
    }
}

impl Chunk {
    fn find(&self, key: &[u8]) -> Result<usize, usize> {
        // Keys are often written in ascending order: look at the end first.
        match self.nodes.last() {
            Some(last) if last.key() < key => Err(self.nodes.len()),
            _ => self.nodes.binary_search_by(|node| node.key().cmp(key)),
        }
    }

    /// The index of the first key at or above `key`.
    fn from(&self, key: &[u8]) -> usize {
        self.find(key).unwrap_or_else(|at| at)
    }

    /// How many keys from `lower` on and below `upper` exist at a revision.
    fn count(&self, lower: Option<&[u8]>, upper: Option<&[u8]>, at: Revision) -> u64 {
        let from = lower.map_or(0, |lower| self.from(lower));
        let to = match (upper, self.nodes.last()) {
            (Some(upper), Some(last)) if last.key() >= upper => self.from(upper),
            _ => self.nodes.len(),
        };
        if from == 0 && to == self.nodes.len() && self.changed <= at {
            return u64::from(self.live);
        }
        let nodes = self.nodes.get(from..to).unwrap_or_default();
        nodes
            .iter()
            .filter(|node| node.live_at(at).is_some())
            .count() as u64
    }

    /// Cuts a chunk that is full. Where keys are written in ascending order, the lower part will
    /// not grow again, so it keeps most.
    fn split(&mut self) -> Option<(Bytes, Self)> {
        if self.nodes.len() <= CHUNK_MAX {
            return None;
        }
        let newest = self.nodes.last()?;
        let ascending = newest.latest().mod_revision == self.changed;
        let cut = if ascending {
            CHUNK_MAX - CHUNK_MAX / 8
        } else {
            CHUNK_MAX / 2
        };
        let nodes = self.nodes.split_off(cut);
        let bound = Bytes::copy_from_slice(nodes.first()?.key());
        let live = nodes
            .iter()
            .filter(|node| node.live_at(LATEST).is_some())
            .count() as u32;
        self.live -= live;
        Some((
            bound,
            Self {
                nodes,
                live,
                changed: self.changed,
            },
        ))
    }
}

/// The keys of a range in order.
pub(crate) struct Nodes<'a> {
    first: std::slice::Iter<'a, Node>,
    rest: Option<btree_map::Range<'a, Bytes, Chunk>>,
    upper: Option<&'a [u8]>,
}

impl<'a> Iterator for Nodes<'a> {
    type Item = &'a Node;

    fn next(&mut self) -> Option<&'a Node> {
        loop {
            if let Some(node) = self.first.next() {
                if self.upper.is_some_and(|upper| node.key() >= upper) {
                    self.first = [].iter();
                    self.rest = None;
                    return None;
                }
                return Some(node);
            }
            let (_, chunk) = self.rest.as_mut()?.next()?;
            self.first = chunk.nodes.iter();
        }
    }
}

fn at_or_below(key: &[u8]) -> (Bound<&[u8]>, Bound<&[u8]>) {
    (Bound::Unbounded, Bound::Included(key))
}

#[cfg(test)]
mod tests;
