//! The built-in kind Event, in its two views: `v1` and `events.k8s.io/v1`.
//!
//! Both are one object with two sets of member names. What is stored has those of `v1`; [`to_stored`] and
//! [`from_stored`] only rename, so nothing is lost on the way (Kubernetes API reference, "Event"). What an event must be like
//! depends on how it was made: events with an `eventTime` come from newer clients, which say more and are held to it.

mod schema;

use serde_json::Value;

use crate::crd::{Definition, Names};
use crate::field::{ErrorList, FieldError, Path};
use crate::meta::Object;
use crate::names;
use crate::resource::Scope;

/// Group of the newer view; that of the older one is the core group.
pub const GROUP: &str = "events.k8s.io";

/// Names of members that the views don't share: in `v1`, in `events.k8s.io/v1`.
const RENAMED: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];
/// Longest names of what happened and who says so.
const NAME_MAX: usize = 128;
/// Longest text for people.
const NOTE_MAX: usize = 1024;
/// Namespaces of events about objects without a namespace.
const CLUSTER_WIDE: [&str; 2] = ["default", "kube-system"];

/// The definition of Event in the core group (empty) or in [`GROUP`], version v1.
pub fn definition(group: &str) -> Definition {
    Definition {
        group: group.to_owned(),
        names: Names {
            plural: "events".to_owned(),
            singular: "event".to_owned(),
            short_names: vec!["ev".to_owned()],
            kind: "Event".to_owned(),
            list_kind: "EventList".to_owned(),
            ..Names::default()
        },
        scope: Scope::Namespaced,
        versions: vec![schema::version(group)],
    }
}

/// Gives the members of an `events.k8s.io/v1` event the names under which they are stored.
pub fn to_stored(event: &mut Object) {
    for (stored, shown) in RENAMED {
        rename(event, shown, stored);
    }
}

/// The reverse of [`to_stored`].
pub fn from_stored(event: &mut Object) {
    for (stored, shown) in RENAMED {
        rename(event, stored, shown);
    }
}

fn rename(event: &mut Object, from: &str, to: &str) {
    if let Some(value) = event.remove(from) {
        event.set(to, value);
    }
}

/// What is wrong with an event beyond its schema, in the words of its own view. An update may leave as it is what was wrong
/// before.
pub fn validate(event: &Object, old: Option<&Object>) -> ErrorList {
    let names = Wording::of(event);
    let mut errors = ErrorList::new();
    let new_style = event
        .get("eventTime")
        .is_some_and(|time| time.as_str().is_some_and(|text| !text.is_empty()));
    let newer_view = names.regarding == "regarding";
    if newer_view && !new_style && old.is_none() {
        errors.push(FieldError::required(&Path::new("eventTime"), ""));
    }
    errors.append(namespace(event, &names, new_style));
    let unchanged = old.is_some_and(|old| {
        [
            names.controller,
            "reportingInstance",
            "action",
            "reason",
            names.note,
        ]
        .iter()
        .all(|member| old.get(member) == event.get(member))
    });
    if new_style && !unchanged {
        errors.append(said(event, &names));
    }
    if newer_view && old.is_none() {
        errors.append(kind_of(event));
    }
    errors
}

/// The names of a view's members.
struct Wording {
    regarding: &'static str,
    note: &'static str,
    controller: &'static str,
}

impl Wording {
    fn of(event: &Object) -> Self {
        if event.api_version().starts_with(GROUP) {
            Self {
                regarding: "regarding",
                note: "note",
                controller: "reportingController",
            }
        } else {
            Self {
                regarding: "involvedObject",
                note: "message",
                controller: "reportingComponent",
            }
        }
    }
}

/// An event stands in the namespace of what it is about.
fn namespace(event: &Object, names: &Wording, new_style: bool) -> ErrorList {
    let about = event
        .get_path(&[names.regarding, "namespace"])
        .and_then(Value::as_str)
        .unwrap_or_default();
    let fits = match about {
        "" if new_style => CLUSTER_WIDE.contains(&event.namespace()),
        "" => event.namespace() == CLUSTER_WIDE[0],
        about => about == event.namespace(),
    };
    if fits {
        return ErrorList::new();
    }
    let regarding = Path::new(names.regarding);
    FieldError::invalid(
        &regarding.child("namespace"),
        about,
        "does not match event.namespace",
    )
    .into()
}

