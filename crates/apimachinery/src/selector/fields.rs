//! Field selectors: `metadata.name=a,spec.color!=red`.

use std::borrow::Cow;
use std::fmt;

use serde_json::Value;

use crate::meta::Object;
use crate::resource::Scope;
use crate::status::{Result, Status};

/// One condition: a field equals a value, or doesn't.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Term {
    field: String,
    value: String,
    equal: bool,
}

/// A field selector: the conjunction of `path=value` and `path!=value`. The default selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector {
    terms: Vec<Term>,
}

impl FieldSelector {
    /// Parses a query parameter; 400 with the parser's words.
    pub fn parse(text: &str) -> Result<Self> {
        let mut terms = Vec::new();
        for part in split_terms(text).into_iter().filter(|p| !p.is_empty()) {
            let (field, equal, raw) = split_term(part).ok_or_else(|| {
                Status::bad_request(format!(
                    "invalid selector: '{text}'; can't understand '{part}'"
                ))
            })?;
            terms.push(Term {
                field: field.to_owned(),
                value: unescape(raw)?,
                equal,
            });
        }
        terms.sort();
        Ok(Self { terms })
    }

    /// A selector of the object with this name, as a watch of one object uses.
    pub fn by_name(name: &str) -> Self {
        Self {
            terms: vec![Term {
                field: "metadata.name".to_owned(),
                value: name.to_owned(),
                equal: true,
            }],
        }
    }

    /// 400 unless every field is `metadata.name`, `metadata.namespace` (for namespaced resources) or one of
    /// `selectable`, which are paths such as `.spec.color`.
    pub fn check_supported(&self, scope: Scope, selectable: &[String]) -> Result<()> {
        for term in &self.terms {
            let known = match term.field.as_str() {
                "metadata.name" => true,
                "metadata.namespace" => scope.is_namespaced(),
                other => selectable
                    .iter()
                    .any(|s| s.strip_prefix('.').unwrap_or(s) == other),
            };
            if !known {
                return Err(Status::bad_request(format!(
                    "field label not supported: {}",
                    term.field
                )));
            }
        }
        Ok(())
    }

    /// Whether everything is selected.
    pub fn is_everything(&self) -> bool {
        self.terms.is_empty()
    }

    /// The value that a field must have, if the selector says so.
    pub fn required_value(&self, field: &str) -> Option<&str> {
        self.terms
            .iter()
            .find(|t| t.equal && t.field == field)
            .map(|t| t.value.as_str())
    }

    /// Whether an object is selected. A missing field reads as the empty string.
    pub fn matches(&self, object: &Object) -> bool {
        self.terms
            .iter()
            .all(|term| (field_text(object, &term.field) == term.value.as_str()) == term.equal)
    }
}

impl fmt::Display for FieldSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, term) in self.terms.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            let operator = if term.equal { "=" } else { "!=" };
            let value = term
                .value
                .replace('\\', "\\\\")
                .replace(',', "\\,")
                .replace('=', "\\=");
            write!(f, "{comma}{}{operator}{value}", term.field)?;
        }
        Ok(())
    }
}

/// The text of a field that is found by following member names.
fn field_text<'o>(object: &'o Object, field: &str) -> Cow<'o, str> {
    let value = field
        .split('.')
        .try_fold(object.as_value(), |value, member| value.get(member));
    match value {
        Some(Value::String(text)) => Cow::Borrowed(text),
        Some(Value::Bool(flag)) => Cow::Borrowed(if *flag { "true" } else { "false" }),
        Some(Value::Number(number)) => Cow::Owned(number.to_string()),
        _ => Cow::Borrowed(""),
    }
}

/// Splits at commas that aren't escaped.
fn split_terms(text: &str) -> Vec<&str> {
    let mut terms = Vec::new();
    let mut start = 0;
    let mut escaped = false;
    for (index, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                terms.push(&text[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    terms.push(&text[start..]);
    terms
}

/// Splits at the first operator: field, whether it is equality, value.
fn split_term(term: &str) -> Option<(&str, bool, &str)> {
    let at = term
        .char_indices()
        .map(|(index, _)| index)
        .find(|index| term[*index..].starts_with('=') || term[*index..].starts_with("!="))?;
    let (field, rest) = term.split_at(at);
    for (operator, equal) in [("!=", false), ("==", true), ("=", true)] {
        if let Some(value) = rest.strip_prefix(operator) {
            return Some((field, equal, value));
        }
    }
    None
}

fn unescape(text: &str) -> Result<String> {
    let mut value = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('\\' | ',' | '=')) => value.push(c),
                other => {
                    let other = other.map(String::from).unwrap_or_default();
                    return Err(Status::bad_request(format!(
                        "invalid field selector: invalid escape sequence: \\{other}"
                    )));
                }
            },
            ',' | '=' => {
                return Err(Status::bad_request(format!(
                    "invalid field selector: unescaped character in value: {}",
                    c as u32
                )));
            }
            c => value.push(c),
        }
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn object() -> Object {
        Object::try_from(json!({
            "metadata": {"name": "a", "namespace": "n"},
            "spec": {"color": "red", "count": 3, "on": true},
        }))
        .unwrap()
    }

    #[test]
    fn fields_are_compared_as_text() {
        for yes in [
            "",
            "metadata.name=a",
            "metadata.name==a,spec.color!=blue",
            "spec.count=3",
            "spec.on=true",
            "spec.missing=",
            "spec.missing!=x",
        ] {
            assert!(
                FieldSelector::parse(yes).unwrap().matches(&object()),
                "{yes}"
            );
        }
        for no in ["metadata.name=b", "spec.color!=red", "spec.color.deep=red"] {
            assert!(
                !FieldSelector::parse(no).unwrap().matches(&object()),
                "{no}"
            );
        }
    }

    #[test]
    fn escapes_and_malformed_terms() {
        let selector = FieldSelector::parse(r"a=x\,y\=z\\").unwrap();
        assert_eq!(selector.required_value("a"), Some(r"x,y=z\"));
        assert_eq!(selector.to_string(), r"a=x\,y\=z\\");
        for (bad, message) in [
            ("abc", "invalid selector: 'abc'; can't understand 'abc'"),
            (
                "a=b=c",
                "invalid field selector: unescaped character in value: 61",
            ),
            (
                r"a=b\c",
                r"invalid field selector: invalid escape sequence: \c",
            ),
        ] {
            assert_eq!(FieldSelector::parse(bad).unwrap_err().message(), message);
        }
    }

    #[test]
    fn only_declared_fields_are_supported() {
        let declared = vec![".spec.color".to_owned()];
        let check = |text: &str, scope| {
            FieldSelector::parse(text)
                .unwrap()
                .check_supported(scope, &declared)
        };
        check(
            "metadata.name=a,spec.color=b,metadata.namespace=c",
            Scope::Namespaced,
        )
        .unwrap();
        assert_eq!(
            check("spec.x=a", Scope::Namespaced).unwrap_err().message(),
            "field label not supported: spec.x"
        );
        assert!(check("metadata.namespace=c", Scope::Cluster).is_err());
    }

    proptest! {
        #[test]
        fn what_parses_prints_and_parses_again(text in r"[a-b.!=,\\]{0,16}") {
            if let Ok(selector) = FieldSelector::parse(&text) {
                prop_assert_eq!(&FieldSelector::parse(&selector.to_string()).unwrap(), &selector);
            }
        }
    }
}
