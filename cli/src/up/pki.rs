//! Certificates of a local fleet: one authority a cluster, kept over restarts.

use std::path::{Path, PathBuf};

use helium_tls::pki::{Authority, Issued};

use crate::error::Result;
use crate::options::Cluster;

/// What one cluster's API server and its admin need.
#[derive(Debug)]
pub(super) struct ClusterPki {
    /// PEM of the cluster's authority.
    pub(super) authority_pem: String,
    /// The authority's certificate, as a file.
    pub(super) authority_file: PathBuf,
    /// The serving certificate.
    pub(super) server_certificate: PathBuf,
    /// The serving certificate's key.
    pub(super) server_key: PathBuf,
    /// The admin, a member of `system:masters`.
    pub(super) admin: Issued,
}

impl ClusterPki {
    /// Loads the cluster's authority from `directory`, or makes one, and issues fresh certificates
    /// that are valid for `address` and `localhost`.
    pub(super) fn prepare(directory: &Path, cluster: &Cluster, address: &str) -> Result<Self> {
        let authority_file = directory.join("ca.crt");
        let authority = Authority::load_or_new(
            &format!("helium {cluster}"),
            &authority_file,
            &directory.join("ca.key"),
        )?;
        let mut names = vec!["localhost", "127.0.0.1", "::1"];
        if !names.contains(&address) {
            names.push(address);
        }
        let server = authority.issue_server("helium-apiserver", &names)?;
        let (server_certificate, server_key) = server.save(directory, "server")?;
        let admin = authority.issue_client("helium-admin", &["system:masters"])?;
        admin.save(directory, "admin")?;
        Ok(Self {
            authority_pem: authority.certificate_pem().to_owned(),
            authority_file,
            server_certificate,
            server_key,
            admin,
        })
    }
}
