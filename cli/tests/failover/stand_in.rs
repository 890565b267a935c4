//! A fleet with one group, whose agents are played: they follow the group and the lease, and have no payload.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use helium_failover::kind::{FAILOVER_GROUPS, GROUP_LABEL, GroupSpec, GroupStatus, MemberEntry};
use helium_failover::lease::{ADDRESS, LeaseView, REASON, STOPPED};
use helium_failover::{ClusterName, GroupName, Token};
use helium_testkit::wait_for;
use http::{Method, Request};
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde::Deserialize as _;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::{Ended, Fleet};

/// Within that time a stand-in must have done what it is to do.
pub(crate) const PROMPT: Duration = Duration::from_secs(30);

/// The group of all tests, each of which has a fleet of its own.
pub(crate) const GROUP: &str = "webfront";

/// A fleet whose clusters are members of a group: eu-1 with rank 1, eu-2 with rank 2, eu-3 with rank 3 and not ready.
pub(crate) struct World {
    pub(crate) fleet: Arc<Fleet>,
    agents: JoinSet<()>,
    dead: Vec<Arc<AtomicBool>>,
}

impl World {
    pub(crate) async fn start() -> Self {
        helium_tls::install_provider();
        let fleet = tokio::task::spawn_blocking(Fleet::start).await;
        let fleet = Arc::new(fleet.expect("a fleet"));
        let mut world = Self {
            fleet,
            agents: JoinSet::new(),
            dead: Vec::new(),
        };
        for (index, (name, ready)) in [("eu-1", true), ("eu-2", true), ("eu-3", false)]
            .into_iter()
            .enumerate()
        {
            let dead = Arc::new(AtomicBool::new(false));
            let agent = StandIn {
                client: client(&PathBuf::from(world.fleet.kubeconfig(name))).await,
                me: ClusterName(name.to_owned()),
                rank: i64::try_from(index).expect("small") + 1,
                ready,
                group: GroupName {
                    namespace: "default".to_owned(),
                    callsign: GROUP.to_owned(),
                },
                dead: dead.clone(),
            };
            world.dead.push(dead);
            world.agents.spawn(agent.run());
        }
        world.led_by("eu-2").await;
        world
    }

    /// Ends what plays the agent of a cluster (1 to 3).
    pub(crate) fn kill(&self, number: usize) {
        self.dead[number - 1].store(true, Ordering::SeqCst);
    }

    /// Runs `helium failover` in a cluster, beside the stand-ins.
    pub(crate) async fn failover(&self, cluster: &str, arguments: &[&str]) -> Ended {
        let fleet = self.fleet.clone();
        let cluster = cluster.to_owned();
        let all: Vec<String> = ["failover"]
            .iter()
            .chain(arguments)
            .map(|one| (*one).to_owned())
            .collect();
        let run = tokio::task::spawn_blocking(move || {
            let all: Vec<&str> = all.iter().map(String::as_str).collect();
            fleet.helium(&cluster, &all)
        });
        run.await.expect("it runs")
    }

    /// The group, as `status -o json` tells it.
    pub(crate) async fn status(&self) -> Value {
        let text = self
            .failover("eu-1", &["status", GROUP, "-o", "json"])
            .await
            .good();
        serde_json::from_str(&text).expect("JSON")
    }

    pub(crate) async fn led_by(&self, cluster: &str) {
        wait_for(format!("{cluster} leads"), PROMPT, || async {
            let ended = self
                .failover("eu-3", &["status", GROUP, "-o", "json"])
                .await;
            let status: Value = serde_json::from_str(&ended.stdout).unwrap_or_default();
            status["leader"] == cluster && status["condition"] == "Led"
        })
        .await;
    }
}

struct StandIn {
    client: Client,
    me: ClusterName,
    rank: i64,
    ready: bool,
    group: GroupName,
    dead: Arc<AtomicBool>,
}

