//! JSON patch, RFC 6902, with the habits of Kubernetes' servers.
//!
//! Where they differ from the RFC: `replace` of a missing member of a map adds it, `copy` from one copies null, a
//! negative list index counts from the end, and `test` of a missing member against null succeeds.

use serde_json::Value;

use crate::status::{Result, Status};

/// Most operations of one patch.
pub const OPERATIONS_MAX: usize = 10_000;
/// Most bytes that the copies of one patch may add up to: 3 MiB.
pub const COPY_MAX: usize = 3 * 1024 * 1024;

/// One decoded operation.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Operation {
    path: Pointer,
    action: Action,
}

#[derive(Clone, Debug, PartialEq)]
enum Action {
    Add(Value),
    Remove,
    Replace(Value),
    Move(Pointer),
    Copy(Pointer),
    Test(Value),
}

/// A JSON pointer and its text. No parts means the whole document.
#[derive(Clone, Debug, PartialEq)]
struct Pointer {
    text: String,
    parts: Vec<String>,
}

impl Pointer {
    fn parse(text: &str) -> Option<Self> {
        let parts = match text.strip_prefix('/') {
            Some(rest) => rest
                .split('/')
                .map(|p| p.replace("~1", "/").replace("~0", "~"))
                .collect(),
            None if text.is_empty() => Vec::new(),
            None => return None,
        };
        Some(Self {
            text: text.to_owned(),
            parts,
        })
    }
}

/// Decodes the list of operations: 400 for anything else, 413 for too many.
pub(super) fn parse(value: Value) -> Result<Vec<Operation>> {
    let Value::Array(list) = value else {
        return Err(Status::bad_request(
            "error decoding patch: a JSON patch must be a list",
        ));
    };
    if list.len() > OPERATIONS_MAX {
        return Err(Status::too_large(format_args!(
            "The allowed maximum operations in a JSON patch is {OPERATIONS_MAX}, got {}",
            list.len()
        )));
    }
    list.into_iter()
        .enumerate()
        .map(|(index, value)| {
            operation(value).map_err(|what| {
                Status::bad_request(format!("error decoding patch: operation {index} {what}"))
            })
        })
        .collect()
}

fn operation(value: Value) -> std::result::Result<Operation, &'static str> {
    let Value::Object(mut members) = value else {
        return Err("is not an object");
    };
    let pointer = |members: &serde_json::Map<String, Value>, key: &str| {
        members
            .get(key)
            .and_then(Value::as_str)
            .and_then(Pointer::parse)
    };
    let path = pointer(&members, "path").ok_or("has no valid path")?;
    let from = || pointer(&members, "from").ok_or("has no valid from");
    let action = match members.get("op").and_then(Value::as_str) {
        Some("remove") => Action::Remove,
        Some("move") => Action::Move(from()?),
        Some("copy") => Action::Copy(from()?),
        Some(op @ ("add" | "replace" | "test")) => {
            let build = match op {
                "add" => Action::Add,
                "replace" => Action::Replace,
                _ => Action::Test,
            };
            // A missing value reads as null.
            build(members.remove("value").unwrap_or(Value::Null))
        }
        _ => return Err("has no known op"),
    };
    Ok(Operation { path, action })
}

/// Applies all operations in order: 422 at the first that can't be applied, 413 when copies get too large.
pub(super) fn apply(operations: &[Operation], document: &mut Value) -> Result<()> {
    let mut copied = 0;
    for operation in operations {
        step(operation, document, &mut copied)?;
    }
    Ok(())
}

/// 422 in the words of Kubernetes' servers, which hide the reason; here it is the cause.
fn cannot(what: String) -> Status {
    Status::unprocessable("the server rejected our request due to an error in our request")
        .with_cause("", what)
}

fn step(operation: &Operation, document: &mut Value, copied: &mut usize) -> Result<()> {
    let path = &operation.path;
    match &operation.action {
        Action::Add(value) => add(document, path, value.clone()),
        Action::Remove => remove(document, path).map(|_| ()),
        Action::Replace(value) => replace(document, path, value.clone()),
        Action::Move(from) => {
            let value = remove(document, from)?;
            add(document, path, value)
        }
        Action::Copy(from) => {
            let value = read(document, from)?.cloned().unwrap_or(Value::Null);
            *copied = copied.saturating_add(value.to_string().len());
            if *copied > COPY_MAX {
                return Err(Status::too_large(format_args!(
                    "Unable to complete the copy, the accumulated size increase of copy is {copied}, exceeding the limit {COPY_MAX}"
                )));
            }
            add(document, path, value)
        }
        Action::Test(expected) => {
            let found = read(document, path)?.unwrap_or(&Value::Null);
            if same(found, expected) {
                Ok(())
            } else {
                Err(cannot(format!("testing value {} failed", path.text)))
            }
        }
    }
}

