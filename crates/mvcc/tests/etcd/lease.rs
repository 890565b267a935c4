//! Leases.

use helium_mvcc::*;

use crate::store::*;

fn attached(store: &Store, id: i64) -> Vec<String> {
    let keys = store.state.lease_keys(LeaseId(id));
    keys.map(|key| String::from_utf8_lossy(key).into_owned())
        .collect()
}

#[test]
fn revoking_deletes_all_keys_sorted_in_one_revision() {
    let mut store = Store::new();
    store.grant(7, 60).expect("grant");
    for key in ["c", "a", "b"] {
        store.put_leased(key, 7).expect("put");
    }
    assert_eq!(store.revision(), 4);
    assert_eq!(store.revoke(7).expect("revoke").revision(), Revision(5));
    let (_, events) = store.state.changes(Revision(5)).next().expect("events");
    let deleted: Vec<_> = events.iter().map(|event| &event.kv.key[..]).collect();
    assert_eq!(deleted, [b"a", b"b", b"c"]);
    assert!(events.iter().all(|event| {
        event.kind == EventKind::Delete && event.prev_kv.as_ref().is_some_and(|kv| kv.version == 1)
    }));
    assert_eq!(store.revoke(7), Err(Error::LeaseNotFound));
}

#[test]
fn granting_and_revoking_without_keys_makes_no_revision() {
    let mut store = Store::new();
    assert_eq!(store.grant(7, 60).expect("grant").revision(), Revision(1));
    assert_eq!(store.revoke(7).expect("revoke").revision(), Revision(1));
    assert_eq!(store.revision(), 1);
}

#[test]
fn a_put_moves_detaches_or_keeps_the_lease() {
    let mut store = Store::new();
    store.grant(1, 60).expect("grant");
    store.grant(2, 60).expect("grant");
    for key in ["detached", "moved", "kept"] {
        store.put_leased(key, 1).expect("put");
    }
    store.put("detached", "x");
    store.put_leased("moved", 2).expect("put");
    let keep = PutRequest {
        ignore_lease: true,
        ..PutRequest::new("kept", "x")
    };
    store.run(Request::Put(keep)).expect("put");
    assert_eq!(attached(&store, 1), ["kept"]);
    assert_eq!(attached(&store, 2), ["moved"]);
    store.revoke(1).expect("revoke");
    assert_eq!(store.get("kept"), None);
    assert!(store.get("detached").is_some() && store.get("moved").is_some());
    store.delete(single("moved"));
    assert_eq!(attached(&store, 2), [""; 0]);
}

#[test]
fn a_revocation_in_a_batch_knows_what_the_batch_attached_and_detached() {
    let mut store = Store::new();
    store.grant(1, 60).expect("grant");
    store.put_leased("goes", 1).expect("put");
    store.put_leased("stays", 1).expect("put");
    let mut batch = Batch::new(&store.state);
    let put = |key: &str, lease| {
        let lease = LeaseId(lease);
        Request::Put(PutRequest {
            lease,
            ..PutRequest::new(key.to_owned(), "")
        })
    };
    batch.evaluate(&put("stays", 0)).expect("put");
    batch.evaluate(&put("comes", 1)).expect("put");
    let revoke = Request::LeaseRevoke(LeaseRevokeRequest { id: LeaseId(1) });
    batch.evaluate(&revoke).expect("revoke");
    assert_eq!(batch.evaluate(&revoke), Err(Error::LeaseNotFound));
    assert_eq!(batch.evaluate(&put("late", 1)), Err(Error::LeaseNotFound));
    let body = batch.finish();
    store.commit(&body);
    assert_eq!(
        keys(&store.range_at(KeyRange::all(), 0).expect("range").kvs),
        ["stays"]
    );
}

#[test]
fn granting_checks_name_and_time_to_live() {
    let mut store = Store::new();
    let granted = |response: Response| match response {
        Response::LeaseGrant(response) => (response.id.0, response.ttl),
        other => panic!("{other:?}"),
    };
    assert_eq!(granted(store.grant(1, 0).expect("grant")), (1, 2));
    assert_eq!(granted(store.grant(-5, -1).expect("grant")), (-5, 2));
    assert_eq!(
        granted(store.grant(2, MAX_LEASE_TTL).expect("grant")),
        (2, MAX_LEASE_TTL)
    );
    assert_eq!(
        store.grant(3, MAX_LEASE_TTL + 1),
        Err(Error::LeaseTtlTooLarge)
    );
    assert_eq!(store.grant(1, 60), Err(Error::LeaseExists));
    assert_eq!(store.grant(0, 60), Err(Error::LeaseNotFound));
    assert_eq!(store.put_leased("a", 99), Err(Error::LeaseNotFound));
}

#[test]
fn renewing_through_the_journal_makes_no_revision_and_knows_no_strangers() {
    let mut store = Store::new();
    store.grant(1, 30).expect("grant");
    let mut renew = |id| match store
        .run(Request::LeaseRenew(LeaseRenewRequest { id: LeaseId(id) }))
        .expect("renew")
    {
        Response::LeaseRenew(response) => (response.ttl, response.revision.0),
        other => panic!("{other:?}"),
    };
    assert_eq!(renew(1), (30, 1));
    assert_eq!(renew(2), (0, 1));
}

#[test]
fn only_the_owner_of_the_epoch_expires_a_lease() {
    let mut store = Store::new();
    let take = |epoch| EpochTakeRequest {
        owner: MemberId(epoch),
        epoch: Epoch(epoch),
    };
    store.run(Request::EpochTake(take(1))).expect("take");
    store.grant(1, 30).expect("grant");
    store.put_leased("a", 1).expect("put");
    store.run(Request::EpochTake(take(2))).expect("take");
    let mut expire = |epoch, id| {
        let request = LeaseExpireRequest {
            id: LeaseId(id),
            epoch: Epoch(epoch),
        };
        match store.run(Request::LeaseExpire(request)).expect("expire") {
            Response::LeaseExpire(response) => response.expired,
            other => panic!("{other:?}"),
        }
    };
    assert!(!expire(1, 1), "a paused owner of an older epoch");
    assert!(expire(2, 1));
    assert!(!expire(2, 1), "it is gone");
    assert_eq!(store.get("a"), None);
}

#[test]
fn expiry_follows_what_is_applied() {
    let mut store = Store::new();
    let now = std::time::Duration::from_secs;
    let mut expiry = Expiry::new();
    let mut apply = |store: &mut Store, request: Request, at| {
        let mut batch = Batch::new(&store.state);
        batch.evaluate(&request).expect("request");
        let body = batch.finish();
        let applied = store.commit(&body);
        expiry.apply(now(at), &applied);
        expiry.due(now(100), 9)
    };
    let id = LeaseId(1);
    let grant = Request::LeaseGrant(LeaseGrantRequest { id, ttl: 100 });
    assert_eq!(apply(&mut store, grant, 0), [id]);
    let renew = Request::LeaseRenew(LeaseRenewRequest { id });
    assert_eq!(apply(&mut store, renew, 1), []);
    let revoke = Request::LeaseRevoke(LeaseRevokeRequest { id });
    assert_eq!(apply(&mut store, revoke, 2), []);
    assert!(expiry.is_empty());
}
