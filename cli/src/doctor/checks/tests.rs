//! What is said of a cluster that is well, and of one thing that isn't.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use helium_tls::pki::Authority;
use helium_tls::{CertificateSummary, certificates_from_pem};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::super::facts::{Facts, Fetched};
use super::super::finding::{Finding, Level};
use super::super::probe::Served;
use super::all;
use crate::connection::{Answer, Clock, Refusal};

/// The moment of all that is judged here; certificates that are made for it are of this day.
fn now() -> Timestamp {
    static NOW: LazyLock<Timestamp> = LazyLock::new(|| {
        let second = Timestamp::now().as_second();
        Timestamp::from_second(second).expect("a time")
    });
    *NOW
}

/// A time, by the seconds that it is later.
fn at(seconds: i64) -> String {
    (now() + SignedDuration::from_secs(seconds)).to_string()
}

fn answer(value: &Value) -> Fetched {
    let clock = Clock {
        theirs: now(),
        ours: now(),
    };
    Ok(Answer {
        text: value.to_string(),
        clock: Some(clock),
    })
}

fn list(items: Value) -> Fetched {
    answer(&json!({ "items": items }))
}

fn refusal(code: u16, message: &str) -> Fetched {
    Err(Refusal::of(code, message, None))
}

fn service(name: &str, bundle: &str) -> Value {
    let (version, group) = name.split_once('.').expect("a name");
    json!({
        "metadata": {"name": name, "labels": {"app.kubernetes.io/managed-by": "helium"}},
        "spec": {"group": group, "version": version, "caBundle": bundle,
            "service": {"namespace": "helium-system", "name": "helium-apiserver", "port": 443}},
        "status": {"conditions": [{"type": "Available", "status": "True", "reason": "Passed", "message": ""}]},
    })
}

fn member(name: &str) -> Value {
    json!({
        "metadata": {"name": name},
        "spec": {"certificateAuthorities": "PEM"},
        "status": {"versions": {"helium": "0.1.0"}, "conditions": [
            {"type": "Ready", "status": "True", "reason": "", "message": ""},
            {"type": "Registered", "status": "True", "reason": "", "message": ""},
            {"type": "StoreReachable", "status": "True", "reason": "", "message": ""}]},
    })
}

fn heartbeat(name: &str, seconds: i64) -> Value {
    json!({"metadata": {"name": format!("member-{name}")}, "spec": {"renewTime": at(seconds)}})
}

fn definition() -> Value {
    json!({
        "metadata": {"name": "widgets.example.com"},
        "spec": {"group": "example.com", "versions": [{"name": "v1", "served": true}]},
        "status": {"conditions": [{"type": "Established", "status": "True", "reason": "", "message": ""}]},
    })
}

fn groups(freshness: &str) -> Fetched {
    answer(&json!({"kind": "APIGroupDiscoveryList", "items": [
        {"metadata": {"name": "example.com"}, "versions": [{"version": "v1", "freshness": freshness}]},
        {"metadata": {"name": "apps"}, "versions": [{"version": "v1", "freshness": "Current"}]},
    ]}))
}

