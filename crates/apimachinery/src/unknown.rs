//! `fieldValidation`: what a client hears about unknown and duplicate fields.
//!
//! The messages themselves come from the decoder (`duplicate field "spec.x"`), from the check of the metadata and
//! from pruning (`unknown field "spec.x"`); by the time they arrive here the fields are already gone.

use crate::field::{ErrorList, FieldError, Path};
use crate::gvk::{GroupKind, GroupVersionKind};
use crate::options::FieldValidation;
use crate::status::{Result, Status};

/// The verdict on the body of a create or update: `Strict` refuses with 400, `Warn` returns the texts of the
/// `Warning` headers, `Ignore` nothing.
pub fn verdict(
    mode: FieldValidation,
    kind: &GroupVersionKind,
    messages: Vec<String>,
) -> Result<Vec<String>> {
    judge(mode, messages, |list| {
        Status::bad_request(format!(
            "{} in version {:?} cannot be handled as a {}: strict decoding error: {list}",
            kind.kind, kind.version, kind.kind
        ))
    })
}

/// The verdict on the result of a patch, where `Strict` refuses with 422. `patched` is the patched object
/// as JSON.
pub fn verdict_on_patch(
    mode: FieldValidation,
    patched: &str,
    messages: Vec<String>,
) -> Result<Vec<String>> {
    judge(mode, messages, |list| {
        let error = FieldError::invalid(
            &Path::new("patch"),
            patched,
            format!("strict decoding error: {list}"),
        );
        Status::invalid(&GroupKind::default(), "", &ErrorList::from(error))
    })
}

fn judge(
    mode: FieldValidation,
    mut messages: Vec<String>,
    refusal: impl FnOnce(&str) -> Status,
) -> Result<Vec<String>> {
    let mut seen = std::collections::HashSet::new();
    messages.retain(|message| seen.insert(message.clone()));
    match mode {
        FieldValidation::Ignore => Ok(Vec::new()),
        FieldValidation::Warn => Ok(messages),
        FieldValidation::Strict if messages.is_empty() => Ok(Vec::new()),
        FieldValidation::Strict => Err(refusal(&messages.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mode_has_its_verdict() {
        let kind = GroupVersionKind::new("g.io", "v1", "Widget");
        let messages = || {
            let twice = "unknown field \"spec.x\"".to_owned();
            vec![
                "duplicate field \"spec.y\"".to_owned(),
                twice.clone(),
                twice,
            ]
        };
        assert!(
            verdict(FieldValidation::Ignore, &kind, messages())
                .unwrap()
                .is_empty()
        );
        assert_eq!(
            verdict(FieldValidation::Warn, &kind, messages())
                .unwrap()
                .len(),
            2
        );
        let status = verdict(FieldValidation::Strict, &kind, messages()).unwrap_err();
        assert_eq!(status.code(), 400);
        assert_eq!(
            status.message(),
            "Widget in version \"v1\" cannot be handled as a Widget: strict decoding error: duplicate field \"spec.y\", unknown field \"spec.x\""
        );
        assert!(
            verdict(FieldValidation::Strict, &kind, Vec::new())
                .unwrap()
                .is_empty()
        );
        let status = verdict_on_patch(FieldValidation::Strict, "{}", messages()).unwrap_err();
        assert_eq!(status.code(), 422);
        assert!(
            status
                .message()
                .contains("patch: Invalid value: \"{}\": strict decoding error:")
        );
    }
}
