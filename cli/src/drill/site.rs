//! One cluster of the fleet as its own users see it, through its own kube-apiserver: the group, the lease, the member, the
//! payload.

use std::time::Duration;

use helium_failover::GroupName;
use helium_failover::kind::{GROUP_LABEL, TERM_TOKEN, payload_label};
use http::Method;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind};
use serde_json::Value;

use super::fleet::Fleet;
use super::history::{MemberView, View};
use crate::connection::{Access, Connection, Refusal};
use crate::error::{Error, Result};

/// How long a cluster may take to answer while things are broken.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// The token of a lease's term.
pub(crate) const LEASE_TOKEN: &str = "helium.dev/fencing-token";

/// A cluster, and a way to ask it.
#[derive(Clone)]
pub(crate) struct Site {
    /// What it is called.
    pub(crate) cluster: String,
    connection: Connection,
}

/// A kind of the payload's objects.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Kind {
    /// `v1` or `apps/v1`.
    pub(crate) version: String,
    /// Such as `Deployment`.
    pub(crate) kind: String,
}

/// An object of a payload.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Object {
    /// `<kind> <namespace>/<name>`.
    pub(crate) name: String,
    /// Its uid.
    pub(crate) uid: String,
    /// The token that is written on it.
    pub(crate) token: Option<i64>,
}

impl Site {
    /// A cluster of a fleet. Nothing is asked yet.
    pub(crate) async fn open(fleet: &Fleet, cluster: &str) -> Result<Self> {
        let access = Access {
            kubeconfig: Some(fleet.kubeconfig(cluster)),
            context: None,
        };
        Ok(Self {
            cluster: cluster.to_owned(),
            connection: Connection::open(&access).await?,
        })
    }

    /// Reads what is at a path.
    pub(crate) async fn read(&self, path: &str) -> Result<Value, Refusal> {
        let answer = tokio::time::timeout(ANSWER_WITHIN, self.connection.get(path));
        Ok(answer.await.map_err(|_elapsed| late())??.json())
    }

    /// Reads what is at a path; `None`: nothing is.
    pub(crate) async fn read_any(&self, path: &str) -> Result<Option<Value>, Refusal> {
        match self.read(path).await {
            Ok(found) => Ok(Some(found)),
            Err(refusal) if refusal.code() == Some(404) => Ok(None),
            Err(refusal) => Err(refusal),
        }
    }

