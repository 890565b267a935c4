//! Everything that is known of one drill, as values: what was broken when, and what was seen of it from every cluster.
//!
//! Times are microseconds since the drill began, on `CLOCK_BOOTTIME` of the one machine on which all runs: they can be compared. What was
//! seen of a moment is an interval: between two looks nobody knows. So a thing is seen from the *answer* to the first look that
//! has it until the *sending* of the last one that has it: then it was certainly there. Between the sending of the last look that doesn't have it
//! and the answer to the first that no longer has it, it may have been there.

use serde::{Deserialize, Serialize};

use crate::options::{LinkMode, Scenario};

/// Microseconds since the drill began.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub(crate) struct Moment(pub(crate) u64);

impl Moment {
    /// Seconds, for people.
    #[allow(clippy::cast_precision_loss)] // a drill is shorter than 2^52 microseconds
    pub(crate) fn seconds(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// Seconds since an earlier moment; none below zero.
    pub(crate) fn since(self, earlier: Self) -> f64 {
        Self(self.0.saturating_sub(earlier.0)).seconds()
    }

    /// So much later.
    pub(crate) fn plus(self, seconds: f64) -> Self {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        // a few minutes, never below zero
        Self(self.0 + (seconds.max(0.0) * 1e6) as u64)
    }
}

/// The form of [`History`] that this version writes and reads.
pub(crate) const VERSION: u32 = 1;

/// All that is known of one drill.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct History {
    /// [`VERSION`].
    pub(crate) version: u32,
    /// `<namespace>/<callsign>`.
    pub(crate) group: String,
    /// Of everything that was chosen.
    pub(crate) seed: u64,
    /// Whether the group's mode is strict.
    pub(crate) strict: bool,
    /// T, in seconds.
    pub(crate) lease_seconds: f64,
    /// How long stopping may take, in seconds.
    pub(crate) stop_budget_seconds: f64,
    /// What is added to T for a takeover, in seconds.
    pub(crate) takeover_margin_seconds: f64,
    /// Time of day at its beginning (RFC 3339).
    pub(crate) wall: String,
    /// When it ended.
    pub(crate) ended: Moment,
    /// All clusters.
    pub(crate) clusters: Vec<String>,
    /// How often each cluster's payload was looked at, in seconds.
    pub(crate) look_every_seconds: f64,
    /// What was broken, in order.
    pub(crate) faults: Vec<Fault>,
    /// When the group was well after each round.
    pub(crate) settled: Vec<Settled>,
    /// What there was of payloads.
    pub(crate) presences: Vec<Presence>,
    /// When a cluster's payload couldn't be looked at.
    pub(crate) blind: Vec<Blind>,
    /// The lease, as each cluster showed it, where holder or token changed.
    pub(crate) leases: Vec<LeaseSeen>,
    /// The group, as each cluster showed it, where leader, address or token changed.
    pub(crate) groups: Vec<GroupSeen>,
    /// The members' own states.
    pub(crate) states: Vec<StateSeen>,
    /// Writes to a shared object that were acknowledged, in the order of their answers.
    pub(crate) writes: Vec<Write>,
    /// What became of the others.
    pub(crate) unanswered: Unanswered,
    /// What the shared object had in the end; `None`: it couldn't be read.
    pub(crate) written: Option<u64>,
    /// What each cluster showed in the end.
    pub(crate) finals: Vec<View>,
    /// A person ended the drill early.
    pub(crate) interrupted: bool,
}

/// Something that was broken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Fault {
    /// The how manieth, from 1.
    pub(crate) round: u32,
    /// What.
    pub(crate) scenario: Scenario,
    /// Where; `None`: everywhere.
    pub(crate) cluster: Option<String>,
    /// The link, where only one way of one is cut.
    pub(crate) link: Option<(String, LinkMode)>,
    /// Who led before.
    pub(crate) leader: Option<String>,
    /// In which term.
    pub(crate) token: Option<i64>,
    /// When it began.
    pub(crate) began: Moment,
    /// When everything of it was healed.
    pub(crate) ended: Moment,
}

impl Fault {
    /// Whether it hit the leader.
    pub(crate) fn is_at_leader(&self) -> bool {
        self.cluster.is_some() && self.cluster == self.leader
    }

    /// Whether the cluster's agent can't do anything while it lasts, also not stop the payload.
    pub(crate) fn paralyses(&self, cluster: &str) -> bool {
        self.cluster.as_deref() == Some(cluster)
            && matches!(
                self.scenario,
                Scenario::KillAgent | Scenario::PauseAgent | Scenario::KillCluster
            )
    }

    /// Whether the cluster is lost to the others at once and wholly: the promise of a time to take over is about these.
    pub(crate) fn is_crash(&self) -> bool {
        matches!(
            self.scenario,
            Scenario::KillAgent
                | Scenario::PauseAgent
                | Scenario::CutCluster
                | Scenario::KillCluster
        )
    }

