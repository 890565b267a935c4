//! The status of definitions: a function of all of them and of the status that they have.

use std::collections::{BTreeMap, BTreeSet};

use helium_apimachinery::crd::Definition;
use helium_apimachinery::meta::Object;
use jiff::Timestamp;
use serde_json::{Value, json};

/// Names taken in one group: by resources (plural, singular, short) and by kinds (kind, list kind).
#[derive(Debug, Default)]
struct Taken {
    resources: BTreeSet<String>,
    kinds: BTreeSet<String>,
}

/// A name that another definition of the group has.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Conflict {
    reason: &'static str,
    name: String,
}

/// A definition to be judged.
#[derive(Debug)]
pub(super) struct Candidate<'a> {
    pub(super) object: &'a Object,
    pub(super) definition: &'a Definition,
}

/// The status that each definition should have, in the order given; `None` where it has it already.
pub(super) fn evaluate(candidates: &[Candidate<'_>], now: Timestamp) -> Vec<Option<Value>> {
    let conflicts = conflicts(candidates);
    candidates
        .iter()
        .zip(conflicts)
        .map(|(candidate, conflict)| {
            let wanted = status(candidate, conflict, now);
            let current = candidate.object.get("status");
            (current != Some(&wanted)).then_some(wanted)
        })
        .collect()
}

/// Hands names out: to those first whose names were accepted before, then by age.
fn conflicts(candidates: &[Candidate<'_>]) -> Vec<Option<Conflict>> {
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    order.sort_by_key(|&at| {
        let object = candidates[at].object;
        let accepted = has(object, "NamesAccepted", "True");
        (
            !accepted,
            object.creation_timestamp(),
            object.name().to_owned(),
        )
    });
    let mut groups: BTreeMap<&str, Taken> = BTreeMap::new();
    let mut verdicts = vec![None; candidates.len()];
    for at in order {
        let definition = candidates[at].definition;
        let taken = groups.entry(&definition.group).or_default();
        verdicts[at] = taken.conflict(definition);
        if verdicts[at].is_none() {
            taken.take(definition);
        }
    }
    verdicts
}

impl Taken {
    fn conflict(&self, definition: &Definition) -> Option<Conflict> {
        let names = &definition.names;
        let resource = |reason, name: &String| {
            self.resources.contains(name).then(|| Conflict {
                reason,
                name: name.clone(),
            })
        };
        let kind = |reason, name: &String| {
            self.kinds.contains(name).then(|| Conflict {
                reason,
                name: name.clone(),
            })
        };
        resource("PluralConflict", &names.plural)
            .or_else(|| resource("SingularConflict", &names.singular))
            .or_else(|| {
                names
                    .short_names
                    .iter()
                    .find_map(|n| resource("ShortNamesConflict", n))
            })
            .or_else(|| kind("KindConflict", &names.kind))
            .or_else(|| kind("ListKindConflict", &names.list_kind))
    }

    fn take(&mut self, definition: &Definition) {
        let names = &definition.names;
        self.resources
            .extend([names.plural.clone(), names.singular.clone()]);
        self.resources.extend(names.short_names.iter().cloned());
        self.kinds
            .extend([names.kind.clone(), names.list_kind.clone()]);
    }
}

fn status(candidate: &Candidate<'_>, conflict: Option<Conflict>, now: Timestamp) -> Value {
    let Candidate { object, definition } = candidate;
    let mut status = object
        .get("status")
        .filter(|s| s.is_object())
        .cloned()
        .unwrap_or(json!({}));
    let mut conditions = Conditions::of(object, now);
    let established = has(object, "Established", "True");
    match &conflict {
        None => {
            conditions.set("NamesAccepted", "True", "NoConflicts", "no conflicts found");
            let message = "the initial names have been accepted";
            conditions.set("Established", "True", "InitialNamesAccepted", message);
            status["acceptedNames"] = accepted_names(definition);
        }
        Some(Conflict { reason, name }) => {
            let message = format!("\"{name}\" is already in use");
            conditions.set("NamesAccepted", "False", reason, &message);
            if !established {
                conditions.set(
                    "Established",
                    "False",
                    "NotAccepted",
                    "not all names are accepted",
                );
            }
        }
    }
    if object.meta("deletionTimestamp").is_some() {
        let message = "the objects of the kind are being deleted";
        conditions.set("Terminating", "True", "InstanceDeletionInProgress", message);
    }
    status["conditions"] = Value::Array(conditions.list);
    status["observedGeneration"] = object.generation().into();
    status["storedVersions"] = stored_versions(&status, definition);
    status
}

fn accepted_names(definition: &Definition) -> Value {
    let names = &definition.names;
    let mut accepted = json!({
        "plural": names.plural,
        "singular": names.singular,
        "kind": names.kind,
        "listKind": names.list_kind,
    });
    if !names.short_names.is_empty() {
        accepted["shortNames"] = json!(names.short_names);
    }
    if !names.categories.is_empty() {
        accepted["categories"] = json!(names.categories);
    }
    accepted
}

/// Objects may be stored in every version that has ever been the stored one.
fn stored_versions(status: &Value, definition: &Definition) -> Value {
    let storage = Value::from(definition.storage_version().name.as_str());
    let mut versions = status["storedVersions"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    if !versions.contains(&storage) {
        versions.push(storage);
    }
    Value::Array(versions)
}

/// Whether a condition has a status.
pub(super) fn has(object: &Object, type_: &str, status: &str) -> bool {
    object
        .get_path(&["status", "conditions"])
        .and_then(Value::as_array)
        .is_some_and(|list| {
            list.iter()
                .any(|c| c["type"] == type_ && c["status"] == status)
        })
}

struct Conditions {
    list: Vec<Value>,
    now: String,
}

impl Conditions {
    fn of(object: &Object, now: Timestamp) -> Self {
        let list = object
            .get_path(&["status", "conditions"])
            .and_then(Value::as_array);
        Self {
            list: list.cloned().unwrap_or_default(),
            now: now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        }
    }

    /// Sets a condition; its transition time changes only with its status.
    fn set(&mut self, type_: &str, status: &str, reason: &str, message: &str) {
        let at = self
            .list
            .iter()
            .position(|condition| condition["type"] == type_);
        let since = at
            .map(|at| &self.list[at])
            .filter(|condition| condition["status"] == status)
            .and_then(|condition| condition["lastTransitionTime"].as_str())
            .unwrap_or(&self.now);
        let condition = json!({
            "type": type_,
            "status": status,
            "reason": reason,
            "message": message,
            "lastTransitionTime": since,
        });
        match at {
            Some(at) => self.list[at] = condition,
            None => self.list.push(condition),
        }
    }
}

#[cfg(test)]
mod tests {
    use helium_apimachinery::crd;

    use super::*;

    fn definition(plural: &str, kind: &str, short: &str, created: &str) -> (Object, Definition) {
        let mut spec = json!({
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": plural, "kind": kind, "shortNames": [short]},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object"}}}],
        });
        crd::default_spec(&mut spec);
        let name = format!("{plural}.example.com");
        let parsed = Definition::parse(&name, &spec).unwrap();
        let object = json!({
            "metadata": {"name": name, "creationTimestamp": created, "generation": 1},
            "spec": spec,
        });
        (Object::try_from(object).unwrap(), parsed)
    }

    fn evaluate_all(all: &[(Object, Definition)]) -> Vec<Option<Value>> {
        let candidates: Vec<_> = all
            .iter()
            .map(|(object, definition)| Candidate { object, definition })
            .collect();
        evaluate(&candidates, Timestamp::UNIX_EPOCH)
    }

    fn condition<'a>(status: &'a Value, type_: &str) -> &'a Value {
        let list = status["conditions"].as_array().unwrap();
        list.iter()
            .find(|condition| condition["type"] == type_)
            .unwrap()
    }

    #[test]
    fn a_definition_without_conflicts_is_established_and_then_left_alone() {
        let mut all = [definition(
            "widgets",
            "Widget",
            "wd",
            "2026-01-01T00:00:00Z",
        )];
        let status = evaluate_all(&all).remove(0).unwrap();
        assert_eq!(condition(&status, "Established")["status"], "True");
        assert_eq!(status["storedVersions"], json!(["v1"]));
        assert_eq!(status["acceptedNames"]["singular"], "widget");
        all[0].0.set("status", status);
        assert_eq!(evaluate_all(&all), [None]);
    }

    #[test]
    fn the_older_definition_keeps_a_name_that_two_want() {
        let all = [
            definition("gadgets", "Gadget", "x", "2026-01-02T00:00:00Z"),
            definition("widgets", "Widget", "x", "2026-01-01T00:00:00Z"),
        ];
        let statuses = evaluate_all(&all);
        let loser = statuses[0].as_ref().unwrap();
        assert_eq!(
            condition(loser, "NamesAccepted")["reason"],
            "ShortNamesConflict"
        );
        assert_eq!(condition(loser, "Established")["status"], "False");
        let winner = statuses[1].as_ref().unwrap();
        assert_eq!(condition(winner, "Established")["status"], "True");
    }

    #[test]
    fn accepted_names_are_kept_against_an_older_definition() {
        let mut all = [
            definition("gadgets", "Gadget", "x", "2026-01-02T00:00:00Z"),
            definition("widgets", "Widget", "x", "2026-01-01T00:00:00Z"),
        ];
        let accepted = evaluate_all(&all[..1]).remove(0).unwrap();
        all[0].0.set("status", accepted);
        let statuses = evaluate_all(&all);
        assert_eq!(statuses[0], None);
        let late = statuses[1].as_ref().unwrap();
        assert_eq!(condition(late, "Established")["status"], "False");
    }
}
