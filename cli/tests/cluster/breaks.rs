//! The stories: one thing is broken, named, and repaired.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use helium_tls::pki::Authority;
use http::Method;
use serde_json::{Value, json};

use crate::world::{DELEGATOR, GROUPS, PATIENCE, SERVICE, World, send};

const SHARED: [&str; 3] = ["helium.dev", "coordination.helium.dev", "example.com"];
const API_SERVICES: &str = "/apis/apiregistration.k8s.io/v1/apiservices";

fn has(text: &str, part: &str) {
    assert!(text.contains(part), "{part:?} is not in {text}");
}

async fn well(world: &World) {
    world.beat(0).await;
    world.complains(&[]).await;
}

pub(crate) async fn a_cluster_that_is_well_has_no_complaints(world: &World) {
    well(world).await;
    let report = world.doctor().await;
    assert_eq!(report["healthy"], true);
    assert_eq!(report["unknown"], 0, "{report:#}");
}

pub(crate) async fn a_bundle_of_another_authority(world: &World) {
    let other = Authority::new("another").expect("an authority");
    for group in GROUPS {
        let bundle = STANDARD.encode(other.certificate_pem());
        world.register("v1", group, &bundle).await;
    }
    let text = world.complains(&["ca-bundle"]).await;
    has(&text, "CN=serving");
    has(&text, "CN=another");
    for group in GROUPS {
        world.register("v1", group, &world.bundle()).await;
        world.wait_available(&format!("v1.{group}")).await;
    }
    well(world).await;
}

pub(crate) async fn a_bundle_that_differs_in_one_registration(world: &World) {
    let other = Authority::new("another").expect("an authority");
    let bundle = STANDARD.encode(other.certificate_pem());
    world
        .register("v1", "coordination.helium.dev", &bundle)
        .await;
    // What is behind it can't be seen, so that the heartbeat is missing too: one cause, told once.
    let text = world.complains(&["ca-bundle"]).await;
    has(&text, "caBundle differs in v1.coordination.helium.dev");
    world
        .register("v1", "coordination.helium.dev", &world.bundle())
        .await;
    world.wait_available("v1.coordination.helium.dev").await;
    well(world).await;
}

pub(crate) async fn rights_that_were_taken(world: &World) {
    let path = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/helium-apiserver-delegates";
    world.delete(path).await;
    let text = world.complains(&["rights"]).await;
    has(&text, "create subjectaccessreviews, create tokenreviews");
    has(&text, "system:auth-delegator");
    world.apply(DELEGATOR).await;
    well(world).await;
}

pub(crate) async fn controllers_without_identities(world: &World) {
    world
        .delete("/api/v1/namespaces/kube-system/serviceaccounts/namespace-controller")
        .await;
    let text = world.complains(&["controller-identities"]).await;
    has(&text, "--use-service-account-credentials");
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "namespace-controller"}});
    let path = "/api/v1/namespaces/kube-system/serviceaccounts";
    world.write(Method::POST, path, &account).await;
    well(world).await;
}

fn definition() -> Value {
    json!({
        "apiVersion": "helium.dev/v1", "kind": "SharedResourceDefinition", "metadata": {"name": "widgets.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
            "sharing": {"scope": "Fleet"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}}]},
    })
}

pub(crate) async fn a_registration_that_is_missing(world: &World) {
    let path = "/apis/helium.dev/v1/sharedresourcedefinitions";
    world.write(Method::POST, path, &definition()).await;
    let text = world.complains(&["apiservice-missing"]).await;
    has(&text, "missing APIServices: v1.example.com");
    world.register("v1", "example.com", &world.bundle()).await;
    world.wait_available("v1.example.com").await;
    well(world).await;
}

pub(crate) async fn a_group_that_the_cluster_serves_itself(world: &World) {
    let crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let crd = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "gadgets.example.com"},
        "spec": {"group": "example.com", "scope": "Cluster", "names": {"plural": "gadgets", "kind": "Gadget"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}}]},
    });
    world.write(Method::POST, crds, &crd).await;
    let text = world.complains(&["group-clash"]).await;
    has(&text, "CustomResourceDefinition gadgets.example.com");
    world.delete(&format!("{crds}/gadgets.example.com")).await;
    well(world).await;
}

pub(crate) async fn a_namespace_that_is_held(world: &World) {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "old"}});
    world
        .write(Method::POST, "/api/v1/namespaces", &namespace)
        .await;
    world.delete("/api/v1/namespaces/old").await;
    // There is no namespace controller here: this is what it writes.
    let condition = |status: &str| {
        json!({"status": {"conditions": [{"type": "NamespaceDeletionContentFailure", "status": status, "reason": "ContentDeletionFailed",
            "message": "unexpected items still remain in namespace: old for gvr: example.com/v1, Resource=widgets"}]}})
    };
    world
        .merge("/api/v1/namespaces/old/status", &condition("True"))
        .await;
    let text = world.complains(&["namespace-stuck"]).await;
    has(&text, "because of example.com");
    let mut namespace = world
        .get("/api/v1/namespaces/old")
        .await
        .expect("the namespace");
    namespace["spec"]["finalizers"] = json!([]);
    world
        .write(Method::PUT, "/api/v1/namespaces/old/finalize", &namespace)
        .await;
    well(world).await;
}

