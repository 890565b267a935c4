//! The registrar: makes the cluster's own API server hand the fleet's groups on to the fleet's server.
//!
//! For each group and version that the fleet's `SharedResourceDefinition`s serve, and for the groups that are built
//! in, it keeps an APIService; for each group three ClusterRoles, which the cluster's `view`, `edit` and `admin` take
//! over. It looks at everything whenever something changes and every half a minute, computes what should be there
//! (`desired`), compares (`plan`) and writes the difference; what became of a definition here it writes into that
//! definition's status (`report`).
//!
//! Invariants, beside those of all controllers:
//! - **G1** A group that the cluster serves itself, by an APIService that isn't ours or by a CustomResourceDefinition,
//!   is refused as a whole: nothing of it is written, what was written goes, and the definition's status says
//!   so. A cluster's own API comes first, whichever was there first.
//! - **G2** A definition's objects outlive its registration nowhere: while it is being deleted it stays registered, so
//!   that whoever holds an object by a finalizer can let go; when it is gone, all that was written for it goes.
//! - **G3** A change of a kind changes an annotation of its APIService, by which the aggregator reads the kind anew at
//!   once.
//! - **G4** Nothing is registered beside `v1.helium.dev` before that one is available: an APIService without a server
//!   behind it keeps the whole cluster from deleting namespaces, so a mistake (a wrong Service, a wrong bundle)
//!   shall show with one and not with all.
//!
//! What it will not do: keep the Service that APIServices point at (`service` does, where it is told to), or remove a
//! cluster's entry from a definition's status when that cluster has left (the servers do). A cluster that isn't a member
//! says nothing in definitions; what is registered in it stays.

pub mod desired;
pub mod kind;
pub mod local;
pub mod plan;
pub mod report;
mod roles;
mod status;
mod summary;
mod writer;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use helium_telemetry::Chain;
use k8s_openapi::api::rbac::v1::ClusterRole;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind, ObjectMeta, PartialObjectMeta};
use kube::runtime::watcher;
use kube::{Api, Client};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::ca::CaFile;
pub(crate) use desired::managed_label;
use desired::{Desired, Target};
use kind::Definition;
use local::LocalGroups;
use plan::Observed;
#[cfg(test)]
pub(crate) use summary::Missing;
pub(crate) use summary::{REASONS, Summary};
pub(crate) use writer::write_one;
use writer::{Outcome, Writer};

use crate::follow::{self, Follow};
use crate::membership::Standing;
use crate::metrics::Metrics;
use crate::probe::Readiness;
use crate::{ClusterName, ServiceAddress};

/// Label of all that is ours.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Its value.
pub const MANAGER: &str = "helium";
/// Annotation of an APIService that changes with the kinds behind it.
pub const SCHEMA_HASH: &str = "helium.dev/schema-hash";
/// Name under which our fields are ours.
pub const FIELD_MANAGER: &str = "helium-registrar";

/// Everything is looked at again after that long without a change.
const RESYNC: Duration = Duration::from_secs(30);
/// Changes come in bursts: one round for all that come within this.
const GATHER: Duration = Duration::from_millis(50);
/// How often the CA file is read.
const CA_CHECK: Duration = Duration::from_secs(1);
/// Time to write what became of definitions into their status; the rest follows in the next round.
const TELL: Duration = Duration::from_secs(2);
/// First pause after a round in which something failed; it doubles up to [`RESYNC`].
const FIRST_RETRY: Duration = Duration::from_millis(500);

/// Whether an object carries our label.
pub(crate) fn owned(metadata: &ObjectMeta) -> bool {
    metadata
        .labels
        .as_ref()
        .and_then(|labels| labels.get(MANAGED_BY))
        .is_some_and(|value| value == MANAGER)
}

/// What a registrar is told.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// The cluster that it works in.
    pub(crate) cluster: ClusterName,
    /// The Service of the fleet's server; the bundle comes from the CA file.
    pub(crate) service: ServiceAddress,
}

/// Keeps one cluster's registrations.
pub(crate) struct Registrar {
    settings: Settings,
    own: Client,
    ca: Option<CaFile>,
    metrics: Metrics,
    writer: Writer,
    summary: watch::Sender<Option<Summary>>,
    /// How the cluster stands to the fleet, if somebody says that.
    standing: Option<watch::Receiver<Standing>>,
}

