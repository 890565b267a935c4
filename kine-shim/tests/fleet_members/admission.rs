//! Who is let in: by a file while the fleet is open, by the members from the first of them on.

use std::sync::Arc;

use helium_journal::LogId;
use helium_journal::memory::MemoryDatabase;
use helium_tls::Component;
use helium_tls::pki::Authority;
use tonic::Code;

use super::client::watcher;
use super::fleet::{Cluster, Shim, bundle};

async fn start(cluster: &Cluster, trusted: Option<std::path::PathBuf>) -> Shim {
    let journal = Arc::new(MemoryDatabase::new().journal(LogId(0)));
    Shim::start(cluster, cluster.config(journal, trusted)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_member_closes_the_fleet_and_keeps_its_connections() {
    let folder = tempfile::tempdir().expect("a folder");
    let a = Cluster::new("a");
    let company = Authority::new("the company").expect("an authority");
    let trusted = bundle(folder.path(), &[&a.authority, &company]);
    let shim = start(&a, Some(trusted)).await;
    let guest = company.issue_client("guest", &[]).expect("issued");
    let stranger = Cluster::new("stranger").identity(Component::Agent);

    // Open: the file decides, whatever the names say.
    assert!(shim.refuses(&stranger).await);
    assert!(shim.dial(&shim.tls(None)).await.is_err(), "no certificate");
    assert_eq!(shim.metric("kine_members_trusted").await, 0);
    let (member, visitor) = (
        shim.client(&a.identity(Component::ApiServer)).await,
        shim.client(&guest).await,
    );
    let mut members_watch = member.watch_created(watcher("key", "")).await;
    let mut visitors_watch = visitor.watch_created(watcher("key", "")).await;

    // A member without authorities changes nothing.
    let (key, value) = a.object(&a.member(&[]));
    member.put(key.clone(), value).await;
    visitor.put("key", "1").await;
    assert_eq!(visitors_watch.events(1).await.len(), 1);
    assert_eq!(members_watch.events(1).await.len(), 1);

    // The first authority closes the fleet, written by that very member.
    let (_, value) = a.object(&a.member(&[&a.authority]));
    member.put(key, value).await;
    let ended = visitors_watch.end().await;
    assert_eq!(ended.code(), Code::PermissionDenied, "{ended:?}");
    assert!(ended.message().contains("names no cluster"), "{ended:?}");
    assert!(shim.refuses(&guest).await);
    member.put("key", "2").await;
    assert_eq!(members_watch.events(1).await.len(), 1, "it goes on");
    assert_eq!(shim.metric("kine_members_trusted").await, 1);
    assert_eq!(shim.metric("kine_connections_ended_total").await, 1);
    assert!(shim.metric("kine_handshakes_refused_total").await >= 3);
    shim.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_members_are_let_in() {
    let folder = tempfile::tempdir().expect("a folder");
    let (a, b, c) = (Cluster::new("a"), Cluster::new("b"), Cluster::new("c"));
    let company = Authority::new("the company").expect("an authority");
    let shim = start(&a, Some(bundle(folder.path(), &[&company, &c.authority]))).await;
    for cluster in [&a, &b] {
        let member = cluster.member(&[&cluster.authority]);
        shim.write(cluster.object(&member)).await;
    }
    for cluster in [&a, &b] {
        for component in [Component::ApiServer, Component::Agent, Component::Operator] {
            shim.client(&cluster.identity(component))
                .await
                .revision()
                .await;
        }
    }
    let refused_before = shim.metric("kine_handshakes_refused_total").await;
    let forged = a.authority.issue_member("b", Component::ApiServer, &[]);
    let both = a
        .authority
        .issue_client("x", &["helium:cluster:a", "helium:cluster:b"]);
    let nobody = a.authority.issue_client("root", &["system:masters"]);
    let filed = company.issue_member("a", Component::ApiServer, &[]);
    for (what, identity) in [
        ("signed by another member", forged),
        ("of two members", both),
        ("of no member", nobody),
        ("signed by the file's authority", filed),
        (
            "of no member, in the file",
            Ok(c.identity(Component::Agent)),
        ),
    ] {
        assert!(shim.refuses(&identity.expect("issued")).await, "{what}");
    }
    assert!(shim.dial(&shim.tls(None)).await.is_err(), "no certificate");
    let refused = shim.metric("kine_handshakes_refused_total").await;
    // The client's library dials again by itself, now and then.
    assert!(refused - refused_before >= 6);
    shim.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_is_replaced_while_connections_go_on() {
    let (mut a, b) = (Cluster::new("a"), Cluster::new("b"));
    let shim = start(&b, None).await;
    for cluster in [&a, &b] {
        let member = cluster.member(&[&cluster.authority]);
        shim.write(cluster.object(&member)).await;
    }
    let of_old = a.identity(Component::ApiServer);
    let next = Authority::new("the next authority of a").expect("an authority");
    let of_next = next
        .issue_member("a", Component::ApiServer, &[])
        .expect("issued");
    let old = shim.client(&of_old).await;
    let mut olds_watch = old.watch_created(watcher("key", "")).await;
    assert!(shim.refuses(&of_next).await);

    // Both, as long as certificates of the old one are in use.
    shim.write(a.object(&a.member(&[&a.authority, &next])))
        .await;
    let new = shim.client(&of_next).await;
    let mut news_watch = new.watch_created(watcher("key", "")).await;
    old.put("key", "1").await;
    assert_eq!(olds_watch.events(1).await.len(), 1);
    assert_eq!(news_watch.events(1).await.len(), 1);

    // The new one alone.
    let only = a.member(&[&next]);
    shim.write(a.object(&only)).await;
    let ended = olds_watch.end().await;
    assert_eq!(ended.code(), Code::PermissionDenied, "{ended:?}");
    assert!(ended.message().contains("cluster a"), "{ended:?}");
    assert!(shim.refuses(&of_old).await);
    new.put("key", "2").await;
    assert_eq!(news_watch.events(1).await.len(), 1);
    a.authority = next;
    shim.client(&a.identity(Component::Agent)).await;
    shim.stop().await;
}
