//! Links between instances over real sockets.

use std::net::SocketAddr;
use std::time::Duration;

use helium_etcd_proto::peer::FollowRequest;
use helium_etcd_proto::peer::peer_client::PeerClient;
use helium_etcd_proto::peer::peer_server::PeerServer;
use helium_testkit::wait_for;
use kine_shim::replica::Options;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;

use super::harness::{BOUND, Instance, NEVER, World, options};

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    (listener, address)
}

/// An instance whose peer service is mounted, and which hardly ever polls.
async fn linked(world: &World, name: &str) -> (Instance, SocketAddr) {
    let (listener, address) = listener().await;
    let instance = world
        .start_with(Options {
            advertise_client_urls: vec![format!("http://{address}")],
            heartbeat_interval: Duration::from_millis(20),
            poll_min: NEVER,
            poll_max: NEVER,
            may_own: false,
            peers: true,
            ..options(name)
        })
        .await;
    let server = tonic::transport::Server::builder()
        .add_service(PeerServer::new(instance.replica.peer_service()))
        .serve_with_incoming_shutdown(
            TcpListenerStream::new(listener),
            instance.replica.stopping().cancelled_owned(),
        );
    tokio::spawn(server);
    (instance, address)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_reaches_linked_instances_without_a_poll() {
    let world = World::default();
    let (one, _) = linked(&world, "one").await;
    let (two, _) = linked(&world, "two").await;
    wait_for("a link from two to one", BOUND, || {
        std::future::ready(one.replica.followers() > 0)
    })
    .await;
    let pushed = one.put("a", "1").await;
    wait_for("the push", BOUND, || {
        std::future::ready(two.revision() >= pushed)
    })
    .await;
    assert_eq!(two.memory("a"), Some(("1".into(), 1)));

    // A member that dies and comes back at another address is found again.
    one.replica.stop().await;
    let (three, _) = linked(&world, "three").await;
    wait_for("links both ways", BOUND, || {
        std::future::ready(three.replica.followers() > 0 && two.replica.followers() > 0)
    })
    .await;
    let pushed = three.put("a", "2").await;
    wait_for("the push", BOUND, || {
        std::future::ready(two.revision() >= pushed)
    })
    .await;
    let pushed = two.put("a", "3").await;
    wait_for("the push", BOUND, || {
        std::future::ready(three.revision() >= pushed)
    })
    .await;
    two.replica.stop().await;
    three.replica.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_of_another_log_is_refused() {
    let world = World::default();
    let (one, address) = linked(&world, "one").await;
    let mut client = PeerClient::connect(format!("http://{address}"))
        .await
        .expect("a server");
    let request = FollowRequest {
        cluster_id: one.replica.cluster_id() ^ 1,
        ..FollowRequest::default()
    };
    let refused = client.follow(request).await.expect_err("another log");
    assert_eq!(refused.code(), tonic::Code::FailedPrecondition);
    one.replica.stop().await;
}
