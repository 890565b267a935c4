//! Where objects live in the store.
//!
//! `<prefix>/<group>/<resource>/[<cluster>/][<namespace>/]<name>`: the cluster's segment is there for
//! kinds that every cluster has its own objects of, the namespace's for namespaced kinds. Outside
//! of it are `<prefix>/helium.dev/terms/<namespace>/<lease>`, written with leases, `<prefix>/helium.dev/departures/<namespace>/<cluster>` and
//! `<prefix>/helium.dev/returns`, which say who has left a namespace, `<prefix>/helium.dev/incarnations/store`, which only the store writes, `<prefix>/health`, which is only read, and `compact_rev_key`, which
//! every API server on one etcd shares by that very name.

/// The key that API servers coordinate compaction through.
pub(super) const COMPACTION: &str = "compact_rev_key";

/// The keys under one prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyspace {
    /// Without a slash at its end; empty for the whole store.
    root: String,
}

impl Keyspace {
    /// The key under [`Keyspace::incarnations`].
    pub const INCARNATION: &'static str = "store";

    /// The keys under a prefix; slashes around it don't matter.
    #[must_use]
    pub fn new(prefix: &str) -> Self {
        Self {
            root: format!("/{}", prefix.trim_matches('/'))
                .trim_end_matches('/')
                .to_owned(),
        }
    }

    /// All objects of a resource; those of one cluster if it is given.
    #[must_use]
    pub fn resource(&self, group: &str, resource: &str, cluster: Option<&str>) -> Prefix {
        let root = &self.root;
        let group = if group.is_empty() { "core" } else { group };
        Prefix(match cluster {
            Some(cluster) => format!("{root}/{group}/{resource}/{cluster}/"),
            None => format!("{root}/{group}/{resource}/"),
        })
    }

    /// The key of a lease's present term. `helium.dev` has no resource `terms`.
    #[must_use]
    pub fn term(&self, namespace: &str, lease: &str) -> String {
        let root = &self.root;
        format!("{root}/helium.dev/terms/{namespace}/{lease}")
    }

    /// Which clusters have left which namespaces: `<namespace>/<cluster>`. `helium.dev` has no resource `departures`.
    #[must_use]
    pub fn departures(&self) -> Prefix {
        Prefix(format!("{}/helium.dev/departures/", self.root))
    }

    /// The key that changes whenever a departure is withdrawn.
    #[must_use]
    pub fn returns(&self) -> String {
        format!("{}/helium.dev/returns", self.root)
    }

    /// What the store itself tells of the times when it went back in time: one key, [`Keyspace::INCARNATION`], while that isn't long
    /// ago. `helium.dev` has no resource `incarnations`.
    #[must_use]
    pub fn incarnations(&self) -> Prefix {
        Prefix(format!("{}/helium.dev/incarnations/", self.root))
    }

    /// The key that health checks read. Nobody writes it.
    #[must_use]
    pub fn health(&self) -> String {
        format!("{}/health", self.root)
    }
}

/// A prefix of keys, ending in a slash.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Prefix(String);

impl Prefix {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key of an object, relative to the prefix: `[<namespace>/]<name>`.
    #[must_use]
    pub fn relative(namespace: Option<&str>, name: &str) -> String {
        match namespace {
            Some(namespace) => format!("{namespace}/{name}"),
            None => name.to_owned(),
        }
    }

    /// The full key of a relative one.
    #[must_use]
    pub fn key(&self, relative: &str) -> String {
        format!("{}{relative}", self.0)
    }

    /// The first key behind all keys that begin with `text`.
    ///
    /// `text` ends in a slash or is otherwise free of 0xff bytes, as all our keys are.
    #[must_use]
    pub fn end_of(text: &str) -> Vec<u8> {
        let mut end = text.as_bytes().to_vec();
        while let Some(last) = end.pop() {
            if last < u8::MAX {
                end.push(last + 1);
                return end;
            }
        }
        vec![0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn per_cluster_kinds_have_their_cluster_in_the_key() {
        let keys = Keyspace::new("/registry/");
        assert_eq!(
            keys.resource("g.io", "things", None).key("ns/a"),
            "/registry/g.io/things/ns/a"
        );
        assert_eq!(
            keys.resource("g.io", "things", Some("c1")).key("a"),
            "/registry/g.io/things/c1/a"
        );
        assert_eq!(
            Keyspace::new("").resource("", "namespaces", None).as_str(),
            "/core/namespaces/"
        );
    }

    #[test]
    fn the_end_of_a_prefix_is_the_next_key_in_byte_order() {
        assert_eq!(Prefix::end_of("/a/"), b"/a0");
        assert_eq!(Prefix::end_of(""), b"\0");
    }
}
