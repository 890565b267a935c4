//! An instance whose role in the database has a member's rights and no more.

use std::time::Duration;

use helium_journal::postgres::roles::{create_member_role, member_endpoint, revoke_member_role};
use helium_journal::{TlsFiles, endpoint};
use helium_testkit::{Postgres, wait_for};
use helium_tls::Component;
use kine_shim::{Config, replica};

use super::client::{BOUND, between, watcher};
use super::fleet::{Cluster, Shim};

/// An instance of `cluster` that logs in as its role and checkpoints all the time.
async fn start(cluster: &Cluster, server: &Postgres) -> Shim {
    let admin = server.url("fleet");
    let created = create_member_role(&admin, &cluster.name, "secret").await;
    created.expect("a role");
    let url = member_endpoint(&admin, &cluster.name, "secret").expect("an endpoint");
    let options = helium_journal::Options::default();
    let journal = endpoint::open(&url, &TlsFiles::default(), &options).await;
    let config = cluster.config(journal.expect("the database opens"), None);
    let replica = replica::Options {
        checkpoint_interval: Duration::from_millis(50),
        ..config.replica
    };
    Shim::start(cluster, Config { replica, ..config }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_members_role_is_enough_for_everything_an_instance_does() {
    let server = Postgres::start().await;
    let (a, b) = (Cluster::new("a"), Cluster::new("b"));
    let shim = start(&a, &server).await;
    for cluster in [&a, &b] {
        let member = cluster.member(&[&cluster.authority]);
        shim.write(cluster.object(&member)).await;
    }
    let client = shim.client(&a.identity(Component::ApiServer)).await;
    let mut watch = client.watch_created(watcher("key/", "key0")).await;
    let lease = client.grant(60, 0).await.expect("a lease").id;
    for number in 0..50 {
        client.put(format!("key/{number:02}"), "value").await;
    }
    let deleted = client.delete("key/00").await;
    assert_eq!(deleted.deleted, 1);
    assert_eq!(watch.events(51).await.len(), 51);
    client.revoke(lease).await.expect("revoked");
    let revision = client.revision().await;
    client.compact(revision).await.expect("compacted");
    let trimmed = "SELECT (SELECT COALESCE(max(slot), 0) FROM checkpoint) > 40 \
                   AND (SELECT min(slot) FROM journal) > 40 \
                   AND (SELECT count(*) FROM kv) > 49";
    wait_for("a checkpoint and a trimmed journal", BOUND, || async {
        // The checkpoint's own slot moves with each entry.
        server.sql("fleet", trimmed).await == "t"
    })
    .await;

    // Another member's instance starts from that checkpoint, and goes on where this one is cut off.
    let other = start(&b, &server).await;
    let heir = other.client(&b.identity(Component::ApiServer)).await;
    let kept = heir.range(between("key/", "key0")).await.expect("a range");
    assert_eq!(kept.count, 49);
    let revoked = revoke_member_role(&server.url("fleet"), "a").await;
    assert!(revoked.expect("revoked").sessions > 0);
    let put = helium_etcd_proto::etcdserverpb::PutRequest {
        key: "key/late".into(),
        ..Default::default()
    };
    client
        .put_with(put)
        .await
        .expect_err("no way to the database");
    heir.put("key/50", "value").await;
    let kept = heir.range(between("key/", "key0")).await.expect("a range");
    assert_eq!(kept.count, 50);
    other.stop().await;
    shim.stop().await;
}