/// What newer clients must say.
fn said(event: &Object, names: &Wording) -> ErrorList {
    let mut errors = ErrorList::new();
    let text = |member: &str| {
        event
            .get(member)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    for member in [names.controller, "reportingInstance", "action", "reason"] {
        if text(member).is_empty() {
            errors.push(FieldError::required(&Path::new(member), ""));
        }
    }
    let controller = text(names.controller);
    if !controller.is_empty() {
        errors.extend(
            names::qualified_name(controller)
                .into_iter()
                .map(|why| FieldError::invalid(&Path::new(names.controller), controller, why)),
        );
    }
    let limits = [
        ("reportingInstance", NAME_MAX),
        ("action", NAME_MAX),
        ("reason", NAME_MAX),
        (names.note, NOTE_MAX),
    ];
    for (member, limit) in limits {
        if text(member).len() > limit {
            let why = format!("can have at most {limit} characters");
            errors.push(FieldError::invalid(&Path::new(member), "", why));
        }
    }
    errors
}

/// What only the newer view asks of a new event.
fn kind_of(event: &Object) -> ErrorList {
    let mut errors = ErrorList::new();
    let type_ = event
        .get("type")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if !["Normal", "Warning"].contains(&type_) {
        let path = Path::new("type");
        errors.push(FieldError::invalid(&path, type_, "has invalid value"));
    }
    if let Some(series) = event.get("series").filter(|series| series.is_object()) {
        let path = Path::new("series");
        if series["count"].as_i64().unwrap_or_default() < 2 {
            let count = series["count"].clone();
            errors.push(FieldError::invalid(
                &path.child("count"),
                count,
                "should be at least 2",
            ));
        }
        if series["lastObservedTime"].as_str().is_none() {
            errors.push(FieldError::required(&path.child("lastObservedTime"), ""));
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn newer() -> Object {
        Object::try_from(json!({
            "apiVersion": "events.k8s.io/v1", "kind": "Event",
            "metadata": {"name": "a.1", "namespace": "team"},
            "eventTime": "2026-01-01T00:00:00.000001Z",
            "series": {"count": 3, "lastObservedTime": "2026-01-01T00:00:01.000001Z"},
            "reportingController": "example.com/c", "reportingInstance": "c-0",
            "action": "Placing", "reason": "Placed", "type": "Normal", "note": "where it is",
            "regarding": {"kind": "Widget", "name": "a", "namespace": "team"},
            "related": {"kind": "Node", "name": "n"},
            "deprecatedSource": {"component": "c"}, "deprecatedCount": 1,
            "deprecatedFirstTimestamp": "2026-01-01T00:00:00Z",
            "deprecatedLastTimestamp": null,
        }))
        .unwrap()
    }

    #[test]
    fn the_views_differ_in_names_alone() {
        let event = newer();
        let mut stored = event.clone();
        to_stored(&mut stored);
        for (old, new) in RENAMED {
            assert_eq!(stored.get(old), event.get(new), "{old}");
            assert!(stored.get(new).is_none(), "{new}");
        }
        assert_eq!(stored.get("action"), event.get("action"));
        from_stored(&mut stored);
        assert_eq!(stored, event);
    }

    #[test]
    fn what_clients_send_fits_the_schemas() {
        for (group, mut event) in [("", newer()), (GROUP, newer())] {
            if group.is_empty() {
                to_stored(&mut event);
                event.set("apiVersion", "v1");
            }
            let definition = definition(group);
            let schema = &definition.storage_version().schema;
            let mut value = event.as_value().clone();
            assert_eq!(schema.prune(&mut value), [""; 0]);
            assert_eq!(&value, event.as_value());
            assert!(schema.validate(&value, None).is_empty());
            assert_eq!(validate(&event, None).to_string(), "[]");
        }
    }

    #[test]
    fn an_event_stands_where_its_object_does() {
        let mut event = Object::try_from(json!({
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": "a", "namespace": "team"},
            "involvedObject": {"kind": "Widget", "name": "a", "namespace": "other"},
        }))
        .unwrap();
        assert_eq!(
            validate(&event, None).to_string(),
            "involvedObject.namespace: Invalid value: \"other\": does not match event.namespace"
        );
        event.set("involvedObject", json!({"kind": "Node", "name": "n"}));
        assert_eq!(validate(&event, None).len(), 1);
        event.set_namespace("default");
        assert!(validate(&event, None).is_empty());
    }

    #[test]
    fn newer_events_say_who_and_what() {
        let mut event = newer();
        for member in ["eventTime", "action", "reportingController", "type"] {
            event.remove(member);
        }
        event.set("series", json!({"count": 1}));
        assert_eq!(
            validate(&event, None).to_string(),
            "[eventTime: Required value, type: Invalid value: \"\": has invalid value, \
             series.count: Invalid value: 1: should be at least 2, series.lastObservedTime: Required value]"
        );
        event.set("eventTime", "2026-01-01T00:00:00.000001Z");
        event.set("note", "x".repeat(1025));
        let errors = validate(&event, None).to_string();
        for expected in [
            "reportingController: Required value",
            "action: Required value",
            "note: Invalid value: \"\": can have at most 1024 characters",
        ] {
            assert!(errors.contains(expected), "{errors}");
        }
        // What was taken once may be counted up.
        assert!(validate(&event, Some(&event)).is_empty());
    }
}
