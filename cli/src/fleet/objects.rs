//! `objects.yaml`: what manifests/base expects in a cluster and what differs from cluster to cluster. The authorities' keys are
//! not among it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::folder::{ENDPOINT, Folder};
use crate::error::{Error, Result};

/// The namespace, as the manifests have it.
const NAMESPACE: &str = include_str!("../../../manifests/base/namespace.yaml");

/// The documents of a cluster's folder.
pub(super) fn render(folder: &Folder, cluster: &str) -> Result<String> {
    let mut objects = vec![json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "helium-cluster", "namespace": "helium-system"},
        "data": {"name": cluster},
    })];
    for (name, pair, authority) in [
        ("helium-apiserver-tls", "helium-apiserver", "helium-ca"),
        ("kine-shim-tls", "kine-shim", "store-ca"),
        ("helium-store-client-tls", "store-client", "store-ca"),
    ] {
        objects.push(secret(
            name,
            "kubernetes.io/tls",
            json!({
                "tls.crt": file(folder, &format!("{pair}.crt"))?,
                "tls.key": file(folder, &format!("{pair}.key"))?,
                "ca.crt": file(folder, &format!("{authority}.crt"))?,
            }),
        ));
    }
    if let Some(endpoint) = folder.read(ENDPOINT)? {
        let data = json!({"endpoint": STANDARD.encode(endpoint.trim())});
        objects.push(secret("helium-database", "Opaque", data));
    }
    let mut text = NAMESPACE.to_owned();
    for object in objects {
        text += "---\n";
        text += &serde_yaml_ng::to_string(&object).map_err(Error::Kubeconfig)?;
    }
    Ok(text)
}

fn secret(name: &str, type_: &str, data: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": type_,
        "metadata": {"name": name, "namespace": "helium-system"}, "data": data,
    })
}

fn file(folder: &Folder, name: &str) -> Result<String> {
    let path = folder.file(name);
    let bytes = std::fs::read(&path).map_err(|source| Error::DataDir { path, source })?;
    Ok(STANDARD.encode(bytes))
}
