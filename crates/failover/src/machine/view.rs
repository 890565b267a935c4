//! What a member sees.

use crate::kind::{DeadManSwitch, Mode};
use crate::names::{ClusterName, Token};
use crate::timing::{Boot, Timing};
use serde::{Deserialize, Serialize};

/// What the member's own object says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Own {
    /// May lead.
    pub ready: bool,
    /// Being deleted.
    pub deleted: bool,
    /// What it says can't be followed.
    pub invalid: bool,
    /// Identifies the payload's text; another one is applied anew.
    pub payload: String,
    /// Address for others.
    pub address: Option<String>,
}

/// A member of the group as the others see it. The list is the same everywhere but for `alive`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Who.
    pub cluster: ClusterName,
    /// Its rank.
    pub rank: i64,
    /// May lead, as it says.
    pub ready: bool,
    /// Whether its cluster's heartbeat is there. For order only, never for safety.
    pub alive: bool,
    /// When it became a member: of equal ranks the older leads.
    pub joined: String,
    /// Its answer to `preferredHolder`.
    pub stands_for: Option<Token>,
    /// Terms of its own up to this one are over.
    pub stopped: Option<Token>,
}

/// The group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupView {
    /// Times for new terms.
    pub timing: Timing,
    /// Mode for new terms.
    pub mode: Mode,
    /// Switch for new terms.
    pub dead_man: DeadManSwitch,
    /// No term begins, nobody hands over.
    pub paused: bool,
    /// Who leads while it can, whatever the ranks.
    pub preferred: Option<ClusterName>,
    /// A person's word.
    pub force: Option<(Token, ClusterName)>,
    /// All members, this one among them.
    pub members: Vec<Candidate>,
    /// The newest term that the record remembers: `status.history[0]`. It counts only where the lease itself doesn't say what became of
    /// its last term: somebody deleted it, or emptied it by hand.
    pub last_term: Option<(ClusterName, Token)>,
}

impl GroupView {
    /// A member's entry.
    #[must_use]
    pub fn member(&self, cluster: &ClusterName) -> Option<&Candidate> {
        self.members.iter().find(|one| one.cluster == *cluster)
    }
}

/// How far an earlier life of the agent had come with its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Phase {
    /// Written down, and maybe applied in part.
    Starting,
    /// Applied.
    Running,
    /// Being deleted: a term that was being stopped is never resumed.
    Stopping,
}

/// What is left of an earlier life of this agent, as its own cluster says (F4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Footprint {
    /// The term.
    pub token: Token,
    /// Its times.
    pub timing: Timing,
    /// Its mode.
    pub mode: Mode,
    /// Whether its payload has a switch.
    pub dead_man: DeadManSwitch,
    /// Identifies the payload that was applied.
    pub payload: String,
    /// How far it had come.
    pub phase: Phase,
    /// When the last acknowledged renewal of *this* term was sent, if that is known and of this boot of the machine.
    pub sent: Option<Boot>,
}
