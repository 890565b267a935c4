//! `helium-agent uninstall`: removes from the cluster what its agent has written, and nothing else.
//!
//! APIServices go first, since one without a server behind it would keep the cluster from deleting namespaces; then roles,
//! and the Service if it is the agent's. It can be run again at any time, and goes on where it was. The shared objects
//! stay in the fleet, and so does the cluster's Member (`helium leave` removes that).
//!
//! An agent that works would put everything back. So the cluster's lease is taken first: whoever holds it is asked
//! to be stopped.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::rbac::v1::ClusterRole;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use kube::api::{DeleteParams, ListParams};
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::ServiceAddress;
use crate::election::Election;
use crate::endpoint::{DEFAULT_NAMESPACE, Endpoint, EndpointError};
use crate::probe::Readiness;
use crate::registrar::plan::{self, Managed};
use crate::registrar::{MANAGED_BY, MANAGER, write_one};

/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(250);
/// A lease that isn't renewed is ours after that.
const TAKE: Duration = Duration::from_secs(20);

/// Removes what the agent has written from the cluster: APIServices, ClusterRoles and the Service that it keeps.
#[derive(Debug, Args)]
pub(crate) struct Uninstall {
    /// Kubeconfig of the cluster; the pod's service account by default.
    #[arg(long, env = "HELIUM_AGENT_KUBECONFIG")]
    kubeconfig: Option<PathBuf>,
    /// Service that APIServices point at; removed if the agent keeps it.
    #[arg(
        long,
        value_name = "NAMESPACE/NAME:PORT",
        default_value = "helium-system/helium-apiserver:443",
        env = "HELIUM_AGENT_SERVICE"
    )]
    service: ServiceAddress,
    /// Namespace of the agent's Lease; the pod's own by default, or helium-system.
    #[arg(
        long,
        value_name = "NAMESPACE",
        env = "HELIUM_AGENT_LEADER_ELECT_NAMESPACE"
    )]
    leader_elect_namespace: Option<String>,
    /// Name of that Lease.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "helium-agent",
        env = "HELIUM_AGENT_LEADER_ELECT_NAME"
    )]
    leader_elect_name: String,
    /// How long to wait until everything is gone, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 60,
          value_parser = clap::value_parser!(u64).range(1..))]
    timeout: u64,
}

/// Why not everything was removed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UninstallError {
    /// The cluster can't be reached.
    #[error("reaching the cluster")]
    Endpoint(#[from] EndpointError),
    /// An agent is at work.
    #[error(
        "agent {0} works in this cluster and would put everything back: stop it (kubectl delete deployment -n helium-system helium-agent) and try again"
    )]
    Working(String),
    /// An agent has begun to work meanwhile.
    #[error("an agent has begun to work in this cluster meanwhile: stop it and try again")]
    Overtaken,
    /// The cluster refuses something.
    #[error("removing {what}")]
    Refused {
        /// Kind of the objects.
        what: &'static str,
        /// What the API server says.
        #[source]
        source: Box<kube::Error>,
    },
    /// It takes too long.
    #[error("still there after {0} s: {1}; see their finalizers, then try again")]
    Slow(u64, String),
}

/// What was done.
struct Progress {
    removed: BTreeSet<String>,
    left: BTreeSet<String>,
}

/// Removes everything, and says on standard output what.
///
/// # Errors
/// [`UninstallError`] when something is left; trying again goes on from there.
pub(crate) async fn run(flags: Uninstall) -> Result<(), UninstallError> {
    let Uninstall {
        kubeconfig,
        service,
        leader_elect_namespace,
        leader_elect_name,
        timeout,
    } = flags;
    let endpoint = match kubeconfig {
        Some(path) => Endpoint::Kubeconfig(path),
        None => Endpoint::InCluster,
    };
    let (client, own_namespace) = endpoint.client().await?;
    let namespace = leader_elect_namespace
        .or(own_namespace)
        .unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned());
    let leases: Api<Lease> = Api::namespaced(client.clone(), &namespace);
    let held = leases.get_opt(&leader_elect_name).await;
    // Without a lease nobody has worked here, or has cleaned up.
    let removed = if held.map_err(refused("the agent's Lease"))?.is_none() {
        remove(&client, &service, timeout).await?
    } else {
        let removed = alone(&client, &namespace, &leader_elect_name, &service, timeout).await?;
        let gone = leases
            .delete(&leader_elect_name, &DeleteParams::default())
            .await;
        match gone {
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            done => {
                done.map_err(refused("the agent's Lease"))?;
                println!("removed Lease {leader_elect_name}");
            }
        }
        removed
    };
    if removed == 0 {
        println!("nothing of helium-agent's is left in the cluster");
    } else {
        println!("{removed} objects removed; the fleet's shared objects stay as they are");
    }
    Ok(())
}

