//! What a coordinator has seen, and since when, by its own clock (K2, K3).

use std::collections::HashMap;

use helium_apimachinery::lease_candidate::{priority, spec_text};
use helium_apimachinery::meta::Object;
use jiff::Timestamp;
use semver::Version;
use tokio::time::Instant;

use super::election::{Candidate, Presence};
use crate::cache::Entry;
use crate::origin::origin;

/// Remembers when things were first seen as they are.
#[derive(Debug, Default)]
pub(super) struct Observer {
    leases: HashMap<String, SeenLease>,
    candidates: HashMap<String, SeenCandidate>,
}

#[derive(Debug)]
struct SeenLease {
    revision: i64,
    since: Instant,
    /// What was last complained of.
    problem: String,
    looked: Instant,
}

#[derive(Debug)]
struct SeenCandidate {
    uid: String,
    renewed: Option<Timestamp>,
    /// Since when that is known; `None` if it was so when it was first looked at.
    renewed_since: Option<Instant>,
    first: Instant,
    pinged: Option<Timestamp>,
    pinged_since: Instant,
    looked: Instant,
}

impl Observer {
    /// Since when the lease has been what it is.
    pub(super) fn lease(&mut self, key: &str, entry: Option<&Entry>, now: Instant) -> Instant {
        let revision = entry.map_or(0, |entry| entry.revision);
        let seen = self
            .leases
            .entry(key.to_owned())
            .or_insert_with(|| SeenLease {
                revision,
                since: now,
                problem: String::new(),
                looked: now,
            });
        if seen.revision != revision {
            seen.revision = revision;
            seen.since = now;
        }
        seen.looked = now;
        seen.since
    }

    /// Whether a problem hasn't been told yet.
    pub(super) fn is_news(&mut self, key: &str, problem: &str) -> bool {
        let Some(seen) = self
            .leases
            .get_mut(key)
            .filter(|seen| seen.problem != problem)
        else {
            return false;
        };
        problem.clone_into(&mut seen.problem);
        true
    }

    /// A candidate, with what is known of its presence.
    pub(super) fn candidate(&mut self, entry: &Entry, now: Instant) -> Candidate {
        let object = &entry.object;
        let time = |field| spec_text(object, field).parse::<Timestamp>().ok();
        let (renewed, pinged) = (time("renewTime"), time("pingTime"));
        let seen = self
            .candidates
            .entry(entry.key.clone())
            .or_insert_with(|| SeenCandidate::new(object, renewed, pinged, now));
        if seen.uid != object.uid() {
            *seen = SeenCandidate::new(object, renewed, pinged, now);
            seen.renewed_since = Some(now);
        }
        if seen.renewed != renewed {
            seen.renewed = renewed;
            seen.renewed_since = Some(now);
        }
        if seen.pinged != pinged {
            seen.pinged = pinged;
            seen.pinged_since = now;
        }
        seen.looked = now;
        let unanswered = pinged.is_some() && renewed.is_none_or(|renewed| Some(renewed) < pinged);
        Candidate {
            name: object.name().to_owned(),
            cluster: origin(object).to_owned(),
            version: entry.revision,
            created: object.creation_timestamp(),
            strategy: spec_text(object, "strategy").to_owned(),
            binary: Version::parse(spec_text(object, "binaryVersion")).ok(),
            emulation: Version::parse(spec_text(object, "emulationVersion")).ok(),
            priority: priority(object).unwrap_or_default(),
            renewed,
            presence: Presence {
                shown: seen.renewed_since,
                asked: unanswered.then_some(seen.pinged_since),
                first: seen.first,
            },
        }
    }

    /// Forgets what wasn't looked at in the present round.
    pub(super) fn forget_unseen(&mut self, now: Instant) {
        self.leases.retain(|_, seen| seen.looked == now);
        self.candidates.retain(|_, seen| seen.looked == now);
    }

    pub(super) fn forget_all(&mut self) {
        self.leases.clear();
        self.candidates.clear();
    }
}

impl SeenCandidate {
    fn new(
        object: &Object,
        renewed: Option<Timestamp>,
        pinged: Option<Timestamp>,
        now: Instant,
    ) -> Self {
        Self {
            uid: object.uid().to_owned(),
            renewed,
            renewed_since: None,
            first: now,
            pinged,
            pinged_since: now,
            looked: now,
        }
    }
}