    /// Writes to a path.
    pub(crate) async fn write(
        &self,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Result<Value, Refusal> {
        let content = if method == Method::PATCH {
            "application/merge-patch+json"
        } else {
            "application/json"
        };
        let answer = self.connection.write(method, path, content, body);
        let answer = tokio::time::timeout(ANSWER_WITHIN, answer);
        Ok(answer.await.map_err(|_elapsed| late())??.json())
    }

    /// Deletes what is at a path; that nothing is there is well, too.
    pub(crate) async fn delete(&self, path: &str) -> Result<(), Refusal> {
        let answer = tokio::time::timeout(ANSWER_WITHIN, self.connection.delete(path));
        match answer.await.map_err(|_elapsed| late())? {
            Ok(_deleted) => Ok(()),
            Err(refusal) if refusal.code() == Some(404) => Ok(()),
            Err(refusal) => Err(refusal),
        }
    }

    /// The error of asking for something.
    pub(crate) fn refused(&self, doing: &str, source: Refusal) -> Error {
        Error::Refused {
            doing: format!("{doing} in {}", self.cluster),
            source,
        }
    }

    /// The kind's objects in a namespace, to be watched.
    pub(crate) fn objects(
        &self,
        group: &str,
        version: &str,
        plural: &str,
        namespace: &str,
    ) -> Api<DynamicObject> {
        // The kind's name isn't sent.
        let kind = GroupVersionKind::gvk(group, version, plural);
        let resource = ApiResource::from_gvk_with_plural(&kind, plural);
        Api::namespaced_with(self.connection.client(), namespace, &resource)
    }

    /// Where a kind's objects are listed; `None`: the cluster doesn't know the kind.
    pub(crate) async fn list_path(&self, kind: &Kind) -> Result<Option<String>, Refusal> {
        let base = if kind.version.contains('/') {
            format!("/apis/{}", kind.version)
        } else {
            format!("/api/{}", kind.version)
        };
        let Some(known) = self.read_any(&base).await? else {
            return Ok(None);
        };
        let resources = known["resources"].as_array().into_iter().flatten();
        let plural = resources
            .filter(|resource| resource["kind"] == kind.kind)
            .filter_map(|resource| resource["name"].as_str())
            .find(|name| !name.contains('/'));
        Ok(plural.map(|plural| format!("{base}/{plural}")))
    }

    /// The payload's objects of some kinds.
    pub(crate) async fn payload(
        &self,
        group: &GroupName,
        kinds: &[(Kind, String)],
    ) -> Result<Vec<Object>, Refusal> {
        let label = payload_label(&group.namespace, &group.callsign);
        let mut objects = Vec::new();
        for (kind, path) in kinds {
            let list = self
                .read(&format!("{path}?labelSelector={GROUP_LABEL}%3D{label}"))
                .await?;
            let items = list["items"].as_array().into_iter().flatten();
            objects.extend(items.map(|item| object(kind, &item["metadata"])));
        }
        objects.sort();
        Ok(objects)
    }

    /// The members of a group in this cluster.
    pub(crate) async fn members(&self, group: &GroupName) -> Result<Vec<Value>, Refusal> {
        let list = self.read(&members_path(group)).await?;
        let items = list["items"].as_array().cloned().unwrap_or_default();
        let own = |item: &Value| item["spec"]["callsign"] == group.callsign.as_str();
        Ok(items.into_iter().filter(own).collect())
    }

    /// What it shows now.
    pub(crate) async fn view(&self, group: &GroupName, kinds: &[(Kind, String)]) -> View {
        let mut view = View {
            cluster: self.cluster.clone(),
            ..View::default()
        };
        match self.read(&lease_path(group)).await {
            Ok(lease) => (view.holder, view.lease_token) = lease_term(&lease),
            Err(refusal) => view
                .trouble
                .push(format!("the lease can't be read: {refusal}")),
        }
        match self.read(&group_path(group)).await {
            Ok(group) => {
                let status = &group["status"];
                view.leader = filled(&status["leader"]);
                view.address = filled(&status["leaderAddress"]);
                view.group_token = status["token"].as_i64();
            }
            Err(refusal) => view
                .trouble
                .push(format!("the group can't be read: {refusal}")),
        }
        match self.members(group).await {
            Ok(members) => view.member = members.first().map(member),
            Err(refusal) => view
                .trouble
                .push(format!("the member can't be read: {refusal}")),
        }
        match self.payload(group, kinds).await {
            Ok(objects) => {
                view.payload = objects
                    .into_iter()
                    .map(|object| (object.name, object.token))
                    .collect();
            }
            Err(refusal) => view
                .trouble
                .push(format!("the payload can't be read: {refusal}")),
        }
        view
    }
}

fn late() -> Refusal {
    Refusal::Unreachable(format!("no answer within {} s", ANSWER_WITHIN.as_secs()))
}

fn filled(value: &Value) -> Option<String> {
    let text = value.as_str()?;
    (!text.is_empty()).then(|| text.to_owned())
}

fn object(kind: &Kind, metadata: &Value) -> Object {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let name = match metadata["namespace"].as_str() {
        Some(namespace) => format!("{namespace}/{}", text(&metadata["name"])),
        None => text(&metadata["name"]),
    };
    Object {
        name: format!("{} {name}", kind.kind),
        uid: text(&metadata["uid"]),
        token: annotation(metadata, TERM_TOKEN),
    }
}

fn annotation(metadata: &Value, name: &str) -> Option<i64> {
    metadata["annotations"][name].as_str()?.parse().ok()
}

/// Who holds a lease, and the token of its last term.
pub(crate) fn lease_term(lease: &Value) -> (Option<String>, Option<i64>) {
    (
        filled(&lease["spec"]["holderIdentity"]),
        annotation(&lease["metadata"], LEASE_TOKEN),
    )
}

/// What a member says of itself.
pub(crate) fn member(object: &Value) -> MemberView {
    let (spec, status) = (&object["spec"], &object["status"]);
    MemberView {
        state: status["state"].as_str().unwrap_or_default().to_owned(),
        leading: status["leading"].as_bool().unwrap_or_default(),
        token: status["token"].as_i64(),
        address: filled(&spec["serviceAddress"]),
    }
}

/// Where a group's record is.
pub(crate) fn group_path(group: &GroupName) -> String {
    format!("{}/{}", groups_path(&group.namespace), group.callsign)
}

/// Where a namespace's groups are.
pub(crate) fn groups_path(namespace: &str) -> String {
    format!("/apis/helium.dev/v1/namespaces/{namespace}/failovergroups")
}

/// Where a group's lease is.
pub(crate) fn lease_path(group: &GroupName) -> String {
    format!("{}/{}", leases_path(&group.namespace), group.lease())
}

/// Where a namespace's leases are.
pub(crate) fn leases_path(namespace: &str) -> String {
    format!("/apis/coordination.helium.dev/v1/namespaces/{namespace}/leases")
}

/// Where a namespace's members are.
pub(crate) fn members_path(group: &GroupName) -> String {
    format!(
        "/apis/kube-vip.io/v1alpha1/namespaces/{}/multiclusters",
        group.namespace
    )
}

/// The kinds of the objects in a payload's text.
pub(crate) fn kinds(payload: &str) -> Vec<Kind> {
    let mut kinds = Vec::new();
    for document in serde_yaml_ng::Deserializer::from_str(payload) {
        // Behind a mistake there are no more documents, but the same mistake without end.
        let Ok(value) = <Value as serde::Deserialize>::deserialize(document) else {
            break;
        };
        gather(&value, &mut kinds);
    }
    kinds.sort();
    kinds.dedup();
    kinds
}

fn gather(value: &Value, kinds: &mut Vec<Kind>) {
    if let (Some(version), Some(kind)) = (value["apiVersion"].as_str(), value["kind"].as_str()) {
        match value["items"].as_array() {
            Some(items) if kind.ends_with("List") => {
                items.iter().for_each(|item| gather(item, kinds));
            }
            _ => kinds.push(Kind {
                version: version.to_owned(),
                kind: kind.to_owned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_kinds_of_a_payload_are_those_of_its_documents_and_lists() {
        let text = "---\napiVersion: v1\nkind: ConfigMap\n---\n# nothing\n---\napiVersion: v1\nkind: List\nitems:\n\
                    - {apiVersion: apps/v1, kind: Deployment}\n- {apiVersion: v1, kind: ConfigMap}\n";
        let found: Vec<String> = kinds(text)
            .iter()
            .map(|kind| format!("{} {}", kind.version, kind.kind))
            .collect();
        assert_eq!(found, ["apps/v1 Deployment", "v1 ConfigMap"]);
        assert_eq!(kinds("not: [yaml"), []);
        assert_eq!(kinds(""), []);
    }

    #[test]
    fn an_object_carries_the_token_of_its_term() {
        let metadata = json!({"name": "web", "namespace": "shop", "uid": "u", "annotations": {TERM_TOKEN: "42"}});
        let kind = Kind {
            version: "v1".to_owned(),
            kind: "ConfigMap".to_owned(),
        };
        let found = object(&kind, &metadata);
        assert_eq!(
            (found.name.as_str(), found.token),
            ("ConfigMap shop/web", Some(42))
        );
        assert_eq!(object(&kind, &json!({"name": "all"})).name, "ConfigMap all");
    }

    #[test]
    fn a_lease_that_was_given_up_has_a_token_and_no_holder() {
        let lease = json!({"metadata": {"annotations": {LEASE_TOKEN: "7"}}, "spec": {"holderIdentity": ""}});
        assert_eq!(lease_term(&lease), (None, Some(7)));
    }
}
