//! The model: a full copy of all keys for each revision, and the shortest way to say what a
//! request does to the newest one.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use helium_mvcc::*;

pub(crate) type Snapshot = BTreeMap<Bytes, KeyValue>;

pub(crate) struct Model {
    pub(crate) revision: i64,
    pub(crate) compact_revision: i64,
    /// By revision, from 0 on.
    snapshots: Vec<Snapshot>,
    pub(crate) leases: BTreeMap<i64, i64>,
}

impl Model {
    pub(crate) fn new() -> Self {
        let snapshots = vec![Snapshot::new(), Snapshot::new()];
        Self {
            revision: 1,
            compact_revision: -1,
            snapshots,
            leases: BTreeMap::new(),
        }
    }

    pub(crate) fn snapshot(&self, revision: i64) -> &Snapshot {
        &self.snapshots[usize::try_from(revision).expect("revision")]
    }

    pub(crate) fn lease_keys(&self, id: i64) -> Vec<Bytes> {
        let kvs = self.snapshot(self.revision).values();
        kvs.filter(|kv| kv.lease.0 == id)
            .map(|kv| kv.key.clone())
            .collect()
    }

    pub(crate) fn evaluate(&mut self, request: &Request) -> Result<Response> {
        match request {
            Request::Put(put) => {
                let op = TxnOp::Put(put.clone());
                match self.alone(op)? {
                    TxnOpResponse::Put(response) => Ok(Response::Put(response)),
                    other => panic!("{other:?}"),
                }
            }
            Request::DeleteRange(delete) => {
                let op = TxnOp::DeleteRange(delete.clone());
                match self.alone(op)? {
                    TxnOpResponse::DeleteRange(response) => Ok(Response::DeleteRange(response)),
                    other => panic!("{other:?}"),
                }
            }
            Request::Txn(request) => self.txn(request).map(Response::Txn),
            Request::Compact(request) => self.compact(request.revision.0),
            Request::LeaseGrant(request) => self.lease_grant(request.id.0, request.ttl),
            Request::LeaseRevoke(request) => {
                if !self.leases.contains_key(&request.id.0) {
                    return Err(Error::LeaseNotFound);
                }
                self.lease_end(request.id.0);
                let revision = Revision(self.revision);
                Ok(Response::LeaseRevoke(LeaseRevokeResponse { revision }))
            }
            Request::LeaseRenew(request) => {
                let ttl = self.leases.get(&request.id.0).copied().unwrap_or(0);
                let (revision, id) = (Revision(self.revision), request.id);
                Ok(Response::LeaseRenew(LeaseRenewResponse {
                    revision,
                    id,
                    ttl,
                }))
            }
            Request::LeaseExpire(request) => {
                // Nobody takes an epoch here.
                let expired = request.epoch.0 == 0 && self.leases.contains_key(&request.id.0);
                if expired {
                    self.lease_end(request.id.0);
                }
                let revision = Revision(self.revision);
                Ok(Response::LeaseExpire(LeaseExpireResponse {
                    revision,
                    expired,
                }))
            }
            other => panic!("{other:?}"),
        }
    }

    fn alone(&mut self, op: TxnOp) -> Result<TxnOpResponse> {
        let request = TxnRequest {
            success: vec![op],
            ..TxnRequest::default()
        };
        Ok(self.txn(&request)?.responses.remove(0))
    }

    fn compact(&mut self, to: i64) -> Result<Response> {
        let compact_revision = Revision(self.compact_revision);
        let revision = Revision(self.revision);
        if to <= self.compact_revision {
            return Err(Error::Compacted { compact_revision });
        }
        if to > self.revision {
            return Err(Error::FutureRevision { revision });
        }
        self.compact_revision = to;
        Ok(Response::Compact(CompactResponse { revision }))
    }

    fn lease_grant(&mut self, id: i64, ttl: i64) -> Result<Response> {
        if id == 0 {
            return Err(Error::LeaseNotFound);
        }
        if self.leases.contains_key(&id) {
            return Err(Error::LeaseExists);
        }
        let ttl = ttl.max(2);
        self.leases.insert(id, ttl);
        let (revision, id) = (Revision(self.revision), LeaseId(id));
        Ok(Response::LeaseGrant(LeaseGrantResponse {
            revision,
            id,
            ttl,
        }))
    }

    fn lease_end(&mut self, id: i64) {
        self.leases.remove(&id);
        let mut after = self.snapshot(self.revision).clone();
        after.retain(|_, kv| kv.lease.0 != id);
        if after.len() < self.snapshot(self.revision).len() {
            self.snapshots.push(after);
            self.revision += 1;
        }
    }

    /// What a range answers at the newest revision, under a header of `header`.
    pub(crate) fn range(&self, request: &RangeRequest, header: i64) -> Result<RangeResponse> {
        if request.range.key().is_empty() {
            return Err(Error::EmptyKey);
        }
        self.check_range(request)?;
        let pinned = request.revision.0;
        let at = if pinned <= 0 { self.revision } else { pinned };
        Ok(answer(self.snapshot(at), request, header))
    }

