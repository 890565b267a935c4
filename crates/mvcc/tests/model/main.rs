//! Random requests against a plain model: what every request answers, what every revision holds,
//! however the requests are cut into batches, whatever batches are lost and evaluated again, and
//! whichever way a replica came to its state.

mod generate;
mod model;

use bytes::Bytes;
use helium_mvcc::*;
use proptest::{collection::vec, prelude::*};

use model::Model;

/// How a run of requests is cut: this many form a batch, and maybe the batch after it wins the
/// slot first.
#[derive(Debug, Clone)]
struct Cut {
    requests: usize,
    lost: bool,
    clean_up: usize,
}

fn cuts() -> impl Strategy<Value = Vec<Cut>> {
    let cut = (1..6_usize, prop::bool::weighted(0.3), 0..4_usize).prop_map(
        |(requests, lost, clean_up)| Cut {
            requests,
            lost,
            clean_up,
        },
    );
    vec(cut, 60)
}

/// The store under test with all that follows its journal.
struct World {
    model: Model,
    state: State,
    /// Applies the same entries from their bytes.
    follower: State,
    fold: Fold,
    rows: std::collections::BTreeMap<Bytes, KeyValue>,
    journal: Vec<Bytes>,
    requests: u64,
}

impl World {
    fn new() -> Self {
        Self {
            model: Model::new(),
            state: State::new(),
            follower: State::new(),
            fold: Fold::new(),
            rows: std::collections::BTreeMap::new(),
            journal: Vec::new(),
            requests: 0,
        }
    }

    /// Evaluates requests in a batch that loses its slot.
    fn lose(&self, requests: &[Request]) {
        let before = self.state.save_side();
        let mut batch = Batch::new(&self.state);
        for request in requests {
            let _ = batch.evaluate(request);
        }
        drop(batch.finish());
        assert_eq!(self.state.save_side(), before);
    }

    /// Evaluates requests in a batch that wins its slot.
    fn commit(&mut self, requests: &[Request]) {
        let mut batch = Batch::new(&self.state);
        for request in requests {
            let revision = batch.revision();
            self.requests += 1;
            let outcome = match self.requests {
                // Some come from other instances.
                sequence if sequence % 3 == 0 => {
                    let forward = Forward {
                        origin: sequence % 2,
                        sequence,
                    };
                    batch.evaluate_forwarded(forward, request)
                }
                _ => batch.evaluate(request),
            };
            let expected = self.model.evaluate(request);
            let got = outcome.as_ref().map(|outcome| &outcome.response);
            assert_eq!(got, expected.as_ref(), "{request:?}");
            let header = outcome.as_ref().map(|outcome| outcome.response.revision());
            assert!(
                header.is_err() || header == Ok(batch.revision()),
                "{request:?}"
            );
            let wrote = outcome.is_ok_and(|outcome| outcome.wrote);
            assert!(wrote || batch.revision() == revision);
        }
        let body = batch.finish();
        assert_eq!(body.last_revision(), Revision(self.model.revision));
        let stamp = Stamp {
            slot: self.journal.len() as u64 + 1,
            at: 0,
        };
        self.state.apply(stamp, &body).expect("own batch");
        let payload = body.encode();
        let decoded = BatchBody::decode(&payload).expect("own encoding");
        assert_eq!(decoded, body);
        self.follower.apply(stamp, &decoded).expect("other's batch");
        self.fold.apply(&decoded).expect("other's batch");
        for row in self.fold.take_rows() {
            match row {
                Row::Upsert(kv) => drop(self.rows.insert(kv.key.clone(), (*kv).clone())),
                Row::Delete(key) => drop(self.rows.remove(&key)),
            }
        }
        self.journal.push(payload);
    }

    /// Every state that the model has is that of the store.
    fn check(&self, state: &State, from: i64) {
        let model = &self.model;
        assert_eq!(state.revision(), Revision(model.revision));
        let floor = model.compact_revision.max(from).max(1);
        for revision in floor..=model.revision {
            for range in generate::ranges() {
                let revision = Revision(revision);
                let request = RangeRequest {
                    revision,
                    ..RangeRequest::new(range)
                };
                assert_eq!(state.range(&request), model.range(&request, model.revision));
                let counted = RangeRequest {
                    count_only: true,
                    ..request
                };
                assert_eq!(state.range(&counted), model.range(&counted, model.revision));
            }
        }
        let leases: Vec<(i64, i64)> = state
            .leases()
            .map(|lease| (lease.id.0, lease.ttl))
            .collect();
        assert_eq!(
            leases,
            model
                .leases
                .iter()
                .map(|(id, ttl)| (*id, *ttl))
                .collect::<Vec<_>>()
        );
        for id in model.leases.keys() {
            let keys: Vec<Bytes> = state.lease_keys(LeaseId(*id)).cloned().collect();
            assert_eq!(keys, model.lease_keys(*id));
        }
        let current = model.snapshot(model.revision);
        assert_eq!(state.key_count(), current.len() as u64);
        assert!(state.rows().map(|kv| &**kv).eq(current.values()));
    }

