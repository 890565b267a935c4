//! `JoinToken`: lets one cluster become a member, once and soon.

use helium_apimachinery::crd::{Definition, Names};
use helium_apimachinery::field::ErrorList;
use helium_apimachinery::resource::Scope;
use serde_json::json;

use super::{HELIUM_GROUP, JOIN_TOKENS};
use helium_apimachinery::builtin::{column, text, version};

/// The kind.
pub(super) fn join_tokens() -> Result<Definition, ErrorList> {
    let raw = json!({
        "type": "object",
        "description": "JoinToken lets one cluster become a member. Its name is the public half; of the secret half only the hash is stored.",
        "required": ["spec"],
        "properties": {
            "spec": {
                "type": "object",
                "required": ["cluster", "secretHash", "expirationTime"],
                "properties": {
                    "cluster": text("Name of the cluster that may join."),
                    "secretHash": {
                        "type": "string",
                        "description": "SHA-256 of the secret half, in hexadecimal digits behind sha256:.",
                        "pattern": "^sha256:[0-9a-f]{64}$",
                    },
                    "expirationTime": {
                        "type": "string",
                        "format": "date-time",
                        "description": "From then on it opens nothing.",
                    },
                },
            },
            "status": {
                "type": "object",
                "description": "What has become of it.",
                "properties": {
                    "usedTime": {
                        "type": "string",
                        "format": "date-time",
                        "description": "When the cluster joined with it. It opens nothing any more.",
                    },
                },
            },
        },
    });
    let mut v1 = version("v1", raw, true)?;
    v1.columns = vec![
        column("Cluster", "string", ".spec.cluster", "Who may join"),
        column("Expires", "string", ".spec.expirationTime", "Until when"),
        column(
            "Used",
            "date",
            ".status.usedTime",
            "How long ago it was used",
        ),
        column("Age", "date", ".metadata.creationTimestamp", ""),
    ];
    Ok(Definition {
        group: HELIUM_GROUP.to_owned(),
        names: Names {
            plural: JOIN_TOKENS.to_owned(),
            singular: "jointoken".to_owned(),
            short_names: Vec::new(),
            kind: "JoinToken".to_owned(),
            list_kind: "JoinTokenList".to_owned(),
            categories: Vec::new(),
        },
        scope: Scope::Cluster,
        versions: vec![v1],
    })
}
