//! The cluster's own API server: reached, new enough, and with a clock like this machine's.

use super::super::facts::{Facts, text};
use super::super::finding::Finding;
use crate::connection::Clock;
use crate::table::span;

/// The oldest Kubernetes whose ValidatingAdmissionPolicy confines the agent.
const OLDEST_MINOR: u64 = 30;
/// HTTP tells whole seconds, and answers take time: less isn't seen.
const SKEW_SECONDS: i64 = 10;
/// From then on certificates and tokens that were just made are refused.
const BAD_SKEW_SECONDS: i64 = 300;

pub(super) fn check(facts: &Facts, findings: &mut Vec<Finding>) {
    let answer = match &facts.version {
        Ok(answer) => answer,
        Err(refusal) => {
            let remedy = match refusal.code() {
                Some(401 | 403) => "Use a kubeconfig whose credentials are valid.",
                _ => {
                    "Check that the cluster runs and that the address in the kubeconfig leads to it: kubectl version."
                }
            };
            findings.push(Finding::problem(
                "kube-apiserver",
                format!("{} doesn't answer", facts.server),
                refusal.to_string(),
                remedy,
            ));
            return;
        }
    };
    let version = answer.json();
    let shown = text(&version["gitVersion"]);
    if is_helium(facts) {
        findings.push(Finding::problem(
            "kube-apiserver",
            format!("{} is a helium-apiserver, not a cluster", facts.server),
            format!("its version is {shown}; there is no registration, no RBAC and no controller behind it that could be examined"),
            "Give doctor a kubeconfig of the cluster's own kube-apiserver. A fleet of helium up has none: helium members shows who belongs to it.",
        ));
        return;
    }
    let minor: String = text(&version["minor"])
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    match minor.parse::<u64>() {
        Ok(minor) if minor < OLDEST_MINOR => findings.push(Finding::warning(
            "kube-apiserver",
            format!("kube-apiserver {shown} answers at {}", facts.server),
            format!(
                "before 1.{OLDEST_MINOR} there is no ValidatingAdmissionPolicy: nothing confines what the agent's rights on ClusterRoles can do"
            ),
            "Upgrade the cluster, or treat the agent's token as an administrator's.",
        )),
        _ => findings.push(Finding::good(
            "kube-apiserver",
            format!("kube-apiserver {shown} answers at {}", facts.server),
        )),
    }
    clocks(facts, findings);
}

/// Whether the server says that it is a helium-apiserver: what `helium up` runs, or a direct endpoint.
pub(super) fn is_helium(facts: &Facts) -> bool {
    facts
        .version
        .as_ref()
        .is_ok_and(|answer| text(&answer.json()["gitVersion"]).contains("+helium."))
}

fn clocks(facts: &Facts, findings: &mut Vec<Finding>) {
    let fleet = [&facts.store, &facts.members]
        .into_iter()
        .find_map(|answer| {
            match answer {
                Ok(answer) => answer.clock,
                Err(_) => None, // the aggregator's own answer, perhaps
            }
        });
    let host = facts.version.as_ref().ok().and_then(|answer| answer.clock);
    let clocks = [("kube-apiserver", host), ("helium-apiserver", fleet)];
    let mut good = Vec::new();
    for (server, clock) in clocks {
        let Some(clock) = clock else { continue };
        match finding(server, clock) {
            Some(finding) => {
                findings.push(finding);
                return; // one wrong clock disagrees with all others
            }
            None => good.push(server),
        }
    }
    if good.is_empty() {
        findings.push(Finding::unknown(
            "clock",
            "the clocks weren't compared",
            "no server told its time",
        ));
    } else {
        findings.push(Finding::good(
            "clock",
            format!(
                "the clocks of this machine and {} agree",
                good.join(" and ")
            ),
        ));
    }
}

fn finding(server: &str, clock: Clock) -> Option<Finding> {
    let ahead = clock.ahead();
    if ahead.abs() < SKEW_SECONDS {
        return None;
    }
    let summary = format!(
        "the clock of {server} is {} {} this machine's",
        span(ahead.abs()),
        if ahead > 0 { "ahead of" } else { "behind" }
    );
    let cause = format!(
        "it shows {:.0}, this machine {:.0}",
        clock.theirs, clock.ours
    );
    let remedy = "Let both be set by NTP (chronyc tracking, timedatectl). Leases aren't harmed; certificates and tokens are refused, and ages are wrong.";
    Some(if ahead.abs() < BAD_SKEW_SECONDS {
        Finding::warning("clock", summary, cause, remedy)
    } else {
        Finding::problem("clock", summary, cause, remedy)
    })
}
