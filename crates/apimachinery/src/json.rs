//! Decoding of request bodies: JSON and YAML, strictly; and [protobuf] where typed clients insist on it.
//!
//! A plain parse into a map forgets what a strict reader must complain about, so bodies are decoded here:
//! duplicate members are noticed (the last one counts), integers stay integers, and nesting is limited, so
//! that no later recursion over the value can exhaust the stack.

mod metadata;
pub mod protobuf;

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::field::{ErrorList, FieldError, Path};
use crate::gvk::{GroupVersion, GroupVersionKind};
use crate::meta::Object;
use crate::status::{Result, Status};

pub use metadata::coerce_metadata;

/// Deepest nesting of a document; enforced by the decoders underneath.
pub const MAX_DEPTH: usize = 128;

/// Most duplicate members that are reported; the rest is noise.
const MAX_DUPLICATES: usize = 100;

/// Media types of bodies.
pub const MEDIA_TYPES: [&str; 2] = ["application/json", "application/yaml"];

/// A decoded document and what a strict reader has against it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decoded {
    /// The document; of duplicate members the last one counts.
    pub value: Value,
    /// One message for each duplicate member: `duplicate field "spec.x"`.
    pub duplicates: Vec<String>,
}

/// A body that can't be decoded.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct DecodeError(pub String);

/// Decodes JSON.
pub fn decode(body: &[u8]) -> std::result::Result<Decoded, DecodeError> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let mut notes = Notes::default();
    let value = Node { notes: &mut notes }
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value))
        .map_err(|error| DecodeError(format!("json parse error: {error}")))?;
    Ok(Decoded {
        value,
        duplicates: notes.duplicates,
    })
}

/// Decodes YAML, which must be one document.
pub fn decode_yaml(body: &[u8]) -> std::result::Result<Decoded, DecodeError> {
    let mut notes = Notes::default();
    let value = Node { notes: &mut notes }
        .deserialize(serde_yaml_ng::Deserializer::from_slice(body))
        .map_err(|error| DecodeError(format!("error converting YAML to JSON: {error}")))?;
    Ok(Decoded {
        value,
        duplicates: notes.duplicates,
    })
}

/// Decodes by `Content-Type` (empty is JSON, parameters are ignored): 415 for another type, 400 for a body that
/// can't be decoded. Protobuf is read for the few kinds that [`protobuf`] knows, and is another type for the rest.
pub fn decode_body(content_type: &str, body: &[u8]) -> Result<Decoded> {
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    match media_type {
        "" | "application/json" => decode(body),
        "application/yaml" | "text/yaml" | "application/x-yaml" => decode_yaml(body),
        protobuf::MEDIA_TYPE => match protobuf::decode(body) {
            Ok(value) => Ok(Decoded {
                value,
                duplicates: Vec::new(),
            }),
            Err(protobuf::Error::Kind) => {
                return Err(Status::unsupported_media_type(&MEDIA_TYPES));
            }
            Err(error) => Err(DecodeError(error.to_string())),
        },
        _ => return Err(Status::unsupported_media_type(&MEDIA_TYPES)),
    }
    .map_err(|error| Status::bad_request(format!("couldn't get version/kind; {error}")))
}

/// Says of a body what kind it is, where it doesn't say so itself: servers of built-in kinds take it from the URL, and clients that
/// know only those rely on it. A custom kind must be named.
pub fn complete_kind(body: &mut Value, expected: &GroupVersionKind) {
    let Some(members) = body.as_object_mut() else {
        return;
    };
    let api_version = expected.group_version().to_string();
    for (member, text) in [("apiVersion", &api_version), ("kind", &expected.kind)] {
        let present = members.entry(member).or_insert(Value::Null);
        if present.is_null() || present.as_str() == Some("") {
            *present = Value::from(text.as_str());
        }
    }
}