/// What is followed: definitions at the control plane, the rest in the cluster.
struct Followed {
    definitions: Follow<DynamicObject>,
    api_services: Follow<APIService>,
    cluster_roles: Follow<ClusterRole>,
    local_kinds: Follow<PartialObjectMeta<CustomResourceDefinition>>,
}

/// All that is followed, at one moment.
struct View {
    definitions: Vec<Arc<DynamicObject>>,
    observed: Observed,
    local: LocalGroups,
}

impl Followed {
    fn new(changed: &Arc<Notify>) -> Self {
        Self {
            definitions: Follow::new("the fleet's definitions", Arc::clone(changed)),
            api_services: Follow::new("the cluster's APIServices", Arc::clone(changed)),
            cluster_roles: Follow::new("the cluster's ClusterRoles", Arc::clone(changed)),
            local_kinds: Follow::new("the cluster's own definitions", Arc::clone(changed)),
        }
    }

    /// `None` until everything was read once (A1).
    fn view(&self) -> Option<View> {
        let definitions = self.definitions.objects()?;
        let api_services = self.api_services.objects()?;
        let cluster_roles = self.cluster_roles.objects()?;
        let local_kinds = self.local_kinds.objects()?;
        let local = LocalGroups::new(
            api_services.values().map(AsRef::as_ref),
            local_kinds.keys().map(String::as_str),
        );
        Some(View {
            definitions: definitions.values().cloned().collect(),
            observed: Observed {
                api_services: (*api_services).clone(),
                cluster_roles: (*cluster_roles).clone(),
            },
            local,
        })
    }
}

/// The resource of the fleet's definitions.
pub(crate) fn definitions_resource() -> ApiResource {
    ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk("helium.dev", "v1", "SharedResourceDefinition"),
        "sharedresourcedefinitions",
    )
}

impl Registrar {
    /// A registrar that works in the cluster behind `own` for the fleet behind `fleet`.
    pub(crate) fn new(
        settings: Settings,
        own: Client,
        ca: Option<CaFile>,
        metrics: Metrics,
    ) -> Self {
        Self {
            writer: Writer::new(own.clone(), metrics.clone()),
            settings,
            own,
            ca,
            metrics,
            summary: watch::Sender::default(),
            standing: None,
        }
    }

    /// What is achieved, now and in future; `None` before the first round.
    pub(crate) fn summary(&self) -> watch::Receiver<Option<Summary>> {
        self.summary.subscribe()
    }

    /// Makes the registrar silent about definitions while the cluster is no member.
    pub(crate) fn heed(&mut self, standing: watch::Receiver<Standing>) {
        self.standing = Some(standing);
    }

    /// Works with a client of the control plane until stopped. May be run again after that.
    pub(crate) async fn run(&mut self, fleet: Client, stop: &CancellationToken, ready: &Readiness) {
        let changed = Arc::new(Notify::new());
        let followed = Followed::new(&changed);
        let definitions: Api<DynamicObject> = Api::all_with(fleet, &definitions_resource());
        let own = self.own.clone();
        let ours = follow::settings().labels(&format!("{MANAGED_BY}={MANAGER}"));
        tokio::join!(
            followed.definitions.run(
                watcher::watcher(definitions.clone(), follow::settings()),
                stop.clone()
            ),
            followed.api_services.run(
                watcher::watcher(Api::all(own.clone()), follow::settings()),
                stop.clone()
            ),
            followed
                .cluster_roles
                .run(watcher::watcher(Api::all(own.clone()), ours), stop.clone()),
            followed.local_kinds.run(
                watcher::watcher(Api::all(own), follow::settings()),
                stop.clone()
            ),
            self.rounds(&definitions, &followed, &changed, stop, ready),
        );
    }