/// A cluster in which everything is as it should be.
fn well() -> Facts {
    let authority = Authority::new("helium-ca").expect("an authority");
    let leaf = authority.issue_server("helium-apiserver", &["helium-apiserver.helium-system.svc"]);
    let leaf = leaf.expect("issued").certificate_pem;
    let leaf = certificates_from_pem(leaf.as_bytes(), "leaf").expect("a certificate");
    let mut leaf = CertificateSummary::of(&leaf[0]).expect("a summary");
    // Both are judged at the time of these tests.
    leaf.not_before = now().as_second() - 3600;
    leaf.not_after = now().as_second() + 300 * 86_400;
    let bundle = STANDARD.encode(authority.certificate_pem());
    let services = [
        "v1.helium.dev",
        "v1.coordination.helium.dev",
        "v1.example.com",
    ];
    Facts {
        now: now(),
        server: "https://k8s.example.com".to_owned(),
        version: answer(&json!({"gitVersion": "v1.36.0", "minor": "36"})),
        discovery: groups("Current"),
        api_services: list(services.iter().map(|name| service(name, &bundle)).collect()),
        service: Some(answer(&json!({"spec": {"clusterIP": "10.0.0.1"}}))),
        crds: list(json!([])),
        front_proxy: answer(&json!({"data": {
            "requestheader-client-ca-file": "PEM", "requestheader-username-headers": "[\"X-Remote-User\"]",
            "requestheader-group-headers": "[\"X-Remote-Group\"]"}})),
        rights: Vec::new(),
        server_user: "system:serviceaccount:helium-system:helium-apiserver".to_owned(),
        accounts: list(json!([
            {"metadata": {"name": "namespace-controller"}},
            {"metadata": {"name": "generic-garbage-collector"}}])),
        controller_managers: list(json!([])),
        namespaces: list(json!([{"metadata": {"name": "default"}, "status": {"phase": "Active"}}])),
        served: Some(Served {
            address: "10.0.0.1:443".to_owned(),
            chain: vec![leaf],
            refused: None,
        }),
        store: answer(&json!("ok")),
        members: list(json!([member("east"), member("west")])),
        heartbeats: list(json!([heartbeat("east", -3), heartbeat("west", -4)])),
        definitions: list(json!([definition()])),
        name: Some("east".to_owned()),
    }
}

fn items(list: &Fetched) -> Vec<Value> {
    super::super::facts::items(list)
}

/// The bundle's authority was made when the tests ran; only what is asked for is compared.
fn findings(change: impl FnOnce(&mut Facts)) -> Vec<Finding> {
    let mut facts = well();
    change(&mut facts);
    all(&facts)
}

fn wrong(findings: &[Finding]) -> Vec<(&'static str, Level)> {
    findings
        .iter()
        .filter(|finding| finding.level >= Level::Warning)
        .map(|finding| (finding.check, finding.level))
        .collect()
}

/// One thing is broken, and exactly that is named, with this in its text.
fn names(check: &'static str, level: Level, part: &str, change: impl FnOnce(&mut Facts)) {
    let found = findings(change);
    assert_eq!(wrong(&found), [(check, level)], "{found:#?}");
    let finding = found
        .iter()
        .find(|finding| finding.level >= Level::Warning)
        .expect("there");
    let text = format!(
        "{} {} {}",
        finding.summary,
        finding.cause.as_deref().unwrap_or_default(),
        finding.remedy.as_deref().unwrap_or_default()
    );
    assert!(text.contains(part), "{part:?} is not in {text}");
}

#[test]
fn a_cluster_that_is_well_has_nothing_but_good_findings() {
    let found = findings(|_| {});
    assert!(
        found.iter().all(|finding| finding.level == Level::Good),
        "{found:#?}"
    );
}

#[test]
fn an_unreachable_cluster_is_all_that_is_said() {
    names("kube-apiserver", Level::Problem, "refused", |facts| {
        facts.version = Err(Refusal::Unreachable("connection refused".to_owned()));
    });
}

#[test]
fn a_server_of_the_fleet_is_no_cluster() {
    names(
        "kube-apiserver",
        Level::Problem,
        "its version is v1.36.3+helium.0.1.0",
        |facts| {
            facts.version = answer(&json!({"minor": "36", "gitVersion": "v1.36.3+helium.0.1.0"}));
            facts.api_services = refusal(404, "page not found");
        },
    );
}

#[test]
fn an_old_kubernetes_is_a_warning() {
    names("kube-apiserver", Level::Warning, "1.30", |facts| {
        facts.version = answer(&json!({"gitVersion": "v1.29.4", "minor": "29+"}));
    });
}

