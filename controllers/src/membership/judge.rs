//! Which clusters' heartbeats have stopped, by our own clock: values only.
//!
//! A heartbeat is missed when its lease hasn't changed for the time that it promises, counted from our own first look
//! at it as it is. Times that others wrote are never compared with our clock. The clock is monotonic and stands still
//! while this machine is suspended, so that a machine that wakes up judges later and not sooner.
//!
//! A judge whose own view stands still would think everybody dead. Our own heartbeat comes back to us by the same
//! watch as those of others: while it doesn't, or didn't until a moment ago, nobody is judged, and all times begin
//! anew.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use kube::core::DynamicObject;
use tokio::time::Instant;

use super::heartbeat::{DURATION, INTERVAL};
use crate::ClusterName;

/// Our own heartbeat must have come back to us within that time.
const FRESH: Duration = Duration::from_secs(INTERVAL.as_secs() * 8 / 5);
/// Judges that see the same speak one after the other: each waits up to that long for each cluster there is, and
/// the first that has spoken is heard by the others within milliseconds.
const TURN: Duration = Duration::from_millis(100);
/// The longest wait for one's turn.
const LONGEST_TURN: Duration = Duration::from_secs(2);

/// A heartbeat that is missed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Missed {
    /// Whose.
    pub(super) cluster: String,
    /// The resourceVersion of the lease as it has stood still; `None` if there is no lease.
    pub(super) version: Option<String>,
}

/// One agent's view of all heartbeats.
#[derive(Debug)]
pub(super) struct Judge {
    own: String,
    /// What was seen of each cluster's lease, and when first.
    seen: BTreeMap<String, (Option<String>, Instant)>,
}

impl Judge {
    pub(super) fn new(own: &ClusterName) -> Self {
        Self {
            own: own.as_str().to_owned(),
            seen: BTreeMap::new(),
        }
    }

    /// Looks at the leases (by their names) of some clusters; returns whose heartbeats are missed. Looks must come
    /// every second or so.
    pub(super) fn look<'a>(
        &mut self,
        clusters: impl IntoIterator<Item = &'a str>,
        leases: &BTreeMap<String, Arc<DynamicObject>>,
        now: Instant,
    ) -> Vec<Missed> {
        let version = |cluster: &str| {
            let lease = leases.get(&super::heartbeat::lease_name(cluster))?;
            Some(lease.metadata.resource_version.clone().unwrap_or_default())
        };
        let own = self.own.clone();
        let own_since = note(&mut self.seen, &own, version(&own), now);
        if version(&own).is_none() || now.duration_since(own_since) > FRESH {
            self.seen.retain(|cluster, _| *cluster == own);
            return Vec::new();
        }
        let clusters: Vec<&str> = clusters.into_iter().filter(|name| *name != own).collect();
        self.seen
            .retain(|cluster, _| *cluster == own || clusters.contains(&cluster.as_str()));
        let mut missed = Vec::new();
        for &cluster in &clusters {
            let version = version(cluster);
            let since = note(&mut self.seen, cluster, version.clone(), now);
            if now.duration_since(since) >= DURATION + self.turn(cluster, &version, clusters.len())
            {
                missed.push(Missed {
                    cluster: cluster.to_owned(),
                    version,
                });
            }
        }
        missed
    }

    /// Lets a cluster's time begin anew.
    pub(super) fn forget(&mut self, cluster: &str) {
        self.seen.remove(cluster);
    }

    /// How long this judge lets others go first. It differs from one occasion to the next.
    fn turn(&self, cluster: &str, version: &Option<String>, clusters: usize) -> Duration {
        let mut hasher = DefaultHasher::new();
        (&self.own, cluster, version).hash(&mut hasher);
        let part = f64::from(u32::try_from(hasher.finish() >> 32).unwrap_or_default())
            / f64::from(u32::MAX);
        let all = TURN.saturating_mul(u32::try_from(clusters).unwrap_or(u32::MAX));
        all.min(LONGEST_TURN).mul_f64(part)
    }
}

