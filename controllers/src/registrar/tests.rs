//! The pure core, without a server.

use jiff::Timestamp;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIServiceCondition;
use kube::ResourceExt;
use serde_json::{Value, json};

use super::desired::desired;
use super::kind::Kind;
use super::plan::{Change, Plan, plan};
use super::*;

mod reports;

fn object(plural: &str, group: &str, versions: &[(&str, bool)]) -> DynamicObject {
    let versions: Vec<Value> = versions
        .iter()
        .map(|(name, served)| {
            json!({
                "name": name,
                "served": served,
                "storage": false,
                "subresources": {"status": {}, "scale": {}},
                "schema": {"openAPIV3Schema": {"type": "object"}},
            })
        })
        .collect();
    serde_json::from_value(json!({
        "apiVersion": "helium.dev/v1",
        "kind": "SharedResourceDefinition",
        "metadata": {"name": format!("{plural}.{group}"), "generation": 3},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": plural, "kind": "Kind"},
            "versions": versions,
        },
        "status": {"conditions": [{"type": "Established", "status": "True"}]},
    }))
    .unwrap()
}

fn kind(plural: &str, group: &str, versions: &[(&str, bool)]) -> Kind {
    definition(plural, group, versions).kind
}

fn definition(plural: &str, group: &str, versions: &[(&str, bool)]) -> Definition {
    Definition::parse(&object(plural, group, versions)).unwrap()
}

fn target() -> Target {
    Target {
        service: "helium-system/helium-apiserver".parse().unwrap(),
        ca_bundle: Some(b"PEM".to_vec()),
    }
}

fn foreign(name: &str, group: &str) -> APIService {
    let mut service = APIService::default();
    service.metadata.name = Some(name.to_owned());
    service.spec.get_or_insert_default().group = Some(group.to_owned());
    service
}

/// The registration of the fleet's own group, by somebody else.
fn first(status: &str, reason: &str) -> APIService {
    let mut service = foreign("v1.helium.dev", "helium.dev");
    let condition = APIServiceCondition {
        type_: "Available".to_owned(),
        status: status.to_owned(),
        reason: Some(reason.to_owned()),
        ..APIServiceCondition::default()
    };
    service.status.get_or_insert_default().conditions = Some(vec![condition]);
    service
}

/// A cluster that holds nothing but a good first registration.
fn empty() -> Observed {
    let first = Arc::new(first("True", "Passed"));
    Observed {
        api_services: [("v1.helium.dev".to_owned(), first)].into(),
        ..Observed::default()
    }
}

/// The cluster after a plan was carried out, as its API server would answer.
fn carried_out(desired: &Desired) -> Observed {
    fn stored<K: plan::Managed + ResourceExt>(wanted: &K) -> (String, Arc<K>) {
        let mut stored = wanted.clone();
        stored.metadata_mut().uid = Some("uid".to_owned());
        stored.metadata_mut().resource_version = Some("7".to_owned());
        (stored.name_any(), Arc::new(stored))
    }
    let mut observed = Observed {
        api_services: desired.api_services.values().map(stored).collect(),
        cluster_roles: desired.cluster_roles.values().map(stored).collect(),
    };
    observed.api_services.insert(
        "v1.helium.dev".to_owned(),
        Arc::new(first("True", "Passed")),
    );
    for service in observed.api_services.values_mut() {
        let spec = Arc::make_mut(service).spec.as_mut().unwrap();
        // The server leaves false out.
        spec.insecure_skip_tls_verify = None;
    }
    observed
}

fn two_kinds() -> Vec<Kind> {
    let mut lonely = kind("gadgets", "example.com", &[("v1", true)]);
    lonely.subresources.clear();
    vec![
        kind(
            "widgets",
            "example.com",
            &[("v1beta1", true), ("v1", true), ("v1alpha1", false)],
        ),
        lonely,
    ]
}

#[test]
fn a_group_of_two_kinds_and_two_versions() {
    let desired = desired(&two_kinds(), &LocalGroups::default(), &target());
    insta::assert_json_snapshot!("api_services", desired.api_services);
    insta::assert_json_snapshot!("cluster_roles", desired.cluster_roles);
}

