use proptest::{collection::vec, prelude::*};

use super::*;

fn bytes(max: usize) -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..max).prop_map(Bytes::from)
}

fn alarm() -> impl Strategy<Value = Alarm> {
    let kind = prop_oneof![Just(AlarmKind::NoSpace), Just(AlarmKind::Corrupt)];
    (kind, any::<u64>()).prop_map(|(kind, member)| Alarm {
        kind,
        member: MemberId(member),
    })
}

/// The operations of a transaction on a store at `base`, and the revision after it.
fn transaction() -> impl Strategy<Value = (Option<Forward>, Vec<Draft>)> {
    let forward = proptest::option::of((any::<u64>(), any::<u64>()));
    let forward =
        forward.prop_map(|pair| pair.map(|(origin, sequence)| Forward { origin, sequence }));
    (forward, vec(draft(), 1..4))
}

/// An operation whose revisions aren't known yet.
#[derive(Debug, Clone)]
enum Draft {
    Put {
        key: Bytes,
        value: Bytes,
        age: i64,
        version: i64,
        lease: i64,
    },
    Delete(Bytes),
    Bump {
        incarnation: u64,
        by: i64,
    },
    Other(Operation),
}

fn draft() -> impl Strategy<Value = Draft> {
    let lease = any::<i64>;
    prop_oneof![
        8 => (bytes(20), bytes(300), any::<i64>(), 1..=i64::MAX, lease()).prop_map(
            |(key, value, age, version, lease)| Draft::Put { key, value, age, version, lease }
        ),
        2 => bytes(20).prop_map(Draft::Delete),
        1 => (any::<u64>(), 0..1000_i64)
            .prop_map(|(incarnation, by)| Draft::Bump { incarnation, by }),
        1 => (lease(), any::<i64>()).prop_map(|(id, ttl)| {
            Draft::Other(Operation::LeaseGrant { id: LeaseId(id), ttl })
        }),
        1 => lease().prop_map(|id| Draft::Other(Operation::LeaseRevoke { id: LeaseId(id) })),
        1 => lease().prop_map(|id| Draft::Other(Operation::LeaseRenew { id: LeaseId(id) })),
        1 => lease().prop_map(|at| Draft::Other(Operation::Compact { revision: Revision(at) })),
        1 => (any::<u64>(), any::<u64>()).prop_map(|(epoch, owner)| {
            Draft::Other(Operation::Epoch { epoch: Epoch(epoch), owner: MemberId(owner) })
        }),
        1 => alarm().prop_map(|alarm| Draft::Other(Operation::AlarmActivate(alarm))),
        1 => alarm().prop_map(|alarm| Draft::Other(Operation::AlarmDeactivate(alarm))),
    ]
}

fn body() -> impl Strategy<Value = BatchBody> {
    (1..1_000_000_000_i64, vec(transaction(), 0..12)).prop_map(|(base, transactions)| {
        let mut body = BatchBody::empty(Revision(base));
        let mut revision = body.last;
        for (forward, drafts) in transactions {
            let next = revision.next();
            for draft in drafts {
                body.push(match draft {
                    Draft::Put {
                        key,
                        value,
                        age,
                        version,
                        lease,
                    } => {
                        revision = revision.max(next);
                        let create_revision = Revision(next.0 - age.rem_euclid(next.0));
                        let (mod_revision, lease) = (next, LeaseId(lease));
                        Operation::Put(Arc::new(KeyValue {
                            key,
                            value,
                            create_revision,
                            mod_revision,
                            version,
                            lease,
                        }))
                    }
                    Draft::Delete(key) => {
                        revision = revision.max(next);
                        Operation::Delete(Arc::new(KeyValue::tombstone(key, next)))
                    }
                    Draft::Bump { incarnation, by } => {
                        revision = Revision(next.0 + by);
                        let incarnation = Incarnation(incarnation);
                        Operation::Incarnation {
                            incarnation,
                            revision,
                        }
                    }
                    Draft::Other(operation) => operation,
                });
            }
            body.seal(forward, revision);
        }
        body
    })
}

