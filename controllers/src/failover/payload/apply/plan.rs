//! The objects of a payload with their places, and in their order.

use std::collections::BTreeMap;

use futures_util::{StreamExt, TryStreamExt, stream};
use helium_failover::kind::{DeadManSwitch, Mode};
use serde_json::Value;

use super::{Halt, Job};
use crate::failover::payload::document::{Manifest, Payload};
use crate::failover::payload::injection::{Marks, pod_template};
use crate::failover::payload::kinds::{Kind, Resolved, promised};
use crate::failover::payload::object::{ObjectName, Place};
use crate::failover::payload::order::{Step, step};
use crate::failover::payload::site::WIDTH;
use crate::failover::payload::trouble::{Failure, FailureReason, Problem, ProblemReason};
use crate::failover::payload::wire::Refused;
use crate::failover::switch::{self, SwitchContext};

/// An object that is to be there.
#[derive(Debug, Clone)]
pub(super) struct Planned {
    pub(super) place: Place,
    /// As it is sent.
    pub(super) content: Value,
    /// The uid of the object that is there, if one is.
    pub(super) present: Option<String>,
    /// A definition in the payload brings its kind.
    pub(super) is_promised: bool,
}

/// The places of each step, in order, as indexes.
pub(super) fn steps(planned: &[Planned]) -> BTreeMap<Step, Vec<usize>> {
    let mut steps: BTreeMap<Step, Vec<usize>> = BTreeMap::new();
    for (index, one) in planned.iter().enumerate() {
        steps.entry(step(&one.place)).or_default().push(index);
    }
    steps
}

impl Job<'_> {
    /// Finds each object's resource and marks the object.
    pub(super) async fn plan(&self, payload: &Payload) -> Result<Vec<Planned>, Halt> {
        let all = stream::iter(
            payload
                .objects
                .iter()
                .map(|manifest| self.resolve(payload, manifest))
                .collect::<Vec<_>>(),
        )
        .buffered(WIDTH);
        let resolved: Vec<Result<Planned, Problem>> = all.try_collect().await?;
        let (mut planned, mut problems) = (Vec::new(), Vec::new());
        for one in resolved {
            match one {
                Ok(one) => planned.push(one),
                Err(problem) => problems.push(problem),
            }
        }
        match problems.is_empty() {
            true => Ok(planned),
            false => Err(Halt::Rejected(problems)),
        }
    }

    async fn resolve(
        &self,
        payload: &Payload,
        manifest: &Manifest,
    ) -> Result<Result<Planned, Problem>, Halt> {
        let gvk = (
            manifest.group.as_str(),
            manifest.version.as_str(),
            manifest.kind.as_str(),
        );
        let own = payload
            .objects
            .iter()
            .find_map(|definition| promised(definition, gvk));
        let is_promised = own.is_some();
        let kind = match own {
            Some(kind) => kind,
            None => {
                let bound = self.limits.bound()?;
                let resolved = self.site.kinds.resolve(&self.site.wire, gvk, bound).await;
                match resolved.map_err(|refused| unknown(gvk, &refused))? {
                    Resolved::Known(kind) => kind,
                    missing => return Ok(Err(unserved(manifest, &missing))),
                }
            }
        };
        Ok(self
            .place(payload, manifest, &kind)
            .map(|(place, content)| Planned {
                place,
                content,
                present: None,
                is_promised,
            }))
    }

    fn place(
        &self,
        payload: &Payload,
        manifest: &Manifest,
        kind: &Kind,
    ) -> Result<(Place, Value), Problem> {
        let namespace = match (kind.namespaced, &manifest.namespace) {
            (true, Some(namespace)) => Some(namespace.clone()),
            (true, None) => Some(payload.default_namespace().to_owned()),
            (false, None) => None,
            (false, Some(_)) => {
                return Err(problem(
                    manifest,
                    ProblemReason::NotNamespaced,
                    format!(
                        "{} aren't in namespaces: remove metadata.namespace",
                        kind.resource
                    ),
                ));
            }
        };
        let is_namespace = manifest.group.is_empty() && manifest.kind == "Namespace";
        if is_namespace && manifest.name == self.site.footprints.namespace {
            return Err(problem(
                manifest,
                ProblemReason::Invalid,
                "it is the agent's own namespace, which must stay: leave it out".to_owned(),
            ));
        }
        let mut content = manifest.content.clone();
        if let Some(namespace) = &namespace {
            content["metadata"]["namespace"] = namespace.clone().into();
        }
        let marks = Marks {
            group: self.group,
            owner: self.owner,
            token: self.term.token,
            cluster: &self.site.options.cluster,
        };
        marks.put(&manifest.group, &manifest.kind, &mut content);
        self.guard(manifest, &mut content)?;
        let place = Place {
            group: manifest.group.clone(),
            version: manifest.version.clone(),
            kind: manifest.kind.clone(),
            resource: kind.resource.clone(),
            namespace,
            name: manifest.name.clone(),
            uid: None,
        };
        Ok((place, content))
    }
}

