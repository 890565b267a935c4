//! `meta.k8s.io` Table and PartialObjectMetadata: what `kubectl get` prints, and what collectors read.
//!
//! The cells of a table are computed here so that clients need no schema; dates become ages, counted from the time
//! that the caller passes.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::jsonpath::JsonPath;
use crate::meta::Object;
use crate::resource::PrinterColumn;
use crate::status::{Result, Status};
use crate::text::quote;

/// Where every object says when it was created.
const CREATED: &str = ".metadata.creationTimestamp";

/// What a row carries as its object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IncludeObject {
    /// Nothing.
    None,
    /// `PartialObjectMetadata`.
    #[default]
    Metadata,
    /// The whole object.
    Object,
}

impl IncludeObject {
    /// Reads the query parameter `includeObject` (empty is the default); 400 for another word.
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "" | "Metadata" => Ok(Self::Metadata),
            "None" => Ok(Self::None),
            "Object" => Ok(Self::Object),
            other => Err(Status::bad_request(format!(
                "includeObject: Invalid value: {}: must be 'Metadata', 'Object', 'None', or empty",
                quote(other)
            ))),
        }
    }
}

/// A printer: compiled columns.
#[derive(Clone, Debug)]
pub struct Printer {
    columns: Vec<(PrinterColumn, Vec<JsonPath>)>,
}

impl Printer {
    /// Compiles columns. Name comes first by itself; without columns Age follows. A built-in kind's column may have
    /// several paths, one a line: the first that leads to something counts. A path that can't be parsed (a
    /// valid definition has none) gives empty cells.
    pub fn new(columns: &[PrinterColumn]) -> Self {
        let age = [PrinterColumn {
            name: "Age".to_owned(),
            type_: "date".to_owned(),
            description: "When the object was created.".to_owned(),
            json_path: CREATED.to_owned(),
            ..PrinterColumn::default()
        }];
        let columns = if columns.is_empty() { &age } else { columns };
        Self {
            columns: columns
                .iter()
                .map(|column| (column.clone(), paths(&column.json_path)))
                .collect(),
        }
    }

    /// A table of objects.
    ///
    /// `api_version` is `meta.k8s.io/v1` or `meta.k8s.io/v1beta1`; `list_metadata` is the metadata of the list, or
    /// the resourceVersion of the single object; `with_definitions` is false for the later events of a watch.
    pub fn table(
        &self,
        api_version: &str,
        list_metadata: &Value,
        objects: &[&Object],
        include: IncludeObject,
        with_definitions: bool,
        now: Timestamp,
    ) -> Value {
        let rows: Vec<Value> = objects
            .iter()
            .map(|object| self.row(object, api_version, include, now))
            .collect();
        json!({
            "kind": "Table",
            "apiVersion": api_version,
            "metadata": list_metadata,
            "columnDefinitions": if with_definitions { self.definitions() } else { Value::Null },
            "rows": rows,
        })
    }

    fn definitions(&self) -> Value {
        let name = json!({
            "name": "Name", "type": "string", "format": "name", "priority": 0,
            "description": "Name of the object, unique among the objects of its kind and namespace.",
        });
        let others = self.columns.iter().map(|(column, _)| {
            let description = match column.description.as_str() {
                "" => format!(
                    "Custom resource definition column (in JSONPath format): {}",
                    column.json_path
                ),
                text => text.to_owned(),
            };
            json!({
                "name": column.name, "type": column.type_, "format": column.format,
                "description": description, "priority": column.priority,
            })
        });
        std::iter::once(name).chain(others).collect()
    }

    fn row(
        &self,
        object: &Object,
        api_version: &str,
        include: IncludeObject,
        now: Timestamp,
    ) -> Value {
        let cells: Vec<Value> = std::iter::once(Value::from(object.name()))
            .chain(self.columns.iter().map(|(column, paths)| {
                let lead = |path: &JsonPath| path.first(object.as_value());
                let found = paths.iter().filter_map(lead).find(|value| !value.is_null());
                found.map_or_else(|| missing(column), |value| cell(&column.type_, value, now))
            }))
            .collect();
        let mut row = Map::new();
        row.insert("cells".to_owned(), cells.into());
        match include {
            IncludeObject::None => {}
            IncludeObject::Metadata => {
                row.insert("object".to_owned(), partial_metadata(object, api_version));
            }
            IncludeObject::Object => {
                row.insert("object".to_owned(), object.as_value().clone());
            }
        }
        Value::Object(row)
    }
}

fn paths(text: &str) -> Vec<JsonPath> {
    text.lines()
        .filter_map(|line| JsonPath::parse(line).ok())
        .collect()
}

/// The cell of a column whose value the object doesn't have. An unknown age is named, as everywhere in kubectl.
fn missing(column: &PrinterColumn) -> Value {
    if column.type_ == "date" && column.json_path == CREATED {
        return "<unknown>".into();
    }
    Value::Null
}

/// A value as the type of its column shows it; null when it doesn't fit.
fn cell(column_type: &str, value: &Value, now: Timestamp) -> Value {
    match (column_type, value) {
        (_, Value::Null) => Value::Null,
        ("integer", Value::Number(number)) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => integer.into(),
            // Saturating, as conversions of floats are.
            (None, Some(float)) => (float as i64).into(),
            _ => Value::Null,
        },
        ("number", Value::Number(_)) | ("boolean", Value::Bool(_)) => value.clone(),
        ("string", Value::String(_)) => value.clone(),
        ("string", other) => other.to_string().into(),
        ("date", Value::String(text)) => match text.parse::<Timestamp>() {
            Ok(time) => human_age(time, now).into(),
            Err(_) => "<invalid>".into(),
        },
        _ => Value::Null,
    }
}

