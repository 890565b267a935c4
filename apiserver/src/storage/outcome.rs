//! What has become of a conditional write.

use bytes::Bytes;

use super::error::{Error, Result};
use super::kv::{Alongside, Record};

/// Outcome of a conditional put or deletion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// Done, at this revision: the object's new resourceVersion, or that of its deletion.
    Done {
        /// The revision.
        revision: i64,
    },
    /// The compare failed; what is there instead, if anything.
    Conflict {
        /// The current record.
        current: Option<Record>,
    },
    /// The object is as expected, but the guard isn't, or not unmoved what should be; what the guard's key has, if
    /// anything.
    Fenced {
        /// The guard's current record.
        guard: Option<Record>,
    },
    /// Object and guard are as expected, but a companion isn't; what the companions have, in their order.
    Moved {
        /// Their current records.
        found: Vec<Option<Record>>,
    },
}

/// The store's answer to a conditional write.
pub(super) struct Answer {
    /// The revision at which it was done, or what was found instead.
    pub(super) done: std::result::Result<i64, Found>,
    /// Whether it had to be sent again after an attempt with an unknown outcome.
    pub(super) resent: bool,
}

/// What a write that wasn't done has found.
pub(super) struct Found {
    pub(super) current: Option<Record>,
    pub(super) guard: Option<Record>,
    pub(super) companions: Vec<Option<Record>>,
}

/// What became of a put that expected the key at a revision. `resent` says that the answer to an earlier attempt was lost (St2): if
/// the key is where it was, that attempt had no effect; if it has the very value, it had; else the value may have been there in between.
pub(super) fn written(
    doing: &'static str,
    answer: Answer,
    expected: i64,
    along: &Alongside,
    value: &Bytes,
) -> Result<Written> {
    let resent = answer.resent;
    match answer.done {
        Ok(revision) => Ok(Written::Done { revision }),
        Err(found) => match found.current {
            Some(current) if resent && current.value == *value => Ok(Written::Done {
                revision: current.revision,
            }),
            current => other(doing, Found { current, ..found }, resent, expected, along),
        },
    }
}

/// What became of a deletion, likewise. What is gone after a lost answer may have gone by it or not, and what is there again is another
/// object: whoever asked is told that the outcome is unknown, so that nobody deletes that one as well.
pub(super) fn deleted(
    doing: &'static str,
    answer: Answer,
    expected: i64,
    along: &Alongside,
) -> Result<Written> {
    match answer.done {
        Ok(revision) => Ok(Written::Done { revision }),
        Err(found) => other(doing, found, answer.resent, expected, along),
    }
}

/// Why nothing was done.
fn other(
    doing: &'static str,
    found: Found,
    resent: bool,
    expected: i64,
    along: &Alongside,
) -> Result<Written> {
    if is_at(found.current.as_ref(), expected) {
        let guarded = along
            .guard
            .as_ref()
            .is_none_or(|(_, revision)| is_at(found.guard.as_ref(), *revision));
        let moved = along
            .companions
            .iter()
            .zip(&found.companions)
            .any(|((_, revision), found)| !is_at(found.as_ref(), *revision));
        return Ok(if guarded && moved {
            Written::Moved {
                found: found.companions,
            }
        } else {
            Written::Fenced { guard: found.guard }
        });
    }
    if resent {
        return Err(Error::Overtaken { doing });
    }
    Ok(Written::Conflict {
        current: found.current,
    })
}

/// Whether a key is as it was expected to be.
fn is_at(current: Option<&Record>, expected: i64) -> bool {
    current.map_or(0, |record| record.revision) == expected
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(revision: i64, value: &'static str) -> Record {
        Record {
            key: Bytes::from_static(b"/k"),
            value: Bytes::from_static(value.as_bytes()),
            revision,
        }
    }

    fn failed(current: Option<Record>, resent: bool) -> Answer {
        let found = Found {
            current,
            guard: None,
            companions: Vec::new(),
        };
        Answer {
            done: Err(found),
            resent,
        }
    }

    // A leader's write happened, its answer was lost, and its successor wrote before it was sent again: it was called refused.
    #[test]
    fn a_write_that_may_have_been_overwritten_is_neither_done_nor_refused() {
        let value = Bytes::from_static(b"mine");
        let alone = Alongside::default();
        let after = |current, resent| {
            written(
                "update an object",
                failed(current, resent),
                7,
                &alone,
                &value,
            )
        };
        let another = || Some(record(9, "another's"));
        assert!(matches!(
            after(another(), true),
            Err(Error::Overtaken { .. })
        ));
        assert!(matches!(after(None, true), Err(Error::Overtaken { .. })));
        assert!(matches!(
            after(Some(record(9, "mine")), true),
            Ok(Written::Done { revision: 9 })
        ));
        assert!(matches!(
            after(Some(record(7, "before")), true),
            Ok(Written::Fenced { .. })
        ));
        assert!(matches!(
            after(another(), false),
            Ok(Written::Conflict { .. })
        ));
    }

    // The object was deleted, the answer was lost, and somebody had made another one before it was asked again: that went, too.
    #[test]
    fn a_deletion_whose_answer_was_lost_deletes_nothing_else() {
        let alone = Alongside::default();
        let after =
            |current, resent| deleted("delete an object", failed(current, resent), 7, &alone);
        let another = || Some(record(9, "another"));
        for gone in [None, another()] {
            assert!(matches!(after(gone, true), Err(Error::Overtaken { .. })));
        }
        assert!(matches!(
            after(Some(record(7, "before")), true),
            Ok(Written::Fenced { .. })
        ));
        assert!(matches!(
            after(another(), false),
            Ok(Written::Conflict { .. })
        ));
    }

    #[test]
    fn what_a_write_depends_on_is_judged_in_order() {
        let along = Alongside {
            guard: Some(("g".to_owned(), 3)),
            companions: vec![("a".to_owned(), 4), ("b".to_owned(), 0)],
            ..Alongside::default()
        };
        let after = |current, guard, companions| {
            let found = Found {
                current: Some(record(current, "")),
                guard,
                companions,
            };
            let answer = Answer {
                done: Err(found),
                resent: false,
            };
            written("update an object", answer, 7, &along, &Bytes::new()).unwrap()
        };
        let at = |revision| Some(record(revision, ""));
        let moved = vec![at(5), None];
        assert!(matches!(
            after(8, at(2), moved.clone()),
            Written::Conflict { .. }
        ));
        assert!(matches!(
            after(7, at(2), moved.clone()),
            Written::Fenced { .. }
        ));
        assert_eq!(
            after(7, at(3), moved.clone()),
            Written::Moved { found: moved }
        );
        assert!(matches!(
            after(7, at(3), vec![at(4), at(1)]),
            Written::Moved { .. }
        ));
        // What else there was isn't told apart.
        assert!(matches!(
            after(7, at(3), vec![at(4), None]),
            Written::Fenced { .. }
        ));
    }
}
