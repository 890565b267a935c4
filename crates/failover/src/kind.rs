//! The two kinds as JSON has them, and the names that are written into other objects.
//!
//! `MultiCluster` (`kube-vip.io/v1alpha1`) stands in each cluster for itself; a `FailoverGroup` (`helium.dev/v1`) is one object for all
//! clusters, of which each may write its own entry; who leads is written there by the server, with the
//! term.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::names::{ClusterName, Token};

/// Group of MultiClusters.
pub const MULTI_CLUSTER_GROUP: &str = "kube-vip.io";
/// Version of MultiClusters.
pub const MULTI_CLUSTER_VERSION: &str = "v1alpha1";
/// Plural name of MultiClusters.
pub const MULTI_CLUSTERS: &str = "multiclusters";
/// Kind of MultiClusters.
pub const MULTI_CLUSTER_KIND: &str = "MultiCluster";
/// Plural name of the groups, in `helium.dev/v1`.
pub const FAILOVER_GROUPS: &str = "failovergroups";
/// Kind of the groups.
pub const FAILOVER_GROUP_KIND: &str = "FailoverGroup";

/// Label of a group's Lease (its value is the callsign), and of every object of a payload (its value there is
/// [`payload_label`]).
pub const GROUP_LABEL: &str = "helium.dev/failover-group";
/// Annotation of payload objects: uid of the MultiCluster that they belong to.
pub const OWNER_UID: &str = "helium.dev/failover-owner";
/// Annotation of payload objects and pod templates: token of the term that they were applied in.
pub const TERM_TOKEN: &str = "helium.dev/failover-token";
/// Finalizer of a MultiCluster whose payload may still be there.
pub const FINALIZER: &str = "helium.dev/failover";
/// Environment variable of a payload's containers: the term's token.
pub const TOKEN_VARIABLE: &str = "HELIUM_FENCING_TOKEN";
/// Environment variable of a payload's containers: the whole precondition, as the header `Helium-Fence` takes it.
pub const FENCE_VARIABLE: &str = "HELIUM_FENCE";
/// Field manager of everything that is applied.
pub const FIELD_MANAGER: &str = "helium-failover";

/// Value of [`GROUP_LABEL`] on a payload's objects. Two names can't give one value: namespaces have no dots.
#[must_use]
pub fn payload_label(namespace: &str, callsign: &str) -> String {
    let whole = format!("{namespace}.{callsign}");
    if whole.len() <= 63 {
        return whole;
    }
    // FNV-1a: a label has 63 characters, both names together may have more. What is owned is known by the owner's uid too.
    let hash = whole.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let kept: String = whole.chars().take(46).collect();
    // It becomes part of an object's name, too, where no dot may be beside a dash.
    format!("{}-{hash:016x}", kept.trim_end_matches(['.', '-']))
}

/// How exclusive a payload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Mode {
    /// The role of the leader and writes with its token are exclusive; pods of a predecessor that is cut off may still be
    /// ending.
    #[default]
    Fast,
    /// Pods too: a successor waits until the predecessor's are known to be gone.
    Strict,
}

/// What stops a payload whose agent can't.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum DeadManSwitch {
    /// Nothing.
    #[default]
    None,
    /// A watchdog beside the containers of the payload's pods, and a liveness probe that asks it.
    Probe,
}

/// `spec` of a MultiCluster. Fields that mean nothing here are kept as they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MultiClusterSpec {
    /// Name of the group.
    #[serde(default)]
    pub callsign: String,
    /// Whether the member may lead.
    #[serde(default)]
    pub ready: bool,
    /// The highest leads.
    #[serde(default)]
    pub rank: i64,
    /// Address at which the payload is reached in this cluster.
    #[serde(default)]
    pub service_address: Option<String>,
    /// YAML documents.
    #[serde(default)]
    pub payload: String,
    /// `address`, `port`, `fleet` and what else there is: accepted, and of no meaning.
    #[serde(flatten)]
    pub more: BTreeMap<String, Value>,
}

/// `spec` of a FailoverGroup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GroupSpec {
    /// How exclusive the payload is.
    pub mode: Mode,
    /// T, in seconds.
    pub lease_duration_seconds: i64,
    /// How long stopping may take, in seconds.
    pub stop_budget_seconds: i64,
    /// Nobody begins a term, and nobody hands over; who leads goes on.
    pub paused: bool,
    /// The member that leads while it can, whatever the ranks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preferred_cluster: Option<ClusterName>,
    /// What stops a payload whose agent can't. Only of meaning in strict mode.
    pub dead_man_switch: DeadManSwitch,
    /// A person's word that terms are over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub force: Option<Force>,
}

impl Default for GroupSpec {
    fn default() -> Self {
        Self {
            mode: Mode::Fast,
            lease_duration_seconds: 15,
            stop_budget_seconds: 5,
            paused: false,
            preferred_cluster: None,
            dead_man_switch: DeadManSwitch::None,
            force: None,
        }
    }
}

/// A person's word that every term up to a token is over, and who shall lead now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Force {
    /// The last of those terms.
    pub token: Token,
    /// Who takes the lease at once.
    pub cluster: ClusterName,
}

/// `status` of a FailoverGroup.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GroupStatus {
    /// Who holds the lease. Written by the server in the transaction of the term, like the next four.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leader: Option<ClusterName>,
    /// Its service address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leader_address: Option<String>,
    /// The term's token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<Token>,
    /// When the term began, or nobody led any more (RFC 3339, the server's clock).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// One for each cluster with a MultiCluster of this callsign; each is written by its own cluster only.
    pub members: Vec<MemberEntry>,
    /// Terms, the newest first; the server keeps the last [`HISTORY`].
    pub history: Vec<TermEntry>,
    /// Conditions, as Kubernetes has them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Value>,
}

/// How many terms a group remembers.
pub const HISTORY: usize = 32;

/// What a cluster says of itself in a group.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MemberEntry {
    /// Who.
    #[serde(default)]
    pub cluster: ClusterName,
    /// Its rank.
    pub rank: i64,
    /// Whether it may lead: its MultiCluster says so, and nothing that it knows of prevents it.
    pub ready: bool,
    /// Its service address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// A state of the [machine](crate::machine::State), by name.
    pub state: String,
    /// Why it is in that state: one word.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The same for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// When it came into that state (RFC 3339, its own clock).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// When it became a member; of equal ranks the older leads (RFC 3339, its own clock).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub joined: Option<String>,
    /// Token of the term that it would succeed at once: its answer to `preferredHolder`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stands_for: Option<Token>,
    /// Every term of its own up to this one is over, and its payload gone (F3).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<Token>,
    /// Hash of its payload's text: members of one group should agree.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload_hash: Option<String>,
}

/// A term, as it is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TermEntry {
    /// Its token; only of the newest it may be absent while it is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<Token>,
    /// Who led.
    pub cluster: ClusterName,
    /// At which address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// When it began (RFC 3339, the server's clock).
    pub began: String,
    /// Why.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// When it was given up or taken away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
    /// Why.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub end_reason: String,
}
