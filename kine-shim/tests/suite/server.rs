//! What a server says about itself.

use helium_etcd_proto::etcdserverpb as pb;
use helium_etcd_proto::etcdserverpb::auth_client::AuthClient;
use helium_etcd_proto::etcdserverpb::cluster_client::ClusterClient;
use helium_etcd_proto::etcdserverpb::maintenance_client::MaintenanceClient;
use helium_etcd_proto::health::HealthCheckRequest;
use helium_etcd_proto::health::health_client::HealthClient;
use tonic::Code;

use super::client::{Client, revision};
use super::target::Target;

pub(crate) async fn status_and_members_tell_where_to_go(target: &Target) {
    let client = &target.client;
    client.put("a", "1").await;
    let mut maintenance = MaintenanceClient::new(client.channel.clone());
    let status = maintenance
        .status(pb::StatusRequest {})
        .await
        .expect("a status")
        .into_inner();
    let header = status.header.expect("a header");
    let version: Vec<u32> = status
        .version
        .split('.')
        .filter_map(|n| n.parse().ok())
        .collect();
    assert_eq!(version.len(), 3, "{}", status.version);
    assert_eq!(status.leader, header.member_id, "a single member leads");
    assert_eq!(header.revision, 2);
    assert!(status.raft_term > 0 && status.raft_index >= status.raft_applied_index);
    assert!(status.db_size >= 0 && status.errors.is_empty() && !status.is_learner);
    let request = pb::MemberListRequest { linearizable: true };
    let members = ClusterClient::new(client.channel.clone())
        .member_list(request)
        .await;
    let members = members.expect("a list").into_inner().members;
    assert_eq!(members.len(), 1);
    assert_eq!(members[0].id, header.member_id);
    assert!(!members[0].name.is_empty());
    let url = members[0].client_ur_ls.first().expect("a URL");
    assert_eq!(
        Client::connect(url).await.revision().await,
        2,
        "the URL leads to the member"
    );
    let first = maintenance
        .hash_kv(pb::HashKvRequest { revision: 0 })
        .await
        .expect("a hash");
    let first = first.into_inner();
    let again = maintenance
        .hash_kv(pb::HashKvRequest { revision: 2 })
        .await
        .expect("a hash");
    assert_eq!(first.hash, again.into_inner().hash);
    assert_eq!((first.compact_revision, first.hash_revision), (-1, 2));
    let status = maintenance
        .hash_kv(pb::HashKvRequest { revision: 9 })
        .await
        .expect_err("future");
    assert_eq!(
        status.message(),
        "etcdserver: mvcc: required revision is a future revision"
    );
    let alarms = maintenance
        .alarm(pb::AlarmRequest::default())
        .await
        .expect("a list");
    assert!(alarms.into_inner().alarms.is_empty());
    maintenance
        .defragment(pb::DefragmentRequest {})
        .await
        .expect("a defragmentation");
}

pub(crate) async fn http_endpoints_answer_like_etcd(target: &Target) {
    let (code, body) = target.http("/health").await;
    assert_eq!(
        (code, body.as_str()),
        (200, r#"{"health":"true","reason":""}"#)
    );
    assert_eq!(target.http("/health?serializable=true").await.0, 200);
    let (code, body) = target.http("/version").await;
    let version: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(code, 200);
    assert!(version["etcdserver"].is_string() && version["etcdcluster"].is_string());
    for path in [
        "/livez",
        "/readyz",
        "/readyz/linearizable_read",
        "/livez/serializable_read",
    ] {
        assert_eq!(target.http(path).await, (200, "ok\n".to_owned()), "{path}");
    }
    let (code, body) = target.http("/readyz?verbose").await;
    assert_eq!(code, 200);
    for line in [
        "[+]data_corruption ok",
        "[+]serializable_read ok",
        "[+]linearizable_read ok",
    ] {
        assert!(body.contains(line), "{line} is missing in\n{body}");
    }
    assert_eq!(
        target.http("/readyz?exclude=linearizable_read").await.0,
        200
    );
    assert_eq!(target.http("/readyz/nothing").await.0, 404);
    target.client.put("a", "1").await;
    let (code, body) = target.http("/metrics").await;
    assert_eq!(code, 200);
    for name in [
        "etcd_mvcc_put_total",
        "etcd_debugging_mvcc_keys_total",
        "etcd_debugging_mvcc_watcher_total",
        "etcd_server_has_leader",
        "etcd_mvcc_db_total_size_in_bytes",
        "grpc_server_handled_total",
        "process_resident_memory_bytes",
    ] {
        assert!(body.contains(&format!("\n{name}")), "{name} is missing");
    }
    assert!(
        body.contains("server_version=\"3.7"),
        "the version is a label"
    );
}

pub(crate) async fn authentication_is_off(target: &Target) {
    let client = &target.client;
    let mut auth = AuthClient::new(client.channel.clone());
    let status = auth
        .auth_status(pb::AuthStatusRequest {})
        .await
        .expect("a status")
        .into_inner();
    assert!(!status.enabled && status.auth_revision >= 1);
    assert_eq!(revision(status.header), 1);
    let request = pb::AuthenticateRequest {
        name: "root".into(),
        password: "x".into(),
    };
    let refused = auth.authenticate(request).await.expect_err("refused");
    assert_eq!(
        (refused.code(), refused.message()),
        (
            Code::FailedPrecondition,
            "etcdserver: authentication is not enabled"
        )
    );
    let refused = auth
        .auth_enable(pb::AuthEnableRequest {})
        .await
        .expect_err("refused");
    assert_eq!(
        (refused.code(), refused.message()),
        (
            Code::FailedPrecondition,
            "etcdserver: root user does not exist"
        )
    );
}

pub(crate) async fn unknown_methods_are_unimplemented(target: &Target) {
    let mut health = HealthClient::new(target.client.channel.clone());
    let check = health
        .check(HealthCheckRequest::default())
        .await
        .expect("a check")
        .into_inner();
    assert_eq!(check.status, 1, "serving");
    let request = HealthCheckRequest {
        service: "nothing".into(),
    };
    assert_eq!(
        health.check(request).await.expect_err("unknown").code(),
        Code::NotFound
    );
    // A service that neither server has.
    let mut peer = helium_etcd_proto::peer::peer_client::PeerClient::with_origin(
        target.client.channel.clone(),
        "http://localhost/nowhere".parse().expect("a URI"),
    );
    let request = helium_etcd_proto::peer::FollowRequest::default();
    let refused = peer.follow(request).await.expect_err("no such method");
    assert_eq!(refused.code(), Code::Unimplemented);
}
