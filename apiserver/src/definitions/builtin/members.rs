//! `Member`: a cluster of the fleet, and what its certificates are signed by.
//!
//! The members' `certificateAuthorities` together are the fleet's *trust bundle*: who comes with a certificate is a member if
//! one of its own authorities signed it and the certificate names that very cluster. A member that is `revoked`
//! stays listed, so that everybody knows; its authorities count for nothing.

use helium_apimachinery::crd::{Definition, Names};
use helium_apimachinery::field::ErrorList;
use helium_apimachinery::resource::Scope;
use serde_json::json;

use super::{HELIUM_GROUP, MEMBERS};
use helium_apimachinery::builtin::{column, conditions, text, version};

/// The kind.
pub(super) fn members() -> Result<Definition, ErrorList> {
    let raw = json!({
        "type": "object",
        "description": "Member is a cluster of the fleet. Its labels are for selecting clusters.",
        "properties": {
            "spec": {
                "type": "object",
                "description": "Who the cluster is.",
                "properties": {
                    "certificateAuthorities":
                        text("PEM: what signs the certificates of the cluster's own servers. Only the cluster itself may change it."),
                    "revoked": {
                        "type": "boolean",
                        "description": "Whether the cluster is shut out: nothing that comes from it is accepted anywhere.",
                    },
                    "revokedReason": text("Why, for people."),
                },
            },
            "status": {
                "type": "object",
                "description": "What the cluster says of itself.",
                "properties": {
                    "versions": {
                        "type": "object",
                        "description": "What runs there.",
                        "properties": {
                            "kubernetes": text("Version of its kube-apiserver."),
                            "helium": text("Version of Helium."),
                        },
                    },
                    "endpoints": {
                        "type": "array",
                        "description": "Where the cluster can be reached.",
                        "x-kubernetes-list-type": "map",
                        "x-kubernetes-list-map-keys": ["name"],
                        "items": {
                            "type": "object",
                            "required": ["name", "url"],
                            "properties": {
                                "name": text("kubernetes: its kube-apiserver. direct: its Helium API server."),
                                "url": text("Where that is."),
                            },
                        },
                    },
                    "heartbeat": text("Namespace and name of the Lease that the cluster renews while it is well."),
                    "conditions": conditions("Ready, StoreReachable or Registered."),
                },
            },
        },
    });
    let condition = |type_: &str| format!(".status.conditions[?(@.type==\"{type_}\")].status");
    let mut v1 = version("v1", raw, true)?;
    v1.columns = vec![
        column(
            "Ready",
            "string",
            &condition("Ready"),
            "Whether the cluster takes part",
        ),
        column(
            "Registered",
            "string",
            &condition("Registered"),
            "Whether the cluster serves every shared group",
        ),
        column(
            "Store",
            "string",
            &condition("StoreReachable"),
            "Whether the cluster reaches the store",
        ),
        column("Kubernetes", "string", ".status.versions.kubernetes", ""),
        column("Helium", "string", ".status.versions.helium", ""),
        column(
            "Revoked",
            "boolean",
            ".spec.revoked",
            "Whether the cluster is shut out",
        ),
        column("Age", "date", ".metadata.creationTimestamp", ""),
    ];
    Ok(Definition {
        group: HELIUM_GROUP.to_owned(),
        names: Names {
            plural: MEMBERS.to_owned(),
            singular: "member".to_owned(),
            short_names: Vec::new(),
            kind: "Member".to_owned(),
            list_kind: "MemberList".to_owned(),
            categories: Vec::new(),
        },
        scope: Scope::Cluster,
        versions: vec![v1],
    })
}
