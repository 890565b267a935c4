//! Where APIServices point.

use std::fmt;
use std::str::FromStr;

use crate::cluster_name::ClusterName;

/// A Service of the cluster and one of its ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceAddress {
    /// Namespace of the Service.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The port.
    pub port: u16,
}

/// A text that can't name a Service and its port.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("write namespace/name:port, such as helium-system/helium-apiserver:443")]
pub struct InvalidServiceAddress;

/// Port of a Service that none is named for, as in APIServices.
const DEFAULT_PORT: u16 = 443;

impl fmt::Display for ServiceAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}:{}", self.namespace, self.name, self.port)
    }
}

impl FromStr for ServiceAddress {
    type Err = InvalidServiceAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (path, port) = match text.split_once(':') {
            Some((path, port)) => (path, port.parse().map_err(|_| InvalidServiceAddress)?),
            None => (text, DEFAULT_PORT),
        };
        let (namespace, name) = path.split_once('/').ok_or(InvalidServiceAddress)?;
        if port == 0 || !is_label(namespace) || !is_label(name) {
            return Err(InvalidServiceAddress);
        }
        Ok(Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            port,
        })
    }
}

fn is_label(text: &str) -> bool {
    // Namespaces and Services are named by the same rule as clusters.
    text.parse::<ClusterName>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_may_be_left_out_and_the_rest_may_not() {
        for (text, whole) in [("a/b", "a/b:443"), ("a/b:8443", "a/b:8443")] {
            let address: ServiceAddress = text.parse().unwrap();
            assert_eq!(address.to_string(), whole);
        }
        for bad in [
            "",
            "a",
            "a/",
            "/b:1",
            "a/b:",
            "a/b:0",
            "a/b:x",
            "a/b:65536",
            "a/b/c:1",
            "A/b:1",
        ] {
            assert_eq!(
                bad.parse::<ServiceAddress>(),
                Err(InvalidServiceAddress),
                "{bad}"
            );
        }
    }
}