/// Equality in which `1` and `1.0` are the same number.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => x == y || x.as_f64() == y.as_f64(),
        (Value::Array(x), Value::Array(y)) => {
            x.len() == y.len() && x.iter().zip(y).all(|(x, y)| same(x, y))
        }
        (Value::Object(x), Value::Object(y)) => {
            x.len() == y.len() && x.iter().all(|(k, x)| y.get(k).is_some_and(|y| same(x, y)))
        }
        _ => a == b,
    }
}

/// The container of the last part of a path, and that part.
fn container<'d, 'p>(
    document: &'d mut Value,
    pointer: &'p Pointer,
    operation: &str,
) -> Result<(&'d mut Value, &'p str)> {
    let missing = || {
        cannot(format!(
            "{operation} operation does not apply: doc is missing path: {}",
            pointer.text
        ))
    };
    let (last, parents) = pointer.parts.split_last().ok_or_else(missing)?;
    let mut value = document;
    for part in parents {
        value = match value {
            Value::Object(members) => members.get_mut(part),
            Value::Array(list) => {
                existing_index(part, list.len()).and_then(|index| list.get_mut(index))
            }
            _ => None,
        }
        .ok_or_else(missing)?;
    }
    Ok((value, last))
}

/// An index of an existing element; negative ones count from the end.
fn existing_index(part: &str, length: usize) -> Option<usize> {
    if let Some(back) = part.strip_prefix('-') {
        let back: usize = back.parse().ok().filter(|b| *b > 0)?;
        return length.checked_sub(back);
    }
    part.parse().ok().filter(|index| *index < length)
}

/// An index at which an element can be inserted; `-` is the end.
fn insert_index(part: &str, length: usize) -> Option<usize> {
    match part {
        "-" => Some(length),
        _ => match part.strip_prefix('-') {
            // Inserting counts from one past the end.
            Some(_) => existing_index(part, length + 1),
            None => part.parse().ok().filter(|index| *index <= length),
        },
    }
}

fn read<'d>(document: &'d mut Value, pointer: &Pointer) -> Result<Option<&'d Value>> {
    if pointer.parts.is_empty() {
        return Ok(Some(document));
    }
    let (value, last) = container(document, pointer, "read")?;
    match value {
        Value::Object(members) => Ok(members.get(last)),
        Value::Array(list) => match existing_index(last, list.len()) {
            Some(index) => Ok(list.get(index)),
            None => Err(cannot(format!("Unable to access invalid index: {last}"))),
        },
        _ => Err(cannot(format!("doc is missing path: {}", pointer.text))),
    }
}

fn add(document: &mut Value, pointer: &Pointer, new: Value) -> Result<()> {
    if pointer.parts.is_empty() {
        *document = new;
        return Ok(());
    }
    let (value, last) = container(document, pointer, "add")?;
    match value {
        Value::Object(members) => {
            members.insert(last.to_owned(), new);
            Ok(())
        }
        Value::Array(list) => match insert_index(last, list.len()) {
            Some(index) => {
                list.insert(index, new);
                Ok(())
            }
            None => Err(cannot(format!("Unable to access invalid index: {last}"))),
        },
        _ => Err(cannot(format!(
            "add operation does not apply: doc is missing path: {}",
            pointer.text
        ))),
    }
}

fn replace(document: &mut Value, pointer: &Pointer, new: Value) -> Result<()> {
    if pointer.parts.is_empty() {
        *document = new;
        return Ok(());
    }
    let (value, last) = container(document, pointer, "replace")?;
    let missing = || {
        cannot(format!(
            "replace operation does not apply: doc is missing key: {}",
            pointer.text
        ))
    };
    match value {
        Value::Object(members) => {
            members.insert(last.to_owned(), new);
            Ok(())
        }
        Value::Array(list) => {
            let index = existing_index(last, list.len()).ok_or_else(missing)?;
            let element = list.get_mut(index).ok_or_else(missing)?;
            *element = new;
            Ok(())
        }
        _ => Err(missing()),
    }
}

