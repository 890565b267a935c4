//! One kube-apiserver, a group's namespace in it, and watchdogs beside it.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use helium_controllers::failover::clock;
use helium_controllers::failover::switch::{CONTAINER, LocalLease, SwitchContext, inject};
use helium_failover::{Boot, GroupName, Timing, Token};
use helium_testkit::{Etcd, Process, free_port, wait_for};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cluster::Cluster;

/// A user that may do what the documentation says that a watchdog must.
pub(crate) const ENTITLED: &str = "watchdog";

/// All that runs.
pub(crate) struct World {
    pub(crate) cluster: Cluster,
    _store: Etcd,
    _dir: TempDir,
}

impl World {
    pub(crate) async fn start() -> Self {
        helium_tls::install_provider();
        let dir = TempDir::new().expect("a temporary folder");
        let store = Etcd::start(dir.path(), "store");
        let cluster = Cluster::start("east", dir.path().join("east"), &store.url()).await;
        cluster.wait_ready().await;
        cluster.apply(OBJECTS).await;
        Self {
            cluster,
            _store: store,
            _dir: dir,
        }
    }

    pub(crate) fn kubeconfig(&self, user: &str) -> PathBuf {
        self.cluster.kubeconfig(user, user, &[], &self.cluster.ca())
    }

    /// The agent's side of a term.
    pub(crate) fn local(&self, term: &SwitchContext) -> LocalLease {
        let client = self.cluster.admin.clone();
        LocalLease::new(client, &term.group, term.token, term.timing)
    }

    /// A watchdog with the arguments that are injected.
    pub(crate) fn watchdog(&self, term: &SwitchContext, user: &str) -> Watchdog {
        let mut template = json!({"spec": {"containers": [{"name": "web", "image": "web:1"}]}});
        inject(&mut template, term).expect("injected");
        let container = &template["spec"]["initContainers"][0];
        assert_eq!(container["name"], CONTAINER);
        let arguments = container["args"].as_array().expect("arguments").iter();
        let mut command = Command::new(env!("CARGO_BIN_EXE_helium-agent"));
        command
            .args(arguments.map(|one| one.as_str().expect("a text")))
            .arg("--kubeconfig")
            .arg(self.kubeconfig(user));
        let log = self.cluster.dir.join(format!("watchdog-{}.log", term.port));
        Watchdog {
            process: Process::start(command, log),
            port: term.port,
            ask: container["startupProbe"]["httpGet"]["path"].clone(),
        }
    }
}

/// A term of two seconds, of a group of its own.
pub(crate) fn term(callsign: &str, token: i64) -> SwitchContext {
    SwitchContext {
        image: "helium-agent:test".to_owned(),
        group: GroupName {
            namespace: "shop".to_owned(),
            callsign: callsign.to_owned(),
        },
        token: Token(token),
        timing: Timing::new(Duration::from_secs(2), Duration::from_millis(500)).expect("times"),
        port: free_port(),
    }
}

/// A running watchdog.
pub(crate) struct Watchdog {
    process: Process,
    port: u16,
    ask: Value,
}

impl Watchdog {
    /// What the kubelet's probe gets; `None` if it fails otherwise.
    pub(crate) fn probe(&self) -> Option<u16> {
        self.ask(self.ask.as_str().expect("a path"))
    }

    /// What the kubelet's hook gets.
    pub(crate) fn gate(&self) -> Option<u16> {
        self.ask("/gate")
    }

    fn ask(&self, path: &str) -> Option<u16> {
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        let second = Duration::from_secs(1);
        let mut stream = TcpStream::connect_timeout(&address, second).ok()?;
        stream.set_read_timeout(Some(second)).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: pod\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        answer.split(' ').nth(1)?.parse().ok()
    }

    pub(crate) async fn answers(&self, wanted: u16) {
        wait_for(format!("the watchdog answers {wanted}"), START, || async {
            self.probe() == Some(wanted)
        })
        .await;
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.process.id().to_string();
        let sent = Command::new("kill").args([name, &id]).status();
        assert!(sent.expect("kill runs").success());
    }

    pub(crate) fn log(&self) -> String {
        self.process.log()
    }
}

/// Within that time a program must have started.
pub(crate) const START: Duration = Duration::from_secs(30);

/// Renews as an agent does whose renewals are acknowledged at once, until something is seen; the last sending.
pub(crate) async fn renew_until(local: &mut LocalLease, mut seen: impl FnMut() -> bool) -> Boot {
    let sent = std::sync::Mutex::new(Boot::default());
    let local = tokio::sync::Mutex::new(local);
    let seen = std::sync::Mutex::new(&mut seen);
    wait_for("what is renewed shows", START, || async {
        let now = clock::now();
        local.lock().await.renew(now).await.expect("renewed");
        *sent.lock().expect("not poisoned") = now;
        (seen.lock().expect("not poisoned"))()
    })
    .await;
    sent.into_inner().expect("not poisoned")
}

/// Waits until a moment of the boot clock is over.
pub(crate) async fn until(moment: Boot) {
    wait_for("time passes", START, || async { clock::now() >= moment }).await;
}

const OBJECTS: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: helium-failover-watchdog, namespace: shop}
rules:
- {apiGroups: [coordination.k8s.io], resources: [leases], verbs: [get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: helium-failover-watchdog, namespace: shop}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: helium-failover-watchdog}
subjects:
- {kind: User, apiGroup: rbac.authorization.k8s.io, name: watchdog}
";
