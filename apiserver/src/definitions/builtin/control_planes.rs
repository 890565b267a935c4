//! `ControlPlane`: a whole API behind the subresource `proxy`.

use helium_apimachinery::crd::{Definition, Names};
use helium_apimachinery::field::ErrorList;
use helium_apimachinery::resource::Scope;
use serde_json::json;

use super::HELIUM_GROUP;
use helium_apimachinery::builtin::{column, text, version};

/// The kind.
pub(super) fn control_planes() -> Result<Definition, ErrorList> {
    let raw = json!({
        "type": "object",
        "description": "ControlPlane is a whole API behind its subresource proxy: <server>/apis/helium.dev/v1/controlplanes/fleet/proxy \
            is a server URL for any client, with the cluster's own credentials.",
        "properties": {
            "spec": {
                "type": "object",
                "description": "What is behind it.",
                "properties": {"description": text("What people should know of it.")},
            },
        },
    });
    let mut v1 = version("v1", raw, false)?;
    v1.columns = vec![
        column(
            "Description",
            "string",
            ".spec.description",
            "What is behind it",
        ),
        column("Age", "date", ".metadata.creationTimestamp", ""),
    ];
    Ok(Definition {
        group: HELIUM_GROUP.to_owned(),
        names: Names {
            plural: super::CONTROL_PLANES.to_owned(),
            singular: "controlplane".to_owned(),
            short_names: Vec::new(),
            kind: "ControlPlane".to_owned(),
            list_kind: "ControlPlaneList".to_owned(),
            categories: Vec::new(),
        },
        scope: Scope::Cluster,
        versions: vec![v1],
    })
}
