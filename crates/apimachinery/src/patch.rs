//! Patches: JSON patch and merge patch, and strategic merge patch for built-in kinds, with the limits and habits of
//! Kubernetes' servers.
//!
//! A patch is decoded once and applied to the object as it is stored; when the write loses a race, the same
//! patch is applied again to the newer object. Strategic merge of a custom resource is 415, as everywhere; so is apply,
//! which isn't offered yet.

mod json_patch;
mod merge;
mod strategic;

use serde_json::{Map, Value};

use crate::json;
use crate::status::{Result, Status};

pub use json_patch::{COPY_MAX, OPERATIONS_MAX};

/// The kinds of patch that can be applied, by media type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchType {
    /// `application/json-patch+json`, RFC 6902.
    Json,
    /// `application/merge-patch+json`, RFC 7386.
    Merge,
    /// `application/strategic-merge-patch+json`, for built-in kinds.
    Strategic,
}

/// Whose patches are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// A declared kind, which has no Go type that could tell how its lists merge.
    Custom,
    /// A kind of Kubernetes itself, for which kubectl and typed clients send strategic merge patches unasked.
    BuiltIn,
}

/// Media types of patches that can be applied to every kind.
pub const MEDIA_TYPES: [&str; 2] = [
    "application/json-patch+json",
    "application/merge-patch+json",
];

impl PatchType {
    /// The type of a `Content-Type` (parameters are ignored); 415 for every one that the family doesn't have.
    pub fn from_content_type(content_type: &str, family: Family) -> Result<Self> {
        match content_type.split(';').next().unwrap_or_default().trim() {
            "application/json-patch+json" => Ok(Self::Json),
            "application/merge-patch+json" => Ok(Self::Merge),
            "application/strategic-merge-patch+json" if family == Family::BuiltIn => {
                Ok(Self::Strategic)
            }
            _ => Err(Status::unsupported_media_type(&MEDIA_TYPES)),
        }
    }
}

/// A decoded patch.
#[derive(Clone, Debug)]
pub struct Patch {
    content: Content,
    duplicates: Vec<String>,
}

#[derive(Clone, Debug)]
enum Content {
    Json(Vec<json_patch::Operation>),
    Merge(Value),
    Strategic(Map<String, Value>),
}

impl Patch {
    /// Decodes a body: 400 for what isn't a patch, 413 for too many operations.
    pub fn parse(patch_type: PatchType, body: &[u8]) -> Result<Self> {
        let decoded = json::decode(body)
            .map_err(|error| Status::bad_request(format!("error decoding patch: {error}")))?;
        let (content, prefix) = match (patch_type, decoded.value) {
            (PatchType::Json, value) => (Content::Json(json_patch::parse(value)?), "json patch "),
            (PatchType::Merge, value @ Value::Object(_)) => (Content::Merge(value), ""),
            (PatchType::Strategic, Value::Object(patch)) => (Content::Strategic(patch), ""),
            (PatchType::Merge | PatchType::Strategic, _) => {
                return Err(Status::bad_request(
                    "error decoding patch: a merge patch must be a JSON object",
                ));
            }
        };
        let duplicates = decoded
            .duplicates
            .into_iter()
            .map(|d| format!("{prefix}{d}"))
            .collect();
        Ok(Self {
            content,
            duplicates,
        })
    }

    /// Applies it to a document and returns the result: 422 when it can't be applied, 413 when it copies too
    /// much.
    pub fn apply(&self, document: &Value) -> Result<Value> {
        let mut document = document.clone();
        match &self.content {
            Content::Json(operations) => json_patch::apply(operations, &mut document)?,
            Content::Merge(patch) => merge::apply(&mut document, patch),
            Content::Strategic(patch) => strategic::apply(&mut document, patch)?,
        }
        Ok(document)
    }

    /// A message for each duplicate member of the body, for the verdict on unknown fields.
    pub fn duplicates(&self) -> &[String] {
        &self.duplicates
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn media_types_choose_and_others_are_415() {
        let type_of = |media| PatchType::from_content_type(media, Family::Custom);
        assert_eq!(
            type_of("application/merge-patch+json; charset=utf-8").unwrap(),
            PatchType::Merge
        );
        assert_eq!(
            type_of("application/json-patch+json").unwrap(),
            PatchType::Json
        );
        for other in [
            "application/strategic-merge-patch+json",
            "application/apply-patch+yaml",
            "",
        ] {
            assert_eq!(type_of(other).unwrap_err().code(), 415);
        }
        let strategic = "application/strategic-merge-patch+json";
        let built_in = PatchType::from_content_type(strategic, Family::BuiltIn);
        assert_eq!(built_in, Ok(PatchType::Strategic));
    }

    #[test]
    fn what_is_no_patch_is_400() {
        for (patch_type, body) in [
            (PatchType::Json, "{}"),
            (PatchType::Json, "[1]"),
            (PatchType::Json, r#"[{"op":"fly","path":"/a"}]"#),
            (PatchType::Json, r#"[{"op":"add","value":1}]"#),
            (PatchType::Json, r#"[{"op":"move","path":"/a"}]"#),
            (PatchType::Merge, "[]"),
            (PatchType::Merge, "null"),
            (PatchType::Merge, "{"),
            (PatchType::Strategic, "[]"),
        ] {
            assert_eq!(
                Patch::parse(patch_type, body.as_bytes())
                    .unwrap_err()
                    .code(),
                400,
                "{body}"
            );
        }
    }

    #[test]
    fn duplicates_are_reported_with_the_kind_of_patch() {
        let patch = Patch::parse(PatchType::Merge, br#"{"spec":{"x":1,"x":2}}"#).unwrap();
        assert_eq!(patch.duplicates(), ["duplicate field \"spec.x\""]);
        assert_eq!(patch.apply(&json!({})).unwrap(), json!({"spec": {"x": 2}}));
        let patch = Patch::parse(
            PatchType::Json,
            br#"[{"op":"add","op":"add","path":"/a","value":1}]"#,
        )
        .unwrap();
        assert_eq!(
            patch.duplicates(),
            ["json patch duplicate field \"[0].op\""]
        );
    }
}