pub(crate) async fn a_heartbeat_that_is_late(world: &World) {
    world.beat(180).await;
    let text = world.complains(&["heartbeat"]).await;
    has(&text, "the last heartbeat of east was 3m");
    well(world).await;
}

pub(crate) async fn a_cluster_that_was_revoked(world: &World) {
    let (neighbour, client) = world.neighbour().await;
    // Only members revoke.
    let authority = Authority::new("west").expect("an authority");
    let west = json!({"apiVersion": "helium.dev/v1", "kind": "Member", "metadata": {"name": "west"},
        "spec": {"certificateAuthorities": authority.certificate_pem()}});
    let members = "/apis/helium.dev/v1/members";
    send(&client, Method::POST, members, "application/json", &west).await;
    let status = json!({"status": {"conditions": [
        {"type": "Ready", "status": "True", "reason": "Fine", "message": "", "lastTransitionTime": jiff::Timestamp::now()}]}});
    let path = format!("{members}/west/status");
    send(
        &client,
        Method::PATCH,
        &path,
        "application/merge-patch+json",
        &status,
    )
    .await;
    let path = "/apis/helium.dev/v1/members/east";
    let revoked =
        |revoked: bool| json!({"spec": {"revoked": revoked, "revokedReason": "stolen laptop"}});
    let patch = |value: Value| {
        let client = client.clone();
        async move {
            send(
                &client,
                Method::PATCH,
                path,
                "application/merge-patch+json",
                &value,
            )
            .await
        }
    };
    patch(revoked(true)).await;
    let text = world.complains(&["member-revoked"]).await;
    has(&text, "stolen laptop");
    patch(revoked(false)).await;
    helium_testkit::wait_for("east is let in again", PATIENCE, || async {
        world.get("/apis/helium.dev/v1/members").await.is_some()
    })
    .await;
    well(world).await;
    neighbour.stop().await;
}

pub(crate) async fn a_service_that_is_gone(world: &World) {
    world
        .delete("/api/v1/namespaces/helium-system/services/helium-apiserver")
        .await;
    let text = world.complains(&["apiservice-unavailable"]).await;
    has(&text, "the Service that it points at doesn't exist");
    world.apply(SERVICE).await;
    available(world).await;
}

async fn available(world: &World) {
    for name in [
        "v1.helium.dev",
        "v1.coordination.helium.dev",
        "v1.example.com",
    ] {
        // A change makes the kube-apiserver look at once.
        let now = jiff::Timestamp::now().to_string();
        let touched = json!({"metadata": {"annotations": {"test/touched": now}}});
        world
            .merge(&format!("{API_SERVICES}/{name}"), &touched)
            .await;
        world.wait_available(name).await;
    }
    well(world).await;
}

pub(crate) async fn a_certificate_that_has_expired(world: &World) {
    let (authority, certificate, key) = expired();
    std::fs::write(world.path().join("helium-serving.key"), key).expect("written");
    std::fs::write(world.path().join("helium-serving.crt"), certificate).expect("written");
    for name in SHARED {
        world
            .register("v1", name, &STANDARD.encode(&authority))
            .await;
    }
    let text = world.complains(&["certificate"]).await;
    has(&text, "the server's certificate has expired");
    world.issue_serving();
    for name in SHARED {
        world.register("v1", name, &world.bundle()).await;
    }
    available(world).await;
}

/// An authority, and a serving certificate of it that was good until yesterday.
fn expired() -> (String, String, String) {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&key).expect("an authority").pem();
    let issuer = Issuer::new(params, key);
    let names = [
        "helium-apiserver.helium-system.svc".to_owned(),
        "localhost".to_owned(),
    ];
    let mut params = CertificateParams::new(names).expect("names");
    let now = time::OffsetDateTime::now_utc();
    params.not_before = now - time::Duration::days(30);
    params.not_after = now - time::Duration::days(1);
    let key = KeyPair::generate().expect("a key");
    let leaf = params.signed_by(&key, &issuer).expect("a certificate");
    (authority, leaf.pem(), key.serialize_pem())
}

pub(crate) async fn a_store_that_is_down(world: &mut World) {
    world.store.take().expect("it runs").shutdown().await;
    let text = world.complains(&["store"]).await;
    has(&text, "kine-shim");
    world.restart_store().await;
    helium_testkit::wait_for("the store is back", PATIENCE, || async {
        world
            .get("/apis/helium.dev/v1/members/east")
            .await
            .is_some()
    })
    .await;
    well(world).await;
}

pub(crate) async fn a_server_that_is_down(world: &mut World) {
    world.helium.take().expect("it runs").stop().await;
    let text = world.complains(&["apiservice-unavailable"]).await;
    has(&text, "helium-apiserver doesn't answer the kube-apiserver");
    world.start_helium().await;
    available(world).await;
}

pub(crate) async fn a_kube_apiserver_that_is_down(world: &mut World) {
    world.kube_apiserver.kill();
    let text = world.complains(&["kube-apiserver"]).await;
    has(&text, "doesn't answer");
}
