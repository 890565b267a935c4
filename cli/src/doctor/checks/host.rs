//! What the server needs of its cluster: whom to believe, whom to ask, and controllers that can be told apart.

use super::super::facts::{Facts, Right, items, name, text};
use super::super::finding::Finding;
use crate::connection::Answer;

pub(super) fn check(facts: &Facts, findings: &mut Vec<Finding>) {
    front_proxy(facts, findings);
    rights(facts, findings);
    controllers(facts, findings);
}

fn front_proxy(facts: &Facts, findings: &mut Vec<Finding>) {
    const CHECK: &str = "front-proxy";
    const REMEDY: &str = "Start the kube-apiserver with --requestheader-client-ca-file, --requestheader-username-headers=X-Remote-User, \
                          --requestheader-group-headers=X-Remote-Group, --requestheader-extra-headers-prefix=X-Remote-Extra-, \
                          --proxy-client-cert-file and --proxy-client-key-file.";
    let summary =
        "the front proxy's settings are in kube-system/extension-apiserver-authentication";
    match &facts.front_proxy {
        Ok(settings) => {
            let settings = settings.json();
            let missing: Vec<&str> = [
                "requestheader-client-ca-file",
                "requestheader-username-headers",
                "requestheader-group-headers",
            ]
            .into_iter()
            .filter(|key| matches!(text(&settings["data"][key]), "" | "[]"))
            .collect();
            if missing.is_empty() {
                findings.push(Finding::good(CHECK, summary));
            } else {
                findings.push(Finding::problem(
                    CHECK,
                    "the front proxy's settings are incomplete: the server can't believe who a request is from",
                    format!(
                        "kube-system/extension-apiserver-authentication lacks {}",
                        missing.join(", ")
                    ),
                    REMEDY,
                ));
            }
        }
        Err(refusal) if refusal.code() == Some(404) => findings.push(Finding::problem(
            CHECK,
            "there are no front proxy's settings: the server can't believe who a request is from",
            refusal.to_string(),
            REMEDY,
        )),
        Err(refusal) => findings.push(Finding::unknown(
            CHECK,
            "the front proxy's settings weren't seen",
            refusal.to_string(),
        )),
    }
}

fn rights(facts: &Facts, findings: &mut Vec<Finding>) {
    const CHECK: &str = "rights";
    let mut denied: Vec<Right> = Vec::new();
    for (right, review) in &facts.rights {
        match review.as_ref().map(Answer::json) {
            Ok(review) if review["status"]["allowed"] == true => {}
            Ok(_) => denied.push(*right),
            Err(refusal) => {
                findings.push(Finding::unknown(
                    CHECK,
                    format!("the rights of {} weren't seen", facts.server_user),
                    refusal.to_string(),
                ));
                return;
            }
        }
    }
    if denied.is_empty() {
        findings.push(Finding::good(
            CHECK,
            format!(
                "{} may ask who callers are and what they may do",
                facts.server_user
            ),
        ));
        return;
    }
    let mut bindings: Vec<&str> = denied.iter().map(|right| right.given_by).collect();
    bindings.dedup();
    let what: Vec<String> = denied.iter().map(Right::to_string).collect();
    findings.push(Finding::problem(
        CHECK,
        format!("{} may not {}", facts.server_user, what.join(", ")),
        format!("missing: {}", bindings.join("; ")),
        "kubectl apply -f manifests/base/apiserver-rbac.yaml. If the server runs under another name, tell it with --server-user.",
    ));
}

/// Controllers with one identity for all can't be told apart from the controller manager itself, so that the guards for
/// the namespace controller and the garbage collector don't recognise them by name.
fn controllers(facts: &Facts, findings: &mut Vec<Finding>) {
    const CHECK: &str = "controller-identities";
    const FLAG: &str = "--use-service-account-credentials";
    const REMEDY: &str = "Start kube-controller-manager with --use-service-account-credentials=true. Without it the guards can only go by the \
                          shape of a request; controllers under yet another name are told to helium-apiserver with \
                          --namespace-controller-users and --garbage-collector-users.";
    let without = items(&facts.controller_managers)
        .iter()
        .filter(|pod| {
            let parts = ["command", "args"].iter().flat_map(|part| {
                let containers = pod["spec"]["containers"].as_array();
                containers
                    .into_iter()
                    .flatten()
                    .flat_map(move |container| container[*part].as_array().into_iter().flatten())
            });
            !parts.clone().any(|argument| {
                let argument = text(argument);
                argument.starts_with(FLAG) && !argument.ends_with("=false")
            })
        })
        .map(|pod| name(pod).to_owned())
        .collect::<Vec<_>>();
    let accounts = items(&facts.accounts);
    let has = |wanted: &str| accounts.iter().any(|account| name(account) == wanted);
    if !without.is_empty() {
        findings.push(Finding::warning(
            CHECK,
            "the cluster's controllers share one identity",
            format!("no {FLAG} in {}", super::list(&without)),
            REMEDY,
        ));
    } else if let Err(refusal) = &facts.accounts {
        findings.push(Finding::unknown(
            CHECK,
            "whether controllers have identities of their own wasn't seen",
            refusal.to_string(),
        ));
    } else if has("namespace-controller") && has("generic-garbage-collector") {
        findings.push(Finding::good(
            CHECK,
            "the cluster's controllers have identities of their own",
        ));
    } else {
        findings.push(Finding::warning(
            CHECK,
            "the cluster's namespace controller and garbage collector have no identities of their own",
            "kube-system has no ServiceAccounts namespace-controller and generic-garbage-collector, which a controller manager with \
             --use-service-account-credentials makes",
            REMEDY,
        ));
    }
}