#[test]
fn a_clock_that_is_an_hour_off_is_told_with_both_times() {
    let hour_ahead = at(3600);
    names("clock", Level::Problem, &hour_ahead, |facts| {
        let theirs = now() + SignedDuration::from_hours(1);
        if let Ok(version) = &mut facts.version {
            version.clock = Some(Clock {
                theirs,
                ours: now(),
            });
        }
    });
    names("clock", Level::Warning, "helium-apiserver", |facts| {
        let theirs = now() - SignedDuration::from_secs(40);
        if let Ok(store) = &mut facts.store {
            store.clock = Some(Clock {
                theirs,
                ours: now(),
            });
        }
    });
}

#[test]
fn a_front_proxy_without_settings_is_named() {
    names(
        "front-proxy",
        Level::Problem,
        "requestheader-client-ca-file",
        |facts| {
            facts.front_proxy = answer(&json!({"data": {"client-ca-file": "PEM",
            "requestheader-username-headers": "[\"X-Remote-User\"]", "requestheader-group-headers": "[\"X-Remote-Group\"]"}}));
        },
    );
    names(
        "front-proxy",
        Level::Problem,
        "--proxy-client-cert-file",
        |facts| {
            facts.front_proxy = refusal(404, "not found");
        },
    );
}

#[test]
fn controllers_with_one_identity_are_a_warning() {
    names(
        "controller-identities",
        Level::Warning,
        "--use-service-account-credentials",
        |facts| {
            facts.accounts = list(json!([{"metadata": {"name": "default"}}]));
        },
    );
    names("controller-identities", Level::Warning, "kcm-1", |facts| {
        let pod = |name: &str, flag: &str| json!({"metadata": {"name": name}, "spec": {"containers": [{"command": ["kcm", flag]}]}});
        facts.controller_managers = list(json!([
            pod("kcm-0", "--use-service-account-credentials=true"),
            pod("kcm-1", "--use-service-account-credentials=false")
        ]));
    });
}

#[test]
fn a_bundle_that_is_not_the_servers_authority_is_named_once() {
    names("ca-bundle", Level::Problem, "CN=somebody", |facts| {
        let served = facts.served.as_mut().expect("served");
        served.refused = Some("invalid peer certificate: UnknownIssuer".to_owned());
        served.chain[0].issuer = "CN=somebody".to_owned();
        // What the aggregator says of it is the same cause.
        unavailable(
            facts,
            "FailedDiscoveryCheck",
            "x509: certificate signed by unknown authority",
            &["v1.helium.dev"],
        );
    });
    names("ca-bundle", Level::Problem, "v1.example.com", |facts| {
        let mut services = items(&facts.api_services);
        services[2]["spec"]["caBundle"] = "b3RoZXI=".into();
        facts.api_services = list(services.into());
    });
}

#[test]
fn certificates_that_end_are_told_before_and_after() {
    let ends = |seconds: i64| {
        move |facts: &mut Facts| {
            let served = facts.served.as_mut().expect("served");
            served.chain[0].not_after = now().as_second() + seconds;
        }
    };
    names(
        "certificate",
        Level::Warning,
        "expires in 3d",
        ends(3 * 86_400 + 60),
    );
    names("certificate", Level::Problem, "has expired", ends(-60));
    names("certificate", Level::Problem, "isn't valid yet", |facts| {
        let served = facts.served.as_mut().expect("served");
        served.chain[0].not_before = now().as_second() + 600;
    });
    names(
        "certificate",
        Level::Problem,
        "helium-apiserver.helium-system.svc",
        |facts| {
            let served = facts.served.as_mut().expect("served");
            served.refused =
                Some("invalid peer certificate: certificate not valid for name \"a\"".to_owned());
            served.chain[0].names = vec!["localhost".to_owned()];
        },
    );
}

