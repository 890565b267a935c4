//! Options of create, update and patch.

use super::{Query, check};
use crate::field::{ErrorList, FieldError, Path};
use crate::patch::PatchType;
use crate::status::Result;
use serde_json::Value;

/// Longest name of a field manager, in bytes.
pub const FIELD_MANAGER_MAX: usize = 128;

/// `fieldValidation`: what happens to unknown and duplicate fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldValidation {
    /// Dropped silently.
    Ignore,
    /// Dropped with a `Warning` header.
    #[default]
    Warn,
    /// Refused.
    Strict,
}

/// Options of create, update and patch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteOptions {
    /// Everything but the write itself.
    pub dry_run: bool,
    /// Who manages the fields written, or empty.
    pub field_manager: String,
    /// What happens to unknown fields.
    pub field_validation: FieldValidation,
}

impl WriteOptions {
    /// Options of a create.
    pub fn for_create(query: &Query) -> Result<Self> {
        Self::read(query, "CreateOptions", ErrorList::new())
    }

    /// Options of an update.
    pub fn for_update(query: &Query) -> Result<Self> {
        Self::read(query, "UpdateOptions", ErrorList::new())
    }

    /// Options of a patch. `force` belongs to apply and is refused for the types that there are.
    pub fn for_patch(query: &Query, patch_type: PatchType) -> Result<Self> {
        let mut errors = ErrorList::new();
        match patch_type {
            PatchType::Json | PatchType::Merge | PatchType::Strategic => {
                if query.optional_flag("force").is_some() {
                    errors.push(FieldError::forbidden(
                        &Path::new("force"),
                        "may not be specified for non-apply patch",
                    ));
                }
            }
        }
        Self::read(query, "PatchOptions", errors)
    }

    fn read(query: &Query, kind: &str, mut errors: ErrorList) -> Result<Self> {
        let field_manager = query.text("fieldManager");
        errors.append(field_manager_errors(field_manager));
        let dry_run: Vec<&str> = query.get_all("dryRun").collect();
        errors.append(dry_run_errors(&dry_run));
        let validation = query.text("fieldValidation");
        let field_validation = match validation {
            "Ignore" => FieldValidation::Ignore,
            "" | "Warn" => FieldValidation::Warn,
            "Strict" => FieldValidation::Strict,
            other => {
                errors.push(FieldError::not_supported(
                    &Path::new("fieldValidation"),
                    other,
                    &["", "Ignore", "Strict", "Warn"],
                ));
                FieldValidation::Warn
            }
        };
        check(kind, errors)?;
        Ok(Self {
            dry_run: !dry_run.is_empty(),
            field_manager: field_manager.to_owned(),
            field_validation,
        })
    }
}

/// The only dry run there is: `All`.
pub(super) fn dry_run_errors(values: &[&str]) -> ErrorList {
    if values.iter().all(|v| *v == "All") {
        return ErrorList::new();
    }
    let shown: Vec<Value> = values.iter().map(|v| Value::from(*v)).collect();
    FieldError::not_supported(&Path::new("dryRun"), shown, &["All"]).into()
}

fn field_manager_errors(name: &str) -> ErrorList {
    let path = Path::new("fieldManager");
    let mut errors = ErrorList::new();
    if name.len() > FIELD_MANAGER_MAX {
        errors.push(FieldError::too_long(&path, FIELD_MANAGER_MAX));
    }
    for (position, c) in name.char_indices().filter(|(_, c)| c.is_control()) {
        errors.push(FieldError::invalid(
            &path,
            name,
            format!(
                "invalid character U+{:04X} (at position {position})",
                c as u32
            ),
        ));
    }
    errors
}

/// The field manager of a client that names none: its `User-Agent` up to the first slash.
pub fn field_manager_from_user_agent(user_agent: &str) -> String {
    let name = user_agent.split('/').next().unwrap_or_default();
    let mut manager = String::new();
    for c in name.chars().filter(|c| !c.is_control()) {
        if manager.len() + c.len_utf8() > FIELD_MANAGER_MAX {
            break;
        }
        manager.push(c);
    }
    manager
}

#[cfg(test)]
mod tests {
    use super::*;

    fn create(raw: &str) -> Result<WriteOptions> {
        WriteOptions::for_create(&Query::parse(raw))
    }

    #[test]
    fn defaults_warn_and_write() {
        let options = create("").unwrap();
        assert_eq!(options, WriteOptions::default());
        let options = create("dryRun=All&fieldManager=me&fieldValidation=Strict").unwrap();
        assert!(options.dry_run);
        assert_eq!(options.field_manager, "me");
        assert_eq!(options.field_validation, FieldValidation::Strict);
    }

    #[test]
    fn bad_values_are_422_of_their_kind() {
        for (raw, message) in [
            (
                "dryRun=Some",
                "CreateOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: [\"Some\"]: supported values: \"All\"",
            ),
            (
                "fieldValidation=Foo",
                "CreateOptions.meta.k8s.io \"\" is invalid: fieldValidation: Unsupported value: \"Foo\": supported values: \"\", \"Ignore\", \"Strict\", \"Warn\"",
            ),
            (
                "fieldManager=a%07",
                "CreateOptions.meta.k8s.io \"\" is invalid: fieldManager: Invalid value: \"a\\a\": invalid character U+0007 (at position 1)",
            ),
        ] {
            let status = create(raw).unwrap_err();
            assert_eq!((status.code(), status.message()), (422, message));
        }
        let long = format!("fieldManager={}", "a".repeat(129));
        assert!(
            create(&long)
                .unwrap_err()
                .message()
                .contains("may not be more than 128 bytes")
        );
        let forced = WriteOptions::for_patch(&Query::parse("force=true"), PatchType::Merge);
        assert!(
            forced
                .unwrap_err()
                .message()
                .contains("may not be specified for non-apply patch")
        );
    }

    #[test]
    fn managers_come_from_user_agents() {
        assert_eq!(
            field_manager_from_user_agent("kubectl/v1.33 (linux)"),
            "kubectl"
        );
        assert_eq!(field_manager_from_user_agent(&"é".repeat(100)).len(), 128);
    }
}
