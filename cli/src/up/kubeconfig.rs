//! Kubeconfig files: one for each cluster, and one with all of them as contexts.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::pki::ClusterPki;
use crate::error::{Error, Result};
use crate::options::Cluster;

/// One cluster's entries of a kubeconfig.
#[derive(Debug)]
pub(super) struct Context {
    name: String,
    cluster: Value,
    user: Value,
}

impl Context {
    /// The admin's way into `cluster` at `url`.
    pub(super) fn new(cluster: &Cluster, url: &str, pki: &ClusterPki) -> Self {
        let encode = |text: &str| STANDARD.encode(text);
        Self {
            name: cluster.to_string(),
            cluster: json!({
                "server": url,
                "certificate-authority-data": encode(&pki.authority_pem),
            }),
            user: json!({
                "client-certificate-data": encode(&pki.admin.certificate_pem),
                "client-key-data": encode(&pki.admin.key_pem),
            }),
        }
    }
}

/// Writes a kubeconfig whose current context is the first of `contexts`. It holds keys, so that
/// only the owner may read it.
pub(super) fn write(path: &Path, contexts: &[&Context]) -> Result<()> {
    let admin = |context: &Context| format!("{}-admin", context.name);
    let document = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": contexts.first().map(|context| context.name.as_str()),
        "clusters": contexts.iter().map(|context| json!({
            "name": context.name, "cluster": context.cluster,
        })).collect::<Vec<_>>(),
        "users": contexts.iter().map(|context| json!({
            "name": admin(context), "user": context.user,
        })).collect::<Vec<_>>(),
        "contexts": contexts.iter().map(|context| json!({
            "name": context.name,
            "context": { "cluster": context.name, "user": admin(context), "namespace": "default" },
        })).collect::<Vec<_>>(),
    });
    let text = serde_yaml_ng::to_string(&document).map_err(Error::Kubeconfig)?;
    crate::files::write_secret(path, &text)
}
