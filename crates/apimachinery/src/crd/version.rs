//! Reading and validating one version of a definition.

use serde_json::Value;

use super::parse::Reader;
use super::{DefinitionVersion, Names, Scale};
use crate::field::{ErrorList, FieldError, Path};
use crate::jsonpath::JsonPath;
use crate::names;
use crate::resource::PrinterColumn;
use crate::schema::{JsonType, Schema};

/// Most fields that a version may make selectable.
const SELECTABLE_MAX: usize = 8;

/// Keywords that the root of a schema may have when there is a status subresource: its part for the status must
/// say everything about the status.
const ROOT_KEYWORDS: [&str; 22] = [
    "description",
    "type",
    "format",
    "title",
    "maximum",
    "exclusiveMaximum",
    "minimum",
    "exclusiveMinimum",
    "maxLength",
    "minLength",
    "pattern",
    "maxItems",
    "minItems",
    "uniqueItems",
    "multipleOf",
    "required",
    "items",
    "properties",
    "externalDocs",
    "example",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-validations",
];

/// Reads a version; what is wrong with it is reported.
pub(super) fn read(
    value: &Value,
    group: &str,
    names: &Names,
    path: &Path<'_>,
    errors: &mut ErrorList,
) -> DefinitionVersion {
    let reader = Reader::new(Some(value), path, errors);
    let name = reader.text("name", errors);
    let messages = names::dns1035_label(&name);
    if !messages.is_empty() {
        errors.push(FieldError::invalid(
            &path.child("name"),
            name.as_str(),
            messages.join(","),
        ));
    }
    let deprecation = deprecation(&reader, &name, group, names, path, errors);
    let subresources_path = path.child("subresources");
    let subresources = Reader::new(reader.given("subresources"), &subresources_path, errors);
    let has_status = subresources.given("status").is_some();
    let (raw_schema, schema) = schema(reader.given("schema"), has_status, path, errors);
    let selectable = path.child("selectableFields");
    DefinitionVersion {
        served: reader.flag("served", errors),
        storage: reader.flag("storage", errors),
        deprecation,
        has_status,
        scale: scale(
            subresources.given("scale"),
            &subresources_path.child("scale"),
            errors,
        ),
        columns: columns(
            reader.list("additionalPrinterColumns", errors),
            &path.child("additionalPrinterColumns"),
            errors,
        ),
        selectable_fields: selectable_fields(
            reader.list("selectableFields", errors),
            schema.as_ref(),
            &selectable,
            errors,
        ),
        // A version without a valid schema never gets out of here: there is an error.
        schema: schema.unwrap_or_default(),
        raw_schema,
        name,
    }
}

fn deprecation(
    reader: &Reader<'_>,
    name: &str,
    group: &str,
    names: &Names,
    path: &Path<'_>,
    errors: &mut ErrorList,
) -> Option<String> {
    let deprecated = reader.flag("deprecated", errors);
    let given = reader.given("deprecationWarning").is_some();
    let warning = reader.text("deprecationWarning", errors);
    let path = path.child("deprecationWarning");
    let mut refuse = |what: &str| {
        errors.push(FieldError::invalid(&path, warning.as_str(), what));
    };
    if given && !deprecated {
        refuse("can only be set for deprecated versions");
    } else if given {
        if warning.len() > 256 {
            refuse("must be <= 256 characters long");
        }
        if warning.is_empty() {
            refuse("must not be an empty string");
        }
        if let Some((index, _)) = warning.char_indices().find(|(_, c)| c.is_control()) {
            refuse(&format!(
                "must only contain printable UTF-8 characters; non-printable character found at index {index}"
            ));
        }
    }
    match (deprecated, given) {
        (false, _) => None,
        (true, true) => Some(warning),
        (true, false) => Some(format!("{group}/{name} {} is deprecated", names.kind)),
    }
}

fn schema(
    value: Option<&Value>,
    has_status: bool,
    path: &Path<'_>,
    errors: &mut ErrorList,
) -> (Value, Option<Schema>) {
    let path = path.child("schema");
    let reader = Reader::new(value, &path, errors);
    let path = path.child("openAPIV3Schema");
    let Some(raw) = reader.given("openAPIV3Schema") else {
        errors.push(FieldError::required(&path, ""));
        return (Value::Null, None);
    };
    if has_status {
        let stray = raw.as_object().and_then(|members| {
            members
                .keys()
                .find(|key| !ROOT_KEYWORDS.contains(&key.as_str()))
        });
        if let Some(stray) = stray {
            errors.push(FieldError::invalid(
                &path,
                stray.as_str(),
                format!(
                    "only [{}] fields are allowed at the root of the schema if the status subresource is enabled",
                    ROOT_KEYWORDS.join(" ")
                ),
            ));
        }
    }
    match Schema::parse(raw, &path) {
        Ok(schema) => (raw.clone(), Some(schema)),
        Err(found) => {
            errors.append(found);
            (raw.clone(), None)
        }
    }
}

