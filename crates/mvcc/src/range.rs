//! Answering a range: revision, filters, order, limit.

use std::{cmp::Ordering, ops::ControlFlow, sync::Arc};

use crate::{
    Error, KeyValue, LeaseId, RangeRequest, RangeResponse, Result, Revision, SortOrder, SortTarget,
    view::View,
};

/// Answers a range on a view.
pub(crate) fn answer(view: &impl View, request: &RangeRequest) -> Result<RangeResponse> {
    check(view, request)?;
    Ok(read(view, request))
}

/// Refuses a revision that the view can't show.
pub(crate) fn check(view: &impl View, request: &RangeRequest) -> Result<()> {
    let (revision, compact_revision) = (view.revision(), view.compact_revision());
    if request.revision > revision {
        return Err(Error::FutureRevision { revision });
    }
    if request.revision.0 > 0 && request.revision < compact_revision {
        return Err(Error::Compacted { compact_revision });
    }
    Ok(())
}

/// Reads a range whose revision was checked.
pub(crate) fn read(view: &impl View, request: &RangeRequest) -> RangeResponse {
    let revision = view.revision();
    let at = if request.revision.0 <= 0 {
        revision
    } else {
        request.revision
    };
    let mut response = RangeResponse {
        revision,
        ..RangeResponse::default()
    };
    if request.count_only {
        response.count = view.count(&request.range, at) as i64;
        return response;
    }
    if request.range.is_single() {
        let kv = view.get(request.range.key(), at);
        response.count = i64::from(kv.is_some());
        response
            .kvs
            .extend(kv.filter(|kv| passes(request, kv)).cloned());
    } else {
        collect(view, request, at, &mut response);
    }
    if request.keys_only {
        response
            .kvs
            .iter_mut()
            .for_each(|kv| *kv = without_value(request, kv));
    }
    response
}

/// Fetches, filters, sorts and cuts.
fn collect(view: &impl View, request: &RangeRequest, at: Revision, response: &mut RangeResponse) {
    let limit = usize::try_from(request.limit).unwrap_or(0);
    let by_key_ascending =
        request.sort_target == SortTarget::Key && request.sort_order != SortOrder::Descend;
    // The limit may cut the fetch itself if nothing after it can change which keys are first.
    // etcd also does so for an unsorted request with a target other than the key, and then sorts
    // only what it fetched: kept, as clients may have come to rely on it.
    let cut_fetch = limit > 0
        && !is_filtered(request)
        && (by_key_ascending || request.sort_order == SortOrder::None);
    let kvs = &mut response.kvs;
    let mut total = 0_u64;
    let mut whole = true;
    view.scan(&request.range, at, &mut |kv| {
        if cut_fetch && kvs.len() > limit {
            whole = false;
            return ControlFlow::Break(());
        }
        total += 1;
        if passes(request, kv) {
            kvs.push(Arc::clone(kv));
        }
        ControlFlow::Continue(())
    });
    response.count = if whole {
        total
    } else {
        view.count(&request.range, at)
    } as i64;
    if !by_key_ascending {
        sort(kvs, request);
    }
    if limit > 0 && kvs.len() > limit {
        kvs.truncate(limit);
        response.more = true;
    }
}

fn is_filtered(request: &RangeRequest) -> bool {
    [
        request.min_mod_revision,
        request.max_mod_revision,
        request.min_create_revision,
        request.max_create_revision,
    ]
    .iter()
    .any(|bound| bound.0 != 0)
}

fn passes(request: &RangeRequest, kv: &KeyValue) -> bool {
    let within = |value: Revision, min: Revision, max: Revision| {
        (min.0 == 0 || value >= min) && (max.0 == 0 || value <= max)
    };
    within(
        kv.mod_revision,
        request.min_mod_revision,
        request.max_mod_revision,
    ) && within(
        kv.create_revision,
        request.min_create_revision,
        request.max_create_revision,
    )
}

fn sort(kvs: &mut [Arc<KeyValue>], request: &RangeRequest) {
    let ascending = |a: &KeyValue, b: &KeyValue| -> Ordering {
        match request.sort_target {
            SortTarget::Key => a.key.cmp(&b.key),
            SortTarget::Version => a.version.cmp(&b.version),
            SortTarget::Create => a.create_revision.cmp(&b.create_revision),
            SortTarget::Mod => a.mod_revision.cmp(&b.mod_revision),
            SortTarget::Value => a.value.cmp(&b.value),
        }
    };
    match request.sort_order {
        SortOrder::Descend => kvs.sort_by(|a, b| ascending(b, a)),
        SortOrder::None | SortOrder::Ascend => kvs.sort_by(|a, b| ascending(a, b)),
    }
}

/// etcd answers `keys_only` from its index, which knows no leases, unless it needs the values for
/// sorting.
fn without_value(request: &RangeRequest, kv: &KeyValue) -> Arc<KeyValue> {
    let lease = if request.sort_target == SortTarget::Value {
        kv.lease
    } else {
        LeaseId::NONE
    };
    Arc::new(KeyValue {
        key: kv.key.clone(),
        value: bytes::Bytes::new(),
        create_revision: kv.create_revision,
        mod_revision: kv.mod_revision,
        version: kv.version,
        lease,
    })
}
