//! Namespaces that can't end, and whether that is because of what the fleet shares.

use jiff::Timestamp;

use super::super::facts::{Facts, condition, items, name, text};
use super::super::finding::Finding;
use super::{list, told};
use crate::table::span;

const CHECK: &str = "namespace-stuck";
/// A namespace may take that long to end.
const PATIENCE_SECONDS: i64 = 60;
/// What the namespace controller complains of, worst first.
const COMPLAINTS: [&str; 5] = [
    "NamespaceDeletionDiscoveryFailure",
    "NamespaceDeletionGroupVersionParsingFailure",
    "NamespaceDeletionContentFailure",
    "NamespaceFinalizersRemaining",
    "NamespaceContentRemaining",
];

pub(super) fn check(facts: &Facts, findings: &mut Vec<Finding>) {
    if let Err(refusal) = &facts.namespaces {
        findings.push(Finding::unknown(
            CHECK,
            "the namespaces weren't seen",
            refusal.to_string(),
        ));
        return;
    }
    let groups = facts.groups();
    // Known although the definitions can't be read now.
    let ours = |message: &str| {
        let registered = items(&facts.api_services);
        let registered = registered
            .iter()
            .filter(|one| one["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "helium");
        let mut named: Vec<String> = groups
            .iter()
            .cloned()
            .chain(registered.map(|one| text(&one["spec"]["group"]).to_owned()))
            .filter(|group| message.contains(group.as_str()))
            .collect();
        named.sort();
        named.dedup();
        named
    };
    let mut elsewhere = Vec::new();
    let before = findings.len();
    for namespace in items(&facts.namespaces) {
        if namespace["status"]["phase"] != "Terminating" {
            continue;
        }
        let complaint = COMPLAINTS.iter().find_map(|type_| {
            let (status, _, message) = condition(&namespace, type_)?;
            (status == "True").then_some((*type_, message))
        });
        let since = text(&namespace["metadata"]["deletionTimestamp"]).parse::<Timestamp>();
        let age = since.map_or(0, |since| facts.now.duration_since(since).as_secs());
        let Some((type_, message)) = complaint else {
            continue;
        };
        let named = ours(message);
        if named.is_empty() {
            if age > PATIENCE_SECONDS {
                elsewhere.push(name(&namespace).to_owned());
            }
            continue;
        }
        let remedy = match type_ {
            "NamespaceDeletionDiscoveryFailure" | "NamespaceDeletionGroupVersionParsingFailure"
                if told(
                    findings,
                    &["apiservice-unavailable", "ca-bundle", "certificate"],
                ) =>
            {
                "It goes on by itself once the APIServices above are available."
            }
            "NamespaceDeletionDiscoveryFailure" | "NamespaceDeletionGroupVersionParsingFailure" => {
                "kubectl get apiservices: those of these groups must be available. It then goes on by itself."
            }
            "NamespaceDeletionContentFailure" => {
                "A definition with sharing.namespaceDeletion: Block holds namespaces with objects of its kind on purpose: delete these objects, \
                 or change the policy. Otherwise the message is the server's refusal."
            }
            _ => {
                "Objects of these kinds are still there: a HomeOnly or Cascade policy deletes them, and a finalizer of theirs waits for its owner."
            }
        };
        findings.push(Finding::problem(
            CHECK,
            format!(
                "namespace {} has been ending for {}, because of {}",
                name(&namespace),
                span(age),
                list(&named)
            ),
            format!("{type_}: {message}"),
            remedy,
        ));
    }
    if !elsewhere.is_empty() {
        findings.push(Finding::warning(
            CHECK,
            format!(
                "namespaces that don't end, not because of Helium: {}",
                list(&elsewhere)
            ),
            "their conditions name other groups",
            "kubectl get namespace <name> -o yaml: status.conditions.",
        ));
    }
    if findings.len() == before {
        findings.push(Finding::good(CHECK, "no namespace is stuck"));
    }
}