fn refused(what: &'static str) -> impl Fn(kube::Error) -> UninstallError {
    move |source| UninstallError::Refused {
        what,
        source: Box::new(source),
    }
}

/// Removes everything while holding the agents' lease.
async fn alone(
    client: &Client,
    namespace: &str,
    name: &str,
    service: &ServiceAddress,
    timeout: u64,
) -> Result<usize, UninstallError> {
    let identity = format!("uninstall_{}", uuid::Uuid::new_v4());
    let mut election = Election::new(client.clone(), namespace, name, identity);
    let stop = CancellationToken::new();
    let ready = Readiness::default();
    let taken = tokio::time::timeout(TAKE, election.acquire(&stop, &ready)).await;
    if taken != Ok(true) {
        let leases: Api<Lease> = Api::namespaced(client.clone(), namespace);
        let lease = leases
            .get(name)
            .await
            .map_err(refused("the agent's Lease"))?;
        let holder = lease.spec.and_then(|spec| spec.holder_identity);
        return Err(UninstallError::Working(holder.unwrap_or_default()));
    }
    tokio::select! {
        done = remove(client, service, timeout) => done,
        () = election.hold(&stop) => Err(UninstallError::Overtaken),
    }
}

/// Removes everything and waits until it is gone; returns how many objects that were.
async fn remove(
    client: &Client,
    service: &ServiceAddress,
    timeout: u64,
) -> Result<usize, UninstallError> {
    let deadline = Instant::now() + Duration::from_secs(timeout);
    let mut progress = Progress {
        removed: BTreeSet::new(),
        left: BTreeSet::new(),
    };
    let services: Api<Service> = Api::namespaced(client.clone(), &service.namespace);
    progress
        .clear::<APIService>(
            &Api::all(client.clone()),
            "APIService",
            |_| true,
            deadline,
            timeout,
        )
        .await?;
    progress
        .clear::<ClusterRole>(
            &Api::all(client.clone()),
            "ClusterRole",
            |_| true,
            deadline,
            timeout,
        )
        .await?;
    progress
        .clear(
            &services,
            "Service",
            |name| name == service.name,
            deadline,
            timeout,
        )
        .await?;
    Ok(progress.removed.len())
}

impl Progress {
    /// Removes our objects of one kind, and waits until they are gone.
    async fn clear<K>(
        &mut self,
        api: &Api<K>,
        kind: &'static str,
        named: impl Fn(&str) -> bool,
        deadline: Instant,
        timeout: u64,
    ) -> Result<(), UninstallError>
    where
        K: Managed + Resource<DynamicType = ()> + Debug + Serialize + DeserializeOwned,
    {
        let ours = ListParams::default().labels(&format!("{MANAGED_BY}={MANAGER}"));
        loop {
            let listed = api.list(&ours).await.map_err(refused(kind))?;
            let held: BTreeMap<String, Arc<K>> = listed
                .items
                .into_iter()
                .map(|object| (object.name_any(), Arc::new(object)))
                .filter(|(name, _)| K::may_be_ours(name) && named(name))
                .collect();
            let full = |name: &str| format!("{kind} {name}");
            for name in std::mem::take(&mut self.left) {
                if !held.contains_key(name.trim_start_matches(kind).trim_start()) {
                    println!("removed {name}");
                    self.removed.insert(name);
                }
            }
            if held.is_empty() {
                return Ok(());
            }
            for change in plan::changes(&BTreeMap::new(), &held) {
                let plan::Change::Delete(seen) = &change else {
                    continue;
                };
                let name = seen.name.clone();
                match write_one(api, &name, change).await {
                    Ok(()) => {}
                    // Seen at the next look.
                    Err(kube::Error::Api(status))
                        if status.is_conflict() || status.is_not_found() => {}
                    Err(error) => return Err(refused(kind)(error)),
                }
            }
            self.left = held.keys().map(|name| full(name)).collect();
            if Instant::now() >= deadline {
                let left: Vec<&str> = self.left.iter().map(String::as_str).collect();
                return Err(UninstallError::Slow(timeout, left.join(", ")));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}
