use proptest::{collection::vec, prelude::*};

use super::*;
use crate::LeaseId;

#[derive(Debug, Clone)]
enum Step {
    Put(u16),
    Delete(u16),
    /// Delete so many neighbours.
    Clear(u16, u16),
    /// Compact so many revisions behind the newest one.
    Compact(i64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        60 => (0..700_u16).prop_map(Step::Put),
        30 => (0..700_u16).prop_map(Step::Delete),
        1 => (0..700_u16, 0..300_u16).prop_map(|(from, count)| Step::Clear(from, count)),
        1 => (0..300_i64).prop_map(Step::Compact),
    ]
}

fn name(number: u16) -> Bytes {
    format!("key/{number:05}").into()
}

fn version(key: Bytes, revision: i64) -> Arc<KeyValue> {
    Arc::new(KeyValue {
        key,
        value: Bytes::new(),
        create_revision: Revision(revision),
        mod_revision: Revision(revision),
        version: 1,
        lease: LeaseId::NONE,
    })
}

/// The keys that exist, by key, with the revision of their version.
type Snapshot = BTreeMap<Bytes, i64>;

fn check(keyspace: &Keyspace, snapshots: &[Snapshot], floor: i64, bounds: (u16, u16)) {
    let ranges = [
        KeyRange::all(),
        KeyRange::new(name(bounds.0), name(bounds.1)),
        KeyRange::from_key(name(bounds.0)),
        KeyRange::single(name(bounds.1)),
    ];
    let newest = snapshots.len() as i64 - 1;
    for at in [floor, (floor + newest) / 2, newest] {
        let snapshot = &snapshots[at as usize];
        for range in &ranges {
            let inside: Vec<(Bytes, i64)> = snapshot
                .iter()
                .filter(|(key, _)| range.contains(key))
                .map(|(key, revision)| (key.clone(), *revision))
                .collect();
            assert_eq!(keyspace.count(range, Revision(at)), inside.len() as u64);
            let found: Vec<(Bytes, i64)> = keyspace
                .iter(range)
                .filter_map(|node| node.live_at(Revision(at)))
                .map(|kv| (kv.key.clone(), kv.mod_revision.0))
                .collect();
            assert_eq!(found, inside);
        }
    }
    assert_eq!(keyspace.live(), snapshots[newest as usize].len() as u64);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Enough keys for many chunks, which are cut, emptied and merged.
    #[test]
    fn every_readable_revision_is_as_it_was(
        steps in vec(step(), 1..1500),
        bounds in (0..700_u16, 0..700_u16),
    ) {
        let mut keyspace = Keyspace::default();
        let mut snapshots = vec![Snapshot::new()];
        let mut floor = 0;
        let single = |step| match step {
            Step::Clear(from, count) => (from..from + count).map(Step::Delete).collect(),
            other => vec![other],
        };
        for step in steps.into_iter().flat_map(single) {
            let revision = snapshots.len() as i64;
            let mut snapshot = snapshots.last().cloned().unwrap_or_default();
            let kv = match step {
                Step::Put(number) => {
                    snapshot.insert(name(number), revision);
                    version(name(number), revision)
                }
                Step::Delete(number) => {
                    if snapshot.remove(&name(number)).is_none() {
                        continue;
                    }
                    Arc::new(KeyValue::tombstone(name(number), Revision(revision)))
                }
                Step::Clear(..) => continue,
                Step::Compact(behind) => {
                    floor = floor.max(revision - 1 - behind);
                    check(&keyspace, &snapshots, floor, bounds);
                    (0..1000).for_each(|number| keyspace.trim(&name(number), Revision(floor)));
                    check(&keyspace, &snapshots, floor, bounds);
                    continue;
                }
            };
            keyspace.insert(kv);
            snapshots.push(snapshot);
        }
        check(&keyspace, &snapshots, floor, bounds);
        // Compacting at the end twice, so that tombstones at the floor go as well, leaves one
        // version per key.
        let end = Revision(snapshots.len() as i64);
        (0..1000).for_each(|number| keyspace.trim(&name(number), end));
        let rows: Vec<_> = keyspace.iter(&KeyRange::all()).map(Node::latest).cloned().collect();
        prop_assert_eq!(keyspace.versions(), rows.len() as u64);
        prop_assert_eq!(keyspace.live(), rows.len() as u64);
        prop_assert_eq!(keyspace.bytes(), rows.iter().map(|kv| kv.size() as u64).sum::<u64>());
    }
}

#[test]
fn ascending_keys_fill_their_chunks() {
    let mut keyspace = Keyspace::default();
    for number in 0..10_000_u16 {
        keyspace.insert(version(name(number), i64::from(number) + 2));
    }
    let chunks = keyspace.chunks.len();
    assert!(chunks <= 10_000 / (CHUNK_MAX * 3 / 4), "{chunks}");
    for number in 0..10_000_u16 {
        keyspace.insert(Arc::new(KeyValue::tombstone(
            name(number),
            Revision(20_000),
        )));
        keyspace.trim(&name(number), Revision(20_001));
    }
    assert_eq!(
        (keyspace.chunks.len(), keyspace.versions(), keyspace.bytes()),
        (1, 0, 0)
    );
}