fn unavailable(facts: &mut Facts, reason: &str, message: &str, which: &[&str]) {
    let mut services = items(&facts.api_services);
    for service in &mut services {
        if which
            .iter()
            .any(|name| service["metadata"]["name"] == **name)
        {
            service["status"]["conditions"][0] = json!({"type": "Available", "status": "False", "reason": reason, "message": message});
        }
    }
    facts.api_services = list(services.into());
}

#[test]
fn apiservices_that_do_not_answer_are_told_by_their_cause() {
    let all = [
        "v1.helium.dev",
        "v1.coordination.helium.dev",
        "v1.example.com",
    ];
    for (reason, message, part) in [
        ("ServiceNotFound", "service not found", "doesn't exist"),
        ("MissingEndpoints", "no endpoints", "no ready pod"),
        (
            "FailedDiscoveryCheck",
            "connection refused",
            "running and ready",
        ),
        (
            "FailedDiscoveryCheck",
            "x509: certificate has expired or is not yet valid",
            "Renew it",
        ),
    ] {
        names("apiservice-unavailable", Level::Problem, part, |facts| {
            unavailable(facts, reason, message, &all);
            facts.served = None;
            // All that is behind it fails with it, and isn't told.
            facts.members = refusal(503, "service unavailable");
            facts.store = refusal(503, "service unavailable");
        });
    }
}

#[test]
fn a_registration_that_is_missing_is_named() {
    names(
        "apiservice-missing",
        Level::Problem,
        "v1.example.com",
        |facts| {
            let mut services = items(&facts.api_services);
            services.truncate(2);
            facts.api_services = list(services.into());
            facts.discovery = groups("Current");
        },
    );
    names(
        "apiservice-missing",
        Level::Problem,
        "helium-agent",
        |facts| {
            facts.api_services = list(json!([]));
            facts.served = None;
        },
    );
}

#[test]
fn a_group_of_the_clusters_own_is_named_and_its_consequences_are_not() {
    names(
        "group-clash",
        Level::Problem,
        "CustomResourceDefinition gadgets.example.com",
        |facts| {
            let mut services = items(&facts.api_services);
            services[2]["metadata"]["labels"] =
                json!({"kube-aggregator.kubernetes.io/automanaged": "true"});
            services[2]["spec"]["service"] = Value::Null;
            facts.api_services = list(services.into());
            facts.crds = list(
                json!([{"metadata": {"name": "gadgets.example.com"}, "spec": {"group": "example.com"}}]),
            );
            let mut members = items(&facts.members);
            members[0]["status"]["conditions"][1]["status"] = "False".into();
            facts.members = list(members.into());
        },
    );
}

#[test]
fn stale_discovery_is_told_with_whose_it_is() {
    names(
        "discovery-stale",
        Level::Problem,
        "v1.example.com",
        |facts| {
            facts.discovery = groups("Stale");
        },
    );
    names(
        "discovery-stale",
        Level::Warning,
        "v1.metrics.example.org",
        |facts| {
            facts.discovery = answer(&json!({"kind": "APIGroupDiscoveryList", "items": [
            {"metadata": {"name": "metrics.example.org"}, "versions": [{"version": "v1", "freshness": "Stale"}]}]}));
        },
    );
}

#[test]
fn a_store_that_is_not_reached_is_named() {
    names("store", Level::Problem, "kine-shim", |facts| {
        facts.store = refusal(500, "internal server error: no store answers");
        facts.members = refusal(503, "the store is not reached");
    });
}

#[test]
fn a_cluster_that_was_shut_out_is_told_why() {
    names("member-revoked", Level::Problem, "stolen laptop", |facts| {
        let text = json!({"message": "cluster east was revoked: stolen laptop"}).to_string();
        facts.members = refusal(403, &text);
        facts.store = refusal(403, &text);
        facts.definitions = refusal(403, &text);
    });
}