/// Notes what is seen of a lease; returns since when it is so.
fn note(
    seen: &mut BTreeMap<String, (Option<String>, Instant)>,
    cluster: &str,
    version: Option<String>,
    now: Instant,
) -> Instant {
    match seen.get(cluster) {
        Some((before, since)) if *before == version => *since,
        _ => {
            seen.insert(cluster.to_owned(), (version, now));
            now
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    type Leases = BTreeMap<String, Arc<DynamicObject>>;

    fn leases(versions: &[(&str, u64)]) -> Leases {
        let lease = |(cluster, version): &(&str, u64)| {
            let name = super::super::heartbeat::lease_name(cluster);
            let lease = json!({"metadata": {"name": name, "resourceVersion": version.to_string()}});
            (name, Arc::new(serde_json::from_value(lease).unwrap()))
        };
        versions.iter().map(lease).collect()
    }

    fn judge() -> Judge {
        Judge::new(&"east".parse().unwrap())
    }

    /// Looks once a second; `versions` says what is seen in which second. Returns when somebody is missed first.
    fn first_missed(
        judge: &mut Judge,
        start: Instant,
        seconds: std::ops::Range<u64>,
        versions: impl Fn(u64) -> Leases,
    ) -> Option<(u64, Vec<String>)> {
        for second in seconds {
            let now = start + Duration::from_secs(second);
            let missed = judge.look(["east", "west", "north"], &versions(second), now);
            if !missed.is_empty() {
                let names = missed.into_iter().map(|missed| missed.cluster).collect();
                return Some((second, names));
            }
        }
        None
    }

    #[test]
    fn a_lease_that_stands_still_for_its_duration_is_missed() {
        let start = Instant::now();
        let (second, names) = first_missed(&mut judge(), start, 0..60, |second| {
            leases(&[("east", second / 5), ("west", 7), ("north", second / 5)])
        })
        .unwrap();
        assert_eq!(names, ["west"]);
        assert!((15..=17).contains(&second), "{second}");
        // A cluster without any lease is missed in the same way.
        let (_, names) = first_missed(&mut judge(), start, 0..60, |second| {
            leases(&[("east", second / 5), ("west", second / 5)])
        })
        .unwrap();
        assert_eq!(names, ["north"]);
    }

    #[test]
    fn clusters_that_renew_are_never_missed_and_old_times_count_for_nothing() {
        let none = first_missed(&mut judge(), Instant::now(), 0..120, |second| {
            leases(&[
                ("east", second / 5),
                ("west", second / 14),
                ("north", second / 5),
            ])
        });
        assert_eq!(none, None);
    }

    #[test]
    fn a_judge_whose_view_stands_still_judges_nobody() {
        let start = Instant::now();
        let mut judge = judge();
        let still = |_| leases(&[("east", 1), ("west", 1), ("north", 1)]);
        assert_eq!(first_missed(&mut judge, start, 0..100, still), None);
        // It comes back: the others have their full time from then on.
        let (second, _) = first_missed(&mut judge, start, 100..200, |second| {
            leases(&[("east", second / 5), ("west", 1), ("north", second / 5)])
        })
        .unwrap();
        assert!((115..=117).contains(&second), "{second}");
    }

    #[test]
    fn a_judge_that_was_stopped_for_a_while_judges_nobody_at_once() {
        let start = Instant::now();
        let mut judge = judge();
        let view =
            |second: u64| leases(&[("east", second / 5), ("west", 2), ("north", second / 5)]);
        assert_eq!(first_missed(&mut judge, start, 0..10, view), None);
        // A minute later, with the view of before.
        let old = |_| view(9);
        assert_eq!(first_missed(&mut judge, start, 70..71, old), None);
        let (second, _) = first_missed(&mut judge, start, 71..100, view).unwrap();
        assert!((86..=88).contains(&second), "{second}");
    }

    #[test]
    fn a_hundred_judges_do_not_speak_at_once() {
        let turns: Vec<Duration> = (0..100)
            .map(|number| {
                let own = format!("c{number}").parse().unwrap();
                Judge::new(&own).turn("west", &Some("7".to_owned()), 100)
            })
            .collect();
        assert!(turns.iter().all(|turn| *turn <= LONGEST_TURN));
        let early = turns.iter().filter(|turn| **turn < LONGEST_TURN / 10);
        assert!((1..=25).contains(&early.count()));
        // Small fleets wait hardly at all.
        let own = "c1".parse().unwrap();
        assert!(Judge::new(&own).turn("west", &None, 3) <= TURN * 3);
    }

    #[test]
    fn who_is_no_longer_asked_about_is_forgotten() {
        let start = Instant::now();
        let mut judge = judge();
        let leases = leases(&[("east", 1), ("west", 1)]);
        judge.look(["west"], &leases, start);
        judge.look([], &leases, start);
        assert_eq!(judge.seen.keys().collect::<Vec<_>>(), ["east"]);
    }
}
