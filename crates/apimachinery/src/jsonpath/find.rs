//! Evaluation of paths.

use std::cmp::Ordering;

use serde_json::Value;

use super::{Comparison, Condition, Operand, Step};

/// Every value that the steps lead to.
pub(super) fn find<'v>(steps: &[Step], root: &'v Value) -> Vec<&'v Value> {
    let mut values = vec![root];
    for step in steps {
        let mut next = Vec::new();
        for value in values {
            take(step, value, &mut next);
        }
        values = next;
    }
    values
}

fn take<'v>(step: &Step, value: &'v Value, found: &mut Vec<&'v Value>) {
    match (step, value) {
        (Step::Name(name), Value::Object(members)) => found.extend(members.get(name)),
        (Step::Wildcard, Value::Object(members)) => found.extend(members.values()),
        (Step::Wildcard, Value::Array(list)) => found.extend(list),
        (Step::Descend, value) => descend(value, found),
        (Step::Union(steps), value) => {
            for step in steps {
                take(step, value, found);
            }
        }
        (Step::Index(index), Value::Array(list)) => {
            found.extend(position(*index, list.len()).and_then(|index| list.get(index)));
        }
        (Step::Slice { start, end, step }, Value::Array(list)) => {
            let bound = |bound: Option<i64>, default: usize| match bound {
                None => default,
                Some(n) if n < 0 => list
                    .len()
                    .saturating_sub(usize::try_from(n.unsigned_abs()).unwrap_or(usize::MAX)),
                Some(n) => usize::try_from(n).unwrap_or(usize::MAX).min(list.len()),
            };
            let (start, end) = (bound(*start, 0), bound(*end, list.len()));
            let step = usize::try_from(*step).unwrap_or(1).max(1);
            if start < end {
                found.extend(list[start..end].iter().step_by(step));
            }
        }
        (Step::Filter(condition), Value::Array(list)) => {
            found.extend(list.iter().filter(|element| holds(condition, element)));
        }
        _ => {}
    }
}

fn descend<'v>(value: &'v Value, found: &mut Vec<&'v Value>) {
    found.push(value);
    match value {
        Value::Object(members) => members.values().for_each(|v| descend(v, found)),
        Value::Array(list) => list.iter().for_each(|v| descend(v, found)),
        _ => {}
    }
}

fn position(index: i64, length: usize) -> Option<usize> {
    if index < 0 {
        length.checked_sub(usize::try_from(index.unsigned_abs()).ok()?)
    } else {
        usize::try_from(index).ok()
    }
}

fn holds(condition: &Condition, element: &Value) -> bool {
    let Some(left) = evaluate(&condition.left, element) else {
        return false;
    };
    let Some((comparison, right)) = &condition.test else {
        return true;
    };
    let Some(right) = evaluate(right, element) else {
        return false;
    };
    let order = compare(left, right);
    match comparison {
        Comparison::Equal => order == Some(Ordering::Equal),
        Comparison::NotEqual => order != Some(Ordering::Equal),
        Comparison::Less => order == Some(Ordering::Less),
        Comparison::LessOrEqual => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        Comparison::Greater => order == Some(Ordering::Greater),
        Comparison::GreaterOrEqual => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
    }
}

fn evaluate<'v>(operand: &'v Operand, element: &'v Value) -> Option<&'v Value> {
    match operand {
        Operand::Constant(value) => Some(value),
        Operand::Path(path) => path.first(element),
    }
}

fn compare(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64()?.partial_cmp(&b.as_f64()?),
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        _ => None,
    }
}
