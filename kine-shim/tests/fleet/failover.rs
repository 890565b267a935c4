//! A PostgreSQL primary dies and its standby takes over: with everything, or without the newest
//! writes. Instances go on by themselves, agree on what is left, and use no revision twice.

use std::time::Duration;

use helium_etcd_proto::etcdserverpb as pb;
use helium_etcd_proto::etcdserverpb::maintenance_client::MaintenanceClient;
use helium_testkit::{Postgres, wait_for};
use tonic::Code;

use super::client::{Client, watcher};
use super::instance::Instance;

const BOUND: Duration = Duration::from_secs(60);
const NEWEST: &str = "SELECT COALESCE(max(slot), 0) FROM journal";

/// Two instances, on a primary with a standby.
struct Scene {
    primary: Postgres,
    standby: Postgres,
    instances: [Instance; 2],
}

impl Scene {
    async fn set() -> Self {
        let primary = Postgres::start().await;
        // Made before the copy is taken, so that the standby has the database.
        Instance::start("first", &primary.url("fleet"), 0)
            .await
            .stop()
            .await;
        let standby = primary.start_standby(&[]).await;
        let hosts = [&primary, &standby].map(|server| format!("127.0.0.1:{}", server.port()));
        let url = format!("postgres://postgres:postgres@{}/fleet", hosts.join(","));
        let instances = [
            Instance::start("a", &url, 0).await,
            Instance::start("b", &url, 0).await,
        ];
        Self {
            primary,
            standby,
            instances,
        }
    }

    /// Puts a key for each number, through both instances in turn.
    async fn write(&self, name: &str, count: usize) -> i64 {
        let mut last = 0;
        for number in 0..count {
            let client = &self.instances[number % 2].client;
            last = client.put(format!("{name}/{number}"), "v").await;
        }
        last
    }

    /// Waits until the standby has what the primary has.
    async fn replicated(&self) {
        let newest = self.primary.sql("fleet", NEWEST).await;
        wait_for("the standby to follow", BOUND, || async {
            self.standby.sql("fleet", NEWEST).await >= newest
        })
        .await;
    }

    /// The standby hears nothing of the primary any more.
    async fn cut(&self) {
        let cut = "ALTER SYSTEM SET primary_conninfo = ''";
        self.standby.sql("postgres", cut).await;
        self.standby
            .sql("postgres", "SELECT pg_reload_conf()")
            .await;
        let receivers = "SELECT count(*) FROM pg_stat_wal_receiver";
        wait_for("the standby to be cut off", BOUND, || async {
            self.standby.sql("postgres", receivers).await == "0"
        })
        .await;
    }

    async fn fail_over(&mut self) {
        self.primary.crash().await;
        self.standby.promote().await;
    }

    /// Waits until both take writes again. Returns the revision of the last.
    async fn recovered(&self) -> i64 {
        for (number, instance) in self.instances.iter().enumerate() {
            wait_for("a write after the failover", BOUND, || async {
                let put = pb::PutRequest {
                    key: format!("after/{number}").into(),
                    ..Default::default()
                };
                match instance.client.put_with(put).await {
                    Ok(_) => true,
                    Err(status) => {
                        let code = status.code();
                        assert_eq!(code, Code::Unavailable, "{status:?}");
                        false
                    }
                }
            })
            .await;
        }
        self.write("again", 10).await
    }

    /// Both instances have the same store, and these keys of `name`.
    async fn check(&self, name: &str, expected: usize) {
        let mut hashes = Vec::new();
        for instance in &self.instances {
            let client = &instance.client;
            assert_eq!(count(client, name).await, expected, "{name}");
            hashes.push((client.revision().await, hash(client).await));
        }
        assert_eq!(hashes[0], hashes[1], "revision and hash of both");
    }

    async fn stop(self) {
        for instance in self.instances {
            instance.stop().await;
        }
    }
}

async fn count(client: &Client, name: &str) -> usize {
    let range = pb::RangeRequest {
        key: format!("{name}/").into(),
        range_end: format!("{name}0").into(),
        count_only: true,
        ..Default::default()
    };
    let counted = client.range(range).await.expect("a count").count;
    usize::try_from(counted).expect("a count")
}

async fn hash(client: &Client) -> u32 {
    let request = pb::HashKvRequest { revision: 0 };
    let mut maintenance = MaintenanceClient::new(client.channel.clone());
    let hashed = maintenance.hash_kv(request).await.expect("a hash");
    hashed.into_inner().hash
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failover_without_the_newest_writes_never_uses_their_revisions_again() {
    let mut scene = Scene::set().await;
    scene.write("kept", 20).await;
    scene.replicated().await;
    scene.cut().await;
    let exposed = scene.write("lost", 10).await;
    let mut watch = scene.instances[1]
        .client
        .watch_created(watcher("again/", "again0"))
        .await;
    scene.fail_over().await;
    let ended = watch.end().await;
    assert_eq!(
        ended.code(),
        Code::Unavailable,
        "clients watch again: {ended:?}"
    );
    let now = scene.recovered().await;
    assert!(now > exposed + 1000, "{now} after {exposed}");
    scene.check("kept", 20).await;
    scene.check("lost", 0).await;
    scene.check("again", 10).await;
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failover_with_everything_loses_nothing() {
    let mut scene = Scene::set().await;
    let exposed = scene.write("kept", 20).await;
    scene.replicated().await;
    scene.fail_over().await;
    let now = scene.recovered().await;
    assert!(now > exposed, "{now} after {exposed}");
    scene.check("kept", 20).await;
    scene.check("again", 10).await;
    scene.stop().await;
}