#[test]
fn the_built_in_groups_are_registered_and_only_viewed_by_default() {
    let desired = desired(&kind::built_in(), &LocalGroups::default(), &target());
    let names: Vec<_> = desired.api_services.keys().map(String::as_str).collect();
    assert_eq!(names, ["v1.coordination.helium.dev", "v1.helium.dev"]);
    let aggregates = |name: &str| {
        let labels = desired.cluster_roles[name].metadata.labels.as_ref();
        labels.unwrap().len() == 2
    };
    assert!(aggregates("helium:coordination.helium.dev:edit"));
    assert!(aggregates("helium:helium.dev:view"));
    assert!(!aggregates("helium-fleet-admin"));
    let of_helium: Vec<_> = desired
        .cluster_roles
        .iter()
        .filter(|(_, role)| {
            let mut groups = role
                .rules
                .iter()
                .flatten()
                .flat_map(|rule| &rule.api_groups);
            groups.any(|groups| groups.contains(&"helium.dev".to_owned()))
        })
        .collect();
    insta::assert_json_snapshot!("roles_of_the_fleets_own_kinds", of_helium);
}

#[test]
fn versions_are_ranked_as_kubernetes_ranks_them() {
    let versions = ["v1alpha1", "v2", "foo", "v1", "v11beta2", "v10"].map(|name| (name, true));
    let kinds = [kind("widgets", "example.com", &versions)];
    let desired = desired(&kinds, &LocalGroups::default(), &target());
    let mut ranked: Vec<_> = desired
        .api_services
        .values()
        .map(|service| service.spec.clone().unwrap())
        .map(|spec| (spec.version_priority, spec.version.unwrap()))
        .collect();
    ranked.sort_by_key(|(priority, _)| -priority);
    let order: Vec<_> = ranked.iter().map(|(_, version)| version.as_str()).collect();
    assert_eq!(order, ["v10", "v2", "v1", "v11beta2", "v1alpha1", "foo"]);
    assert!(
        ranked
            .iter()
            .all(|(priority, _)| (1..=1000).contains(priority))
    );
}

#[test]
fn a_hundred_and_fifty_versions_keep_their_priorities_in_bounds() {
    let names: Vec<String> = (1..=150).map(|number| format!("v{number}")).collect();
    let versions: Vec<_> = names.iter().map(|name| (name.as_str(), true)).collect();
    let kinds = [kind("widgets", "example.com", &versions)];
    let desired = desired(&kinds, &LocalGroups::default(), &target());
    assert_eq!(desired.api_services.len(), 150);
    let specs = desired.api_services.values().map(|service| &service.spec);
    assert!(specs.flatten().all(|spec| spec.version_priority >= 1));
}

#[test]
fn a_definition_counts_only_while_it_is_established() {
    let mut object = object("widgets", "example.com", &[("v1", true)]);
    assert!(Definition::parse(&object).is_some());
    object.data["status"]["conditions"][0]["status"] = "False".into();
    assert_eq!(Definition::parse(&object), None);
    object.data["status"] = Value::Null;
    assert_eq!(Definition::parse(&object), None);
    object.data = Value::Null;
    assert_eq!(Definition::parse(&object), None);
}

#[test]
fn a_definition_that_is_being_deleted_stays_registered() {
    let mut object = object("widgets", "example.com", &[("v1", true)]);
    let now = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(Timestamp::UNIX_EPOCH);
    object.metadata.deletion_timestamp = Some(now);
    let definition = Definition::parse(&object).unwrap();
    assert!(definition.terminating);
    let desired = desired(&[definition.kind], &LocalGroups::default(), &target());
    assert_eq!(desired.api_services.len(), 1);
}

#[test]
fn the_hash_changes_with_any_kind_of_its_version_and_with_nothing_else() {
    let hash = |kinds: &[Kind], name: &str| {
        let desired = desired(kinds, &LocalGroups::default(), &target());
        let annotations = desired.api_services[name].metadata.annotations.clone();
        annotations.unwrap()[SCHEMA_HASH].clone()
    };
    let before = two_kinds();
    let mut after = two_kinds();
    after.reverse();
    let (v1, beta) = ("v1.example.com", "v1beta1.example.com");
    assert_eq!(hash(&before, v1), hash(&after, v1));
    after[0].versions[0].content = json!("another schema");
    assert_ne!(hash(&before, v1), hash(&after, v1));
    assert_eq!(hash(&before, beta), hash(&after, beta));
    assert_ne!(hash(&before, v1), hash(&before[..1], v1));
}

#[test]
fn what_was_written_needs_no_second_write() {
    let desired = desired(&two_kinds(), &LocalGroups::default(), &target());
    let first = plan(&desired, &empty());
    assert_eq!(
        (first.api_services.len(), first.cluster_roles.len()),
        (2, 3)
    );
    assert!(
        first
            .api_services
            .iter()
            .all(|change| matches!(change, Change::Create(_)))
    );
    assert_eq!(plan(&desired, &carried_out(&desired)), Plan::default());
}

