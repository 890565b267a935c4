//! What a delete does to an object.

use jiff::Timestamp;

use crate::gvk::GroupResource;
use crate::meta::{FINALIZER_FOREGROUND, FINALIZER_ORPHAN, Object, time_text};
use crate::options::{DeleteOptions, Preconditions, Propagation};
use crate::status::{Result, Status};

/// What a delete does.
#[derive(Clone, Debug, PartialEq)]
pub enum Deletion {
    /// Remove the object now.
    Remove,
    /// Store this instead: finalizers remain.
    Mark(Object),
    /// Nothing changes: the deletion is already pending, in the same way.
    Pending,
}

/// 409 unless the preconditions hold for an object.
pub fn check_preconditions(
    conditions: &Preconditions,
    object: &Object,
    resource: &GroupResource,
) -> Result<()> {
    let conflict = |why: String| Err(Status::conflict(resource, object.name(), why));
    if let Some(uid) = conditions.uid.as_deref().filter(|uid| *uid != object.uid()) {
        return conflict(format!(
            "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
            object.uid()
        ));
    }
    let version = conditions.resource_version.as_deref();
    if let Some(version) = version.filter(|version| *version != object.resource_version()) {
        return conflict(format!(
            "Precondition failed: ResourceVersion in precondition: {version}, ResourceVersion in object meta: {}",
            object.resource_version()
        ));
    }
    Ok(())
}

/// Decides what a delete does: 409 when a precondition fails.
///
/// The propagation decides about the garbage collector's two finalizers: `Foreground` and `Orphan` add theirs,
/// `Background` removes both, and without a policy they stay. If any finalizer remains, the object is marked:
/// deletionTimestamp, no grace, and a new generation the first time.
pub fn prepare_delete(
    object: &Object,
    options: &DeleteOptions,
    resource: &GroupResource,
    now: Timestamp,
) -> Result<Deletion> {
    check_preconditions(&options.preconditions, object, resource)?;
    let before = object.finalizers();
    let collector = collector_finalizer(&before, options.propagation);
    let mut after: Vec<&str> = before
        .iter()
        .copied()
        .filter(|f| *f != FINALIZER_ORPHAN && *f != FINALIZER_FOREGROUND)
        .collect();
    after.extend(collector);
    if after.is_empty() {
        return Ok(Deletion::Remove);
    }
    let mut marked = object.clone();
    let unchanged =
        after.len() == before.len() && after.iter().all(|finalizer| before.contains(finalizer));
    if !unchanged {
        marked.set_finalizers(&after);
    }
    if !object.is_terminating() && object.generation() > 0 {
        marked.set_generation(object.generation() + 1);
    }
    if object.deletion_timestamp().is_none_or(|time| time > now) {
        marked.set_meta("deletionTimestamp", time_text(now));
    }
    marked.set_meta("deletionGracePeriodSeconds", 0);
    if marked == *object {
        Ok(Deletion::Pending)
    } else {
        Ok(Deletion::Mark(marked))
    }
}

/// The garbage collector's finalizer that an object has after a delete.
fn collector_finalizer(
    finalizers: &[&str],
    propagation: Option<Propagation>,
) -> Option<&'static str> {
    match propagation {
        Some(Propagation::Orphan) => Some(FINALIZER_ORPHAN),
        Some(Propagation::Foreground) => Some(FINALIZER_FOREGROUND),
        Some(Propagation::Background) => None,
        None => finalizers.iter().find_map(|finalizer| match *finalizer {
            FINALIZER_ORPHAN => Some(FINALIZER_ORPHAN),
            FINALIZER_FOREGROUND => Some(FINALIZER_FOREGROUND),
            _ => None,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn now() -> Timestamp {
        "2026-01-02T03:04:05Z".parse().unwrap()
    }

    fn object(finalizers: &[&str]) -> Object {
        let mut object = Object::try_from(json!({
            "metadata": {"name": "a", "uid": "u", "resourceVersion": "5", "generation": 1},
        }))
        .unwrap();
        object.set_finalizers(finalizers);
        object
    }

    fn delete(object: &Object, propagation: Option<Propagation>) -> Deletion {
        let options = DeleteOptions {
            propagation,
            ..DeleteOptions::default()
        };
        prepare_delete(
            object,
            &options,
            &GroupResource::new("g.io", "widgets"),
            now(),
        )
        .unwrap()
    }

    fn marked(deletion: Deletion) -> Object {
        match deletion {
            Deletion::Mark(object) => object,
            other => panic!("not marked: {other:?}"),
        }
    }

    #[test]
    fn without_finalizers_the_object_goes() {
        assert_eq!(delete(&object(&[]), None), Deletion::Remove);
        assert_eq!(
            delete(&object(&[]), Some(Propagation::Background)),
            Deletion::Remove
        );
        assert_eq!(
            delete(&object(&["orphan"]), Some(Propagation::Background)),
            Deletion::Remove
        );
    }

    #[test]
    fn with_finalizers_it_is_marked_once() {
        let first = marked(delete(&object(&["g.io/x"]), None));
        assert_eq!(first.generation(), 2);
        assert_eq!(first.deletion_timestamp(), Some(now()));
        assert_eq!(first.meta("deletionGracePeriodSeconds"), Some(&json!(0)));
        assert_eq!(delete(&first, None), Deletion::Pending);
    }

    #[test]
    fn propagation_adds_and_replaces_the_collectors_finalizer() {
        let foreground = marked(delete(&object(&[]), Some(Propagation::Foreground)));
        assert_eq!(foreground.finalizers(), ["foregroundDeletion"]);
        let orphan = marked(delete(&foreground, Some(Propagation::Orphan)));
        assert_eq!(orphan.finalizers(), ["orphan"]);
        assert_eq!(orphan.generation(), 2, "a deletion begins once");
        assert_eq!(delete(&orphan, None), Deletion::Pending);
        let both = marked(delete(&object(&["g.io/x"]), Some(Propagation::Orphan)));
        assert_eq!(both.finalizers(), ["g.io/x", "orphan"]);
    }

    #[test]
    fn failed_preconditions_are_conflicts() {
        let resource = GroupResource::new("g.io", "widgets");
        for (uid, version) in [(Some("v"), None), (None, Some("4"))] {
            let conditions = Preconditions {
                uid: uid.map(str::to_owned),
                resource_version: version.map(str::to_owned),
            };
            let options = DeleteOptions {
                preconditions: conditions,
                ..DeleteOptions::default()
            };
            let status = prepare_delete(&object(&[]), &options, &resource, now()).unwrap_err();
            assert_eq!(status.code(), 409);
        }
    }
}
