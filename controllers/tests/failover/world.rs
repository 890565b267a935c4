//! Two clusters, their store, and an agent in each.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use helium_testkit::{Etcd, wait_for};
use kube::ResourceExt;
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::agent::{self, Agent, Credential};
use crate::cluster::{Cluster, START, is_available};

/// All that runs.
pub(crate) struct World {
    // Dropped in this order: agents first, so that their logs don't fill with the end of the others.
    pub(crate) east_agent: Agent,
    west_agent: Agent,
    pub(crate) east: Cluster,
    pub(crate) west: Cluster,
    pub(crate) store: Etcd,
    _hosts_store: Etcd,
    dir: TempDir,
}

/// What any payload needs; the stories of rights are told elsewhere.
const PAYLOAD_RIGHTS: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: helium-agent-payloads}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
subjects: [{kind: ServiceAccount, name: helium-agent, namespace: helium-system}]
";

impl World {
    pub(crate) async fn start() -> Self {
        helium_tls::install_provider();
        let dir = TempDir::new().expect("a temporary folder");
        let hosts_store = Etcd::start(dir.path(), "hosts");
        let store = Etcd::start(dir.path(), "store");
        let url = hosts_store.url();
        let mut east = Cluster::start("east", dir.path().join("east"), &url).await;
        let mut west = Cluster::start("west", dir.path().join("west"), &url).await;
        tokio::join!(east.wait_ready(), west.wait_ready());
        for cluster in [&mut east, &mut west] {
            cluster.start_helium(&store.url()).await;
            agent::grant(cluster).await;
            cluster.apply(PAYLOAD_RIGHTS).await;
        }
        let world = Self {
            east_agent: start_agent(&east, &[]).await,
            west_agent: start_agent(&west, &[]).await,
            east,
            west,
            store,
            _hosts_store: hosts_store,
            dir,
        };
        world.serves("v1.helium.dev").await;
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
        let definition = root.join("manifests/failover/definition.yaml");
        let definition = std::fs::read_to_string(definition).expect("the definition");
        make(&world.east, &definition).await;
        world.serves("v1alpha1.kube-vip.io").await;
        world
    }

    async fn serves(&self, name: &str) {
        for cluster in [&self.east, &self.west] {
            let services = cluster.api_services();
            cluster
                .sees("is available", START, &services, name, is_available)
                .await;
        }
    }

    /// Ends the agent of the east as a crash would.
    pub(crate) fn kill_east_agent(&mut self) {
        self.east_agent.process.kill();
    }

    /// Starts it again, with more flags.
    pub(crate) async fn start_east_agent(&mut self, flags: &[&str]) {
        self.east_agent = start_agent(&self.east, flags).await;
    }

    /// Where the agent of the east keeps what outlives it.
    pub(crate) fn east_memory(&self) -> PathBuf {
        memory(&self.east).join("failover.json")
    }

    /// Makes a group with its times before its members come.
    pub(crate) async fn group(&self, name: &str, lease: u64, budget: u64) {
        let text = format!(
            "{{apiVersion: helium.dev/v1, kind: FailoverGroup, metadata: {{name: {name}, namespace: default}}, \
             spec: {{leaseDurationSeconds: {lease}, stopBudgetSeconds: {budget}}}}}"
        );
        make(&self.east, &text).await;
    }

    /// Two members with the ranks 10 (east) and 5 (west), of which the first leads.
    pub(crate) async fn pair(&self, group: &str) {
        member(&self.east, group, group, 10, &payload(group, "1")).await;
        leads(&self.east, group).await;
        member(&self.west, group, group, 5, &payload(group, "1")).await;
        is_in(&self.west, group, "Candidate").await;
    }

    /// Deletes both members, and shows that nothing is left.
    pub(crate) async fn dismiss(&self, group: &str) {
        for cluster in [&self.east, &self.west] {
            let members = members(cluster);
            cluster.delete(&members, group).await;
            cluster.misses(START, &members, group).await;
            cluster.misses(START, &payloads(cluster), group).await;
            let footprints = cluster.system("v1", "ConfigMap", "configmaps");
            let name = format!("failover-default.{group}");
            cluster.misses(START, &footprints, &name).await;
        }
    }

    /// Shows that the agents end well.
    pub(crate) async fn stop(mut self) {
        for agent in [&mut self.east_agent, &mut self.west_agent] {
            agent.terminate();
            let process = std::sync::Mutex::new(&mut agent.process);
            wait_for("an agent ends when asked", START, || async {
                process.lock().expect("not poisoned").ended().is_some()
            })
            .await;
        }
        self.east.stop().await;
        self.west.stop().await;
        if std::env::var_os("HELIUM_KEEP_LOGS").is_some() {
            self.dir.disable_cleanup(true);
            eprintln!("logs are kept in {}", self.dir.path().display());
        }
    }

    /// Stops the agent of the east as it stands, or lets it go on.
    pub(crate) fn signal_east_agent(&self, signal: &str) {
        let id = self.east_agent.process.id().to_string();
        let done = Command::new("kill").args([signal, &id]).status();
        assert!(done.expect("kill runs").success());
    }
}