#[test]
fn nothing_is_registered_before_the_first_registration_is_available() {
    let kinds = [kind::built_in(), two_kinds()].concat();
    let desired = desired(&kinds, &LocalGroups::default(), &target());
    let made = |observed: &Observed| -> Vec<String> {
        let plan = plan(&desired, observed);
        let made = plan.api_services.iter().filter_map(|change| match change {
            Change::Create(service) => Some(service.name_any()),
            _ => None,
        });
        made.collect()
    };
    assert_eq!(made(&Observed::default()), ["v1.helium.dev"]);
    let mut observed = empty();
    assert_eq!(made(&observed).len(), 3);
    let broken = Arc::new(first("False", "ServiceNotFound"));
    observed
        .api_services
        .insert("v1.helium.dev".to_owned(), broken);
    assert!(made(&observed).is_empty());
    // What is there is kept all the same.
    let mut observed = carried_out(&desired);
    let mut broken = desired.api_services["v1.helium.dev"].clone();
    broken.status = first("False", "FailedDiscoveryCheck").status;
    observed
        .api_services
        .insert("v1.helium.dev".to_owned(), Arc::new(broken));
    assert_eq!(plan(&desired, &observed), Plan::default());
}

#[test]
fn drift_is_repaired_and_additions_of_others_are_left() {
    let desired = desired(&two_kinds(), &LocalGroups::default(), &target());
    let mut observed = carried_out(&desired);
    let service = observed.api_services.get_mut("v1.example.com").unwrap();
    let metadata = &mut Arc::make_mut(service).metadata;
    metadata
        .labels
        .get_or_insert_default()
        .insert("team".to_owned(), "a".to_owned());
    assert_eq!(plan(&desired, &observed), Plan::default());

    let service = observed.api_services.get_mut("v1.example.com").unwrap();
    Arc::make_mut(service)
        .spec
        .as_mut()
        .unwrap()
        .group_priority_minimum = 7;
    let role = observed
        .cluster_roles
        .get_mut("helium:example.com:edit")
        .unwrap();
    Arc::make_mut(role).rules = None;
    let found = plan(&desired, &observed);
    let [Change::Apply(service)] = &found.api_services[..] else {
        panic!("{found:?}");
    };
    assert_eq!(service.spec.as_ref().unwrap().group_priority_minimum, 1000);
    assert_eq!(service.metadata.resource_version.as_deref(), Some("7"));
    assert!(matches!(&found.cluster_roles[..], [Change::Apply(_)]));
}

#[test]
fn what_an_apply_cannot_take_away_is_replaced() {
    let desired = desired(&two_kinds(), &LocalGroups::default(), &target());
    let mut observed = carried_out(&desired);
    let role = observed
        .cluster_roles
        .get_mut("helium:example.com:edit")
        .unwrap();
    Arc::make_mut(role).aggregation_rule = Some(Default::default());
    let found = plan(&desired, &observed);
    let [Change::Delete(seen)] = &found.cluster_roles[..] else {
        panic!("{found:?}");
    };
    assert_eq!(seen.name, "helium:example.com:edit");
    assert_eq!(seen.uid.as_deref(), Some("uid"));
}

#[test]
fn a_group_that_the_cluster_serves_itself_is_refused_as_a_whole() {
    let ours = desired(&two_kinds(), &LocalGroups::default(), &target());
    let observed = carried_out(&ours);
    for (services, definitions, why) in [
        (
            vec![],
            vec!["others.example.com"],
            "CustomResourceDefinition others.example.com",
        ),
        (
            vec![foreign("v9.example.com", "example.com")],
            vec![],
            "APIService v9.example.com",
        ),
    ] {
        let held = observed.api_services.values().map(AsRef::as_ref);
        let local = LocalGroups::new(held.chain(&services), definitions);
        let refused = desired(&two_kinds(), &local, &target());
        assert_eq!(refused.refused["example.com"], why);
        assert!(refused.api_services.is_empty() && refused.cluster_roles.is_empty());
        // What was written before goes; what is foreign stays.
        let mut observed = observed.clone();
        for service in services {
            observed
                .api_services
                .insert(service.name_any(), Arc::new(service));
        }
        let found = plan(&refused, &observed);
        assert_eq!(
            (found.api_services.len(), found.cluster_roles.len()),
            (2, 3)
        );
        assert!(found.api_services.iter().all(|change| {
            matches!(change, Change::Delete(seen) if seen.name != "v9.example.com")
        }));
    }
}

