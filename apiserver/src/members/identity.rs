//! Whose certificate this server shows to the store.
//!
//! A cluster's certificates name it as an organisation, `helium:cluster:<name>`. The store's servers believe that name,
//! not `--cluster-name`: a server that is told another one would write as somebody that it isn't.

use std::path::{Path, PathBuf};

use helium_tls::{CertificateIdentity, Distrust};

use crate::config::StoreConfig;

/// Why a server must not show its certificate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It can't be read.
    #[error("read the certificate for the store")]
    Unreadable(#[source] helium_tls::Error),
    /// Nobody will take it for any cluster's.
    #[error("use the certificate {} for the store", path.display())]
    Untrusted {
        /// The file.
        path: PathBuf,
        /// What is wrong with its names.
        #[source]
        source: Distrust,
    },
    /// It is another cluster's.
    #[error("the certificate {} is cluster {named:?}'s, but this server's cluster is {cluster:?}", path.display())]
    OtherCluster {
        /// The file.
        path: PathBuf,
        /// The cluster that the certificate names.
        named: String,
        /// The cluster that the server was told.
        cluster: String,
    },
}

/// Makes sure that the certificate for the store, if there is one, names no other cluster. One that names
/// none is nobody's: it may be shown.
///
/// # Errors
/// [`Error`] when it names another one or can't be read.
pub fn check(cluster: &str, store: &StoreConfig) -> Result<(), Error> {
    let shown = store.servers.iter().any(|url| url.scheme() == "https");
    match &store.cert_file {
        Some(path) if shown => check_file(cluster, path),
        _ => Ok(()),
    }
}

fn check_file(cluster: &str, path: &Path) -> Result<(), Error> {
    let chain = helium_tls::certificates_from_file(path).map_err(Error::Unreadable)?;
    let Some(leaf) = chain.first() else {
        return Ok(());
    };
    let subject = CertificateIdentity::from_certificate(leaf).map_err(Error::Unreadable)?;
    match subject.cluster() {
        Ok(named) if named == cluster => Ok(()),
        Ok(named) => Err(Error::OtherCluster {
            path: path.to_owned(),
            named: named.to_owned(),
            cluster: cluster.to_owned(),
        }),
        Err(Distrust::NoCluster) => Ok(()),
        Err(source) => Err(Error::Untrusted {
            path: path.to_owned(),
            source,
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use helium_tls::pki::Authority;

    use super::*;

    fn store(directory: &Path, organizations: &[&str], url: &str) -> StoreConfig {
        let authority = Authority::new("one").unwrap();
        let issued = authority.issue_client("apiserver", organizations).unwrap();
        let (certificate, key) = issued.save(directory, "store").unwrap();
        StoreConfig {
            servers: vec![url.parse().unwrap()],
            prefix: "/registry".to_owned(),
            ca_file: None,
            cert_file: Some(certificate),
            key_file: Some(key),
            compaction_interval: Duration::ZERO,
        }
    }

    #[test]
    fn a_certificate_of_another_cluster_is_not_shown() {
        let directory = tempfile::tempdir().unwrap();
        let (url, plain) = ("https://127.0.0.1:2379", "http://127.0.0.1:2379");
        let fine: [&[&str]; 3] = [&["helium:cluster:c1"], &[], &["system:masters"]];
        for organizations in fine {
            check("c1", &store(directory.path(), organizations, url)).unwrap();
        }
        let other = ["helium:cluster:c2"];
        let error = check("c1", &store(directory.path(), &other, url)).unwrap_err();
        let message = error.to_string();
        assert!(message.contains("is cluster \"c2\"'s"), "{message}");
        assert!(message.contains("server's cluster is \"c1\""), "{message}");
        let both = ["helium:cluster:c1", "helium:cluster:c2"];
        let error = check("c1", &store(directory.path(), &both, url)).unwrap_err();
        assert!(matches!(error, Error::Untrusted { .. }), "{error}");
        check("c1", &store(directory.path(), &other, plain)).unwrap();
    }
}