/// Makes an object of a decoded body: it must say `apiVersion` and `kind`, the ones that the URL serves, and its
/// metadata must be well-formed. 400 otherwise; another kind is 422.
///
/// The second part is a message for each unknown member of `metadata`, which has been dropped.
pub fn into_object(value: Value, expected: &GroupVersionKind) -> Result<(Object, Vec<String>)> {
    let mut object = Object::try_from(value).map_err(|_| {
        Status::bad_request(format!(
            "the object provided is unrecognized (must be of type {}): couldn't get version/kind; json parse error: the body is not a JSON object",
            expected.kind
        ))
    })?;
    for (member, text) in [
        ("Kind", object.kind()),
        ("apiVersion", object.api_version()),
    ] {
        if text.is_empty() {
            return Err(Status::bad_request(format!(
                "the object provided is unrecognized (must be of type {}): Object '{member}' is missing in '{}'",
                expected.kind,
                excerpt(object.as_value()),
            )));
        }
    }
    let found = GroupVersion::parse(object.api_version())
        .map_err(|error| Status::bad_request(error.to_string()))?;
    if found != expected.group_version() {
        return Err(Status::bad_request(format!(
            "the API version in the data ({found}) does not match the expected API version ({})",
            expected.group_version()
        )));
    }
    if object.kind() != expected.kind {
        let error = FieldError::invalid(
            &Path::new("kind"),
            object.kind(),
            format!("must be {}", expected.kind),
        );
        let errors = ErrorList::from(error);
        return Err(Status::invalid(
            &expected.group_kind(),
            object.name(),
            &errors,
        ));
    }
    let path = Path::new("metadata");
    let unknown = match object.map_mut().get_mut("metadata") {
        Some(metadata) => {
            coerce_metadata(metadata, &path).map_err(|error| mistyped(expected, &error))?
        }
        None => Vec::new(),
    };
    Ok((object, unknown))
}

/// 400: a member of what should become an `expected` has the wrong type.
pub fn mistyped(expected: &GroupVersionKind, error: &FieldError) -> Status {
    Status::bad_request(format!(
        "{} in version {:?} cannot be handled as a {}: {error}",
        expected.kind, expected.version, expected.kind
    ))
}