impl Job<'_> {
    /// Puts the dead-man's switch into a pod template, if the term has one.
    fn guard(&self, manifest: &Manifest, content: &mut Value) -> Result<(), Problem> {
        let is_asked = self.term.mode == Mode::Strict && self.term.dead_man == DeadManSwitch::Probe;
        let Some(template) =
            pod_template(&manifest.group, &manifest.kind, content).filter(|_| is_asked)
        else {
            return Ok(());
        };
        let refused = |message: String| problem(manifest, ProblemReason::Invalid, message);
        let Some(watchdog) = &self.site.options.watchdog else {
            return Err(refused(
                "the group asks for a dead-man's switch, and this cluster's agent has no --failover-watchdog-image to put into pods".to_owned(),
            ));
        };
        let context = SwitchContext {
            image: watchdog.image.clone(),
            group: self.group.clone(),
            token: self.term.token,
            timing: self.term.timing,
            port: watchdog.port,
        };
        switch::inject(template, &context).map_err(|error| refused(error.to_string()))
    }
}

fn problem(manifest: &Manifest, reason: ProblemReason, message: String) -> Problem {
    Problem {
        object: ObjectName {
            kind: manifest.kind.clone(),
            namespace: manifest.namespace.clone(),
            name: manifest.name.clone(),
        },
        reason,
        message,
    }
}

fn unserved(manifest: &Manifest, missing: &Resolved) -> Problem {
    let Manifest {
        group,
        version,
        kind,
        ..
    } = manifest;
    let message = match missing {
        Resolved::NoGroup => format!(
            "the cluster doesn't know the API group {group}: install the CustomResourceDefinition of {kind} there, or put it into the payload"
        ),
        Resolved::NoVersion(versions) => format!(
            "the cluster serves {group} in {}, and not in {version}: change apiVersion, or install a definition that has {version}",
            versions.join(", ")
        ),
        Resolved::NoKind | Resolved::Known(_) => {
            let api_version = match group.as_str() {
                "" => version.clone(),
                _ => format!("{group}/{version}"),
            };
            format!(
                "the cluster has no kind {kind} in {api_version}: correct it, or install the CustomResourceDefinition of {kind} there"
            )
        }
    };
    problem(manifest, ProblemReason::UnknownKind, message)
}

fn unknown((group, version, kind): (&str, &str, &str), refused: &Refused) -> Failure {
    let words = match refused {
        Refused::NotSent(words) | Refused::NoAnswer(words) => words.clone(),
        Refused::Answer { code, body } => {
            let said = body["message"].as_str().unwrap_or("no reason given");
            format!("{code}: {said}")
        }
    };
    Failure::new(
        FailureReason::Away,
        format!(
            "the cluster doesn't say whether it serves {kind} ({group}/{version}): {words}; it is tried again"
        ),
    )
}
