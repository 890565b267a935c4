//! Links between the instances of several clusters: members on both ends, or none.

use std::sync::Arc;
use std::time::Duration;

use helium_etcd_proto::peer::FollowRequest;
use helium_etcd_proto::peer::peer_client::PeerClient;
use helium_journal::LogId;
use helium_journal::memory::MemoryDatabase;
use helium_testkit::wait_for;
use helium_tls::Component;
use kine_shim::{Config, PeerConfig, TlsConfig};

use super::client::{BOUND, one};
use super::fleet::{Cluster, Shim, bundle};

const NEVER: Duration = Duration::from_secs(3600);

/// Hardly ever looks into the database.
fn without_polls(config: Config) -> Config {
    let replica = kine_shim::replica::Options {
        poll_min: NEVER,
        poll_max: NEVER,
        ..config.replica
    };
    Config { replica, ..config }
}

async fn linked(from: &Shim, to: &Shim) {
    for shim in [from, to] {
        wait_for("a link", BOUND, || {
            std::future::ready(shim.running.replica().followers() > 0)
        })
        .await;
    }
}

async fn pushed(writer: &Shim, reader: &Shim, key: &str) {
    let revision = |shim: &Shim| shim.running.replica().status().revision;
    writer.write((key.to_owned(), "1".to_owned())).await;
    let written = revision(writer);
    wait_for("the push", BOUND, || {
        std::future::ready(revision(reader) >= written)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_push_to_each_other_until_one_is_revoked() {
    let (a, b) = (Cluster::new("a"), Cluster::new("b"));
    let database = MemoryDatabase::new();
    let journal = || Arc::new(database.journal(LogId(0)));
    let first = Shim::start(&a, without_polls(a.config(journal(), None))).await;
    for cluster in [&a, &b] {
        let member = cluster.member(&[&cluster.authority]);
        first.write(cluster.object(&member)).await;
    }
    let second = Shim::start(&b, without_polls(b.config(journal(), None))).await;
    linked(&first, &second).await;
    pushed(&first, &second, "one").await;
    pushed(&second, &first, "two").await;

    // Somebody without a certificate of a member follows nobody.
    let outsider = Cluster::new("b").identity(Component::KineShim);
    assert!(first.refuses(&outsider).await);
    let insider = first.client(&b.identity(Component::KineShim)).await;
    let mut peer = PeerClient::new(insider.channel.clone());
    let request = FollowRequest {
        cluster_id: first.running.replica().cluster_id(),
        ..FollowRequest::default()
    };
    let mut entries = peer.follow(request).await.expect("a member").into_inner();

    first.write(b.object(&b.revoked("sold"))).await;
    let ended = loop {
        // The revocation itself may still be pushed.
        match entries.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("a stream that says why it ends"),
            Err(status) => break status,
        }
    };
    assert!(
        ended.message().contains("cluster b was revoked: sold"),
        "{ended:?}"
    );
    for shim in [&first, &second] {
        wait_for("the links have ended", BOUND, || {
            std::future::ready(shim.running.replica().followers() == 0)
        })
        .await;
    }

    // Back in the fleet, they find each other again.
    let member = b.member(&[&b.authority]);
    first.write(b.object(&member)).await;
    let newest = first.running.replica().read_barrier().await;
    newest.expect("the database answers");
    // Nobody pushes to the one that was out: its next look tells it.
    second
        .running
        .replica()
        .read_barrier()
        .await
        .expect("a look");
    linked(&first, &second).await;
    pushed(&first, &second, "three").await;
    first.stop().await;
    second.stop().await;
}

/// Without members, the files of kine's flags.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_with_files_of_their_own_link_over_mutual_tls() {
    let folder = tempfile::tempdir().expect("a folder");
    let (a, b) = (Cluster::new("a"), Cluster::new("b"));
    let both = bundle(folder.path(), &[&a.authority, &b.authority]);
    let database = MemoryDatabase::new();
    let mut shims = Vec::new();
    for cluster in [&a, &b] {
        let journal = Arc::new(database.journal(LogId(0)));
        let config = without_polls(cluster.config(journal, Some(both.clone())));
        let tls = config.tls.clone().expect("TLS");
        let config = Config {
            tls: Some(TlsConfig {
                members_prefix: None,
                peer: PeerConfig {
                    ca: Some(both.clone()),
                    ..PeerConfig::default()
                },
                ..tls
            }),
            ..config
        };
        shims.push(Shim::start(cluster, config).await);
    }
    linked(&shims[0], &shims[1]).await;
    pushed(&shims[0], &shims[1], "one").await;
    let client = shims[1].client(&a.identity(Component::Agent)).await;
    assert_eq!(client.get("one").await.expect("a pair").value, "1");
    assert!(
        client
            .range(one("two"))
            .await
            .expect("a range")
            .kvs
            .is_empty()
    );
    for shim in shims {
        shim.stop().await;
    }
}
