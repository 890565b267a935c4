//! The writes of a plan, each conditional on what was seen (A2).

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use helium_telemetry::Chain;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, Client, Resource, ResourceExt};
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tracing::{info, warn};

use super::FIELD_MANAGER;
use super::plan::{Change, Plan};
use crate::metrics::Metrics;

/// Time for one write.
const REQUEST: Duration = Duration::from_secs(5);

/// What became of a plan.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Errors by the name of the object.
    pub(super) failures: BTreeMap<String, String>,
}

impl Outcome {
    /// Whether all was written.
    pub(super) fn clean(&self) -> bool {
        self.failures.is_empty()
    }
}

/// Writes to the cluster.
pub(super) struct Writer {
    client: Client,
    metrics: Metrics,
    /// What was complained of last, so that each complaint is heard once.
    failures: Mutex<BTreeMap<String, String>>,
    refused: Mutex<BTreeMap<String, String>>,
}

/// Parameters of our writes that aren't applies.
pub(crate) fn post() -> PostParams {
    PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    }
}

/// Writes one change.
pub(crate) async fn write_one<K>(
    api: &Api<K>,
    name: &str,
    change: Change<K>,
) -> Result<(), kube::Error>
where
    K: Resource<DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned,
{
    match change {
        Change::Create(object) => api.create(&post(), &object).await.map(|_| ()),
        Change::Apply(object) => {
            let params = PatchParams::apply(FIELD_MANAGER).force();
            let done = api.patch(name, &params, &Patch::Apply(&object)).await;
            done.map(|_| ())
        }
        Change::Delete(seen) => {
            let params = DeleteParams::background().preconditions(Preconditions {
                resource_version: seen.resource_version,
                uid: seen.uid,
            });
            api.delete(name, &params).await.map(|_| ())
        }
    }
}

impl Writer {
    pub(super) fn new(client: Client, metrics: Metrics) -> Self {
        Self {
            client,
            metrics,
            failures: Mutex::default(),
            refused: Mutex::default(),
        }
    }

    /// Writes a plan: rights first, so that who sees a kind may use it.
    pub(super) async fn write(&self, plan: Plan) -> Outcome {
        let mut outcome = Outcome::default();
        self.write_all(plan.cluster_roles, &mut outcome).await;
        self.write_all(plan.api_services, &mut outcome).await;
        self.complain(&outcome.failures);
        outcome
    }

    async fn write_all<K>(&self, changes: Vec<Change<K>>, outcome: &mut Outcome)
    where
        K: Resource<DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned,
        K: Resource<Scope = k8s_openapi::ClusterResourceScope>,
    {
        let api: Api<K> = Api::all(self.client.clone());
        let kind = K::kind(&()).into_owned();
        for change in changes {
            let (verb, name) = match &change {
                Change::Create(object) => ("create", object.name_any()),
                Change::Apply(object) => ("apply", object.name_any()),
                Change::Delete(seen) => ("delete", seen.name.clone()),
            };
            let work = write_one(&api, &name, change);
            let done = tokio::time::timeout(REQUEST, work)
                .await
                .unwrap_or_else(|elapsed| Err(kube::Error::Service(Box::new(elapsed))));
            match done {
                Ok(()) => {
                    info!(kind, name, verb, "written");
                    self.metrics.written(&kind, verb);
                }
                // Somebody was faster: what they did is seen soon, and judged anew.
                Err(kube::Error::Api(status))
                    if status.is_conflict()
                        || status.is_already_exists()
                        || status.is_not_found() => {}
                Err(error) => {
                    let text = Chain(&error).to_string();
                    outcome.failures.insert(name, text);
                }
            }
        }
    }

    fn complain(&self, failures: &BTreeMap<String, String>) {
        let mut last = self.failures.lock();
        for (name, error) in failures {
            if last.get(name) != Some(error) {
                warn!(name, error, "a registration could not be written");
            }
        }
        last.clone_from(failures);
    }

    /// Says once of each group that the cluster serves it itself.
    pub(super) fn warn_of_refused(&self, refused: &BTreeMap<String, String>) {
        let mut last = self.refused.lock();
        for (group, why) in refused {
            if last.get(group) != Some(why) {
                warn!(
                    group,
                    why, "the cluster serves the group itself: it is not registered"
                );
            }
        }
        for group in last.keys().filter(|group| !refused.contains_key(*group)) {
            info!(group, "the cluster no longer serves the group itself");
        }
        last.clone_from(refused);
    }
}

#[cfg(test)]
mod tests;