impl StandIn {
    async fn run(self) {
        loop {
            if self.dead.load(Ordering::SeqCst) {
                return;
            }
            // What doesn't work because somebody was faster works the next time.
            let _done = self.turn().await;
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    fn groups(&self) -> String {
        let namespace = &self.group.namespace;
        format!("/apis/helium.dev/v1/namespaces/{namespace}/{FAILOVER_GROUPS}")
    }

    fn leases(&self) -> String {
        let namespace = &self.group.namespace;
        format!("/apis/coordination.helium.dev/v1/namespaces/{namespace}/leases")
    }

    /// One look, and at most one write of each kind.
    async fn turn(&self) -> Result<(), kube::Error> {
        let path = format!("{}/{}", self.groups(), self.group.callsign);
        let Some(group) = self.get(&path).await? else {
            let group = json!({"apiVersion": "helium.dev/v1", "kind": "FailoverGroup",
                "metadata": {"name": self.group.callsign}, "spec": {}});
            return self.send(Method::POST, &self.groups(), &group).await;
        };
        let spec = GroupSpec::deserialize(&group["spec"]).expect("a spec");
        let status = GroupStatus::deserialize(&group["status"]).unwrap_or_default();
        let lease = self
            .get(&format!("{}/{}", self.leases(), self.group.lease()))
            .await?;
        let view = LeaseView::of(lease.as_ref().unwrap_or(&Value::Null));
        let leads = view
            .holder
            .as_ref()
            .is_some_and(|one| one.cluster == self.me);
        let state = match (leads, self.ready) {
            (true, _) => "Leading",
            (false, true) => "Candidate",
            (false, false) => "Standby",
        };
        self.say(&path, group, state).await?;
        let wanted = self.wanted(&spec, &status);
        // Real members hear of each other; here the one that was forced stays.
        let chosen = spec
            .force
            .as_ref()
            .is_some_and(|force| force.cluster == self.me);
        let forced = spec.force.as_ref().is_some_and(|force| {
            let token = view.holder.as_ref().map(|holder| holder.token);
            force.cluster == self.me && token.is_none_or(|token| token <= force.token)
        });
        if leads {
            let better = wanted.is_some_and(|wanted| wanted != self.me);
            if better && !chosen && !spec.paused {
                let token = view.holder.map(|holder| holder.token);
                self.write_lease(lease, "", "HigherRank", token).await?;
            }
        } else if self.ready
            && !spec.paused
            && (forced || view.holder.is_none() && wanted == Some(self.me.clone()))
        {
            let why = if forced { "Forced" } else { "Free" };
            self.write_lease(lease, &self.me.0, why, None).await?;
        }
        Ok(())
    }

    /// Who should lead, in small.
    fn wanted(&self, spec: &GroupSpec, status: &GroupStatus) -> Option<ClusterName> {
        let ready = status.members.iter().filter(|one| one.ready);
        let preferred = ready
            .clone()
            .find(|one| Some(&one.cluster) == spec.preferred_cluster.as_ref());
        let best = preferred.or_else(|| ready.max_by_key(|one| one.rank));
        best.map(|one| one.cluster.clone())
    }

    async fn say(&self, path: &str, mut group: Value, state: &str) -> Result<(), kube::Error> {
        let mut status = GroupStatus::deserialize(&group["status"]).unwrap_or_default();
        let entry = MemberEntry {
            cluster: self.me.clone(),
            rank: self.rank,
            ready: self.ready,
            state: state.to_owned(),
            joined: Some("2026-01-01T00:00:00Z".to_owned()),
            payload_hash: Some("same".to_owned()),
            ..MemberEntry::default()
        };
        if status.members.contains(&entry) {
            return Ok(());
        }
        status.members.retain(|one| one.cluster != self.me);
        status.members.push(entry);
        group["status"] = serde_json::to_value(&status).expect("JSON");
        self.send(Method::PUT, &format!("{path}/status"), &group)
            .await
    }

    async fn write_lease(
        &self,
        lease: Option<Value>,
        holder: &str,
        why: &str,
        stopped: Option<Token>,
    ) -> Result<(), kube::Error> {
        let there = lease.is_some();
        let mut lease = lease.unwrap_or_else(|| {
            json!({"apiVersion": "coordination.helium.dev/v1", "kind": "Lease",
                "metadata": {"name": self.group.lease()}})
        });
        lease["metadata"]["labels"][GROUP_LABEL] = json!(self.group.callsign);
        let mut annotations = json!({REASON: why, ADDRESS: format!("192.0.2.{}", self.rank)});
        if let Some(token) = stopped {
            annotations[STOPPED] = json!(token.to_string());
        }
        lease["metadata"]["annotations"] = annotations;
        let now = format!("{:.6}", jiff::Timestamp::now());
        lease["spec"] = json!({"holderIdentity": holder, "leaseDurationSeconds": 3600,
            "acquireTime": now, "renewTime": now});
        if there {
            let path = format!("{}/{}", self.leases(), self.group.lease());
            self.send(Method::PUT, &path, &lease).await
        } else {
            self.send(Method::POST, &self.leases(), &lease).await
        }
    }

    async fn get(&self, path: &str) -> Result<Option<Value>, kube::Error> {
        let request = Request::get(path).body(Vec::new()).expect("a request");
        match self.client.request(request).await {
            Ok(found) => Ok(Some(found)),
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn send(&self, method: Method, path: &str, body: &Value) -> Result<(), kube::Error> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/json")
            .body(body.to_string().into_bytes())
            .expect("a request");
        self.client.request::<Value>(request).await.map(drop)
    }
}

async fn client(kubeconfig: &std::path::Path) -> Client {
    let file = Kubeconfig::read_from(kubeconfig).expect("a kubeconfig");
    let config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await;
    Client::try_from(config.expect("a configuration")).expect("a client")
}
