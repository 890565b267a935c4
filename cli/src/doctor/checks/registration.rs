//! The APIServices: there, answering, fresh, and nobody else's.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::facts::{FIRST_API_SERVICE, Facts, condition, items, name, text};
use super::super::finding::Finding;
use super::{list, told};

const MISSING: &str = "apiservice-missing";
const UNAVAILABLE: &str = "apiservice-unavailable";
const CLASH: &str = "group-clash";
const STALE: &str = "discovery-stale";

pub(super) fn check(facts: &Facts, findings: &mut Vec<Finding>) {
    if let Err(refusal) = &facts.api_services {
        findings.push(Finding::unknown(
            UNAVAILABLE,
            "the APIServices weren't seen",
            refusal.to_string(),
        ));
        return;
    }
    let services = items(&facts.api_services);
    clashes(facts, &services, findings);
    missing(facts, &services, findings);
    unavailable(facts, &services, findings);
    stale(facts, &services, findings);
}

fn is_ours(service: &Value, services: &[Value]) -> bool {
    if service["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "helium" {
        return true;
    }
    let first = services.iter().find(|one| name(one) == FIRST_API_SERVICE);
    let to = &service["spec"]["service"];
    first.is_some_and(|first| to.is_object() && *to == first["spec"]["service"])
}

fn is_available(service: &Value) -> bool {
    condition(service, "Available").is_some_and(|(status, ..)| status == "True")
}

fn clashes(facts: &Facts, services: &[Value], findings: &mut Vec<Finding>) {
    for group in facts.groups() {
        let mut others: Vec<String> = items(&facts.crds)
            .iter()
            .filter(|crd| crd["spec"]["group"] == *group)
            .map(|crd| format!("CustomResourceDefinition {}", name(crd)))
            .collect();
        if others.is_empty() {
            let foreign = services
                .iter()
                .filter(|one| one["spec"]["group"] == *group && !is_ours(one, services));
            others.extend(foreign.map(|one| format!("APIService {}", name(one))));
        }
        if !others.is_empty() {
            findings.push(Finding::problem(
                CLASH,
                format!("the cluster serves the group {group} itself"),
                list(&others),
                format!(
                    "A cluster's own API comes first, so the fleet's {group} isn't served here. Remove what is named if the fleet's is \
                     wanted; hand an APIService over with: kubectl label apiservice <name> app.kubernetes.io/managed-by=helium"
                ),
            ));
        }
    }
}

fn missing(facts: &Facts, services: &[Value], findings: &mut Vec<Finding>) {
    let there = |wanted: &str| services.iter().any(|one| name(one) == wanted);
    let clashing = |group: &str| {
        let sentence = format!("the group {group} itself");
        findings
            .iter()
            .any(|finding| finding.check == CLASH && finding.summary.ends_with(&sentence))
    };
    if !there(FIRST_API_SERVICE) {
        if !clashing("helium.dev") {
            findings.push(Finding::problem(
                MISSING,
                format!("there is no APIService {FIRST_API_SERVICE}: this cluster doesn't serve the fleet"),
                "nobody has registered it: helium-agent doesn't run here, lacks rights, or hasn't reached the kube-apiserver",
                "Look at helium-agent's log and /readyz; install it with manifests/base (docs/install.md).",
            ));
        }
        return;
    }
    let mut wanted = vec![(
        "coordination.helium.dev".to_owned(),
        "v1.coordination.helium.dev".to_owned(),
    )];
    let mut reasons = Vec::new();
    for definition in items(&facts.definitions) {
        let group = text(&definition["spec"]["group"]);
        let established =
            condition(&definition, "Established").is_some_and(|(status, ..)| status == "True");
        if !established || !definition["metadata"]["deletionTimestamp"].is_null() {
            continue;
        }
        let versions = definition["spec"]["versions"].as_array();
        for version in versions.into_iter().flatten() {
            if version["served"] == true {
                let service = format!("{}.{group}", text(&version["name"]));
                wanted.push((group.to_owned(), service));
            }
        }
        let clusters = definition["status"]["clusters"].as_array();
        let own = clusters
            .into_iter()
            .flatten()
            .find(|entry| facts.name.as_deref() == entry["name"].as_str());
        if let Some(own) = own
            && own["registered"] == false
            && !text(&own["message"]).is_empty()
        {
            reasons.push(text(&own["message"]).to_owned());
        }
    }
    let mut names: Vec<String> = wanted
        .into_iter()
        .filter(|(group, service)| !there(service) && !clashing(group))
        .map(|(_group, service)| service)
        .collect();
    names.sort();
    names.dedup();
    if names.is_empty() {
        return;
    }
    let first = services.iter().find(|one| name(one) == FIRST_API_SERVICE);
    if first.is_some_and(|first| !is_available(first)) {
        return; // the agent waits for the first one, which is told
    }
    reasons.dedup();
    let cause = if reasons.is_empty() {
        "what the fleet shares isn't registered here: helium-agent doesn't run, or lacks rights"
            .to_owned()
    } else {
        reasons.join("; ")
    };
    findings.push(Finding::problem(
        MISSING,
        format!("missing APIServices: {}", list(&names)),
        cause,
        "Look at helium-agent's log and /readyz (docs/agent.md); without an agent, apply the APIServices yourself.",
    ));
}

