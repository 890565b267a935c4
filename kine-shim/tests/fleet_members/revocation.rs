//! Shutting a cluster out, and letting it in again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use helium_etcd_proto::etcdserverpb as pb;
use helium_journal::LogId;
use helium_journal::faulty::{Faulty, Rates};
use helium_journal::memory::MemoryDatabase;
use helium_testkit::wait_for;
use helium_tls::Component;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use super::client::{BOUND, Client, one, watcher};
use super::fleet::{CUT_OFF, Cluster, Shim};

/// A lease that is kept alive.
struct Kept {
    id: i64,
    requests: mpsc::Sender<pb::LeaseKeepAliveRequest>,
    answers: Streaming<pb::LeaseKeepAliveResponse>,
}

impl Kept {
    async fn new(client: &Client) -> Self {
        let id = client.grant(60, 0).await.expect("a lease").id;
        let (requests, receiver) = mpsc::channel(8);
        // Answered once there is something to say.
        let request = pb::LeaseKeepAliveRequest { id };
        requests.send(request).await.expect("room");
        let stream = ReceiverStream::new(receiver);
        let answers = client.lease().lease_keep_alive(stream).await;
        let mut kept = Self {
            id,
            requests,
            answers: answers.expect("a stream").into_inner(),
        };
        kept.answer().await;
        kept
    }

    async fn answer(&mut self) {
        let answer = tokio::time::timeout(BOUND, self.answers.message()).await;
        let answer = answer.expect("in time").expect("no error");
        assert!(answer.expect("an answer").ttl > 0);
    }

    async fn renew(&mut self) {
        let request = pb::LeaseKeepAliveRequest { id: self.id };
        self.requests.send(request).await.expect("it is open");
        self.answer().await;
    }

    async fn end(&mut self) -> Status {
        let end = tokio::time::timeout(BOUND, self.answers.message()).await;
        match end.expect("an end in time") {
            Err(status) => status,
            Ok(answer) => panic!("the stream goes on: {answer:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_cluster_is_cut_off_everywhere_within_two_seconds() {
    let clusters = ["a", "b", "c"].map(Cluster::new);
    let [a, b, c] = &clusters;
    let database = MemoryDatabase::new();
    let journal = || Arc::new(database.journal(LogId(0)));
    let shims = [
        Shim::start(a, a.config(journal(), None)).await,
        Shim::start(c, c.config(journal(), None)).await,
    ];
    for cluster in &clusters {
        let member = cluster.member(&[&cluster.authority]);
        shims[0].write(cluster.object(&member)).await;
    }
    let bad = b.identity(Component::ApiServer);
    let good = c.identity(Component::ApiServer);
    for shim in &shims {
        wait_for("the members are known", BOUND, || async {
            shim.metric("kine_members_trusted").await == 3
        })
        .await;
    }
    let mut guests = Vec::new();
    let mut others = Vec::new();
    for shim in &shims {
        let tls = shim.tls(Some(&bad));
        let client = shim.dial(&tls).await.expect("let in");
        let watch = client.watch_created(watcher("key", "")).await;
        let kept = Kept::new(&client).await;
        guests.push((client, watch, kept, tls));
        let client = shim.client(&good).await;
        let watch = client.watch_created(watcher("key", "")).await;
        let kept = Kept::new(&client).await;
        others.push((client, watch, kept));
    }

    shims[0]
        .write(b.object(&b.revoked("keys were copied")))
        .await;
    let revoked = Instant::now();
    for (client, watch, kept, _) in &mut guests {
        for ended in [watch.end().await, kept.end().await] {
            assert_eq!(ended.code(), Code::PermissionDenied, "{ended:?}");
            let why = "cluster b was revoked: keys were copied";
            assert!(ended.message().contains(why), "{ended:?}");
        }
        let put = pb::PutRequest {
            key: "key".into(),
            ..Default::default()
        };
        let refused = client.put_with(put).await;
        refused.expect_err("the connection ends, and there is no other");
    }
    assert!(revoked.elapsed() < CUT_OFF, "{:?}", revoked.elapsed());

    // Neither a new handshake nor a resumed session gets in.
    for (shim, (_, _, _, tls)) in shims.iter().zip(&guests) {
        assert!(shim.refuses(&bad).await);
        assert!(shim.dial(tls).await.is_err(), "a session is resumed");
        assert_eq!(shim.metric("kine_members_trusted").await, 2);
        assert_eq!(shim.metric("kine_members_revoked").await, 1);
    }
    assert_eq!(
        shims[1]
            .running
            .replica()
            .read(|state| state.get(b"key").is_none())
            .ok(),
        Some(true)
    );

    // The others never noticed.
    others[0].0.put("key", "1").await;
    for (_, watch, kept) in &mut others {
        assert_eq!(watch.events(1).await.len(), 1);
        kept.renew().await;
    }

    // Let in again.
    let member = b.member(&[&b.authority]);
    shims[1].write(b.object(&member)).await;
    for shim in &shims {
        wait_for("the cluster is let in again", BOUND, || async {
            !shim.refuses(&bad).await
        })
        .await;
    }
    for shim in shims {
        shim.stop().await;
    }
}

/// No call reaches the database.
const AWAY: Rates = Rates {
    refused: 1.0,
    lost: 0.0,
    unanswered: 0.0,
    slow: 0.0,
    slow_up_to: Duration::ZERO,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_without_its_database_judges_by_what_it_knew() {
    let (a, b) = (Cluster::new("a"), Cluster::new("b"));
    let journal = Faulty::new(Arc::new(MemoryDatabase::new().journal(LogId(0))), 0);
    let faults = journal.control();
    let shim = Shim::start(&a, a.config(Arc::new(journal), None)).await;
    shim.write(a.object(&a.member(&[&a.authority]))).await;
    shim.write(b.object(&b.revoked("moved away"))).await;
    let identity = a.identity(Component::ApiServer);
    let client = shim.client(&identity).await;
    let mut watch = client.watch_created(watcher("key", "")).await;
    faults.rates(AWAY);
    let put = pb::PutRequest {
        key: "key".into(),
        ..Default::default()
    };
    client
        .put_with(put)
        .await
        .expect_err("the database is away");

    let serializable = pb::RangeRequest {
        serializable: true,
        ..one("key")
    };
    let fresh = shim.connect(&shim.tls(Some(&identity))).await;
    let fresh = fresh.expect("a member is let in");
    fresh
        .range(serializable.clone())
        .await
        .expect("from memory");
    for identity in [
        b.identity(Component::ApiServer),
        Cluster::new("a").identity(Component::ApiServer),
    ] {
        let refused = match shim.connect(&shim.tls(Some(&identity))).await {
            Ok(client) => client.range(serializable.clone()).await.is_err(),
            Err(_) => true,
        };
        assert!(refused);
    }
    faults.rates(Rates::default());
    wait_for("writes go on", BOUND, || async {
        let put = pb::PutRequest {
            key: "key".into(),
            value: "back".into(),
            ..Default::default()
        };
        client.put_with(put).await.is_ok()
    })
    .await;
    assert_eq!(watch.events(1).await.len(), 1, "the same connection");
    shim.stop().await;
}
