//! Evaluating queued requests on top of a state, without touching it.
//!
//! A batch is what one journal entry will hold. Requests are evaluated in the order in which they
//! arrived, each seeing what the earlier ones did. If another writer wins the slot, the batch is
//! dropped and the requests are evaluated again on the state after the winner's entry: nothing
//! that a batch answered is true before its entry is in the journal.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::{Bound, ControlFlow},
    sync::Arc,
};

use bytes::Bytes;

use crate::{
    Alarm, AlarmKind, BatchBody, Error, Forward, KeyRange, KeyValue, LeaseId, Operation, Outcome,
    Request, Response, Result, Revision, State, TxnRequest, TxnResponse,
    keyspace::{LATEST, Node},
    side::Marks,
    validate,
    view::View,
};

mod kv;
mod lease;
mod maintenance;
mod txn;

/// The largest time to live of a lease, in seconds: etcd's.
pub const MAX_LEASE_TTL: i64 = 9_000_000_000;

/// What a server may set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The least time to live of a lease, in seconds; smaller ones are raised to it.
    pub min_lease_ttl: i64,
    /// The most compares, or operations of one branch, that a transaction may have. Nested
    /// transactions share it.
    pub max_txn_ops: usize,
}

impl Default for Limits {
    /// etcd's own values.
    fn default() -> Self {
        Self {
            min_lease_ttl: 2,
            max_txn_ops: 128,
        }
    }
}

/// Requests being evaluated on top of a state.
#[derive(Debug)]
pub struct Batch<'a> {
    state: &'a State,
    limits: Limits,
    marks: Marks,
    /// The versions that the batch made, by key.
    overlay: BTreeMap<Bytes, Node>,
    /// The leases that the batch granted (their time to live) and revoked (none).
    leases: HashMap<LeaseId, Option<i64>>,
    /// The alarms, if the batch changed them.
    alarms: Option<BTreeSet<Alarm>>,
    body: BatchBody,
    /// Whether the request at hand has put anything into the batch,
    wrote: bool,
    /// and whether that changed keys.
    changed: bool,
    size: usize,
}

impl<'a> Batch<'a> {
    /// An empty batch on top of a state, with the default limits.
    #[must_use]
    pub fn new(state: &'a State) -> Self {
        Self::with_limits(state, Limits::default())
    }

    /// An empty batch on top of a state.
    #[must_use]
    pub fn with_limits(state: &'a State, limits: Limits) -> Self {
        Self {
            state,
            limits,
            marks: state.side().marks,
            overlay: BTreeMap::new(),
            leases: HashMap::new(),
            alarms: None,
            body: BatchBody::empty(state.revision()),
            wrote: false,
            changed: false,
            size: 0,
        }
    }

    /// Evaluates the next request.
    ///
    /// # Errors
    /// The etcd error that answers the request. It is a read like any outcome that
    /// [wrote](Outcome::wrote) nothing, unless it
    /// [is independent of the state](Error::is_independent_of_state). The batch is as before.
    pub fn evaluate(&mut self, request: &Request) -> Result<Outcome> {
        self.run(None, request)
    }

    /// Evaluates a request that another instance forwarded. What it writes carries the mark, so
    /// that everybody knows that it was done.
    ///
    /// # Errors
    /// As [`evaluate`](Self::evaluate).
    pub fn evaluate_forwarded(&mut self, forward: Forward, request: &Request) -> Result<Outcome> {
        self.run(Some(forward), request)
    }

