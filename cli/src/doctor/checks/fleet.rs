//! The store behind the server.

use super::super::facts::Facts;
use super::super::finding::Finding;

pub(super) const REVOKED: &str = "member-revoked";
pub(super) const MISSING: &str = "member-missing";
const STORE: &str = "store";

/// What the server answers everybody whose cluster was shut out.
pub(super) fn is_detached(message: &str) -> bool {
    [
        "was revoked",
        "is not a member",
        "is leaving",
        "doesn't accept cluster",
    ]
    .iter()
    .any(|part| message.contains(part))
}

pub(super) fn check(facts: &Facts, findings: &mut Vec<Finding>) {
    // The server of a cluster that was shut out says so to every question.
    let detached = [&facts.members, &facts.store, &facts.definitions]
        .into_iter()
        .filter_map(|answer| answer.as_ref().err())
        .find(|refusal| refusal.code() == Some(403) && is_detached(refusal.message()));
    if let Some(refusal) = detached
        && !refusal.message().contains("was revoked")
    {
        findings.push(Finding::problem(
            MISSING,
            "this cluster is no member of the fleet, and is refused by it",
            refusal.message(),
            "helium token create in a member, then helium join here (docs/identity.md). If it has left for good: helium leave, here, removes \
             what is left.",
        ));
        return;
    }
    if let Some(refusal) = detached {
        findings.push(Finding::problem(
            REVOKED,
            "this cluster is shut out of the fleet",
            refusal.message(),
            "If that was a mistake: helium revoke --undo <cluster>, through another cluster. If it has left for good: helium leave, here, \
             removes what is left.",
        ));
        return;
    }
    match &facts.store {
        Ok(_) => findings.push(Finding::good(STORE, "helium-apiserver reaches its store")),
        Err(refusal) if refusal.code() == Some(500) || refusal.code() == Some(503) => {
            findings.push(Finding::problem(
                STORE,
                "helium-apiserver doesn't reach its store",
                refusal.message(),
                "Look at kine-shim: kubectl logs -n helium-system deployment/kine-shim; then at the database. Meanwhile discovery goes on and \
                 namespaces can be deleted; the shared objects can't be read or written through this cluster.",
            ));
        }
        Err(refusal) => findings.push(Finding::unknown(
            STORE,
            "whether the store is reached wasn't seen",
            format!("{refusal} (it is asked through controlplanes/fleet/proxy)"),
        )),
    }
}
