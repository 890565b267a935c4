//! One cluster with its controllers, and agents' sites in it.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use helium_controllers::failover::clock;
use helium_controllers::failover::payload::{
    Applied, ApplyOutcome, Failure, Owner, Payload, Problem, Site, SiteOptions, StopOutcome,
    TermContext,
};
use helium_failover::kind::{DeadManSwitch, Mode};
use helium_failover::{Boot, ClusterName, GroupName, Timing, Token};
use helium_testkit::{Etcd, Process, component, wait_for};
use kube::api::{Api, DynamicObject};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::cluster::{Cluster, START};
use crate::relay::Relay;

/// The controllers that make pods, and clean up.
const CONTROLLERS: &str = "deployment-controller,replicaset-controller,garbage-collector-controller,\
    namespace-controller,serviceaccount-controller,root-ca-certificate-publisher-controller";

/// All that runs.
pub(crate) struct World {
    _controllers: Process,
    pub(crate) cluster: Cluster,
    _store: Etcd,
    _dir: TempDir,
}

/// A member's place in one story.
pub(crate) struct Member {
    pub(crate) site: Site,
    pub(crate) relay: Relay,
    pub(crate) group: GroupName,
    pub(crate) owner: Owner,
}

impl World {
    pub(crate) async fn start() -> Self {
        helium_tls::install_provider();
        let dir = TempDir::new().expect("a temporary folder");
        let store = Etcd::start(dir.path(), "store");
        let cluster = Cluster::start("east", dir.path().join("east"), &store.url()).await;
        cluster.wait_ready().await;
        cluster
            .apply("{apiVersion: v1, kind: Namespace, metadata: {name: helium-system}}")
            .await;
        let kubeconfig = cluster.dir.join("admin.kubeconfig");
        let flag = |name: &str| format!("--{name}={}", kubeconfig.display());
        let mut command = Command::new(component("kube-controller-manager"));
        command
            .arg(flag("kubeconfig"))
            .arg(flag("authentication-kubeconfig"))
            .arg(flag("authorization-kubeconfig"))
            .arg(format!("--root-ca-file={}", cluster.ca().display()))
            .arg(format!("--controllers={CONTROLLERS}"))
            .args([
                "--leader-elect=false",
                "--bind-address=127.0.0.1",
                "--secure-port=0",
            ]);
        let controllers = Process::start(command, cluster.dir.join("controllers.log"));
        let world = Self {
            _controllers: controllers,
            cluster,
            _store: store,
            _dir: dir,
        };
        world.namespace("default").await;
        world
    }

    /// A namespace that is ready for use.
    pub(crate) async fn namespace(&self, name: &str) {
        let yaml = format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}}}}}");
        self.cluster.apply(&yaml).await;
        let accounts = self.api(Some(name), "v1", "ServiceAccount");
        self.cluster
            .sees("is there", START, &accounts, "default", |_| true)
            .await;
    }

    /// A member of a group named like its namespace, with a site of its own.
    pub(crate) async fn member(&self, namespace: &str) -> Member {
        self.namespace(namespace).await;
        self.member_with(namespace, "web", "7e2", |_| {})
    }

    pub(crate) fn member_with(
        &self,
        namespace: &str,
        callsign: &str,
        uid: &str,
        change: impl FnOnce(&mut SiteOptions),
    ) -> Member {
        let relay = Relay::new(self.cluster.admin.clone());
        let mut options = SiteOptions::new(ClusterName("east".to_owned()));
        options.patience = Duration::from_secs(60);
        change(&mut options);
        Member {
            site: Site::new(relay.client(), "helium-system", Uuid::new_v4(), options),
            relay,
            group: GroupName {
                namespace: namespace.to_owned(),
                callsign: callsign.to_owned(),
            },
            owner: Owner {
                uid: uid.to_owned(),
                name: "berlin".to_owned(),
                namespace: namespace.to_owned(),
            },
        }
    }

    /// Objects of a kind, as the administrator has them.
    pub(crate) fn api(
        &self,
        namespace: Option<&str>,
        api_version: &str,
        kind: &str,
    ) -> Api<DynamicObject> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        let client = self.cluster.admin.clone();
        match namespace {
            Some(namespace) => Api::namespaced_with(client, namespace, &resource),
            None => Api::all_with(client, &resource),
        }
    }

    /// An object as JSON; null where there is none.
    pub(crate) async fn get(&self, api: &Api<DynamicObject>, name: &str) -> Value {
        let found = api.get_opt(name).await.expect("an answer");
        found.map_or(Value::Null, |found| {
            serde_json::to_value(found).expect("JSON")
        })
    }

    /// A ConfigMap of a namespace.
    pub(crate) async fn config_map(&self, namespace: &str, name: &str) -> Value {
        self.get(&self.api(Some(namespace), "v1", "ConfigMap"), name)
            .await
    }

    /// A group's footprint.
    pub(crate) async fn footprint(&self, member: &Member) -> Value {
        let GroupName {
            namespace,
            callsign,
        } = &member.group;
        let name = format!("failover-{namespace}.{callsign}");
        let object = self.config_map("helium-system", &name).await;
        match object["data"]["footprint.json"].as_str() {
            Some(text) => serde_json::from_str(text).expect("a record"),
            None => Value::Null,
        }
    }

    /// Waits until a ConfigMap is there.
    pub(crate) async fn sees_config_map(&self, namespace: &str, name: &str) {
        wait_for(format!("ConfigMap {name} is there"), START, || async {
            !self.config_map(namespace, name).await.is_null()
        })
        .await;
    }
}