fn remove(document: &mut Value, pointer: &Pointer) -> Result<Value> {
    let (value, last) = container(document, pointer, "remove")?;
    match value {
        Value::Object(members) => members.remove(last).ok_or_else(|| {
            cannot(format!(
                "error in remove for path: '{}': Unable to remove nonexistent key: {last}",
                pointer.text
            ))
        }),
        Value::Array(list) => match existing_index(last, list.len()) {
            Some(index) => Ok(list.remove(index)),
            None => Err(cannot(format!("Unable to access invalid index: {last}"))),
        },
        _ => Err(cannot(format!(
            "remove operation does not apply: doc is missing path: {}",
            pointer.text
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn patched(document: Value, patch: Value) -> Result<Value> {
        let operations = parse(patch)?;
        let mut document = document;
        apply(&operations, &mut document)?;
        Ok(document)
    }

    #[test]
    fn operations_do_what_the_rfc_says() {
        for (document, patch, result) in [
            (
                json!({"a": 1}),
                json!([{"op": "add", "path": "/b", "value": 2}]),
                json!({"a": 1, "b": 2}),
            ),
            (
                json!({"a": [1, 3]}),
                json!([{"op": "add", "path": "/a/1", "value": 2}]),
                json!({"a": [1, 2, 3]}),
            ),
            (
                json!({"a": [1]}),
                json!([{"op": "add", "path": "/a/-", "value": 2}]),
                json!({"a": [1, 2]}),
            ),
            (
                json!({"a": 1, "b": 2}),
                json!([{"op": "remove", "path": "/a"}]),
                json!({"b": 2}),
            ),
            (
                json!({"a": [1, 2]}),
                json!([{"op": "remove", "path": "/a/0"}]),
                json!({"a": [2]}),
            ),
            (
                json!({"a": 1}),
                json!([{"op": "replace", "path": "/a", "value": [2]}]),
                json!({"a": [2]}),
            ),
            (
                json!({"a": {"b": 1}}),
                json!([{"op": "move", "from": "/a/b", "path": "/c"}]),
                json!({"a": {}, "c": 1}),
            ),
            (
                json!({"a": [1]}),
                json!([{"op": "copy", "from": "/a", "path": "/b"}]),
                json!({"a": [1], "b": [1]}),
            ),
            (
                json!({"a/b": 1, "c~d": 2}),
                json!([{"op": "remove", "path": "/a~1b"}, {"op": "remove", "path": "/c~0d"}]),
                json!({}),
            ),
            (
                json!({"a": 1}),
                json!([{"op": "test", "path": "/a", "value": 1.0}]),
                json!({"a": 1}),
            ),
        ] {
            assert_eq!(patched(document, patch).unwrap(), result);
        }
    }

    #[test]
    fn missing_members_may_be_replaced_and_copied_but_not_removed_or_moved() {
        let empty = || json!({});
        assert_eq!(
            patched(
                empty(),
                json!([{"op": "replace", "path": "/a", "value": 1}])
            )
            .unwrap(),
            json!({"a": 1})
        );
        assert_eq!(
            patched(empty(), json!([{"op": "copy", "from": "/a", "path": "/b"}])).unwrap(),
            json!({"b": null})
        );
        for patch in [
            json!([{"op": "remove", "path": "/a"}]),
            json!([{"op": "remove", "path": ""}]),
            json!([{"op": "move", "from": "/a", "path": "/b"}]),
            json!([{"op": "add", "path": "/a/b", "value": 1}]),
            json!([{"op": "replace", "path": "/a/b", "value": 1}]),
            json!([{"op": "test", "path": "/a", "value": 1}]),
            json!([{"op": "test", "path": "/a/b", "value": 1}]),
        ] {
            let status = patched(empty(), patch.clone()).unwrap_err();
            assert_eq!(status.code(), 422, "{patch}");
        }
        let list = || json!({"l": [1]});
        for patch in [
            json!([{"op": "replace", "path": "/l/1", "value": 2}]),
            json!([{"op": "add", "path": "/l/2", "value": 2}]),
            json!([{"op": "remove", "path": "/l/x"}]),
            json!([{"op": "remove", "path": "/l/-"}]),
            json!([{"op": "remove", "path": "/l/-9"}]),
        ] {
            assert_eq!(
                patched(list(), patch.clone()).unwrap_err().code(),
                422,
                "{patch}"
            );
        }
    }

    #[test]
    fn the_reason_of_a_failure_is_its_cause() {
        let status = patched(
            json!({"a": 1}),
            json!([{"op": "test", "path": "/a", "value": 2}]),
        )
        .unwrap_err();
        assert_eq!(
            status.message(),
            "the server rejected our request due to an error in our request"
        );
        assert_eq!(
            status.details().unwrap().causes[0].message,
            "testing value /a failed"
        );
    }

    #[test]
    fn operations_and_copies_are_limited() {
        let many: Vec<Value> = (0..=OPERATIONS_MAX)
            .map(|_| json!({"op": "test", "path": "", "value": null}))
            .collect();
        assert_eq!(parse(Value::Array(many)).unwrap_err().code(), 413);
        // Doubling thirty times would be a gigabyte.
        let mut patch = Vec::new();
        for _ in 0..30 {
            patch.push(json!({"op": "copy", "from": "/a", "path": "/a/-"}));
        }
        let status = patched(json!({"a": ["xxxxxxxxxxxxxxxx"]}), Value::Array(patch)).unwrap_err();
        assert_eq!(status.code(), 413);
    }
}
