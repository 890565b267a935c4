//! Label selectors: grammar, validation and matching.

use std::fmt;

use serde_json::{Map, Value};

use crate::field::{ErrorList, FieldError, Path};
use crate::names;
use crate::status::{Result, Status};

use super::parse;

/// How a requirement relates a key and values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `key=value`, `key==value`, `key in (…)`: present and one of the values.
    In,
    /// `key!=value`, `key notin (…)`: absent, or none of the values.
    NotIn,
    /// `key`: present.
    Exists,
    /// `!key`: absent.
    DoesNotExist,
    /// `key>n`: present, a number, and greater.
    GreaterThan,
    /// `key<n`: present, a number, and less.
    LessThan,
}

/// One condition of a label selector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// The label's key.
    pub key: String,
    /// The relation.
    pub operator: Operator,
    /// The values, sorted; empty for `Exists` and `DoesNotExist`.
    pub values: Vec<String>,
    /// Whether it was written with `=` or `!=`, so that it prints that way.
    exact: bool,
}

/// A label selector, the conjunction of its requirements. The default selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector {
    requirements: Vec<Requirement>,
}

impl LabelSelector {
    /// Parses a query parameter; 400 with the parser's words.
    pub fn parse(text: &str) -> Result<Self> {
        let mut requirements = parse::requirements(text).map_err(Status::bad_request)?;
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(Self { requirements })
    }

    /// Reads a `LabelSelector` object (`matchLabels`, `matchExpressions`); the errors have paths below
    /// `path`. Nothing in it selects everything.
    pub fn from_object(value: &Value, path: &Path<'_>) -> Result<Self, ErrorList> {
        let mut errors = ErrorList::new();
        let mut requirements = Vec::new();
        if let Some(labels) = value.get("matchLabels").and_then(Value::as_object) {
            let path = path.child("matchLabels");
            for (key, value) in labels {
                let value = value.as_str().unwrap_or_default();
                errors.extend(
                    names::qualified_name(key)
                        .into_iter()
                        .map(|m| FieldError::invalid(&path, key.as_str(), m)),
                );
                errors.extend(
                    names::label_value(value)
                        .into_iter()
                        .map(|m| FieldError::invalid(&path, value, m)),
                );
                requirements.push(Requirement {
                    key: key.clone(),
                    operator: Operator::In,
                    values: vec![value.to_owned()],
                    exact: true,
                });
            }
        }
        if let Some(expressions) = value.get("matchExpressions").and_then(Value::as_array) {
            let path = path.child("matchExpressions");
            for (index, expression) in expressions.iter().enumerate() {
                match from_expression(expression, &path.index(index)) {
                    Ok(requirement) => requirements.push(requirement),
                    Err(found) => errors.append(found),
                }
            }
        }
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        errors.into_result().map(|()| Self { requirements })
    }

    /// The single requirements, sorted by key.
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// Whether everything is selected.
    pub fn is_everything(&self) -> bool {
        self.requirements.is_empty()
    }

    /// Whether labels are selected. Values that aren't strings count as absent.
    pub fn matches(&self, labels: Option<&Map<String, Value>>) -> bool {
        self.requirements.iter().all(|requirement| {
            let value = labels
                .and_then(|l| l.get(&requirement.key))
                .and_then(Value::as_str);
            requirement.matches(value)
        })
    }
}

impl Requirement {
    /// A requirement, checked: messages like `values: Invalid value: …`, joined.
    pub(super) fn new(
        key: &str,
        operator: Operator,
        values: Vec<String>,
        exact: bool,
    ) -> Result<Self, String> {
        let mut errors = ErrorList::new();
        let path = Path::new("values");
        if matches!(operator, Operator::In | Operator::NotIn) && values.is_empty() {
            errors.push(FieldError::invalid(
                &path,
                Value::Array(Vec::new()),
                "for 'in', 'notin' operators, values set can't be empty",
            ));
        }
        if matches!(operator, Operator::GreaterThan | Operator::LessThan) {
            for (index, value) in values.iter().enumerate() {
                if value.parse::<i64>().is_err() {
                    errors.push(FieldError::invalid(
                        &path.index(index),
                        value.as_str(),
                        "for 'Gt', 'Lt' operators, the value must be an integer",
                    ));
                }
            }
        }
        for (index, value) in values.iter().enumerate() {
            let messages = names::label_value(value);
            if !messages.is_empty() {
                errors.push(FieldError::invalid(
                    &path.index(index).key(key),
                    value.as_str(),
                    messages.join("; "),
                ));
            }
        }
        if errors.is_empty() {
            Ok(Self {
                key: key.to_owned(),
                operator,
                values,
                exact,
            })
        } else {
            Err(errors.to_string())
        }
    }

