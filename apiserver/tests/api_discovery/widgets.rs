//! A catalog with a shared group in two versions, and a group that is only here.

use std::sync::Arc;

use helium_apimachinery::crd::{Definition, Names};
use helium_apimachinery::gvk::GroupVersionKind;
use helium_apimachinery::resource::{Scope, ServedResource, ServedSubresource};
use helium_apiserver::definitions::{Catalog, Exposure, Resource, Sharing, Special, Writers};
use serde_json::json;

use crate::support::{Harness, Pki, config};

fn resource(
    kind: &str,
    plural: &str,
    group: &str,
    versions: &[&str],
    exposure: Exposure,
) -> Resource {
    let served = versions
        .iter()
        .map(|version| {
            let gvk = GroupVersionKind::new(group, *version, kind);
            let mut served = ServedResource::new(gvk.clone(), plural, Scope::Namespaced);
            served.short_names = vec!["wd".into()];
            served.categories = vec!["all".into()];
            served.subresources = vec![ServedSubresource::status(&gvk), ServedSubresource::scale()];
            served.schema = Some(json!({
                "type": "object",
                "properties": {
                    "spec": {
                        "type": "object",
                        "description": "What is wanted.",
                        "required": ["size"],
                        "properties": {
                            "size": {"type": "integer", "minimum": 1},
                            "color": {"type": "string", "enum": ["red", "blue"]},
                            "when": {"x-kubernetes-int-or-string": true},
                            "free": {
                                "type": "object",
                                "x-kubernetes-preserve-unknown-fields": true,
                            },
                        },
                    },
                    "status": {"type": "object", "properties": {"size": {"type": "integer"}}},
                },
            }));
            served
        })
        .collect();
    let definition = Definition {
        group: group.into(),
        names: Names {
            plural: plural.into(),
            kind: kind.into(),
            ..Names::default()
        },
        scope: Scope::Namespaced,
        versions: Vec::new(),
    };
    Resource {
        definition: Arc::new(definition),
        served,
        exposure,
        sharing: Sharing::FLEET,
        writers: Writers::default(),
        home_group: group.into(),
        home_plural: plural.into(),
        home_kind: kind.into(),
        special: Special::None,
        terminating: false,
        fingerprint: String::new(),
    }
}

/// Widgets in `g.example`, v1 and v1beta1; leases in `coordination.k8s.io`, only here.
pub(crate) fn catalog(generation: u64) -> Catalog {
    let widgets = resource(
        "Widget",
        "widgets",
        "g.example",
        &["v1", "v1beta1"],
        Exposure::Shared,
    );
    let leases = resource(
        "Lease",
        "leases",
        "coordination.k8s.io",
        &["v1"],
        Exposure::Direct,
    );
    Catalog::new(generation, true, vec![Arc::new(leases), Arc::new(widgets)])
}

pub(crate) async fn harness() -> Harness {
    let pki = Pki::new();
    let config = config(&pki);
    Harness::start(pki, config, catalog(1)).await
}
