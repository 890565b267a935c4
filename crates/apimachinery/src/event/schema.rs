//! The schemas and columns of both views.

use serde_json::{Map, Value, json};

use super::GROUP;
use crate::builtin::{self, text, time};
use crate::crd::DefinitionVersion;
use crate::resource::PrinterColumn;

/// Members of a reference to an object that field selectors may name.
const SELECTABLE: [&str; 7] = [
    "kind",
    "namespace",
    "name",
    "uid",
    "apiVersion",
    "resourceVersion",
    "fieldPath",
];

/// Version v1 of one of the views.
pub(super) fn version(group: &str) -> DefinitionVersion {
    let newer = group == GROUP;
    let v1 = builtin::version("v1", raw(newer), false)
        .expect("the schemas below are structural, which a test shows");
    let about = if newer { "regarding" } else { "involvedObject" };
    let controller = if newer {
        ".reportingController"
    } else {
        ".reportingComponent"
    };
    DefinitionVersion {
        columns: columns(newer, about, controller),
        selectable_fields: SELECTABLE
            .iter()
            .map(|member| format!(".{about}.{member}"))
            .chain([".reason", ".type", controller].map(str::to_owned))
            .collect(),
        ..v1
    }
}

fn columns(newer: bool, about: &str, controller: &str) -> Vec<PrinterColumn> {
    let column = |name: &str, type_: &str, paths: &[&str], priority: i32| PrinterColumn {
        name: name.to_owned(),
        type_: type_.to_owned(),
        // The first of them that an event has.
        json_path: paths.join("\n"),
        description: format!("{name} of the event"),
        priority,
        ..PrinterColumn::default()
    };
    let (first, last, count, source, message) = if newer {
        (
            ".deprecatedFirstTimestamp",
            ".deprecatedLastTimestamp",
            ".deprecatedCount",
            ".deprecatedSource.component",
            ".note",
        )
    } else {
        (
            ".firstTimestamp",
            ".lastTimestamp",
            ".count",
            ".source.component",
            ".message",
        )
    };
    let observed = ".series.lastObservedTime";
    vec![
        column(
            "Last Seen",
            "date",
            &[observed, last, ".eventTime", first],
            0,
        ),
        column("Type", "string", &[".type"], 0),
        column("Reason", "string", &[".reason"], 0),
        column("Kind", "string", &[&format!(".{about}.kind")], 0),
        column("Object", "string", &[&format!(".{about}.name")], 0),
        column(
            "Cluster",
            "string",
            &[".metadata.annotations.helium\\.dev/origin-cluster"],
            0,
        ),
        column("Source", "string", &[source, controller], 1),
        column("Message", "string", &[message], 0),
        column("First Seen", "date", &[first, ".eventTime"], 1),
        column("Count", "integer", &[".series.count", count], 1),
    ]
}

fn raw(newer: bool) -> Value {
    let count =
        json!({"type": "integer", "format": "int32", "description": "How often it has happened."});
    let series = json!({
        "type": "object",
        "nullable": true,
        "description": "What this event has become, if it goes on.",
        "properties": {
            "count": count,
            "lastObservedTime": time("When it was last seen."),
        },
    });
    let source = json!({
        "type": "object",
        "description": "Who says so.",
        "properties": {"component": text("The component."), "host": text("The node that it runs on.")},
    });
    let view = usize::from(newer);
    let members = [
        ("apiVersion", json!({"type": "string"})),
        ("kind", json!({"type": "string"})),
        ("metadata", json!({"type": "object"})),
        ("action", text("What was done.")),
        ("eventTime", time("When it was first seen.")),
        ("reason", text("Why it was done.")),
        (
            "related",
            reference("Another object that takes part.", true),
        ),
        (
            "reportingInstance",
            text("Which instance of the controller says so."),
        ),
        ("series", series),
        ("type", text("Normal or Warning.")),
        (
            ["involvedObject", "regarding"][view],
            reference("What it is about.", false),
        ),
        (
            ["message", "note"][view],
            text("What happened, for people."),
        ),
        (["source", "deprecatedSource"][view], source),
        (
            ["firstTimestamp", "deprecatedFirstTimestamp"][view],
            time("When it was first seen."),
        ),
        (
            ["lastTimestamp", "deprecatedLastTimestamp"][view],
            time("When it was last seen."),
        ),
        (["count", "deprecatedCount"][view], count),
        (
            ["reportingComponent", "reportingController"][view],
            text("Which controller says so."),
        ),
    ];
    let properties: Map<String, Value> = members
        .into_iter()
        .map(|(name, schema)| (name.to_owned(), schema))
        .collect();
    json!({
        "type": "object",
        "description": "Event is a report of an event somewhere in the fleet. It is kept for a while only.",
        "properties": properties,
    })
}

fn reference(description: &str, nullable: bool) -> Value {
    let members: Map<String, Value> = SELECTABLE
        .iter()
        .map(|member| ((*member).to_owned(), json!({"type": "string"})))
        .collect();
    let mut schema = json!({"type": "object", "description": description, "properties": members});
    if nullable {
        schema["nullable"] = true.into();
    }
    schema
}