    /// Whether a label with this value (`None` when absent) meets the requirement.
    pub fn matches(&self, value: Option<&str>) -> bool {
        let contains = |value: &str| self.values.iter().any(|v| v == value);
        let number = |text: &str| text.parse::<i64>().ok();
        let bound = || self.values.first().and_then(|v| number(v));
        match (self.operator, value) {
            (Operator::Exists, value) => value.is_some(),
            (Operator::DoesNotExist, value) => value.is_none(),
            (Operator::In, Some(value)) => contains(value),
            (Operator::NotIn, Some(value)) => !contains(value),
            (Operator::NotIn, None) => true,
            (Operator::GreaterThan, Some(value)) => {
                matches!((number(value), bound()), (Some(a), Some(b)) if a > b)
            }
            (Operator::LessThan, Some(value)) => {
                matches!((number(value), bound()), (Some(a), Some(b)) if a < b)
            }
            (Operator::In | Operator::GreaterThan | Operator::LessThan, None) => false,
        }
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values = self.values.join(",");
        let key = &self.key;
        match self.operator {
            Operator::Exists => f.write_str(key),
            Operator::DoesNotExist => write!(f, "!{key}"),
            Operator::In if self.exact => write!(f, "{key}={values}"),
            Operator::NotIn if self.exact => write!(f, "{key}!={values}"),
            Operator::In => write!(f, "{key} in ({values})"),
            Operator::NotIn => write!(f, "{key} notin ({values})"),
            Operator::GreaterThan => write!(f, "{key}>{values}"),
            Operator::LessThan => write!(f, "{key}<{values}"),
        }
    }
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, requirement) in self.requirements.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            write!(f, "{requirement}")?;
        }
        Ok(())
    }
}