    fn check_range(&self, request: &RangeRequest) -> Result<()> {
        if request.revision.0 > self.revision {
            return Err(Error::FutureRevision {
                revision: Revision(self.revision),
            });
        }
        if request.revision.0 > 0 && request.revision.0 < self.compact_revision {
            return Err(Error::Compacted {
                compact_revision: Revision(self.compact_revision),
            });
        }
        Ok(())
    }

    fn txn(&mut self, request: &TxnRequest) -> Result<TxnResponse> {
        validate(request)?;
        for branch in [&request.success, &request.failure] {
            for run in runs(branch) {
                check_run(&run)?;
            }
        }
        let before = self.snapshot(self.revision).clone();
        self.check(&before, request)?;
        let mut run = Run {
            model: self,
            before: &before,
            now: before.clone(),
            changed: false,
        };
        let mut response = run.txn(request);
        let Run { now, changed, .. } = run;
        if changed {
            self.snapshots.push(now);
            self.revision += 1;
        }
        response.revision = Revision(self.revision);
        Ok(response)
    }

    fn check(&self, before: &Snapshot, request: &TxnRequest) -> Result<()> {
        for op in chosen(before, request) {
            match op {
                TxnOp::Range(range) => self.check_range(range)?,
                TxnOp::Put(put) => {
                    let ignores = put.ignore_value || put.ignore_lease;
                    if ignores && !before.contains_key(&put.key) {
                        return Err(Error::KeyNotFound);
                    }
                    if put.lease.0 != 0 && !self.leases.contains_key(&put.lease.0) {
                        return Err(Error::LeaseNotFound);
                    }
                }
                TxnOp::DeleteRange(_) => {}
                TxnOp::Txn(nested) => self.check(before, nested)?,
                TxnOp::Unset => panic!("validated"),
            }
        }
        Ok(())
    }
}

/// A transaction on its way.
struct Run<'a> {
    model: &'a Model,
    before: &'a Snapshot,
    now: Snapshot,
    changed: bool,
}

impl Run<'_> {
    fn header(&self) -> i64 {
        self.model.revision + i64::from(self.changed)
    }

    fn txn(&mut self, request: &TxnRequest) -> TxnResponse {
        let succeeded = request
            .compare
            .iter()
            .all(|compare| holds(self.before, compare));
        let mut responses = Vec::new();
        for op in chosen(self.before, request) {
            responses.push(match op {
                TxnOp::Range(range) => {
                    let pinned = range.revision.0;
                    let snapshot = if pinned <= 0 {
                        &self.now
                    } else {
                        self.model.snapshot(pinned)
                    };
                    TxnOpResponse::Range(answer(snapshot, range, self.header()))
                }
                TxnOp::Put(put) => TxnOpResponse::Put(self.put(put)),
                TxnOp::DeleteRange(delete) => TxnOpResponse::DeleteRange(self.delete(delete)),
                TxnOp::Txn(nested) => TxnOpResponse::Txn(self.txn(nested)),
                TxnOp::Unset => panic!("validated"),
            });
        }
        TxnResponse {
            revision: Revision(0),
            succeeded,
            responses,
        }
    }

    fn put(&mut self, put: &PutRequest) -> PutResponse {
        self.changed = true;
        let revision = Revision(self.header());
        let before = self.now.get(&put.key).cloned();
        let mut kv = KeyValue {
            key: put.key.clone(),
            value: put.value.clone(),
            create_revision: revision,
            mod_revision: revision,
            version: 1,
            lease: put.lease,
        };
        if let Some(before) = &before {
            kv.create_revision = before.create_revision;
            kv.version = before.version + 1;
            if put.ignore_value {
                kv.value = before.value.clone();
            }
            if put.ignore_lease {
                kv.lease = before.lease;
            }
        }
        self.now.insert(put.key.clone(), kv);
        PutResponse {
            revision,
            prev_kv: before.filter(|_| put.prev_kv).map(Arc::new),
        }
    }

    fn delete(&mut self, delete: &DeleteRangeRequest) -> DeleteRangeResponse {
        let kvs: Vec<Arc<KeyValue>> = inside(&self.now, &delete.range);
        for kv in &kvs {
            self.now.remove(&kv.key);
            self.changed = true;
        }
        DeleteRangeResponse {
            revision: Revision(self.header()),
            deleted: kvs.len() as i64,
            prev_kvs: if delete.prev_kv { kvs } else { Vec::new() },
        }
    }
}

fn inside(snapshot: &Snapshot, range: &KeyRange) -> Vec<Arc<KeyValue>> {
    let kvs = snapshot.values().filter(|kv| range.contains(&kv.key));
    kvs.cloned().map(Arc::new).collect()
}

fn chosen<'a>(before: &Snapshot, request: &'a TxnRequest) -> &'a [TxnOp] {
    let succeeded = request.compare.iter().all(|compare| holds(before, compare));
    if succeeded {
        &request.success
    } else {
        &request.failure
    }
}