#[test]
fn other_groups_go_on_beside_a_refused_one() {
    let local = LocalGroups::new([], ["widgets.example.com"]);
    let kinds = [
        two_kinds(),
        vec![kind("ships", "sea.example.com", &[("v1", true)])],
    ]
    .concat();
    let desired = desired(&kinds, &local, &target());
    let names: Vec<_> = desired.api_services.keys().map(String::as_str).collect();
    assert_eq!(names, ["v1.sea.example.com"]);
}

#[test]
fn foreign_objects_and_roles_of_other_parts_are_never_touched() {
    let mut observed = Observed::default();
    let service = foreign("v1.foreign.example.com", "foreign.example.com");
    observed
        .api_services
        .insert(service.name_any(), Arc::new(service));
    let mut role = ClusterRole::default();
    role.metadata.labels = Some(desired::managed_label());
    for name in [
        "helium-agent",
        "helium:example.com",
        "helium::view",
        "helium:example.com:owner",
    ] {
        role.metadata.name = Some(name.to_owned());
        observed
            .cluster_roles
            .insert(name.to_owned(), Arc::new(role.clone()));
    }
    assert_eq!(plan(&Desired::default(), &observed), Plan::default());
}

#[test]
fn a_role_without_our_label_keeps_its_rules() {
    let desired = desired(&two_kinds(), &LocalGroups::default(), &target());
    let mut observed = carried_out(&desired);
    let role = observed
        .cluster_roles
        .get_mut("helium:example.com:edit")
        .unwrap();
    let role = Arc::make_mut(role);
    role.metadata.labels = None;
    role.rules = None;
    assert_eq!(plan(&desired, &observed), Plan::default());
}

#[test]
fn nobody_gets_writes_to_the_fleets_own_kinds_unnamed() {
    let desired = desired(&kind::built_in(), &LocalGroups::default(), &target());
    let prefix = "rbac.authorization.k8s.io/aggregate-to-";
    let mut viewed = Vec::new();
    for (name, role) in &desired.cluster_roles {
        let labels = role.metadata.labels.as_ref().unwrap();
        if !labels.keys().any(|label| label.starts_with(prefix)) {
            assert_eq!(name, "helium-fleet-admin");
            continue;
        }
        for rule in role.rules.iter().flatten() {
            if rule.api_groups.as_deref() == Some(&["helium.dev".to_owned()]) {
                assert_eq!(rule.verbs, ["get", "list", "watch"], "{name}");
                viewed.extend(rule.resources.clone().unwrap());
            }
        }
    }
    assert!(viewed.contains(&"members".to_owned()));
    assert!(
        !viewed
            .iter()
            .any(|resource| resource.starts_with("jointokens"))
    );
}

#[test]
fn the_summary_names_what_is_not_served_group_by_group() {
    let kinds = [kind::built_in(), two_kinds()].concat();
    let wanted = desired(&kinds, &LocalGroups::default(), &target());
    let of = |observed: &Observed, failures: &[(&str, &str)]| {
        let failures = failures
            .iter()
            .map(|(name, error)| ((*name).to_owned(), (*error).to_owned()))
            .collect();
        summary::summary(&wanted, observed, &failures)
    };
    let failures = [("v1.example.com", "forbidden")];
    let nothing = of(&Observed::default(), &failures);
    assert_eq!(
        nothing.first.as_deref(),
        Some("APIService v1.helium.dev: not there")
    );
    let groups: Vec<_> = nothing.missing.keys().map(String::as_str).collect();
    assert_eq!(
        groups,
        ["coordination.helium.dev", "example.com", "helium.dev"]
    );
    assert_eq!(
        nothing.missing["example.com"].message,
        "APIService v1.example.com: forbidden"
    );

    let mut observed = carried_out(&wanted);
    for service in observed.api_services.values_mut() {
        Arc::make_mut(service).status = first("True", "Passed").status;
    }
    let ours = wanted.api_services["v1.helium.dev"].clone();
    let mut available = ours.clone();
    available.status = first("True", "Passed").status;
    observed
        .api_services
        .insert("v1.helium.dev".to_owned(), Arc::new(available));
    assert_eq!(of(&observed, &[]), Summary::default());

    let service = observed
        .api_services
        .get_mut("v1beta1.example.com")
        .unwrap();
    Arc::make_mut(service).status = first("False", "FailedDiscoveryCheck").status;
    let broken = of(&observed, &[]);
    assert_eq!(broken.first, None);
    assert_eq!(broken.missing["example.com"].reason, "Unavailable");

    let local = LocalGroups::new([], ["gadgets.example.com"]);
    let refused = desired(&kinds, &local, &target());
    let refused = summary::summary(&refused, &observed, &BTreeMap::new());
    assert_eq!(refused.missing["example.com"].reason, "GroupConflict");
}
