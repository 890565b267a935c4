//! The judges, in the order in which a person should read them. Each sees what those before it have found, so that
//! one cause is told once.

mod api;
mod certificates;
mod fleet;
mod host;
mod members;
mod namespaces;
mod registration;

use super::facts::{FIRST_API_SERVICE, Facts, condition, items, name};
use super::finding::{Finding, Level};

/// All checks.
pub(super) fn all(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    api::check(facts, &mut findings);
    if facts.version.is_err() || api::is_helium(facts) {
        return findings;
    }
    host::check(facts, &mut findings);
    certificates::check(facts, &mut findings);
    registration::check(facts, &mut findings);
    if first_is_available(facts) {
        fleet::check(facts, &mut findings);
        members::check(facts, &mut findings);
    }
    namespaces::check(facts, &mut findings);
    findings
}

/// Whether the cluster serves the fleet's own group. If it doesn't, that has been told, and nothing that is behind it can
/// be examined.
fn first_is_available(facts: &Facts) -> bool {
    items(&facts.api_services).iter().any(|service| {
        name(service) == FIRST_API_SERVICE
            && condition(service, "Available").is_some_and(|(status, ..)| status == "True")
    })
}

/// Whether one of these has been told to be wrong already.
fn told(findings: &[Finding], checks: &[&str]) -> bool {
    findings
        .iter()
        .any(|finding| finding.level >= Level::Warning && checks.contains(&finding.check))
}

/// Names in a sentence: all of them, or the first few and how many more.
fn list(names: &[String]) -> String {
    const SHOWN: usize = 6;
    if names.len() <= SHOWN {
        return names.join(", ");
    }
    format!(
        "{} and {} more",
        names[..SHOWN].join(", "),
        names.len() - SHOWN
    )
}

#[cfg(test)]
mod page;
#[cfg(test)]
mod tests;