    async fn rounds(
        &mut self,
        definitions: &Api<DynamicObject>,
        followed: &Followed,
        changed: &Notify,
        stop: &CancellationToken,
        ready: &Readiness,
    ) {
        let mut ca_check = tokio::time::interval(CA_CHECK);
        ca_check.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut next = Instant::now();
        let mut retry = FIRST_RETRY;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = changed.notified() => tokio::time::sleep(GATHER).await,
                () = other_standing(&mut self.standing) => {}
                () = tokio::time::sleep_until(next) => {}
                _ = ca_check.tick() => {
                    self.metrics.control_plane_connected.set(followed.definitions.connected().into());
                    let changed = match &mut self.ca {
                        Some(ca) => ca.refresh().await,
                        None => false,
                    };
                    if !changed {
                        continue;
                    }
                }
            }
            next = Instant::now() + RESYNC;
            if followed.api_services.objects().is_some() {
                ready.set();
            }
            let Some(view) = followed.view() else {
                continue;
            };
            let round = self.round(definitions, &view);
            let clean = tokio::select! {
                () = stop.cancelled() => return,
                clean = round => clean,
            };
            if clean {
                retry = FIRST_RETRY;
            } else {
                next = Instant::now() + retry;
                retry = (retry * 2).min(RESYNC);
            }
        }
    }

    /// One look at everything. Returns whether all that had to be written was.
    async fn round(&self, api: &Api<DynamicObject>, view: &View) -> bool {
        let definitions: Vec<Definition> = view
            .definitions
            .iter()
            .filter_map(|object| Definition::parse(object))
            .collect();
        let mut kinds = kind::built_in();
        kinds.extend(definitions.iter().map(|definition| definition.kind.clone()));
        let target = Target {
            service: self.settings.service.clone(),
            ca_bundle: self.ca.as_ref().map(CaFile::bundle),
        };
        let desired = desired::desired(&kinds, &view.local, &target);
        let plan = plan::plan(&desired, &view.observed);
        let outcome = self.writer.write(plan).await;
        let summary = summary::summary(&desired, &view.observed, &outcome.failures);
        self.summary.send_if_modified(|before| {
            let modified = before.as_ref() != Some(&summary);
            *before = Some(summary);
            modified
        });
        let told = if self.may_report() {
            // A control plane that doesn't answer must not keep the cluster from being looked at.
            let telling = self.tell(api, &definitions, &desired, view, &outcome);
            tokio::time::timeout(TELL, telling).await.unwrap_or(false)
        } else {
            true
        };

        self.metrics.definitions.set(count(definitions.len()));
        self.metrics
            .api_services
            .set(count(desired.api_services.len()));
        self.metrics
            .refused_groups
            .set(count(desired.refused.len()));
        self.writer.warn_of_refused(&desired.refused);
        let clean = outcome.clean() && told;
        self.metrics.round(clean);
        clean
    }

    fn may_report(&self) -> bool {
        let standing = self.standing.as_ref();
        standing.is_none_or(|standing| standing.borrow().may_report())
    }

    /// Says in each definition's status what became of it here. Returns whether that succeeded.
    async fn tell(
        &self,
        api: &Api<DynamicObject>,
        definitions: &[Definition],
        desired: &Desired,
        view: &View,
        outcome: &Outcome,
    ) -> bool {
        let stored: BTreeMap<&str, &DynamicObject> = view
            .definitions
            .iter()
            .filter_map(|object| Some((object.metadata.name.as_deref()?, object.as_ref())))
            .collect();
        let mut all = true;
        for definition in definitions.iter().filter(|found| !found.terminating) {
            let entry = report::entry(
                &self.settings.cluster,
                definition,
                desired,
                &view.observed,
                &outcome.failures,
            );
            let status = stored
                .get(definition.name.as_str())
                .and_then(|object| object.data.get("status"));
            if report::holds(status, &entry) {
                continue;
            }
            if let Err(error) = status::put(api, &definition.name, &entry).await {
                // The registration holds all the same; it is told with the next round.
                debug!(definition = definition.name, error = %Chain(&error), "writing a status failed");
                all = false;
            }
        }
        all
    }
}

/// Waits until the cluster stands otherwise to the fleet; for ever if nobody says that.
async fn other_standing(standing: &mut Option<watch::Receiver<Standing>>) {
    let changed = match standing {
        Some(standing) => standing.changed().await.is_ok(),
        None => false,
    };
    if !changed {
        std::future::pending::<()>().await;
    }
}

fn count(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