/// Appends a right checksum, so that the content is looked at.
fn checked(content: &[u8]) -> Vec<u8> {
    [content, &crc32c::crc32c(content).to_le_bytes()].concat()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_is_written_is_read(body in body()) {
        prop_assert_eq!(BatchBody::decode(&body.encode()), Ok(body));
    }

    #[test]
    fn changed_bytes_are_noticed(body in body(), at in any::<prop::sample::Index>(), bit in 0..8) {
        let mut payload = body.encode().to_vec();
        let at = at.index(payload.len());
        payload[at] ^= 1_u8 << bit;
        let checksum = Err(DecodeError::Corrupt(WireError::Checksum));
        prop_assert_eq!(BatchBody::decode(&payload), checksum);
    }

    #[test]
    fn cut_bytes_are_noticed(body in body(), at in any::<prop::sample::Index>()) {
        let payload = body.encode();
        let cut = &payload[..at.index(payload.len())];
        prop_assert!(BatchBody::decode(cut).is_err());
        // Even where the checksum of what is left is right.
        prop_assert!(BatchBody::decode(&checked(&cut[..cut.len().saturating_sub(4)])).is_err());
    }

    #[test]
    fn any_content_is_read_or_refused(content in vec(any::<u8>(), 0..200)) {
        let _ = BatchBody::decode(&content);
        let mut content = content;
        content.insert(0, ENCODING as u8);
        if let Ok(body) = BatchBody::decode(&checked(&content)) {
            prop_assert_eq!(BatchBody::decode(&body.encode()), Ok(body));
        }
    }

    #[test]
    fn changed_content_is_read_or_refused(
        body in body(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let payload = body.encode();
        let mut content = payload[..payload.len() - 4].to_vec();
        for (at, byte) in changes {
            let at = at.index(content.len());
            content[at] = byte;
        }
        let _ = BatchBody::decode(&checked(&content));
    }
}

#[test]
fn a_format_from_the_future_is_named() {
    let payload = checked(&[9, 1, 2, 3]);
    assert_eq!(
        BatchBody::decode(&payload),
        Err(DecodeError::UnknownFormat(9))
    );
    assert_eq!(
        BatchBody::decode(&[]),
        Err(DecodeError::Corrupt(WireError::Truncated))
    );
}

#[test]
fn a_small_put_costs_few_bytes_beside_its_content() {
    let mut body = BatchBody::empty(Revision(1_000_000));
    body.push(Operation::Put(Arc::new(KeyValue {
        key: Bytes::from_static(&[b'k'; 40]),
        value: Bytes::from_static(&[b'v'; 100]),
        create_revision: Revision(1_000_001),
        mod_revision: Revision(1_000_001),
        version: 1,
        lease: LeaseId::NONE,
    })));
    body.seal(None, Revision(1_000_001));
    assert!(body.encode().len() <= 140 + 20, "{}", body.encode().len());
}

#[test]
fn what_is_kept_does_not_pin_the_payload() {
    let mut body = BatchBody::empty(Revision(1));
    for key in [&b"a"[..], b"b"] {
        let kv = KeyValue {
            version: 1,
            create_revision: Revision(2),
            ..KeyValue::tombstone(Bytes::copy_from_slice(key), Revision(2))
        };
        body.push(Operation::Put(Arc::new(kv)));
    }
    body.seal(None, Revision(2));
    let payload = body.encode();
    let within = payload.as_ptr_range();
    let decoded = BatchBody::decode(&payload).expect("own encoding");
    for transaction in decoded.transactions() {
        for operation in transaction.operations {
            let kv = operation.version().expect("a put");
            assert!(!within.contains(&kv.key.as_ptr()));
        }
    }
}
