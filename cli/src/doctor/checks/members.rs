//! This cluster among the others.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::super::facts::{Facts, condition, items, name, text};
use super::super::finding::Finding;
use super::fleet::{MISSING, REVOKED};
use super::{list, told};
use crate::table::span;

const FLEET: &str = "fleet-open";
const HEARTBEAT: &str = "heartbeat";
const CONDITIONS: &str = "member-conditions";
const VERSIONS: &str = "versions";
/// What keeps a group from being reached through this cluster.
const REGISTRATION: [&str; 4] = [
    "group-clash",
    "apiservice-missing",
    "apiservice-unavailable",
    "ca-bundle",
];
/// A cluster is late after that; its agent renews every 5 s.
const LATE: SignedDuration = SignedDuration::from_secs(15);
/// What a heartbeat may be ahead by until its clock is told.
const AHEAD: SignedDuration = SignedDuration::from_secs(10);

pub(super) fn check(facts: &Facts, findings: &mut Vec<Finding>) {
    if told(findings, &[REVOKED, MISSING, "store"]) {
        return;
    }
    if let Err(refusal) = &facts.members {
        findings.push(Finding::unknown(
            MISSING,
            "the members weren't seen",
            refusal.to_string(),
        ));
        return;
    }
    let members = items(&facts.members);
    let is_open = !members
        .iter()
        .any(|member| !text(&member["spec"]["certificateAuthorities"]).is_empty());
    if is_open {
        findings.push(Finding::warning(
            FLEET,
            "the fleet is open: whoever reaches the store is believed to be the cluster that it says",
            "no Member has certificateAuthorities yet",
            "helium init makes this cluster the first member; the others then join with tokens (docs/identity.md).",
        ));
    }
    let own = facts.name.as_deref();
    let me = members.iter().find(|member| own == Some(name(member)));
    match (own, me) {
        (Some(own), None) if !is_open => findings.push(Finding::problem(
            MISSING,
            format!("{own} is not a member of the fleet"),
            "it has left, or was never admitted",
            "helium token create in another cluster, then helium join here (docs/identity.md).",
        )),
        (Some(own), Some(me)) => member(facts, own, me, findings),
        (None, _) if !members.is_empty() => findings.push(Finding::unknown(
            MISSING,
            "which member this cluster is can't be told",
            "there is no ConfigMap helium-system/helium-cluster with its name, and no Member's endpoint is this server",
        )),
        _ => {}
    }
    others(facts, &members, own, findings);
    versions(&members, findings);
}

fn member(facts: &Facts, own: &str, me: &Value, findings: &mut Vec<Finding>) {
    if me["spec"]["revoked"] == true {
        findings.push(Finding::problem(
            REVOKED,
            format!("{own} was revoked"),
            text(&me["spec"]["revokedReason"]),
            "helium revoke --undo, through another cluster, if it is to take part again.",
        ));
        return;
    }
    let before = findings.len();
    match renewed(facts, own) {
        None if facts.heartbeats.is_err() => {
            // Not seen is not missing; why they can't be read has been told if the way there is closed.
            if let Err(refusal) = &facts.heartbeats
                && !told(findings, &REGISTRATION)
            {
                findings.push(Finding::unknown(
                    HEARTBEAT,
                    "the heartbeats weren't seen",
                    refusal.to_string(),
                ));
            }
            return;
        }
        None => findings.push(Finding::problem(
            HEARTBEAT,
            format!("{own} has no heartbeat"),
            format!("there is no Lease helium-system/member-{own}: no helium-agent has run here as a member"),
            "Look at helium-agent: it must run, and have its rights (manifests/base/agent-rbac.yaml).",
        )),
        Some(renewed) => {
            let late = facts.now.duration_since(renewed);
            if late > LATE {
                findings.push(Finding::problem(
                    HEARTBEAT,
                    format!("the last heartbeat of {own} was {} ago", span(late.as_secs())),
                    "helium-agent doesn't run, or can't write to the fleet",
                    "kubectl logs -n helium-system deployment/helium-agent. The others show this cluster as not ready meanwhile.",
                ));
            }
        }
    }
    for type_ in ["StoreReachable", "Registered"] {
        if let Some(("False", reason, message)) = condition(me, type_) {
            if type_ == "Registered" && told(findings, &REGISTRATION) {
                continue; // its cause has been told
            }
            findings.push(Finding::warning(
                CONDITIONS,
                format!("{own}: {type_} is False"),
                format!("{reason}: {message}"),
                "kubectl describe member says since when; docs/agent.md what it means.",
            ));
        }
    }
    if findings.len() == before {
        findings.push(Finding::good(
            HEARTBEAT,
            format!("{own} is a member, and its heartbeat is in time"),
        ));
    }
}

fn others(facts: &Facts, members: &[Value], own: Option<&str>, findings: &mut Vec<Finding>) {
    let (mut revoked, mut silent, mut fast) = (Vec::new(), Vec::new(), Vec::new());
    for member in members.iter().filter(|member| own != Some(name(member))) {
        let who = name(member).to_owned();
        if member["spec"]["revoked"] == true {
            revoked.push(who);
        } else if condition(member, "Ready").is_some_and(|(status, ..)| status != "True") {
            silent.push(who);
        } else if let Some(renewed) = renewed(facts, &who)
            && renewed.duration_since(facts.now) > AHEAD
        {
            fast.push(who);
        }
    }
    if !silent.is_empty() {
        findings.push(Finding::warning(
            HEARTBEAT,
            format!("not ready: {}", list(&silent)),
            "their conditions say why (kubectl describe member); Unknown means that heartbeats are missing",
            "Run helium doctor there. A cluster that won't come back: helium leave --dead <cluster>.",
        ));
    }
    if !fast.is_empty() {
        findings.push(Finding::warning(
            "clock",
            format!("clocks ahead of this one's: {}", list(&fast)),
            "their heartbeats carry times that haven't come yet",
            "Let all machines be set by NTP.",
        ));
    }
    if !revoked.is_empty() {
        findings.push(Finding::good(
            REVOKED,
            format!("shut out by intent: {}", list(&revoked)),
        ));
    }
    let others = members
        .iter()
        .filter(|member| own != Some(name(member)))
        .count();
    let well = others.saturating_sub(silent.len() + revoked.len());
    if well > 0 {
        findings.push(Finding::good(
            HEARTBEAT,
            format!("other members that take part: {well}"),
        ));
    }
}

fn versions(members: &[Value], findings: &mut Vec<Finding>) {
    let mut versions: Vec<String> = members
        .iter()
        .map(|member| text(&member["status"]["versions"]["helium"]).to_owned())
        .filter(|version| !version.is_empty())
        .collect();
    versions.sort();
    versions.dedup();
    match versions.as_slice() {
        [] => {}
        [one] => findings.push(Finding::good(
            VERSIONS,
            format!("all members run Helium {one}"),
        )),
        several => findings.push(Finding::warning(
            VERSIONS,
            "the members run different versions of Helium",
            several.join(", "),
            "That is fine while upgrading; finish it, cluster by cluster.",
        )),
    }
}

fn renewed(facts: &Facts, cluster: &str) -> Option<Timestamp> {
    let wanted = format!("member-{cluster}");
    let leases = items(&facts.heartbeats);
    let lease = leases.iter().find(|lease| name(lease) == wanted)?;
    text(&lease["spec"]["renewTime"]).parse().ok()
}
