//! Names and numbers that have a meaning of their own.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A cluster of the fleet, as it is called there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClusterName(pub String);

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A failover group: a namespace of the fleet, and the callsign of its members.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupName {
    /// The namespace of its members, the same in each cluster.
    pub namespace: String,
    /// The callsign, which is the name of the group's object.
    pub callsign: String,
}

impl GroupName {
    /// Name of the group's Lease, in its namespace.
    #[must_use]
    pub fn lease(&self) -> String {
        format!("failover-{}", self.callsign)
    }

    /// The precondition "only while the group's lease is held at this token", as `Helium-Fence` takes it.
    #[must_use]
    pub fn fence(&self, token: Token) -> String {
        format!("{}/{}={token}", self.namespace, self.lease())
    }
}

impl fmt::Display for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.callsign)
    }
}

/// The fencing token of a term: the revision of its beginning. It grows with every term.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Token(pub i64);

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