    /// The revision after the requests so far.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.marks.revision
    }

    /// About how many bytes the batch will have.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// Whether no request has written anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.body.is_empty()
    }

    /// What to append to the journal.
    #[must_use]
    pub fn finish(self) -> BatchBody {
        self.body
    }

    /// Evaluates a transaction for its answer alone.
    pub(crate) fn evaluate_txn(&mut self, request: &TxnRequest) -> Result<TxnResponse> {
        validate::txn(request, &self.limits)?;
        self.txn(request)
    }

    fn run(&mut self, forward: Option<Forward>, request: &Request) -> Result<Outcome> {
        request.validate(&self.limits)?;
        let response = match request {
            Request::Put(request) => Response::Put(self.put(request)?),
            Request::DeleteRange(request) => Response::DeleteRange(self.delete_range(request)?),
            Request::Txn(request) => Response::Txn(self.txn(request)?),
            Request::Compact(request) => Response::Compact(self.compact(*request)?),
            Request::LeaseGrant(request) => Response::LeaseGrant(self.lease_grant(*request)?),
            Request::LeaseRevoke(request) => Response::LeaseRevoke(self.lease_revoke(*request)?),
            Request::LeaseRenew(request) => Response::LeaseRenew(self.lease_renew(*request)),
            Request::LeaseExpire(request) => Response::LeaseExpire(self.lease_expire(*request)),
            Request::EpochTake(request) => Response::EpochTake(self.epoch_take(*request)),
            Request::Incarnation(request) => Response::Incarnation(self.incarnation(*request)),
            Request::Alarm(request) => Response::Alarm(self.alarm(*request)),
        };
        Ok(Outcome {
            response,
            wrote: self.seal(forward),
        })
    }

    /// Ends the request at hand.
    fn seal(&mut self, forward: Option<Forward>) -> bool {
        if self.changed {
            self.marks.revision = self.marks.revision.next();
            self.changed = false;
        }
        if self.wrote {
            self.body.seal(forward, self.marks.revision);
        }
        std::mem::take(&mut self.wrote)
    }

    fn push(&mut self, operation: Operation) {
        const ASIDE: usize = 16;
        self.size += operation.version().map_or(ASIDE, |kv| kv.size());
        self.wrote = true;
        self.body.push(operation);
    }

    /// Gives a key its next version. `name` is the key; its bytes are shared, not kept.
    fn write(&mut self, name: &Bytes, kv: KeyValue) {
        let kv = Arc::new(kv);
        match self.overlay.get_mut(name) {
            Some(node) => {
                node.push(Arc::clone(&kv));
            }
            None => {
                self.overlay
                    .insert(name.clone(), Node::new(Arc::clone(&kv)));
            }
        }
        self.changed = true;
        self.push(if kv.is_tombstone() {
            Operation::Delete(kv)
        } else {
            Operation::Put(kv)
        });
    }

    /// A key's version as the request at hand sees it.
    fn current(&self, key: &[u8]) -> Option<&Arc<KeyValue>> {
        View::get(self, key, LATEST)
    }

    fn lease_ttl(&self, id: LeaseId) -> Option<i64> {
        match self.leases.get(&id) {
            Some(ttl) => *ttl,
            None => self.state.side().leases.get(&id).copied(),
        }
    }

    fn alarms(&self) -> &BTreeSet<Alarm> {
        self.alarms.as_ref().unwrap_or_else(|| self.state.alarms())
    }

    /// Refuses a write while an alarm forbids it; `grows` tells whether it takes up space.
    fn check_alarms(&self, grows: bool) -> Result<()> {
        for alarm in self.alarms() {
            match alarm.kind {
                AlarmKind::Corrupt => return Err(Error::Corrupt),
                AlarmKind::NoSpace if grows => return Err(Error::NoSpace),
                AlarmKind::NoSpace => {}
            }
        }
        Ok(())
    }

    /// The batch's own versions in a range.
    fn overlay_range(&self, range: &KeyRange) -> impl Iterator<Item = (&Bytes, &Node)> {
        let lower = Bound::Included(&range.key()[..]);
        let upper = match range.upper() {
            _ if range.is_single() => Bound::Included(&range.key()[..]),
            Some(end) => Bound::Excluded(&end[..]),
            None => Bound::Unbounded,
        };
        let nodes = (!range.is_empty()).then(|| self.overlay.range::<[u8], _>((lower, upper)));
        nodes.into_iter().flatten()
    }
}

impl View for Batch<'_> {
    /// Once the request at hand has changed something, it sees the revision that it is making.
    fn revision(&self) -> Revision {
        if self.changed {
            self.marks.revision.next()
        } else {
            self.marks.revision
        }
    }

    fn compact_revision(&self) -> Revision {
        self.marks.compact_revision
    }

    fn get(&self, key: &[u8], at: Revision) -> Option<&Arc<KeyValue>> {
        if let Some(kv) = self.overlay.get(key).and_then(|node| node.at(at)) {
            return (!kv.is_tombstone()).then_some(kv);
        }
        self.state.keyspace().get(key, at)
    }

    fn scan(
        &self,
        range: &KeyRange,
        at: Revision,
        visit: &mut dyn FnMut(&Arc<KeyValue>) -> ControlFlow<()>,
    ) {
        let mut ours = self.overlay_range(range).peekable();
        let mut theirs = self.state.keyspace().iter(range).peekable();
        loop {
            let (our, their) = match (ours.peek(), theirs.peek()) {
                (None, None) => return,
                (Some(_), None) => (ours.next(), None),
                (None, Some(_)) => (None, theirs.next()),
                (Some((key, _)), Some(node)) => match key[..].cmp(node.key()) {
                    std::cmp::Ordering::Less => (ours.next(), None),
                    std::cmp::Ordering::Greater => (None, theirs.next()),
                    std::cmp::Ordering::Equal => (ours.next(), theirs.next()),
                },
            };
            let our = our.and_then(|(_, node)| node.at(at));
            let kv = our.or_else(|| their.and_then(|node| node.at(at)));
            if let Some(kv) = kv.filter(|kv| !kv.is_tombstone())
                && visit(kv).is_break()
            {
                return;
            }
        }
    }

    fn count(&self, range: &KeyRange, at: Revision) -> u64 {
        let mut count = self.state.keyspace().count(range, at);
        for (key, node) in self.overlay_range(range) {
            if let Some(kv) = node.at(at) {
                count += u64::from(!kv.is_tombstone());
                count -= u64::from(self.state.keyspace().get(key, at).is_some());
            }
        }
        count
    }
}
