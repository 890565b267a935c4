//! Three clusters, their store, and an agent in each.

use helium_testkit::{Etcd, wait_for};
use tempfile::TempDir;

use crate::agent::{self, Agent, Credential};
use crate::cluster::{Cluster, START};

/// All that runs.
pub(crate) struct World {
    // Dropped in this order: agents first, so that their logs don't fill with the end of the others.
    pub(crate) east_agent: Agent,
    pub(crate) west_agent: Agent,
    pub(crate) north_agent: Agent,
    pub(crate) east: Cluster,
    pub(crate) west: Cluster,
    /// Its agent keeps the Service itself.
    pub(crate) north: Cluster,
    pub(crate) store: Etcd,
    _hosts_store: Etcd,
    dir: TempDir,
}

impl World {
    pub(crate) async fn start() -> Self {
        helium_tls::install_provider();
        let dir = TempDir::new().expect("a temporary folder");
        let hosts_store = Etcd::start(dir.path(), "hosts");
        let store = Etcd::start(dir.path(), "store");
        let url = hosts_store.url();
        let mut east = Cluster::start("east", dir.path().join("east"), &url).await;
        let mut west = Cluster::start("west", dir.path().join("west"), &url).await;
        let mut north = Cluster::start("north", dir.path().join("north"), &url).await;
        tokio::join!(east.wait_ready(), west.wait_ready(), north.wait_ready());
        for cluster in [&mut east, &mut west, &mut north] {
            cluster.start_helium(&store.url()).await;
            agent::grant(cluster).await;
        }
        Self {
            east_agent: agent::start(&east, Credential::Certificate, "1").await,
            west_agent: agent::start_for(&west, Credential::Token, "0", "missing", &[]).await,
            north_agent: agent::start_managing(&north, "1").await,
            east,
            west,
            north,
            store,
            _hosts_store: hosts_store,
            dir,
        }
    }

    /// The clusters.
    pub(crate) fn clusters(&self) -> [&Cluster; 3] {
        [&self.east, &self.west, &self.north]
    }

    /// Stops what can be stopped, and shows that the agents end well.
    pub(crate) async fn stop(mut self) {
        let agents = [
            &mut self.east_agent,
            &mut self.west_agent,
            &mut self.north_agent,
        ];
        for agent in agents {
            agent.terminate();
            let ended = std::sync::Mutex::new(None);
            let agent = std::sync::Mutex::new(agent);
            wait_for("an agent ends when asked", START, || async {
                let status = agent.lock().expect("not poisoned").process.ended();
                *ended.lock().expect("not poisoned") = status;
                status.is_some()
            })
            .await;
            let status = ended.into_inner().expect("not poisoned");
            assert_eq!(status.and_then(|status| status.code()), Some(0));
        }
        self.east.stop().await;
        self.west.stop().await;
        self.north.stop().await;
        for cluster in self.clusters() {
            let logs = agent::logs(cluster);
            assert!(!logs.is_empty(), "each cluster has had an agent");
            let complaints: Vec<_> = logs.iter().flat_map(|log| agent::unexpected(log)).collect();
            assert!(complaints.is_empty(), "{complaints:#?}");
        }
        if std::env::var_os("HELIUM_KEEP_LOGS").is_some() {
            self.dir.disable_cleanup(true);
            eprintln!("logs are kept in {}", self.dir.path().display());
        }
    }
}