    /// The events of every revision from `from` on are those that the snapshots differ by.
    fn check_events(&self, state: &State, from: i64) {
        for (revision, events) in state.changes(Revision(from.max(2))) {
            let before = self.model.snapshot(revision.0 - 1);
            let after = self.model.snapshot(revision.0);
            assert!(!events.is_empty());
            for event in events {
                assert_eq!(event.revision(), revision);
                assert_eq!(
                    after.get(&event.kv.key).is_some(),
                    event.kind == EventKind::Put
                );
                if let Some(kv) = after.get(&event.kv.key) {
                    assert_eq!(*event.kv, *kv);
                }
                if revision.0 > self.model.compact_revision {
                    assert_eq!(event.prev_kv.as_deref(), before.get(&event.kv.key));
                }
            }
            let mut changed: Vec<&Bytes> = events.iter().map(|event| &event.kv.key).collect();
            changed.sort();
            let mut differing: Vec<&Bytes> = before
                .keys()
                .chain(after.keys())
                .filter(|key| before.get(*key) != after.get(*key))
                .collect();
            differing.sort();
            differing.dedup();
            assert_eq!(changed, differing);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_store_is_the_model_however_requests_are_batched(
        requests in vec(generate::request(), 1..60),
        cuts in cuts(),
        checkpoint in any::<prop::sample::Index>(),
    ) {
        let mut world = World::new();
        let mut checkpoints = vec![(world.fold.save(), world.rows.clone())];
        let mut rest = &requests[..];
        let mut cuts = cuts.into_iter();
        while let (false, Some(cut)) = (rest.is_empty(), cuts.next()) {
            let (batch, after) = rest.split_at(cut.requests.min(rest.len()));
            if cut.lost {
                let (first, later) = after.split_at(cut.requests.min(after.len()));
                world.lose(batch);
                world.commit(first);
                checkpoints.push((world.fold.save(), world.rows.clone()));
                rest = later;
            } else {
                rest = after;
            }
            world.commit(batch);
            checkpoints.push((world.fold.save(), world.rows.clone()));
            if cut.clean_up > 0 {
                world.state.compact_step(cut.clean_up);
            }
        }
        world.check(&world.state, 0);
        world.check(&world.follower, 0);
        world.check_events(&world.state, world.model.compact_revision);
        world.check_events(&world.follower, world.model.compact_revision);
        prop_assert_eq!(world.state.save_side(), world.follower.save_side());
        prop_assert_eq!(world.state.save_side(), world.fold.save());
        let hash = world.state.hash_kv(Revision(0));
        prop_assert_eq!(hash, world.follower.hash_kv(Revision(0)));

        // Cleaning up changes nothing that can be seen.
        while world.state.compact_step(3) {}
        world.check(&world.state, 0);
        prop_assert_eq!(hash, world.state.hash_kv(Revision(0)));

        // A checkpoint plus the entries after it is the state, too; also with rows of an
        // unfinished later checkpoint among its own.
        let slot = checkpoint.index(checkpoints.len());
        let (side, rows) = &checkpoints[slot];
        let mut mixed = rows.clone();
        for (key, kv) in &world.rows {
            if slot % 2 == 0 {
                mixed.insert(key.clone(), kv.clone());
            }
        }
        let mut restored =
            State::restore(side, slot as u64, mixed.into_values()).expect("own checkpoint");
        let from = restored.revision().0;
        for (index, payload) in world.journal.iter().enumerate().skip(slot) {
            let body = BatchBody::decode(payload).expect("own encoding");
            let stamp = Stamp { slot: index as u64 + 1, at: 0 };
            restored.apply(stamp, &body).expect("replay");
        }
        // What such a mixture knows of the past begins where the later checkpoint ends.
        let from = if slot % 2 == 0 { world.model.revision } else { from };
        world.check(&restored, from);
        if slot % 2 == 1 {
            world.check_events(&restored, restored.oldest_watchable().0);
        }
    }
}
