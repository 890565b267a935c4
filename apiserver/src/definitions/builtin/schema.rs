//! Pieces that the schemas of built-in kinds are made of.

use helium_apimachinery::crd::DefinitionVersion;
use helium_apimachinery::field::{ErrorList, Path};
use helium_apimachinery::resource::PrinterColumn;
use helium_apimachinery::schema::Schema;
use serde_json::{Value, json};

/// A version that is served and stored.
pub(super) fn version(
    name: &str,
    raw: Value,
    has_status: bool,
) -> Result<DefinitionVersion, ErrorList> {
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
pub(super) fn column(name: &str, type_: &str, json_path: &str, description: &str) -> PrinterColumn {
    PrinterColumn {
        name: name.to_owned(),
        type_: type_.to_owned(),
        description: description.to_owned(),
        json_path: json_path.to_owned(),
        ..PrinterColumn::default()
    }
}

/// A text with a description.
pub(super) fn text(description: &str) -> Value {
    json!({"type": "string", "description": description})
}

/// A list of texts.
pub(super) fn texts(description: &str) -> Value {
    json!({"type": "array", "description": description, "items": {"type": "string"}})
}

/// Conditions as Kubernetes writes them; `types` names the ones that there are.
pub(super) fn conditions(types: &str) -> Value {
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