fn holds(snapshot: &Snapshot, compare: &Compare) -> bool {
    let mut kvs = inside(snapshot, &compare.range);
    if kvs.is_empty() {
        if matches!(compare.target, CompareTarget::Value(_)) {
            return false;
        }
        kvs.push(Arc::new(KeyValue::tombstone(Bytes::new(), Revision(0))));
    }
    kvs.iter().all(|kv| {
        let ordering = match &compare.target {
            CompareTarget::Version(version) => kv.version.cmp(version),
            CompareTarget::Create(revision) => kv.create_revision.cmp(revision),
            CompareTarget::Mod(revision) => kv.mod_revision.cmp(revision),
            CompareTarget::Value(value) => kv.value.cmp(value),
            CompareTarget::Lease(lease) => kv.lease.cmp(lease),
        };
        match compare.result {
            CompareResult::Equal => ordering.is_eq(),
            CompareResult::Greater => ordering.is_gt(),
            CompareResult::Less => ordering.is_lt(),
            CompareResult::NotEqual => ordering.is_ne(),
        }
    })
}

fn answer(snapshot: &Snapshot, request: &RangeRequest, header: i64) -> RangeResponse {
    let mut kvs = inside(snapshot, &request.range);
    let mut response = RangeResponse {
        revision: Revision(header),
        count: kvs.len() as i64,
        ..RangeResponse::default()
    };
    if request.count_only {
        return response;
    }
    let limit = usize::try_from(request.limit).unwrap_or(0);
    let bounds = [
        (request.min_mod_revision, request.max_mod_revision),
        (request.min_create_revision, request.max_create_revision),
    ];
    let filtered = bounds.iter().any(|(min, max)| min.0 != 0 || max.0 != 0);
    if limit > 0 && !filtered && request.sort_order == SortOrder::None {
        kvs.truncate(limit + 1);
    }
    kvs.retain(|kv| {
        let values = [kv.mod_revision, kv.create_revision];
        values
            .iter()
            .zip(&bounds)
            .all(|(value, (min, max))| (min.0 == 0 || value >= min) && (max.0 == 0 || value <= max))
    });
    kvs.sort_by(|a, b| {
        let ordering = match request.sort_target {
            SortTarget::Key => a.key.cmp(&b.key),
            SortTarget::Version => a.version.cmp(&b.version),
            SortTarget::Create => a.create_revision.cmp(&b.create_revision),
            SortTarget::Mod => a.mod_revision.cmp(&b.mod_revision),
            SortTarget::Value => a.value.cmp(&b.value),
        };
        if request.sort_order == SortOrder::Descend {
            ordering.reverse()
        } else {
            ordering
        }
    });
    response.more = limit > 0 && kvs.len() > limit;
    if limit > 0 {
        kvs.truncate(limit);
    }
    if request.keys_only {
        for kv in &mut kvs {
            let kv = Arc::make_mut(kv);
            kv.value = Bytes::new();
            if request.sort_target != SortTarget::Value {
                kv.lease = LeaseId::NONE;
            }
        }
    }
    response.kvs = kvs;
    response
}

fn validate(request: &TxnRequest) -> Result<()> {
    let named = |key: &Bytes| {
        if key.is_empty() {
            Err(Error::EmptyKey)
        } else {
            Ok(())
        }
    };
    request
        .compare
        .iter()
        .try_for_each(|compare| named(compare.range.key()))?;
    request
        .success
        .iter()
        .chain(&request.failure)
        .try_for_each(|op| match op {
            TxnOp::Range(range) => named(range.range.key()),
            TxnOp::DeleteRange(delete) => named(delete.range.key()),
            TxnOp::Put(put) => {
                named(&put.key)?;
                if put.ignore_value && !put.value.is_empty() {
                    return Err(Error::ValueProvided);
                }
                if put.ignore_lease && put.lease.0 != 0 {
                    return Err(Error::LeaseProvided);
                }
                Ok(())
            }
            TxnOp::Txn(nested) => validate(nested),
            TxnOp::Unset => Err(Error::KeyNotFound),
        })
}

/// Every list of writes that some outcome of the nested compares would do.
fn runs(ops: &[TxnOp]) -> Vec<Vec<&TxnOp>> {
    let mut all = vec![Vec::new()];
    for op in ops {
        let ways: Vec<Vec<&TxnOp>> = match op {
            TxnOp::Txn(nested) => {
                let mut ways = runs(&nested.success);
                ways.extend(runs(&nested.failure));
                ways
            }
            other => vec![vec![other]],
        };
        all = all
            .iter()
            .flat_map(|run| ways.iter().map(move |way| [&run[..], &way[..]].concat()))
            .collect();
    }
    all
}

/// No key is put twice, or put and deleted.
fn check_run(run: &[&TxnOp]) -> Result<()> {
    for (index, one) in run.iter().enumerate() {
        for (other_index, other) in run.iter().enumerate() {
            let clash = match (one, other) {
                (TxnOp::Put(one), TxnOp::Put(other)) => {
                    index != other_index && one.key == other.key
                }
                (TxnOp::Put(one), TxnOp::DeleteRange(other)) => other.range.contains(&one.key),
                _ => false,
            };
            if clash {
                return Err(Error::DuplicateKey);
            }
        }
    }
    Ok(())
}