#[test]
fn a_cluster_that_has_left_is_told_to_join() {
    names("member-missing", Level::Problem, "helium join", |facts| {
        let text = "cluster east is not a member of the fleet: it left or never joined";
        let text = json!({ "message": text }).to_string();
        facts.members = refusal(403, &text);
        facts.store = refusal(403, &text);
        facts.definitions = refusal(403, &text);
    });
}

#[test]
fn heartbeats_that_are_late_early_or_missing_are_named() {
    let beats = |east: Option<i64>, west: i64| {
        move |facts: &mut Facts| {
            let beats = [("east", east), ("west", Some(west))].into_iter();
            let beats = beats.filter_map(|(name, time)| Some(heartbeat(name, time?)));
            facts.heartbeats = list(beats.collect());
        }
    };
    names(
        "heartbeat",
        Level::Problem,
        "2m0s ago",
        beats(Some(-120), -2),
    );
    names("heartbeat", Level::Problem, "no heartbeat", beats(None, -2));
    names("clock", Level::Warning, "west", beats(Some(-2), 60));
    names("heartbeat", Level::Warning, "west", |facts| {
        let mut members = items(&facts.members);
        members[1]["status"]["conditions"][0]["status"] = "Unknown".into();
        facts.members = list(members.into());
    });
}

#[test]
fn a_cluster_that_is_no_member_and_a_fleet_that_is_open_are_told() {
    names("member-missing", Level::Problem, "helium join", |facts| {
        facts.members = list(json!([member("west")]));
    });
    names("fleet-open", Level::Warning, "helium init", |facts| {
        facts.members = list(json!([]));
        facts.heartbeats = list(json!([]));
    });
}

#[test]
fn conditions_and_versions_that_differ_are_told() {
    names(
        "member-conditions",
        Level::Warning,
        "StoreReachable",
        |facts| {
            let mut members = items(&facts.members);
            members[0]["status"]["conditions"][2] = json!({"type": "StoreReachable", "status": "False", "reason": "Timeout", "message": "no answer"});
            facts.members = list(members.into());
        },
    );
    names("versions", Level::Warning, "0.1.0, 0.2.0", |facts| {
        let mut members = items(&facts.members);
        members[1]["status"]["versions"]["helium"] = "0.2.0".into();
        facts.members = list(members.into());
    });
}

#[test]
fn namespaces_that_do_not_end_are_told_with_whose_fault_it_is() {
    let stuck = |type_: &'static str, message: &'static str| {
        move |facts: &mut Facts| {
            facts.namespaces = list(json!([{
                "metadata": {"name": "old", "deletionTimestamp": at(-600)},
                "status": {"phase": "Terminating", "conditions": [
                    {"type": type_, "status": "True", "reason": "", "message": message}]},
            }]));
        }
    };
    names(
        "namespace-stuck",
        Level::Problem,
        "because of example.com",
        stuck(
            "NamespaceDeletionContentFailure",
            "unexpected items still remain: widgets.example.com",
        ),
    );
    names(
        "namespace-stuck",
        Level::Problem,
        "coordination.helium.dev",
        stuck(
            "NamespaceDeletionDiscoveryFailure",
            "stale GroupVersion discovery: coordination.helium.dev/v1",
        ),
    );
    names(
        "namespace-stuck",
        Level::Warning,
        "not because of Helium: old",
        stuck(
            "NamespaceContentRemaining",
            "pods. has 1 resource instances",
        ),
    );
}

#[test]
fn what_may_not_be_read_is_said() {
    let found = findings(|facts| {
        facts.namespaces = refusal(403, "no");
        facts.accounts = refusal(403, "no");
        facts.front_proxy = refusal(403, "no");
    });
    let unknown: Vec<_> = found
        .iter()
        .filter(|finding| finding.level == Level::Unknown)
        .map(|finding| finding.check)
        .collect();
    assert_eq!(
        unknown,
        ["front-proxy", "controller-identities", "namespace-stuck"]
    );
    assert!(wrong(&found).is_empty(), "{found:#?}");
}