/// Reads one entry of `matchExpressions`.
fn from_expression(value: &Value, path: &Path<'_>) -> Result<Requirement, ErrorList> {
    let mut errors = ErrorList::new();
    let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default();
    let mut values: Vec<String> = value
        .get("values")
        .and_then(Value::as_array)
        .map(|list| {
            list.iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect()
        })
        .unwrap_or_default();
    values.sort();
    let operator = match text("operator") {
        "In" => Operator::In,
        "NotIn" => Operator::NotIn,
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        other => {
            return Err(FieldError::invalid(
                &path.child("operator"),
                other,
                "not a valid selector operator",
            )
            .into());
        }
    };
    match operator {
        Operator::In | Operator::NotIn if values.is_empty() => errors.push(FieldError::required(
            &path.child("values"),
            "must be specified when `operator` is 'In' or 'NotIn'",
        )),
        Operator::Exists | Operator::DoesNotExist if !values.is_empty() => {
            errors.push(FieldError::forbidden(
                &path.child("values"),
                "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
            ));
        }
        _ => {}
    }
    let key = text("key");
    errors.extend(
        names::qualified_name(key)
            .into_iter()
            .map(|m| FieldError::invalid(&path.child("key"), key, m)),
    );
    let list = path.child("values");
    for (index, value) in values.iter().enumerate() {
        errors.extend(
            names::label_value(value)
                .into_iter()
                .map(|m| FieldError::invalid(&list.index(index), value.as_str(), m)),
        );
    }
    let requirement = Requirement {
        key: key.to_owned(),
        operator,
        values,
        exact: false,
    };
    errors.into_result().map(|()| requirement)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn selects(selector: &str, labels: Value) -> bool {
        LabelSelector::parse(selector)
            .unwrap()
            .matches(labels.as_object())
    }

    #[test]
    fn selectors_print_as_they_mean() {
        for (text, printed) in [
            ("", ""),
            ("x=a,y=b,z=c", "x=a,y=b,z=c"),
            ("x==a", "x=a"),
            (" x!=a ", "x!=a"),
            ("x=,z= ", "x=,z="),
            ("b, a", "a,b"),
            ("!x", "!x"),
            ("x in (b,a, a)", "x in (a,b)"),
            ("x in (in,notin)", "x in (in,notin)"),
            ("x notin ()", "x notin ()"),
            ("x in (a,,b)", "x in (,a,b)"),
            ("x in (a,)", "x in (,a)"),
            ("x>1,y<2", "x>1,y<2"),
            ("a.b/c=d", "a.b/c=d"),
        ] {
            assert_eq!(
                LabelSelector::parse(text).unwrap().to_string(),
                printed,
                "{text}"
            );
        }
    }

    #[test]
    fn malformed_selectors_are_refused_in_known_words() {
        for (text, message) in [
            (
                "x a",
                "unable to parse requirement: found 'a', expected: in, notin, =, ==, !=, gt, lt",
            ),
            (
                ",",
                "found ',', expected: !, identifier, or 'end of string'",
            ),
            ("x,", "found '', expected: identifier after ','"),
            ("x=a b", "found 'b', expected: ',' or 'end of string'"),
            (
                "x in a",
                "unable to parse requirement: found 'a' expected: '('",
            ),
            (
                "x in (a",
                "unable to parse requirement: found '', expected: ',' or ')'",
            ),
            (
                "!",
                "unable to parse requirement: found '', expected: identifier",
            ),
            (
                "x=(",
                "unable to parse requirement: found '(', expected: identifier",
            ),
        ] {
            let status = LabelSelector::parse(text).unwrap_err();
            assert_eq!((status.code(), status.message()), (400, message), "{text}");
        }
        let status = LabelSelector::parse("x=a%b").unwrap_err();
        assert!(
            status.message().starts_with(
                "unable to parse requirement: values[0][x]: Invalid value: \"a%b\": a valid label must be"
            ),
            "{status}"
        );
        let status = LabelSelector::parse("a^b=c").unwrap_err();
        assert!(
            status.message().starts_with(
                "unable to parse requirement: <nil>: Invalid value: \"a^b\": name part must consist"
            ),
            "{status}"
        );
    }

    #[test]
    fn absent_labels_match_only_negations() {
        let labels = json!({"x": "a", "n": "5"});
        for yes in [
            "",
            "x",
            "x=a",
            "x in (a,b)",
            "y!=a",
            "y notin (a)",
            "!y",
            "n>4",
            "n<6",
        ] {
            assert!(selects(yes, labels.clone()), "{yes}");
        }
        for no in [
            "y", "x=b", "x!=a", "!x", "y=", "x>1", "n>5", "y<1", "x in ()",
        ] {
            assert!(!selects(no, labels.clone()), "{no}");
        }
    }

    #[test]
    fn objects_become_selectors() {
        let value = json!({
            "matchLabels": {"a": "b"},
            "matchExpressions": [{"key": "c", "operator": "NotIn", "values": ["d"]}],
        });
        let selector = LabelSelector::from_object(&value, &Path::new("spec")).unwrap();
        assert_eq!(selector.to_string(), "a=b,c notin (d)");
        let bad = json!({"matchExpressions": [{"key": "c", "operator": "In"}]});
        let errors = LabelSelector::from_object(&bad, &Path::new("spec")).unwrap_err();
        assert_eq!(
            errors.to_string(),
            "spec.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'"
        );
    }

    proptest! {
        #[test]
        fn what_parses_prints_and_parses_again(text in "[a-c!=<>(), in0-9]{0,24}") {
            if let Ok(selector) = LabelSelector::parse(&text) {
                let again = LabelSelector::parse(&selector.to_string()).unwrap();
                prop_assert_eq!(selector.to_string(), again.to_string());
            }
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = LabelSelector::parse(&text);
        }
    }
}
