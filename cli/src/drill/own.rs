//! The drill's own group: small, in a namespace of its own, and removed afterwards.

use std::time::Duration;

use helium_failover::GroupName;
use http::Method;
use serde_json::{Value, json};

use super::site::{self, Site};
use super::writer;
use crate::connection::Refusal;
use crate::error::{DrillError, Result};
use crate::options::DrillMode;

const NAMESPACE: &str = "helium-drill";
const CALLSIGN: &str = "drill";
const MEMBER: &str = "drill";
/// As manifests/components/failover names it.
const ACCOUNT: &str = "helium-failover";
/// Label of what is removed afterwards.
const LABEL: &str = "app.kubernetes.io/managed-by";
const MANAGER: &str = "helium-drill";
/// How long its removal may take: the leader stops its payload.
const REMOVED_WITHIN: Duration = Duration::from_secs(60);
const PAYLOAD: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: drill-payload\ndata:\n  what: the payload of helium drill\n";

/// Its name.
pub(crate) fn group() -> GroupName {
    GroupName {
        namespace: NAMESPACE.to_owned(),
        callsign: CALLSIGN.to_owned(),
    }
}

/// Whether every cluster knows MultiClusters.
///
/// # Errors
/// [`DrillError::NoKind`] names one that doesn't.
pub(crate) async fn check(sites: &[Site]) -> Result<()> {
    for site in sites {
        let known = site.read_any("/apis/kube-vip.io/v1alpha1").await;
        if known
            .map_err(|refusal| site.refused("asking for the kinds", refusal))?
            .is_none()
        {
            return Err(DrillError::NoKind {
                cluster: site.cluster.clone(),
            }
            .into());
        }
    }
    Ok(())
}

/// Makes it: a member in each cluster, of growing rank.
///
/// # Errors
/// A cluster refused.
pub(crate) async fn make(sites: &[Site], mode: DrillMode, lease_seconds: u32) -> Result<()> {
    let group = group();
    for (index, site) in sites.iter().enumerate() {
        namespace_gone(site).await?;
        let namespace = json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": NAMESPACE, "labels": {LABEL: MANAGER}},
        });
        create(site, "/api/v1/namespaces", &namespace).await?;
        for (path, object) in rights() {
            create(site, &path, &object).await?;
        }
        if index == 0 {
            let mode = match mode {
                DrillMode::Fast => "Fast",
                DrillMode::Strict => "Strict",
            };
            let record = json!({
                "apiVersion": "helium.dev/v1", "kind": "FailoverGroup",
                "metadata": {"name": CALLSIGN, "namespace": NAMESPACE, "labels": {LABEL: MANAGER}},
                "spec": {"mode": mode, "leaseDurationSeconds": lease_seconds, "stopBudgetSeconds": 1},
            });
            create(site, &site::groups_path(NAMESPACE), &record).await?;
        }
        let member = json!({
            "apiVersion": "kube-vip.io/v1alpha1", "kind": "MultiCluster",
            "metadata": {"name": MEMBER, "namespace": NAMESPACE, "labels": {LABEL: MANAGER}},
            "spec": {
                "callsign": CALLSIGN, "rank": index + 1, "ready": true, "payload": PAYLOAD,
                "serviceAddress": format!("192.0.2.{}", index + 1),
            },
        });
        create(site, &site::members_path(&group), &member).await?;
    }
    Ok(())
}

/// Waits until the namespace that an earlier drill has deleted is gone: nothing can be made in it before.
async fn namespace_gone(site: &Site) -> Result<()> {
    let path = format!("/api/v1/namespaces/{NAMESPACE}");
    let until = tokio::time::Instant::now() + REMOVED_WITHIN;
    loop {
        let found = site.read_any(&path).await;
        let found = found.map_err(|refusal| site.refused("asking for the namespace", refusal))?;
        let is_going =
            found.is_some_and(|found| found["metadata"]["deletionTimestamp"].is_string());
        if !is_going || tokio::time::Instant::now() >= until {
            return Ok(()); // what is made next says what is wrong
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// The account that payloads of the namespace are applied as, where the agents are told so.
fn rights() -> [(String, Value); 2] {
    let metadata = json!({"name": ACCOUNT, "namespace": NAMESPACE, "labels": {LABEL: MANAGER}});
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata});
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": metadata,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
        "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": NAMESPACE}],
    });
    [
        (
            format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts"),
            account,
        ),
        (
            format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}/rolebindings"),
            binding,
        ),
    ]
}

async fn create(site: &Site, path: &str, object: &Value) -> Result<()> {
    match site.write(Method::POST, path, object).await {
        Ok(_made) => Ok(()),
        // What an earlier drill has left behind is as good.
        Err(refusal) if refusal.code() == Some(409) => Ok(()),
        Err(refusal) => {
            let kind = object["kind"].as_str().unwrap_or("object");
            Err(site.refused(&format!("making the drill's {kind}"), refusal))
        }
    }
}

/// Whether a cluster has something of it.
pub(crate) async fn is_there(site: &Site) -> bool {
    let namespace = site
        .read_any(&format!("/api/v1/namespaces/{NAMESPACE}"))
        .await;
    namespace.is_ok_and(|found| found.is_some_and(|found| is_ours(&found)))
}

fn is_ours(object: &Value) -> bool {
    object["metadata"]["labels"][LABEL] == MANAGER
}

/// Removes it: members first, so that the payload goes with them, then what all share, then the namespaces.
///
/// # Errors
/// A cluster refused, or a member doesn't go.
pub(crate) async fn remove(sites: &[Site]) -> Result<()> {
    let group = group();
    let refused = |site: &Site, refusal| site.refused("removing the drill's group", refusal);
    let member = format!("{}/{MEMBER}", site::members_path(&group));
    let until = tokio::time::Instant::now() + REMOVED_WITHIN;
    for site in sites {
        // A cluster that was healed a moment ago answers a moment later.
        loop {
            match site.delete(&member).await {
                Ok(_) => break,
                Err(_) if tokio::time::Instant::now() < until => {
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
                Err(refusal) => return Err(refused(site, refusal)),
            }
        }
    }
    for site in sites {
        loop {
            let left = site.read_any(&member).await;
            match left {
                Ok(None) => break,
                Ok(Some(_)) | Err(_) if tokio::time::Instant::now() < until => {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                Ok(Some(_)) => return Err(refused(site, still_there())),
                Err(refusal) => return Err(refused(site, refusal)),
            }
        }
    }
    if let Some(site) = sites.first() {
        let shared = [
            site::group_path(&group),
            site::lease_path(&group),
            writer::path(NAMESPACE),
        ];
        for path in &shared {
            let deleted = site.delete(path).await;
            deleted.map_err(|refusal| refused(site, refusal))?;
        }
    }
    for site in sites {
        let namespace = format!("/api/v1/namespaces/{NAMESPACE}");
        let found = site.read_any(&namespace).await;
        if found.is_ok_and(|found| found.is_some_and(|found| is_ours(&found))) {
            let deleted = site.delete(&namespace).await;
            deleted.map_err(|refusal| refused(site, refusal))?;
        }
    }
    Ok(())
}

fn still_there() -> Refusal {
    Refusal::Unreachable(format!(
        "its MultiCluster is still there after {} s: does the agent run?",
        REMOVED_WITHIN.as_secs()
    ))
}