/// Why an APIService doesn't answer, and what to do about it, by what the kube-apiserver says.
fn cause(reason: &str, message: &str) -> (&'static str, &'static str) {
    let tls = "Compare caBundle with the authority of the server's certificate (Secret helium-apiserver-tls, ca.crt).";
    if message.contains("unknown authority") {
        (
            "the kube-apiserver doesn't trust the server's certificate",
            tls,
        )
    } else if message.contains("expired") || message.contains("not yet valid") {
        (
            "the server's certificate isn't valid now",
            "Renew it (docs/identity.md), and compare the clocks.",
        )
    } else if message.contains("certificate is valid for")
        || message.contains("doesn't contain any")
    {
        (
            "the server's certificate is for another name than <service>.<namespace>.svc",
            "Issue one for helium-apiserver.helium-system.svc.",
        )
    } else {
        match reason {
            "ServiceNotFound" => (
                "the Service that it points at doesn't exist",
                "kubectl apply -f manifests/base/apiserver.yaml, or correct the agent's --service.",
            ),
            "ServicePortError" => (
                "the Service that it points at has no such port",
                "Correct the port in the Service or in the agent's --service.",
            ),
            "EndpointsNotFound" | "MissingEndpoints" => (
                "the Service that it points at has no ready pod",
                "kubectl get pods -n helium-system: look at helium-apiserver's pods, their log and /readyz.",
            ),
            _ => (
                "helium-apiserver doesn't answer the kube-apiserver",
                "Is helium-apiserver running and ready (kubectl get pods -n helium-system), and does the network let the kube-apiserver reach it \
                 (docs/install.md)? Until it answers, no namespace of this cluster can be deleted.",
            ),
        }
    }
}

fn unavailable(facts: &Facts, services: &[Value], findings: &mut Vec<Finding>) {
    let mut by_cause: BTreeMap<(&str, &str), (Vec<String>, String)> = BTreeMap::new();
    let mut good = 0;
    for service in services.iter().filter(|one| is_ours(one, services)) {
        if is_available(service) {
            good += 1;
            continue;
        }
        let (_, reason, message) =
            condition(service, "Available").unwrap_or(("", "", "not examined yet"));
        let entry = by_cause.entry(cause(reason, message)).or_default();
        entry.0.push(name(service).to_owned());
        entry.1 = format!("{reason}: {message}");
    }
    // The certificate's own checks say more precisely what the aggregator only complains about.
    let explained = told(findings, &["ca-bundle", "certificate"]);
    for ((cause, remedy), (names, message)) in by_cause {
        if explained && cause.contains("certificate") {
            continue;
        }
        findings.push(Finding::problem(
            UNAVAILABLE,
            format!("not available: {}", list(&names)),
            format!("{cause} ({message})"),
            remedy,
        ));
    }
    if good > 0 {
        findings.push(Finding::good(
            UNAVAILABLE,
            format!("{good} of Helium's APIServices are available"),
        ));
    }
    if let Some(Err(refusal)) = &facts.service
        && refusal.code() != Some(404)
    {
        findings.push(Finding::unknown(
            UNAVAILABLE,
            "the Service wasn't seen",
            refusal.to_string(),
        ));
    }
}

fn stale(facts: &Facts, services: &[Value], findings: &mut Vec<Finding>) {
    let document = match &facts.discovery {
        Ok(document) => document.json(),
        Err(refusal) => {
            findings.push(Finding::unknown(
                STALE,
                "discovery wasn't seen",
                refusal.to_string(),
            ));
            return;
        }
    };
    if document["kind"] != "APIGroupDiscoveryList" {
        findings.push(Finding::unknown(
            STALE,
            "whether discovery is fresh wasn't seen",
            "this kube-apiserver has no aggregated discovery",
        ));
        return;
    }
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let groups = document["items"].as_array();
    for group in groups.into_iter().flatten() {
        let versions = group["versions"].as_array();
        for version in versions.into_iter().flatten() {
            if version["freshness"] != "Stale" {
                continue;
            }
            let wanted = format!("{}.{}", text(&version["version"]), name(group));
            match services.iter().find(|one| name(one) == wanted) {
                Some(service) if is_ours(service, services) => {
                    if is_available(service) {
                        ours.push(wanted); // otherwise it has been told why
                    }
                }
                _ => theirs.push(wanted),
            }
        }
    }
    if !ours.is_empty() {
        findings.push(Finding::problem(
            STALE,
            format!("discovery is stale: {}", list(&ours)),
            "the kube-apiserver got no discovery document lately, although the server answers: it is starting, overloaded, or replies with errors",
            "kubectl get --raw /apis/helium.dev/v1; helium-apiserver's log. Until it is fresh, no namespace of this cluster can be deleted.",
        ));
    }
    if !theirs.is_empty() {
        findings.push(Finding::warning(
            STALE,
            format!("discovery of others is stale: {}", list(&theirs)),
            "an extension that isn't Helium's doesn't answer",
            "It keeps this cluster from deleting namespaces all the same: repair it, or delete its APIService.",
        ));
    }
    if ours.is_empty() && theirs.is_empty() && !told(findings, &[UNAVAILABLE]) {
        findings.push(Finding::good(STALE, "discovery is fresh"));
    }
}
