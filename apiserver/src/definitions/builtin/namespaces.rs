//! `Namespace`, for servers that clients reach directly.

use helium_apimachinery::crd::{Definition, Names};
use helium_apimachinery::field::ErrorList;
use helium_apimachinery::resource::Scope;
use serde_json::json;

use helium_apimachinery::builtin::{column, version};

/// The kind.
pub(super) fn namespaces() -> Result<Definition, ErrorList> {
    let raw = json!({
        "type": "object",
        "properties": {
            "spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        },
    });
    let mut v1 = version("v1", raw, false)?;
    v1.columns = vec![
        column(
            "Status",
            "string",
            ".status.phase",
            "The status of the namespace",
        ),
        column("Age", "date", ".metadata.creationTimestamp", ""),
    ];
    Ok(Definition {
        group: String::new(),
        names: Names {
            plural: "namespaces".to_owned(),
            singular: "namespace".to_owned(),
            short_names: vec!["ns".to_owned()],
            kind: "Namespace".to_owned(),
            list_kind: "NamespaceList".to_owned(),
            categories: Vec::new(),
        },
        scope: Scope::Cluster,
        versions: vec![v1],
    })
}
