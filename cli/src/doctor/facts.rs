//! Everything that is asked, each question once, most of them at the same time.

use jiff::Timestamp;
use serde_json::{Value, json};
use url::Url;

use super::probe::{self, Served};
use crate::connection::{Answer, Connection, Refusal};
use crate::options::ServiceAccountUser;

/// The answer to one question, or why there is none.
pub(super) type Fetched = Result<Answer, Refusal>;

/// Where a request leaves the cluster's own API and enters the fleet's.
const FLEET_PROXY: &str = "/apis/helium.dev/v1/controlplanes/fleet/proxy";
/// Discovery of all groups in one document; an older kube-apiserver answers in the form of the second.
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
                          application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";
/// The APIService by which all others are judged.
pub(super) const FIRST_API_SERVICE: &str = "v1.helium.dev";

/// What is known of the cluster.
#[derive(Debug)]
pub(super) struct Facts {
    /// When it was asked.
    pub(super) now: Timestamp,
    /// The URL of its API server.
    pub(super) server: String,
    /// `/version`.
    pub(super) version: Fetched,
    /// Which groups it serves, and which of them are stale.
    pub(super) discovery: Fetched,
    /// Its APIServices.
    pub(super) api_services: Fetched,
    /// The Service that the first of our APIServices points at; absent if there is no such APIService.
    pub(super) service: Option<Fetched>,
    /// Its own kinds.
    pub(super) crds: Fetched,
    /// The front proxy's settings.
    pub(super) front_proxy: Fetched,
    /// What the server may do in the cluster.
    pub(super) rights: Vec<(Right, Fetched)>,
    /// The server's user.
    pub(super) server_user: String,
    /// The service accounts of `kube-system`: controllers with credentials of their own have one each.
    pub(super) accounts: Fetched,
    /// The controller manager's pods, where they can be seen.
    pub(super) controller_managers: Fetched,
    /// Its namespaces.
    pub(super) namespaces: Fetched,
    /// What the server shows to whom connects to it.
    pub(super) served: Option<Served>,
    /// Whether the server reaches its store.
    pub(super) store: Fetched,
    /// The fleet's members.
    pub(super) members: Fetched,
    /// The members' heartbeats.
    pub(super) heartbeats: Fetched,
    /// What the fleet shares.
    pub(super) definitions: Fetched,
    /// The cluster's name in the fleet, if it can be told.
    pub(super) name: Option<String>,
}

/// Something that the server must be allowed to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Right {
    verb: &'static str,
    group: &'static str,
    resource: &'static str,
    namespace: &'static str,
    name: &'static str,
    /// The binding that gives it.
    pub(super) given_by: &'static str,
}

/// What the server needs in its cluster.
const RIGHTS: [Right; 3] = [
    Right {
        verb: "create",
        group: "authorization.k8s.io",
        resource: "subjectaccessreviews",
        namespace: "",
        name: "",
        given_by: "ClusterRoleBinding to system:auth-delegator",
    },
    Right {
        verb: "create",
        group: "authentication.k8s.io",
        resource: "tokenreviews",
        namespace: "",
        name: "",
        given_by: "ClusterRoleBinding to system:auth-delegator",
    },
    Right {
        verb: "get",
        group: "",
        resource: "configmaps",
        namespace: "kube-system",
        name: "extension-apiserver-authentication",
        given_by: "RoleBinding in kube-system to extension-apiserver-authentication-reader",
    },
];

impl std::fmt::Display for Right {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} {}", self.verb, self.resource)
    }
}

impl Right {
    fn review(&self, user: &ServiceAccountUser) -> Value {
        json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": user.name(),
                "groups": user.groups(),
                "resourceAttributes": {
                    "verb": self.verb, "group": self.group, "resource": self.resource,
                    "namespace": self.namespace, "name": self.name,
                },
            },
        })
    }
}