fn memory(cluster: &Cluster) -> PathBuf {
    cluster.dir.join("agent-state")
}

async fn start_agent(cluster: &Cluster, flags: &[&str]) -> Agent {
    let mut all = vec![
        "--leader-elect=false".to_owned(),
        format!("--state-dir={}", memory(cluster).display()),
    ];
    all.extend(flags.iter().map(|flag| (*flag).to_owned()));
    agent::start_for(
        cluster,
        Credential::Certificate,
        "1",
        "helium-apiserver",
        &all,
    )
    .await
}

fn api(cluster: &Cluster, group: &str, version: &str, kind: &str) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    Api::namespaced_with(cluster.admin.clone(), "default", &resource)
}

/// A cluster's MultiClusters.
pub(crate) fn members(cluster: &Cluster) -> Api<DynamicObject> {
    api(cluster, "kube-vip.io", "v1alpha1", "MultiCluster")
}

/// The groups, as a cluster shows them.
pub(crate) fn groups(cluster: &Cluster) -> Api<DynamicObject> {
    api(cluster, "helium.dev", "v1", "FailoverGroup")
}

/// Where payloads are.
pub(crate) fn payloads(cluster: &Cluster) -> Api<DynamicObject> {
    api(cluster, "", "v1", "ConfigMap")
}

/// One ConfigMap, called like the group.
pub(crate) fn payload(name: &str, content: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{content: \"{content}\"}}\n"
    )
}

/// Applies a member of a group.
pub(crate) async fn member(
    cluster: &Cluster,
    name: &str,
    callsign: &str,
    rank: i64,
    payload: &str,
) {
    let object = json!({"apiVersion": "kube-vip.io/v1alpha1", "kind": "MultiCluster",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"callsign": callsign, "rank": rank, "ready": true,
            "serviceAddress": format!("{}.example.com", cluster.name), "payload": payload}});
    make(cluster, &object.to_string()).await;
}

/// Makes a shared object.
async fn make(cluster: &Cluster, yaml: &str) {
    let object: DynamicObject = serde_yaml_ng::from_str(yaml).expect("an object");
    let gvk = GroupVersionKind::try_from(object.types.as_ref().expect("a kind")).expect("a kind");
    let (client, resource) = (cluster.admin.clone(), ApiResource::from_gvk(&gvk));
    let api: Api<DynamicObject> = match object.namespace() {
        Some(namespace) => Api::namespaced_with(client, &namespace, &resource),
        None => Api::all_with(client, &resource),
    };
    api.create(&PostParams::default(), &object)
        .await
        .unwrap_or_else(|error| panic!("{}: {error}: {yaml}", cluster.name));
}

/// Changes a member's spec.
pub(crate) async fn edit(cluster: &Cluster, name: &str, spec: Value) {
    let patch = Patch::Merge(json!({"spec": spec}));
    members(cluster)
        .patch(name, &PatchParams::default(), &patch)
        .await
        .expect("edited");
}

/// Waits until a member leads with its payload applied; returns its token.
pub(crate) async fn leads(cluster: &Cluster, name: &str) -> i64 {
    let led = |object: &Value| object["status"]["leading"] == true;
    let api = members(cluster);
    let object = cluster.sees("leads", START, &api, name, led).await;
    object["status"]["token"].as_i64().expect("a token")
}

/// Waits until a member is in a state.
pub(crate) async fn is_in(cluster: &Cluster, name: &str, state: &str) -> Value {
    let is = |object: &Value| object["status"]["state"] == state;
    let what = format!("is {state}");
    cluster
        .sees(&what, START, &members(cluster), name, is)
        .await
}

/// Waits until a condition of a member says something with a reason; returns its message.
pub(crate) async fn says(
    cluster: &Cluster,
    name: &str,
    condition: &str,
    status: &str,
    reason: &str,
) -> String {
    let find = |object: &Value| {
        let conditions = object["status"]["conditions"].as_array()?;
        let mut found = conditions.iter().filter(|one| {
            one["type"] == condition && one["status"] == status && one["reason"] == reason
        });
        Some(found.next()?["message"].as_str()?.to_owned())
    };
    let what = format!("says {condition} {status} {reason}");
    let api = members(cluster);
    let object = cluster
        .sees(&what, START, &api, name, |object| find(object).is_some())
        .await;
    find(&object).unwrap_or_default()
}

/// The uid and the content of a group's payload in a cluster.
pub(crate) async fn found(cluster: &Cluster, name: &str) -> (String, String) {
    let object = payloads(cluster).get(name).await.expect("the payload");
    let value = serde_json::to_value(object).expect("JSON");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (
        text(&value["metadata"]["uid"]),
        text(&value["data"]["content"]),
    )
}

/// How long something takes, for the log.
pub(crate) async fn timed<T>(what: &str, work: impl Future<Output = T>) -> T {
    let begun = std::time::Instant::now();
    let done = work.await;
    let took: Duration = begun.elapsed();
    eprintln!("{what}: {took:?}");
    done
}