fn simple_path(
    text: &str,
    under: &[&str],
    path: &Path<'_>,
    errors: &mut ErrorList,
) -> Option<JsonPath> {
    let wanted = || match under {
        [one] => format!("should be a json path under .{one}"),
        _ => "should be a json path under either .spec or .status".to_owned(),
    };
    let is_under = under.iter().any(|u| text.starts_with(&format!(".{u}.")));
    let parsed = JsonPath::parse_simple(text).ok();
    match parsed {
        _ if text.is_empty() => errors.push(FieldError::required(path, "")),
        _ if !text.starts_with('.') => errors.push(FieldError::invalid(
            path,
            text,
            "must be a simple json path starting with .",
        )),
        Some(parsed) if is_under => return Some(parsed),
        _ => errors.push(FieldError::invalid(path, text, wanted())),
    }
    None
}

fn scale(value: Option<&Value>, path: &Path<'_>, errors: &mut ErrorList) -> Option<Scale> {
    value?;
    let reader = Reader::new(value, path, errors);
    let mut read = |key: &str, under: &[&str]| {
        let text = reader.text(key, errors);
        simple_path(&text, under, &path.child(key), errors)
    };
    let spec_replicas_path = read("specReplicasPath", &["spec"]);
    let status_replicas_path = read("statusReplicasPath", &["status"]);
    let selector = reader
        .given("labelSelectorPath")
        .filter(|v| v.as_str() != Some(""));
    let label_selector_path = selector.and_then(|_| read("labelSelectorPath", &["spec", "status"]));
    Some(Scale {
        spec_replicas_path: spec_replicas_path?,
        status_replicas_path: status_replicas_path?,
        label_selector_path,
    })
}

fn columns(list: &[Value], path: &Path<'_>, errors: &mut ErrorList) -> Vec<PrinterColumn> {
    const TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
    const FORMATS: [&str; 8] = [
        "byte",
        "date",
        "date-time",
        "double",
        "float",
        "int32",
        "int64",
        "password",
    ];
    let mut columns = Vec::with_capacity(list.len());
    for (index, value) in list.iter().enumerate() {
        let path = path.index(index);
        let reader = Reader::new(Some(value), &path, errors);
        let column = PrinterColumn {
            name: reader.text("name", errors),
            type_: reader.text("type", errors),
            format: reader.text("format", errors),
            description: reader.text("description", errors),
            priority: reader.integer("priority", errors),
            json_path: reader.text("jsonPath", errors),
        };
        if column.name.is_empty() {
            errors.push(FieldError::required(&path.child("name"), ""));
        }
        let one_of = |allowed: &[&str]| format!("must be one of {}", allowed.join(","));
        if column.type_.is_empty() {
            errors.push(FieldError::required(&path.child("type"), one_of(&TYPES)));
        } else if !TYPES.contains(&column.type_.as_str()) {
            let shown = column.type_.as_str();
            errors.push(FieldError::invalid(
                &path.child("type"),
                shown,
                one_of(&TYPES),
            ));
        }
        if !column.format.is_empty() && !FORMATS.contains(&column.format.as_str()) {
            let shown = column.format.as_str();
            errors.push(FieldError::invalid(
                &path.child("format"),
                shown,
                one_of(&FORMATS),
            ));
        }
        let at = path.child("jsonPath");
        let shown = column.json_path.as_str();
        if shown.is_empty() {
            errors.push(FieldError::required(&at, ""));
        } else if !shown.starts_with('.') {
            let detail = "must be a simple json path starting with .";
            errors.push(FieldError::invalid(&at, shown, detail));
        } else if let Err(error) = JsonPath::parse(shown) {
            let detail = format!("is an invalid path: {error}");
            errors.push(FieldError::invalid(&at, shown, detail));
        }
        columns.push(column);
    }
    columns
}

fn selectable_fields(
    list: &[Value],
    schema: Option<&Schema>,
    path: &Path<'_>,
    errors: &mut ErrorList,
) -> Vec<String> {
    let mut fields: Vec<String> = Vec::with_capacity(list.len());
    for (index, value) in list.iter().enumerate() {
        let path = path.index(index);
        let reader = Reader::new(Some(value), &path, errors);
        let field = reader.text("jsonPath", errors);
        let path = path.child("jsonPath");
        if field.is_empty() {
            errors.push(FieldError::required(&path, ""));
            continue;
        }
        let parsed = JsonPath::parse_simple(&field);
        let names = parsed.as_ref().ok().and_then(JsonPath::names);
        let found = match (&names, schema) {
            (Some(names), Some(schema)) => schema.field(names),
            // The schema's own errors come first.
            (Some(_), None) => continue,
            (None, _) => None,
        };
        match found {
            None => errors.push(FieldError::invalid(
                &path,
                field.as_str(),
                "is an invalid path: no such field in the schema",
            )),
            Some(found) => {
                let scalar = matches!(
                    found.json_type(),
                    Some(JsonType::String | JsonType::Boolean | JsonType::Integer)
                );
                if names.is_some_and(|names| names.first() == Some(&"metadata")) {
                    let detail = "must not point to fields in metadata";
                    errors.push(FieldError::invalid(&path, field.as_str(), detail));
                } else if !scalar {
                    errors.push(FieldError::invalid(
                        &path,
                        field.as_str(),
                        "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.",
                    ));
                }
            }
        }
        if fields.contains(&field) {
            errors.push(FieldError::duplicate(&path, field.as_str()));
        } else {
            fields.push(field);
        }
    }
    if fields.len() > SELECTABLE_MAX {
        errors.push(FieldError::too_many(path, fields.len(), SELECTABLE_MAX));
    }
    fields
}
