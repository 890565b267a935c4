//! What the registrar has achieved in its cluster, group by group.

use std::collections::BTreeMap;

use super::desired::Desired;
use super::plan::{self, FIRST, Observed};

/// Why a group isn't served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Missing {
    /// One word.
    pub(crate) reason: &'static str,
    /// For people.
    pub(crate) message: String,
}

/// All groups of the fleet, as one cluster serves them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    /// Why the fleet's own group isn't served, without which there is nothing; `None` if it is.
    pub(crate) first: Option<String>,
    /// The groups that aren't served.
    pub(crate) missing: BTreeMap<String, Missing>,
}

/// The reasons, the worst one first.
pub(crate) const REASONS: [&str; 3] = ["GroupConflict", "NotRegistered", "Unavailable"];

/// Sums up. `failures` are the writes that failed, by name.
pub(super) fn summary(
    desired: &Desired,
    observed: &Observed,
    failures: &BTreeMap<String, String>,
) -> Summary {
    let [conflict, unwritten, unavailable] = REASONS;
    let mut missing = BTreeMap::new();
    for (group, why) in &desired.refused {
        let message = format!("served here by {why}");
        missing.insert(
            group.clone(),
            Missing {
                reason: conflict,
                message,
            },
        );
    }
    for (name, wanted) in &desired.api_services {
        let group = wanted.spec.as_ref().and_then(|spec| spec.group.clone());
        let held = observed.api_services.get(name);
        let found = match held {
            Some(held) if plan::is(wanted, held) => match plan::unavailable(held) {
                None => continue,
                Some(why) => Missing {
                    reason: unavailable,
                    message: format!("APIService {name}: {why}"),
                },
            },
            _ => Missing {
                reason: unwritten,
                message: match failures.get(name) {
                    Some(error) => format!("APIService {name}: {error}"),
                    None => format!("APIService {name} is not written"),
                },
            },
        };
        // The first version that is missing is enough.
        missing.entry(group.unwrap_or_default()).or_insert(found);
    }
    let first = match observed.api_services.get(FIRST) {
        Some(service) => plan::unavailable(service),
        None => Some("not there".to_owned()),
    };
    Summary {
        first: first.map(|why| format!("APIService {FIRST}: {why}")),
        missing,
    }
}
