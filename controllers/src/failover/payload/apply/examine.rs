//! Everything that can be known before the first write (P2).

use std::collections::BTreeSet;

use futures_util::{StreamExt, stream};
use helium_failover::kind::Mode;
use serde_json::Value;

use super::plan::Planned;
use super::{Halt, Job};
use crate::failover::payload::injection::makes_pods;
use crate::failover::payload::object::{ObjectName, Place, Whose, text, whose};
use crate::failover::payload::site::{Shelf, WIDTH, shelves};
use crate::failover::payload::trouble::{
    Failure, FailureReason, Problem, ProblemReason, Verdict, judge,
};
use crate::failover::payload::wire::{As, Refused};

/// What stands in the way of one object.
#[derive(Debug)]
pub(super) enum Trouble {
    Problem(Problem),
    Failure(Failure),
}

/// All problems, or else the first failure.
pub(super) fn halt(troubles: Vec<Trouble>) -> Result<(), Halt> {
    let (mut problems, mut failure) = (Vec::new(), None);
    for trouble in troubles {
        match trouble {
            Trouble::Problem(problem) => problems.push(problem),
            Trouble::Failure(found) => {
                failure.get_or_insert(found);
            }
        }
    }
    problems.sort_by(|a, b| a.object.cmp(&b.object));
    match (problems.is_empty(), failure) {
        (false, _) => Err(Halt::Rejected(problems)),
        (true, Some(failure)) => Err(Halt::Failed(failure)),
        (true, None) => Ok(()),
    }
}