/// An object's metadata as PartialObjectMetadata of `api_version` (`meta.k8s.io/v1` or `…/v1beta1`).
pub fn partial_metadata(object: &Object, api_version: &str) -> Value {
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": api_version,
        "metadata": object.metadata().cloned().unwrap_or_default(),
    })
}

/// A list of them.
pub fn partial_metadata_list(
    list_metadata: &Value,
    objects: &[&Object],
    api_version: &str,
) -> Value {
    let items: Vec<Value> = objects
        .iter()
        .map(|object| partial_metadata(object, api_version))
        .collect();
    json!({
        "kind": "PartialObjectMetadataList",
        "apiVersion": api_version,
        "metadata": list_metadata,
        "items": items,
    })
}

/// An age for people, with less detail the older it is: `90s`, `5m`, `3h12m`, `12d`, `2y`.
///
/// A time more than a second ahead is `<invalid>`, since clocks differ a little.
pub fn human_age(since: Timestamp, now: Timestamp) -> String {
    let milliseconds = now.as_millisecond() - since.as_millisecond();
    // Whole seconds towards zero.
    let seconds = milliseconds / 1000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let pair = |large: i64, unit: &str, small: i64, small_unit: &str| {
        if small == 0 {
            format!("{large}{unit}")
        } else {
            format!("{large}{unit}{small}{small_unit}")
        }
    };
    if seconds < -1 {
        "<invalid>".to_owned()
    } else if seconds < 0 {
        "0s".to_owned()
    } else if seconds < 120 {
        format!("{seconds}s")
    } else if minutes < 10 {
        pair(minutes, "m", seconds % 60, "s")
    } else if minutes < 180 {
        format!("{minutes}m")
    } else if hours < 8 {
        pair(hours, "h", minutes % 60, "m")
    } else if hours < 48 {
        format!("{hours}h")
    } else if hours < 24 * 8 {
        pair(days, "d", hours % 24, "h")
    } else if days < 365 * 2 {
        format!("{days}d")
    } else if days < 365 * 8 {
        pair(days / 365, "y", days % 365, "d")
    } else {
        format!("{}y", days / 365)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-11-21T12:00:00Z".parse().unwrap()
    }

    fn ago(seconds: i64) -> String {
        human_age(
            Timestamp::from_second(now().as_second() - seconds).unwrap(),
            now(),
        )
    }

    #[test]
    fn ages_lose_detail_as_they_grow() {
        const H: i64 = 3600;
        const D: i64 = 24 * H;
        for (seconds, text) in [
            (-5, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (125, "2m5s"),
            (600, "10m"),
            (179 * 60, "179m"),
            (3 * H, "3h"),
            (3 * H + 120, "3h2m"),
            (8 * H, "8h"),
            (47 * H, "47h"),
            (48 * H, "2d"),
            (51 * H, "2d3h"),
            (8 * D, "8d"),
            (729 * D, "729d"),
            (730 * D, "2y"),
            (731 * D, "2y1d"),
            (3000 * D, "8y"),
        ] {
            assert_eq!(ago(seconds), text);
        }
    }

    fn column(name: &str, type_: &str, json_path: &str) -> PrinterColumn {
        PrinterColumn {
            name: name.into(),
            type_: type_.into(),
            json_path: json_path.into(),
            ..PrinterColumn::default()
        }
    }

    #[test]
    fn a_table_shows_what_kubectl_prints() {
        let wide = PrinterColumn {
            priority: 1,
            ..column("Note", "string", ".spec.note")
        };
        let printer = Printer::new(&[
            column("Color", "string", ".spec.color"),
            column("Count", "integer", ".spec.count"),
            column("Ratio", "number", ".spec.ratio"),
            column("On", "boolean", ".spec.on"),
            column("Tags", "string", ".spec.tags"),
            column("Missing", "string", ".spec.missing"),
            column("Wrong", "integer", ".spec.color"),
            column(
                "Ready",
                "string",
                ".status.conditions[?(@.type==\"Ready\")].status",
            ),
            wide,
            column("Age", "date", ".metadata.creationTimestamp"),
        ]);
        let object = Object::try_from(json!({
            "apiVersion": "g.io/v1", "kind": "Widget",
            "metadata": {"name": "a", "creationTimestamp": "2026-11-21T11:55:00Z"},
            "spec": {"color": "red", "count": 3, "ratio": 0.5, "on": true, "tags": ["x"], "note": "n"},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        }))
        .unwrap();
        let table = printer.table(
            "meta.k8s.io/v1",
            &json!({"resourceVersion": "7"}),
            &[&object],
            IncludeObject::Metadata,
            true,
            now(),
        );
        insta::assert_json_snapshot!("table", table);
    }

    #[test]
    fn without_columns_there_are_name_and_age() {
        let object = Object::try_from(json!({
            "metadata": {"name": "a", "creationTimestamp": "2026-11-21T11:00:00Z"},
        }))
        .unwrap();
        let table = Printer::new(&[]).table(
            "meta.k8s.io/v1",
            &json!({}),
            &[&object],
            IncludeObject::None,
            false,
            now(),
        );
        assert_eq!(table["columnDefinitions"], Value::Null);
        assert_eq!(table["rows"], json!([{"cells": ["a", "60m"]}]));
    }

    #[test]
    fn what_rows_include_is_chosen() {
        assert_eq!(IncludeObject::parse("").unwrap(), IncludeObject::Metadata);
        assert_eq!(
            IncludeObject::parse("Object").unwrap(),
            IncludeObject::Object
        );
        assert_eq!(IncludeObject::parse("All").unwrap_err().code(), 400);
    }
}