    /// What was done, for people.
    pub(crate) fn what(&self) -> String {
        let cluster = self.cluster.as_deref().unwrap_or("all");
        let cluster = if self.is_at_leader() {
            format!("{cluster} (the leader)")
        } else {
            cluster.to_owned()
        };
        match self.scenario {
            Scenario::KillAgent => format!("the agent of {cluster} is killed"),
            Scenario::PauseAgent => format!("the agent of {cluster} is paused"),
            Scenario::CutCluster => format!("{cluster} is cut off"),
            Scenario::CutOneWay => match &self.link {
                Some((link, mode)) => format!("{cluster}: link {link}: {}", mode.as_str()),
                None => format!("{cluster}: a link is cut one way"),
            },
            Scenario::KillApiserver => format!("the helium-apiserver of {cluster} is killed"),
            Scenario::KillShim => format!("the kine-shim of {cluster} is killed"),
            Scenario::KillCluster => format!("all servers of {cluster} are killed"),
            Scenario::RestartStore => "PostgreSQL ends at once and is started again".to_owned(),
            Scenario::Random => "nothing".to_owned(),
        }
    }
}

/// When the group was well after a round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Settled {
    /// Which round; 0: before the first.
    pub(crate) round: u32,
    /// When everything was healed.
    pub(crate) healed: Moment,
    /// When all clusters agreed; `None`: not within the bound.
    pub(crate) at: Option<Moment>,
    /// What was still wrong at the bound.
    pub(crate) wrong: Vec<String>,
}

/// An object of the payload in a cluster, in one term.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Presence {
    /// Where.
    pub(crate) cluster: String,
    /// `<kind> <namespace>/<name>`.
    pub(crate) object: String,
    /// Its uid.
    pub(crate) uid: String,
    /// The token that is written on it.
    pub(crate) token: Option<i64>,
    /// Sending of the last look that didn't have it; `None`: it was there from the beginning.
    pub(crate) after: Option<Moment>,
    /// Answer to the first look that has it.
    pub(crate) first: Moment,
    /// Sending of the last look that has it.
    pub(crate) last: Moment,
    /// Answer to the first look that no longer has it; `None`: it was there to the end.
    pub(crate) gone: Option<Moment>,
}

/// A time in which a cluster's payload couldn't be looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Blind {
    /// Where.
    pub(crate) cluster: String,
    /// Sending of the last look that was answered.
    pub(crate) from: Moment,
    /// Answer to the next.
    pub(crate) to: Moment,
}

/// The lease at one resourceVersion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LeaseSeen {
    /// Which cluster showed it.
    pub(crate) view: String,
    /// When it was seen.
    pub(crate) at: Moment,
    /// Its resourceVersion.
    pub(crate) version: u64,
    /// Who holds it.
    pub(crate) holder: Option<String>,
    /// Token of the last term.
    pub(crate) token: Option<i64>,
}

/// The group at one resourceVersion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GroupSeen {
    /// Which cluster showed it.
    pub(crate) view: String,
    /// When it was seen.
    pub(crate) at: Moment,
    /// Its resourceVersion.
    pub(crate) version: u64,
    /// Who leads.
    pub(crate) leader: Option<String>,
    /// At which address.
    pub(crate) address: Option<String>,
    /// Token of the term.
    pub(crate) token: Option<i64>,
    /// Why.
    pub(crate) reason: Option<String>,
}

/// What a member said of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StateSeen {
    /// Who.
    pub(crate) cluster: String,
    /// When it was seen.
    pub(crate) at: Moment,
    /// Its state.
    pub(crate) state: String,
    /// Why.
    pub(crate) reason: String,
    /// Its term.
    pub(crate) token: Option<i64>,
    /// Whether it says that it leads.
    pub(crate) leading: bool,
}

/// A write to the shared object that was acknowledged: it counts one further.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Write {
    /// Which cluster's payload wrote.
    pub(crate) cluster: String,
    /// With which token.
    pub(crate) token: i64,
    /// When it was sent.
    pub(crate) sent: Moment,
    /// When it was acknowledged.
    pub(crate) answered: Moment,
    /// To what it has counted.
    pub(crate) count: u64,
}

/// Writes that weren't acknowledged, by what became of them.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Unanswered {
    /// Refused, since the token isn't the present term's.
    pub(crate) fenced: u64,
    /// Refused, since another write was first.
    pub(crate) overtaken: u64,
    /// Nobody knows.
    pub(crate) unknown: u64,
}

/// What one cluster shows at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct View {
    /// Which cluster.
    pub(crate) cluster: String,
    /// What prevented looking.
    pub(crate) trouble: Vec<String>,
    /// Who holds the lease.
    pub(crate) holder: Option<String>,
    /// Its token.
    pub(crate) lease_token: Option<i64>,
    /// Who leads, as the group says.
    pub(crate) leader: Option<String>,
    /// The token that the group has.
    pub(crate) group_token: Option<i64>,
    /// The address that the group has.
    pub(crate) address: Option<String>,
    /// What this cluster's own member says of itself; `None`: it has none.
    pub(crate) member: Option<MemberView>,
    /// Objects of the payload that are there, with their tokens.
    pub(crate) payload: Vec<(String, Option<i64>)>,
}

/// What a member says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MemberView {
    /// Its state.
    pub(crate) state: String,
    /// Whether it leads.
    pub(crate) leading: bool,
    /// Its term.
    pub(crate) token: Option<i64>,
    /// The address that it has for others.
    pub(crate) address: Option<String>,
}
