//! The local Lease: what the agent says to the watchdogs of its own cluster (W1).

use std::collections::VecDeque;

use helium_failover::{Boot, Token};
use k8s_openapi::api::coordination::v1::Lease;

/// Annotation: number of this record; each write has a higher one.
pub(super) const ROUND: &str = "helium.dev/failover-round";
/// Annotation: the highest round that was written before the sending of a renewal that was acknowledged.
pub(super) const ALIVE: &str = "helium.dev/failover-alive-round";

/// More rounds than this are never needed: a term whose renewals are that far behind is over.
pub(super) const REMEMBERED: usize = 64;

/// A local Lease, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record {
    /// The term.
    pub(super) token: Token,
    /// This record's number.
    pub(super) round: i64,
    /// The term was alive after that round was written.
    pub(super) alive: Option<i64>,
}

impl Record {
    /// Reads a lease; `None` if it says nothing.
    pub(super) fn read(lease: &Lease) -> Option<Self> {
        let holder = lease.spec.as_ref()?.holder_identity.as_deref()?;
        let number = |name: &str| {
            let annotations = lease.metadata.annotations.as_ref()?;
            annotations.get(name)?.parse().ok()
        };
        Some(Self {
            token: Token(holder.parse().ok()?),
            round: number(ROUND)?,
            alive: number(ALIVE),
        })
    }
}

/// Rounds of one term, as their writer knows them.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    last: i64,
    alive: Option<i64>,
    /// Rounds that were written, and when their answers were here.
    written: VecDeque<(i64, Boot)>,
}

impl Rounds {
    /// Goes on behind a round that somebody has used.
    pub(super) fn behind(&mut self, used: i64) {
        self.last = self.last.max(used);
    }

    /// The next round, and what may be said to be alive, when a renewal that was sent then was acknowledged. A round is never used again, whatever
    /// becomes of its write.
    pub(super) fn next(&mut self, sent: Boot) -> (i64, Option<i64>) {
        while let Some((round, answered)) = self.written.front().copied() {
            if answered > sent {
                break;
            }
            self.alive = Some(round);
            self.written.pop_front();
        }
        self.last = self.last.saturating_add(1);
        (self.last, self.alive)
    }

    /// The write of a round was answered.
    pub(super) fn wrote(&mut self, round: i64, answered: Boot) {
        if self.written.len() == REMEMBERED {
            self.written.pop_front();
        }
        self.written.push_back((round, answered));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> Boot {
        Boot(Duration::from_secs(seconds))
    }

    #[test]
    fn a_round_is_alive_once_a_renewal_that_was_sent_after_its_answer_is_acknowledged() {
        let mut rounds = Rounds::default();
        assert_eq!(rounds.next(at(0)), (1, None));
        rounds.wrote(1, at(2));
        // Sent before the answer to round 1 was here: it says nothing of that round.
        assert_eq!(rounds.next(at(1)), (2, None));
        rounds.wrote(2, at(3));
        assert_eq!(rounds.next(at(2)), (3, Some(1)));
        // A write without an answer doesn't count, and its number isn't used again.
        assert_eq!(rounds.next(at(10)), (4, Some(2)));
    }

    #[test]
    fn rounds_go_on_behind_those_of_an_earlier_agent() {
        let mut rounds = Rounds::default();
        rounds.behind(41);
        rounds.behind(7);
        assert_eq!(rounds.next(at(9)), (42, None));
    }
}