/// The beginning of a document, for a message.
fn excerpt(value: &Value) -> String {
    const MAX: usize = 256;
    let text = value.to_string();
    match text.char_indices().nth(MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

/// Where the decoder is, and what it has noticed.
#[derive(Default)]
struct Notes {
    path: String,
    duplicates: Vec<String>,
}

/// Decodes one value.
struct Node<'n> {
    notes: &'n mut Notes,
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> std::result::Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> std::result::Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> std::result::Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> std::result::Result<Value, E> {
        Ok(Value::Bool(flag))
    }

    fn visit_i64<E>(self, number: i64) -> std::result::Result<Value, E> {
        Ok(Value::from(number))
    }

    fn visit_u64<E>(self, number: u64) -> std::result::Result<Value, E> {
        Ok(Value::from(number))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> std::result::Result<Value, E> {
        Number::from_f64(number)
            .map(Value::Number)
            .ok_or_else(|| E::custom(format!("{number} is not a JSON number")))
    }

    fn visit_str<E>(self, text: &str) -> std::result::Result<Value, E> {
        Ok(Value::from(text))
    }

    fn visit_string<E>(self, text: String) -> std::result::Result<Value, E> {
        Ok(Value::String(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> std::result::Result<Value, A::Error> {
        let mut values = Vec::new();
        let length = self.notes.path.len();
        loop {
            self.notes.path.push_str(&format!("[{}]", values.len()));
            let next = list.next_element_seed(Node { notes: self.notes })?;
            self.notes.path.truncate(length);
            match next {
                Some(value) => values.push(value),
                None => return Ok(Value::Array(values)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Value, A::Error> {
        let mut members = Map::new();
        let length = self.notes.path.len();
        while let Some(key) = map.next_key::<String>()? {
            if length > 0 {
                self.notes.path.push('.');
            }
            self.notes.path.push_str(&key);
            if members.contains_key(&key) && self.notes.duplicates.len() < MAX_DUPLICATES {
                self.notes
                    .duplicates
                    .push(format!("duplicate field \"{}\"", self.notes.path));
            }
            let value = map.next_value_seed(Node { notes: self.notes })?;
            self.notes.path.truncate(length);
            members.insert(key, value);
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn widget() -> GroupVersionKind {
        GroupVersionKind::new("g.io", "v1", "Widget")
    }

    #[test]
    fn duplicates_are_noticed_with_their_path_and_the_last_one_counts() {
        let decoded =
            decode(br#"{"spec":{"x":1,"x":2,"l":[{"y":1},{"y":1,"y":3}]},"spec2":{"x":1}}"#)
                .unwrap();
        assert_eq!(
            decoded.duplicates,
            [
                "duplicate field \"spec.x\"",
                "duplicate field \"spec.l[1].y\""
            ]
        );
        assert_eq!(decoded.value["spec"]["x"], 2);
        let yaml = decode_yaml(b"spec:\n  x: 1\n  x: 2\n").unwrap();
        assert_eq!(yaml.duplicates, ["duplicate field \"spec.x\""]);
    }

    #[test]
    fn what_a_body_says_of_its_kind_is_completed_and_not_changed() {
        let complete = |mut body: Value| {
            complete_kind(&mut body, &widget());
            body
        };
        let whole = json!({"apiVersion": "g.io/v1", "kind": "Widget"});
        assert_eq!(complete(json!({})), whole);
        assert_eq!(complete(json!({"apiVersion": null, "kind": ""})), whole);
        assert_eq!(complete(whole.clone()), whole);
        let other = json!({"apiVersion": "g.io/v2", "kind": "Gadget"});
        assert_eq!(complete(other.clone()), other);
        assert_eq!(complete(json!([1])), json!([1]));
    }

    #[test]
    fn integers_and_floats_stay_apart() {
        let value = decode(b"[1, 1.0, -3, 1e2, 9223372036854775807]")
            .unwrap()
            .value;
        let kinds: Vec<bool> = value
            .as_array()
            .unwrap()
            .iter()
            .map(Value::is_f64)
            .collect();
        assert_eq!(kinds, [false, true, false, true, false]);
        let value = decode_yaml(b"a: 1\nb: 1.5\nc: yes\nd: \"1\"\n1: x\n")
            .unwrap()
            .value;
        assert_eq!(
            value,
            json!({"a": 1, "b": 1.5, "c": "yes", "d": "1", "1": "x"})
        );
    }

    #[test]
    fn depth_bombs_and_rubbish_are_refused() {
        let bomb = "[".repeat(100_000);
        assert!(
            decode(bomb.as_bytes())
                .unwrap_err()
                .0
                .contains("recursion limit")
        );
        assert!(decode_yaml(bomb.as_bytes()).is_err());
        for bad in [&b"{"[..], b"{} {}", b"\xff", b"", b"nul", b"1e999"] {
            assert!(decode(bad).is_err());
        }
        for bad in [
            &b"a: .nan"[..],
            b"a: b: c",
            b"a: !thing x",
            b"--- 1\n--- 2\n",
        ] {
            assert!(
                decode_yaml(bad).is_err(),
                "{}",
                String::from_utf8_lossy(bad)
            );
        }
    }

    #[test]
    fn bodies_are_decoded_by_content_type() {
        assert_eq!(decode_body("", b"{}").unwrap().value, json!({}));
        assert_eq!(
            decode_body("application/yaml; charset=utf-8", b"a: 1")
                .unwrap()
                .value,
            json!({"a": 1})
        );
        assert_eq!(
            decode_body("application/vnd.kubernetes.protobuf", b"{}")
                .unwrap_err()
                .code(),
            415
        );
        assert_eq!(
            decode_body("application/json", b"k8s\0")
                .unwrap_err()
                .code(),
            400
        );
    }

    #[test]
    fn objects_must_be_of_the_kind_that_is_served() {
        let ok = json!({"apiVersion": "g.io/v1", "kind": "Widget", "metadata": {"name": "a"}});
        assert_eq!(into_object(ok, &widget()).unwrap().0.name(), "a");
        for (value, code, message) in [
            (json!([]), 400, "the body is not a JSON object"),
            (
                json!({"apiVersion": "g.io/v1"}),
                400,
                "Object 'Kind' is missing in '{\"apiVersion\":\"g.io/v1\"}'",
            ),
            (
                json!({"kind": "Widget"}),
                400,
                "Object 'apiVersion' is missing",
            ),
            (
                json!({"kind": "Widget", "apiVersion": "g.io/v2"}),
                400,
                "the API version in the data (g.io/v2) does not match the expected API version (g.io/v1)",
            ),
            (
                json!({"kind": "Gadget", "apiVersion": "g.io/v1"}),
                422,
                "Widget.g.io \"\" is invalid: kind: Invalid value: \"Gadget\": must be Widget",
            ),
            (
                json!({"kind": "Widget", "apiVersion": "g.io/v1", "metadata": {"name": 3}}),
                400,
                "Widget in version \"v1\" cannot be handled as a Widget: metadata.name: Invalid value: 3: must be a string",
            ),
        ] {
            let status = into_object(value, &widget()).unwrap_err();
            assert_eq!(status.code(), code);
            assert!(status.message().contains(message), "{status}");
        }
    }

    proptest! {
        #[test]
        fn no_body_panics(body in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = decode(&body);
            let _ = decode_yaml(&body);
        }
    }
}
