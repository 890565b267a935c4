//! Groups and their leases, through any cluster of the fleet.

use helium_failover::kind::{FAILOVER_GROUPS, GroupSpec, GroupStatus};
use helium_failover::lease::LeaseView;
use helium_failover::{ClusterName, GroupName};
use http::Method;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::connection::{Connection, Refusal};
use crate::error::{Error, Result};
use crate::options::FailoverGroupOptions;

/// For patches of objects without a schema of their own here.
const MERGE_PATCH: &str = "application/merge-patch+json";

/// A group as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    /// Where, and its callsign.
    pub(super) name: GroupName,
    /// Of which resourceVersion this is.
    pub(super) version: String,
    /// What is wanted.
    pub(super) spec: GroupSpec,
    /// What is.
    pub(super) status: GroupStatus,
}

/// What of a Lease isn't in the group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    /// As the members read it.
    pub(super) view: LeaseView,
    /// When it runs out, if clocks agree: its holder's time of the last renewal, and the duration.
    pub(super) runs_out: Option<Timestamp>,
}

/// A group of the fleet, and a way to ask for it.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    /// The way.
    pub(super) connection: Connection,
    /// Which.
    pub(super) name: GroupName,
}

impl Group {
    /// Reads an object; `None` if it isn't a group.
    pub(super) fn read(object: &Value) -> Option<Self> {
        let text = |name: &str| object["metadata"][name].as_str().map(str::to_owned);
        // What isn't there has its default.
        let spec = match &object["spec"] {
            Value::Null => GroupSpec::default(),
            spec => GroupSpec::deserialize(spec).ok()?,
        };
        let status = match &object["status"] {
            Value::Null => GroupStatus::default(),
            status => GroupStatus::deserialize(status).ok()?,
        };
        Some(Self {
            name: GroupName {
                namespace: text("namespace")?,
                callsign: text("name")?,
            },
            version: text("resourceVersion").unwrap_or_default(),
            spec,
            status,
        })
    }
}

impl Asked {
    /// Finds out where the group is meant to be. Nobody is asked yet.
    pub(super) async fn open(options: FailoverGroupOptions) -> Result<Self> {
        let FailoverGroupOptions {
            group,
            namespace,
            access,
        } = options;
        let connection = Connection::open(&access).await?;
        let namespace = group
            .namespace
            .or(namespace)
            .unwrap_or_else(|| connection.namespace().to_owned());
        let name = GroupName {
            namespace,
            callsign: group.callsign,
        };
        Ok(Self { connection, name })
    }

    /// The group.
    pub(super) async fn group(&self) -> Result<Group> {
        match self.connection.get(&path(&self.name)).await {
            Ok(answer) => Group::read(&answer.json()).ok_or_else(|| Error::Refused {
                doing: format!("reading group {}", self.name),
                source: Refusal::Unreachable("what was answered isn't a FailoverGroup".to_owned()),
            }),
            Err(refusal) if refusal.code() == Some(404) => Err(Error::NoGroup {
                group: self.name.to_string(),
            }),
            Err(source) => Err(Error::Refused {
                doing: format!("reading group {}", self.name),
                source,
            }),
        }
    }

    /// The group's lease, as far as one may see it.
    pub(super) async fn record(&self) -> Option<Record> {
        record(&self.connection, &self.name).await
    }

    /// Changes the group's spec. With `version` only if the group is still of that resourceVersion.
    pub(super) async fn change(
        &self,
        doing: &str,
        spec: Value,
        version: Option<&str>,
    ) -> Result<Group> {
        let mut patch = json!({"spec": spec});
        if let Some(version) = version {
            patch["metadata"] = json!({"resourceVersion": version});
        }
        let path = path(&self.name);
        let answer = self
            .connection
            .write(Method::PATCH, &path, MERGE_PATCH, &patch)
            .await;
        let refused = |source| Error::Refused {
            doing: format!("{doing} group {}", self.name),
            source,
        };
        let answer = answer.map_err(refused)?;
        Group::read(&answer.json()).ok_or_else(|| {
            refused(Refusal::Unreachable(
                "what was answered isn't a FailoverGroup".to_owned(),
            ))
        })
    }

    /// Withdraws the wish that a cluster leads, if it is still that one.
    pub(super) async fn forget(&self, cluster: &ClusterName) -> Result<bool> {
        for _try in 0..10 {
            let group = self.group().await?;
            if group.spec.preferred_cluster.as_ref() != Some(cluster) {
                return Ok(false);
            }
            let spec = json!({"preferredCluster": null});
            let changed = self.change("changing", spec, Some(&group.version)).await;
            match changed {
                Ok(_) => return Ok(true),
                // Members write there too.
                Err(Error::Refused { source, .. }) if source.code() == Some(409) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::NotSettled {
            what: format!("the wish of group {}", self.name),
            seconds: 0,
        })
    }
}

/// All groups, of one namespace or of all, by namespace and name; and the resourceVersion of the list.
pub(super) async fn groups(
    connection: &Connection,
    namespace: Option<&str>,
) -> Result<(Vec<Group>, String)> {
    let answer = connection.get(&list_path(namespace)).await;
    let list = answer
        .map_err(|source| Error::Refused {
            doing: "reading the failover groups".to_owned(),
            source,
        })?
        .json();
    let items = list["items"].as_array().cloned().unwrap_or_default();
    let mut groups: Vec<Group> = items.iter().filter_map(Group::read).collect();
    groups.sort_by(|a, b| a.name.cmp(&b.name));
    let version = list["metadata"]["resourceVersion"].as_str();
    Ok((groups, version.unwrap_or_default().to_owned()))
}

/// Path of the groups of one namespace or of all.
pub(super) fn list_path(namespace: Option<&str>) -> String {
    match namespace {
        Some(namespace) => format!("/apis/helium.dev/v1/namespaces/{namespace}/{FAILOVER_GROUPS}"),
        None => format!("/apis/helium.dev/v1/{FAILOVER_GROUPS}"),
    }
}

/// A group's lease. Whoever may not read leases sees the rest.
pub(super) async fn record(connection: &Connection, name: &GroupName) -> Option<Record> {
    let path = format!(
        "/apis/coordination.helium.dev/v1/namespaces/{}/leases/{}",
        name.namespace,
        name.lease()
    );
    let lease = connection.get(&path).await.ok()?.json();
    let view = LeaseView::of(&lease);
    let runs_out = view.holder.as_ref().and_then(|holder| {
        let renewed: Timestamp = lease["spec"]["renewTime"].as_str()?.parse().ok()?;
        let duration = SignedDuration::try_from(holder.duration).ok()?;
        renewed.checked_add(duration).ok()
    });
    Some(Record { view, runs_out })
}

fn path(name: &GroupName) -> String {
    format!("{}/{}", list_path(Some(&name.namespace)), name.callsign)
}