impl Facts {
    /// Asks everything.
    pub(super) async fn gather(
        connection: &Connection,
        user: &ServiceAccountUser,
        direct: Option<&Url>,
    ) -> Self {
        let get = |path: &'static str| connection.get(path);
        let now = Timestamp::now();
        // If this isn't answered, nothing else will be: whoever waits isn't kept.
        let version = get("/version").await;
        let (version, api_services, discovery, crds) = match version {
            Ok(version) => {
                let others = tokio::join!(
                    get("/apis/apiregistration.k8s.io/v1/apiservices"),
                    connection.get_as("/apis", AGGREGATED),
                    get("/apis/apiextensions.k8s.io/v1/customresourcedefinitions"),
                );
                (Ok(version), others.0, others.1, others.2)
            }
            Err(refusal) => {
                let none = || Err(refusal.clone());
                (none(), none(), none(), none())
            }
        };
        if let Err(refusal) = &version {
            let none = || Err(refusal.clone());
            return Self {
                now,
                server: connection.server().to_owned(),
                version: none(),
                discovery,
                api_services,
                service: None,
                crds,
                front_proxy: none(),
                rights: Vec::new(),
                server_user: user.name(),
                accounts: none(),
                controller_managers: none(),
                namespaces: none(),
                served: None,
                store: none(),
                members: none(),
                heartbeats: none(),
                definitions: none(),
                name: None,
            };
        }
        let store_path = format!("{FLEET_PROXY}/readyz/etcd");
        let (front_proxy, accounts, controller_managers, namespaces, store, members) = tokio::join!(
            get("/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication"),
            get("/api/v1/namespaces/kube-system/serviceaccounts"),
            get(
                "/api/v1/namespaces/kube-system/pods?labelSelector=component%3Dkube-controller-manager"
            ),
            get("/api/v1/namespaces"),
            connection.get(&store_path),
            get("/apis/helium.dev/v1/members"),
        );
        let (heartbeats, definitions, named) = tokio::join!(
            get("/apis/coordination.helium.dev/v1/namespaces/helium-system/leases"),
            get("/apis/helium.dev/v1/sharedresourcedefinitions"),
            get("/api/v1/namespaces/helium-system/configmaps/helium-cluster"),
        );
        let mut rights = Vec::new();
        for right in RIGHTS {
            let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
            let body = right.review(user);
            let answer = connection.write(http::Method::POST, path, "application/json", &body);
            rights.push((right, answer.await));
        }
        let first = items(&api_services)
            .into_iter()
            .find(|service| service["metadata"]["name"] == FIRST_API_SERVICE);
        let service = match first.as_ref().map(|first| &first["spec"]["service"]) {
            Some(to) if to.is_object() => {
                let path = format!(
                    "/api/v1/namespaces/{}/services/{}",
                    text(&to["namespace"]),
                    text(&to["name"])
                );
                Some(connection.get(&path).await)
            }
            _ => None,
        };
        let name = name_of(named.as_ref().ok(), &definitions, &members, connection);
        let served = match &first {
            Some(first) => {
                let service = service.as_ref().and_then(|service| service.as_ref().ok());
                let service = service.map(Answer::json);
                probe::served(first, service.as_ref(), direct).await
            }
            None => None,
        };
        Self {
            now,
            server: connection.server().to_owned(),
            version,
            discovery,
            api_services,
            service,
            crds,
            front_proxy,
            rights,
            server_user: user.name(),
            accounts,
            controller_managers,
            namespaces,
            served,
            store,
            members,
            heartbeats,
            definitions,
            name,
        }
    }

    /// The groups that the fleet serves: its own, and those of the definitions that could be read.
    pub(super) fn groups(&self) -> Vec<String> {
        let mut groups = vec![
            "helium.dev".to_owned(),
            "coordination.helium.dev".to_owned(),
        ];
        for definition in items(&self.definitions) {
            let group = text(&definition["spec"]["group"]);
            if !group.is_empty() && !groups.iter().any(|known| known == group) {
                groups.push(group.to_owned());
            }
        }
        groups
    }
}

/// The cluster's name: from its ConfigMap, or because a Member's endpoint is the very server that was asked.
fn name_of(
    named: Option<&Answer>,
    definitions: &Fetched,
    members: &Fetched,
    connection: &Connection,
) -> Option<String> {
    if let Some(name) = named.map(Answer::json) {
        let name = text(&name["data"]["name"]);
        if !name.is_empty() {
            return Some(name.to_owned());
        }
    }
    let trimmed = |url: &Value| text(url).trim_end_matches('/').to_owned();
    let by_endpoint = items(members).into_iter().find(|member| {
        let endpoints = member["status"]["endpoints"].as_array();
        let mut endpoints = endpoints.into_iter().flatten();
        endpoints.any(|endpoint| trimmed(&endpoint["url"]) == connection.server())
    });
    if let Some(member) = by_endpoint {
        return Some(text(&member["metadata"]["name"]).to_owned());
    }
    // Whoever is alone is this one.
    let mut names: Vec<String> = items(definitions)
        .iter()
        .flat_map(|definition| {
            let clusters = definition["status"]["clusters"].as_array().cloned();
            clusters.unwrap_or_default()
        })
        .chain(
            items(members)
                .iter()
                .map(|member| member["metadata"].clone()),
        )
        .map(|entry| text(&entry["name"]).to_owned())
        .collect();
    names.sort();
    names.dedup();
    match names.as_slice() {
        [only] => Some(only.clone()),
        _ => None,
    }
}

/// The objects of a list; none if it couldn't be read.
pub(super) fn items(list: &Fetched) -> Vec<Value> {
    let list = list.as_ref().map(Answer::json).unwrap_or_default();
    match list {
        Value::Object(mut list) => match list.remove("items") {
            Some(Value::Array(items)) => items,
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

/// The name of an object.
pub(super) fn name(object: &Value) -> &str {
    text(&object["metadata"]["name"])
}

/// A text; empty if it isn't one.
pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A condition of an object: its status, reason and message.
pub(super) fn condition<'a>(object: &'a Value, type_: &str) -> Option<(&'a str, &'a str, &'a str)> {
    let conditions = object["status"]["conditions"].as_array()?;
    let found = conditions.iter().find(|one| one["type"] == type_)?;
    Some((
        text(&found["status"]),
        text(&found["reason"]),
        text(&found["message"]),
    ))
}
