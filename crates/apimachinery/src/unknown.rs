//! `fieldValidation`.

use crate::options::FieldValidation;
use crate::status::Result;

/// What to tell the client about unknown and duplicate fields: `Strict` refuses with 400, `Warn` returns the
/// texts of `Warning` headers, `Ignore` nothing.
pub fn verdict(_mode: FieldValidation, _messages: Vec<String>) -> Result<Vec<String>> {
    unimplemented!()
}