/// A term of 15 s with a stop budget of 5 s.
pub(crate) fn term(token: i64, mode: Mode) -> TermContext {
    TermContext {
        token: Token(token),
        mode,
        timing: Timing::new(Duration::from_secs(15), Duration::from_secs(5)).expect("times"),
        dead_man: DeadManSwitch::None,
    }
}

/// Long enough for any machine.
pub(crate) fn later() -> Boot {
    clock::now() + Duration::from_secs(300)
}

pub(crate) fn never() -> CancellationToken {
    CancellationToken::new()
}

impl Member {
    pub(crate) fn parse(&self, text: &str) -> Payload {
        Payload::parse(text, &self.group.namespace).expect("a payload")
    }

    pub(crate) async fn apply(&self, text: &str, term: &TermContext) -> ApplyOutcome {
        let payload = self.parse(text);
        self.site
            .apply(&self.group, &self.owner, &payload, term, later(), &never())
            .await
    }

    /// In a fast term.
    pub(crate) async fn applied(&self, text: &str, token: i64) -> Applied {
        match self.apply(text, &term(token, Mode::Fast)).await {
            ApplyOutcome::Applied(applied) => applied,
            other => panic!("applying: {other:?}"),
        }
    }

    pub(crate) async fn rejected(&self, text: &str) -> Vec<Problem> {
        match self.apply(text, &term(1, Mode::Fast)).await {
            ApplyOutcome::Rejected(problems) => problems,
            other => panic!("not rejected: {other:?}"),
        }
    }

    pub(crate) async fn failed(&self, text: &str) -> Failure {
        self.failed_in(text, 1).await
    }

    pub(crate) async fn failed_in(&self, text: &str, token: i64) -> Failure {
        match self.apply(text, &term(token, Mode::Fast)).await {
            ApplyOutcome::Failed(failure) => failure,
            other => panic!("not failed: {other:?}"),
        }
    }

    pub(crate) async fn stop(&self, token: i64) -> StopOutcome {
        self.site
            .stop(&self.group, Token(token), Mode::Fast, &never())
            .await
    }

    /// Stops, and nothing is left.
    pub(crate) async fn gone(&self, token: i64) {
        let outcome = self.stop(token).await;
        assert_eq!(outcome, StopOutcome::Gone { kept: Vec::new() });
    }
}

/// Names of an inventory, as people write them.
pub(crate) fn names(applied: &Applied) -> BTreeSet<String> {
    let places = applied.inventory.iter();
    places.map(|place| place.object().to_string()).collect()
}

/// Reasons and objects of problems.
pub(crate) fn words(problems: &[Problem]) -> Vec<String> {
    let words = problems.iter();
    words
        .map(|problem| format!("{} {problem}", problem.reason))
        .collect()
}
