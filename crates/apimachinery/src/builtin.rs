//! Pieces that the definitions of built-in kinds are made of.

use crate::crd::DefinitionVersion;
use crate::field::{ErrorList, Path};
use crate::resource::PrinterColumn;
use crate::schema::Schema;
use serde_json::{Value, json};

/// A version that is served and stored, without columns. Fails if the schema isn't structural.
pub fn version(name: &str, raw: Value, has_status: bool) -> Result<DefinitionVersion, ErrorList> {
    Ok(DefinitionVersion {
        name: name.to_owned(),
        served: true,
        storage: true,
        deprecation: None,
        schema: Schema::parse(&raw, &Path::ROOT)?,
        raw_schema: raw,
        has_status,
        scale: None,
        columns: Vec::new(),
        selectable_fields: Vec::new(),
    })
}

/// A column of tables.
pub fn column(name: &str, type_: &str, json_path: &str, description: &str) -> PrinterColumn {
    PrinterColumn {
        name: name.to_owned(),
        type_: type_.to_owned(),
        description: description.to_owned(),
        json_path: json_path.to_owned(),
        ..PrinterColumn::default()
    }
}

/// A text with a description.
pub fn text(description: &str) -> Value {
    json!({"type": "string", "description": description})
}

/// A point in time that may be null, as clients write one that they don't know.
pub fn time(description: &str) -> Value {
    json!({"type": "string", "format": "date-time", "nullable": true, "description": description})
}

/// A list of texts.
pub fn texts(description: &str) -> Value {
    json!({"type": "array", "description": description, "items": {"type": "string"}})
}

/// Conditions as Kubernetes writes them; `types` names the ones that there are.
pub fn conditions(types: &str) -> Value {
    json!({
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["type", "status"],
            "properties": {
                "type": text(types),
                "status": text("True, False or Unknown."),
                "reason": text("One word that says why."),
                "message": text("Why, for people."),
                "lastTransitionTime": {"type": "string", "format": "date-time"},
                "observedGeneration": {"type": "integer", "format": "int64"},
            },
        },
    })
}
