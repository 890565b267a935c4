//! The name of a cluster in the fleet.

use std::fmt;
use std::str::FromStr;

use helium_apimachinery::names;

/// The name of a cluster: a lower-case DNS label, which is part of keys and certificates.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterName(String);

/// A text that can't name a cluster.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a cluster's name has 1 to 63 lower-case letters, digits or '-', and begins and ends with a letter or digit"
)]
pub struct InvalidClusterName;

impl ClusterName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ClusterName {
    type Err = InvalidClusterName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if names::dns1123_label(text).is_empty() {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidClusterName)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_dns_labels_name_a_cluster() {
        for good in ["a", "east-1", "0"] {
            assert_eq!(good.parse::<ClusterName>().unwrap().as_str(), good);
        }
        let long = "a".repeat(64);
        for bad in ["", "-a", "a-", "A", "a.b", "a b", &long] {
            assert_eq!(bad.parse::<ClusterName>(), Err(InvalidClusterName), "{bad}");
        }
    }
}
