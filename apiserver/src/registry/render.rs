//! Objects and lists in the form and encoding that the client asked for.

use std::borrow::Cow;

use bytes::{BufMut, Bytes, BytesMut};
use helium_apimachinery::Status;
use helium_apimachinery::meta::Object;
use helium_apimachinery::table;
use http::{Response, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::error;
use super::live::View;
use super::negotiate::{Encoding, Form, Output};
use crate::backend::Body;

/// What a list says of itself.
#[derive(Debug, Default, Clone)]
pub(super) struct ListMeta {
    pub(super) revision: i64,
    pub(super) continue_token: Option<String>,
    pub(super) remaining: Option<i64>,
}

impl ListMeta {
    fn to_value(&self) -> Value {
        let mut meta = json!({"resourceVersion": self.revision.to_string()});
        if let Some(token) = &self.continue_token {
            meta["continue"] = token.as_str().into();
        }
        if let Some(remaining) = self.remaining {
            meta["remainingItemCount"] = remaining.into();
        }
        meta
    }
}

/// An item of a list: as an object, and as JSON if that is at hand.
pub(super) struct Item<'a> {
    pub(super) object: Cow<'a, Object>,
    pub(super) json: Option<Bytes>,
}

/// Writes a document in an encoding.
pub(super) fn document(
    code: StatusCode,
    encoding: Encoding,
    value: &Value,
) -> Result<Response<Body>, Status> {
    match encoding {
        Encoding::Json => {
            let body = serde_json::to_vec(value).map_err(Status::internal)?;
            Ok(error::json(code, Bytes::from(body)))
        }
        Encoding::Yaml => {
            let text = serde_yaml_ng::to_string(value).map_err(Status::internal)?;
            Ok(error::with_type(code, "application/yaml", Body::from(text)))
        }
    }
}

/// One object of a version.
pub(super) fn object(
    code: StatusCode,
    output: Output,
    view: &View,
    object: &Object,
) -> Result<Response<Body>, Status> {
    match shaped(output.form, view, object, true) {
        Some(value) => document(code, output.encoding, &value),
        None => document(code, output.encoding, object.as_value()),
    }
}

/// An object in a form other than itself.
pub(super) fn shaped(form: Form, view: &View, object: &Object, first: bool) -> Option<Value> {
    match form {
        Form::Object => None,
        Form::Table(api_version, include) => {
            let meta = json!({"resourceVersion": object.resource_version()});
            let now = Timestamp::now();
            Some(
                view.printer
                    .table(api_version, &meta, &[object], include, first, now),
            )
        }
        Form::PartialMetadata(api_version) => Some(table::partial_metadata(object, api_version)),
    }
}

/// A list of objects of a version.
pub(super) fn list(
    output: Output,
    view: &View,
    items: &[Item<'_>],
    meta: &ListMeta,
) -> Result<Response<Body>, Status> {
    let objects = || {
        items
            .iter()
            .map(|item| &*item.object)
            .collect::<Vec<&Object>>()
    };
    let value = match output.form {
        Form::Object if output.encoding == Encoding::Json => {
            return Ok(error::json(StatusCode::OK, joined(view, items, meta)?));
        }
        Form::Object => json!({
            "apiVersion": view.served.gvk.api_version(),
            "kind": view.served.list_kind,
            "metadata": meta.to_value(),
            "items": items.iter().map(|item| item.object.as_value()).collect::<Vec<_>>(),
        }),
        Form::Table(api_version, include) => {
            let now = Timestamp::now();
            view.printer.table(
                api_version,
                &meta.to_value(),
                &objects(),
                include,
                true,
                now,
            )
        }
        Form::PartialMetadata(api_version) => {
            table::partial_metadata_list(&meta.to_value(), &objects(), api_version)
        }
    };
    document(StatusCode::OK, output.encoding, &value)
}

/// A JSON list made of items that are JSON already.
fn joined(view: &View, items: &[Item<'_>], meta: &ListMeta) -> Result<Bytes, Status> {
    let head = json!({
        "apiVersion": view.served.gvk.api_version(),
        "kind": view.served.list_kind,
        "metadata": meta.to_value(),
    });
    let head = serde_json::to_vec(&head).map_err(Status::internal)?;
    let size: usize = items
        .iter()
        .map(|item| item.json.as_ref().map_or(512, Bytes::len) + 1)
        .sum();
    let mut body = BytesMut::with_capacity(head.len() + size + 16);
    body.put_slice(&head[..head.len() - 1]);
    body.put_slice(b",\"items\":[");
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            body.put_u8(b',');
        }
        match &item.json {
            Some(json) => body.put_slice(json),
            None => {
                let json = serde_json::to_vec(&*item.object).map_err(Status::internal)?;
                body.put_slice(&json);
            }
        }
    }
    body.put_slice(b"]}");
    Ok(body.freeze())
}