impl Job<'_> {
    /// Looks at what is there: fills in the uids of own objects, and returns own objects that no payload and no footprint names.
    pub(super) async fn examine(&self, planned: &mut [Planned]) -> Result<Vec<Place>, Halt> {
        let mut troubles = self.examine_namespaces(planned).await?;
        let looks = stream::iter(
            planned
                .iter()
                .enumerate()
                .map(|(index, one)| async move { (index, self.look(&one.place).await) })
                .collect::<Vec<_>>(),
        )
        .buffer_unordered(WIDTH);
        let looked: Vec<_> = looks.collect().await;
        for (index, found) in looked {
            match found {
                Ok(present) => planned[index].present = present,
                Err(trouble) => troubles.push(trouble),
            }
        }
        // The rights to find everything again are needed to stop: without them nothing is begun.
        let strays = self.strays(planned, &mut troubles).await?;
        halt(troubles)?;
        Ok(strays)
    }

    /// The uid of the own object at a place; an error if it is another's.
    pub(super) async fn look(&self, place: &Place) -> Result<Option<String>, Trouble> {
        let bound = self.limits.bound().map_err(Trouble::Failure)?;
        let found = self
            .site
            .wire
            .get_opt(self.who(), &place.path(), bound)
            .await;
        let found = found.map_err(|refused| self.trouble(&refused, "looking at", place))?;
        let Some(found) = found else {
            return Ok(None);
        };
        let object = place.object();
        let leaving = found["metadata"]["deletionTimestamp"].is_string();
        let waits = |words: String| {
            Trouble::Failure(Failure::new(
                FailureReason::Terminating,
                format!("{object}: {words}"),
            ))
        };
        match whose(&found, self.group, &self.owner.uid) {
            _ if leaving => Err(waits(format!(
                "an object of that name is still being deleted{}; it is tried again",
                finalizers(&found)
            ))),
            Whose::Ours => Ok(text(&found, "/metadata/uid").map(str::to_owned)),
            Whose::OursElsewhere(label) => Err(waits(format!(
                "it is still of the group {label}, which this MultiCluster belonged to; when that is stopped, it is tried again"
            ))),
            Whose::Foreign(words) => Err(Trouble::Problem(Problem {
                object,
                reason: ProblemReason::ForeignObject,
                message: format!(
                    "it is there and isn't ours: {words}; give the payload's object another name, or delete the one that is there"
                ),
            })),
        }
    }

    /// A refusal about an object.
    pub(super) fn trouble(&self, refused: &Refused, doing: &str, place: &Place) -> Trouble {
        match judge(refused, doing, place, self.site.asker(self.group)) {
            Verdict::Problem(reason, message) => Trouble::Problem(Problem {
                object: place.object(),
                reason,
                message,
            }),
            Verdict::Failure(failure) => Trouble::Failure(failure),
            Verdict::Changed(said) | Verdict::Missing(said) => {
                let message = format!("{doing} {}: {said}; it is tried again", place.object());
                Trouble::Failure(Failure::new(FailureReason::Away, message))
            }
        }
    }

    async fn examine_namespaces(&self, planned: &[Planned]) -> Result<Vec<Trouble>, Halt> {
        let made: BTreeSet<&str> = planned
            .iter()
            .filter(|one| one.place.group.is_empty() && one.place.kind == "Namespace")
            .map(|one| one.place.name.as_str())
            .collect();
        let needed: BTreeSet<&str> = planned
            .iter()
            .filter_map(|one| one.place.namespace.as_deref())
            .filter(|namespace| !made.contains(namespace))
            .collect();
        let mut troubles = Vec::new();
        for namespace in needed {
            let bound = self.limits.bound()?;
            let path = format!("/api/v1/namespaces/{namespace}");
            let first = planned
                .iter()
                .find(|one| one.place.namespace.as_deref() == Some(namespace));
            let object = first.map_or_else(
                || ObjectName {
                    kind: "Namespace".to_owned(),
                    namespace: None,
                    name: namespace.to_owned(),
                },
                |one| one.place.object(),
            );
            match self.site.wire.get_opt(As::Agent, &path, bound).await {
                Ok(Some(found)) if text(&found, "/status/phase") == Some("Terminating") => {
                    let message = format!(
                        "{object}: namespace {namespace} is being deleted; when it is there again, it is tried again"
                    );
                    let failure = Failure::new(FailureReason::Terminating, message);
                    troubles.push(Trouble::Failure(failure));
                }
                Ok(None) => troubles.push(Trouble::Problem(Problem {
                    object,
                    reason: ProblemReason::NamespaceMissing,
                    message: format!(
                        "this cluster has no namespace {namespace}: create it, or put a Namespace into the payload"
                    ),
                })),
                // Who may not read namespaces sees it when something is applied.
                _ => {}
            }
        }
        Ok(troubles)
    }

    /// Own objects of the payload's kinds that it doesn't have: late writes of earlier terms, as a rule.
    async fn strays(
        &self,
        planned: &[Planned],
        troubles: &mut Vec<Trouble>,
    ) -> Result<Vec<Place>, Halt> {
        let served = planned.iter().filter(|one| !one.is_promised);
        let mut shelves = shelves(served.map(|one| &one.place));
        if self.term.mode == Mode::Strict {
            for pods in pods_shelves(planned.iter().map(|one| &one.place)) {
                if !shelves.contains(&pods) {
                    shelves.push(pods);
                }
            }
        }
        self.limits.bound()?;
        let found = self
            .site
            .all_labelled(self.user.as_deref(), self.group, &shelves)
            .await;
        let found = match found {
            Ok(found) => found,
            Err((shelf, refused)) => {
                let place = shelf.place("*");
                troubles.push(self.trouble(&refused, "listing", &place));
                return Ok(Vec::new());
            }
        };
        let is_stray = |place: &Place, item: &Value| {
            whose(item, self.group, &self.owner.uid) == Whose::Ours
                && !planned.iter().any(|one| one.place.is(place))
                // What a controller made of an own object carries its marks, and goes with it.
                && item["metadata"]["ownerReferences"].as_array().is_none_or(Vec::is_empty)
        };
        let strays = found
            .into_iter()
            .filter(|(place, item)| is_stray(place, item));
        Ok(strays.map(|(place, _)| place).collect())
    }
}

/// Where pods of a payload's templates may be.
pub(in crate::failover::payload) fn pods_shelves<'a>(
    places: impl Iterator<Item = &'a Place>,
) -> Vec<Shelf> {
    let namespaces: BTreeSet<&String> = places
        .filter(|place| makes_pods(&place.group, &place.kind))
        .filter_map(|place| place.namespace.as_ref())
        .collect();
    let shelf = |namespace: &String| Shelf {
        group: String::new(),
        version: "v1".to_owned(),
        kind: "Pod".to_owned(),
        resource: "pods".to_owned(),
        namespace: Some(namespace.clone()),
    };
    namespaces.into_iter().map(shelf).collect()
}

/// Who holds an object that is being deleted, in words.
pub(in crate::failover::payload) fn finalizers(object: &Value) -> String {
    let list = object["metadata"]["finalizers"].as_array();
    let names: Vec<&str> = list
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    match names.is_empty() {
        true => String::new(),
        false => format!(" (finalizers: {})", names.join(", ")),
    }
}
