//! What a watchdog concludes from its looks at the local Lease: values only.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use helium_failover::{Boot, Token};

use super::record::{REMEMBERED, Record};

/// Whether the containers may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// They may.
    Alive,
    /// The term hasn't been seen to be alive yet.
    Unseen,
    /// It was, too long ago.
    Stale,
    /// The record is of another term, or gone.
    Ended,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Alive => "the term is alive",
            Self::Unseen => "the term has not been seen to be alive yet",
            Self::Stale => "the term has not been renewed in time",
            Self::Ended => "the term is over",
        })
    }
}

/// One watchdog's view.
#[derive(Debug)]
pub(super) struct Judge {
    token: Token,
    after: Duration,
    /// Rounds that were seen, the lowest first, each with the sending of the last look that showed it.
    looks: VecDeque<(i64, Boot)>,
    /// The term was alive at some time after this moment.
    alive: Option<Boot>,
    ended: bool,
}

impl Judge {
    /// Of a term, which counts as dead `after` it was alive.
    pub(super) fn new(token: Token, after: Duration) -> Self {
        Self {
            token,
            after,
            looks: VecDeque::new(),
            alive: None,
            ended: false,
        }
    }

    /// A look that was sent at `asked` was answered with this.
    pub(super) fn see(&mut self, asked: Boot, record: Option<Record>) {
        let Some(record) = record.filter(|record| record.token == self.token) else {
            // Before the first sight of the own term an older one, or none, is no news.
            self.ended = !self.looks.is_empty() || self.ended;
            self.looks.clear();
            self.alive = None;
            return;
        };
        self.ended = false;
        match self.looks.back_mut() {
            Some((round, last)) if *round == record.round => *last = asked,
            // Lower than before: another life of the lease, whose numbers mean something else.
            Some((round, _)) if *round > record.round => {
                self.looks.clear();
                self.looks.push_back((record.round, asked));
            }
            _ => {
                if self.looks.len() == REMEMBERED {
                    self.looks.pop_front();
                }
                self.looks.push_back((record.round, asked));
            }
        }
        let Some(alive) = record.alive else { return };
        let before = self.looks.iter().rev().find(|(round, _)| *round < alive);
        if let Some((_, asked)) = before {
            self.alive = self.alive.max(Some(*asked));
        }
    }

    /// Whether the containers may go on now.
    pub(super) fn verdict(&self, now: Boot) -> Verdict {
        match self.alive {
            _ if self.ended => Verdict::Ended,
            None => Verdict::Unseen,
            Some(alive) if now.since(alive) < self.after => Verdict::Alive,
            Some(_) => Verdict::Stale,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AFTER: Duration = Duration::from_secs(10);

    fn at(seconds: u64) -> Boot {
        Boot(Duration::from_secs(seconds))
    }

    fn record(token: i64, round: i64, alive: i64) -> Option<Record> {
        Some(Record {
            token: Token(token),
            round,
            alive: (alive > 0).then_some(alive),
        })
    }

    fn judge() -> Judge {
        Judge::new(Token(7), AFTER)
    }

    #[test]
    fn a_first_look_shows_nothing_of_when_the_term_was_alive() {
        // A pod that starts anew beside a dead agent would run for a while else.
        let mut judge = judge();
        assert_eq!(judge.verdict(at(0)), Verdict::Unseen);
        for second in 0..20 {
            judge.see(at(second), record(7, 9, 8));
            assert_eq!(judge.verdict(at(second)), Verdict::Unseen);
        }
    }

    #[test]
    fn a_term_is_alive_from_the_last_look_that_did_not_show_the_round() {
        let mut judge = judge();
        judge.see(at(1), record(7, 1, 0));
        judge.see(at(2), record(7, 1, 0));
        judge.see(at(3), record(7, 2, 1));
        // When round 1 was written isn't known: it was there at the first look.
        assert_eq!(judge.verdict(at(3)), Verdict::Unseen);
        judge.see(at(5), record(7, 3, 2));
        assert_eq!(judge.verdict(at(5)), Verdict::Alive);
        // Round 2 was not there at 2; alive until 2 + 10.
        assert_eq!(judge.verdict(at(11)), Verdict::Alive);
        assert_eq!(judge.verdict(at(12)), Verdict::Stale);
    }

    #[test]
    fn rounds_that_were_not_seen_count_from_the_look_before_them() {
        let mut judge = judge();
        judge.see(at(1), record(7, 1, 0));
        judge.see(at(9), record(7, 5, 4));
        assert_eq!(judge.verdict(at(10)), Verdict::Alive);
        assert_eq!(judge.verdict(at(11)), Verdict::Stale);
    }

    #[test]
    fn a_late_write_of_a_paused_agent_revives_nothing() {
        let mut judge = judge();
        judge.see(at(1), record(7, 1, 0));
        judge.see(at(2), record(7, 2, 1));
        judge.see(at(3), record(7, 3, 2));
        assert_eq!(judge.verdict(at(3)), Verdict::Alive);
        for second in 4..60 {
            judge.see(at(second), record(7, 3, 2));
        }
        // Its renewal was acknowledged a minute ago, and it says so only now: round 3 was there since then.
        judge.see(at(60), record(7, 4, 3));
        assert_eq!(judge.verdict(at(60)), Verdict::Stale);
    }

    #[test]
    fn another_term_or_no_record_is_the_end_and_the_own_term_must_be_seen_anew() {
        for last in [record(8, 4, 3), None] {
            let mut judge = judge();
            judge.see(at(1), record(7, 1, 0));
            judge.see(at(2), record(7, 3, 2));
            assert_eq!(judge.verdict(at(2)), Verdict::Alive);
            judge.see(at(3), last);
            assert_eq!(judge.verdict(at(3)), Verdict::Ended);
            judge.see(at(4), record(7, 3, 2));
            assert_eq!(judge.verdict(at(4)), Verdict::Unseen);
        }
    }

    #[test]
    fn an_older_term_before_the_first_sight_of_the_own_is_no_end() {
        let mut judge = judge();
        judge.see(at(1), record(6, 1, 0));
        judge.see(at(2), None);
        assert_eq!(judge.verdict(at(2)), Verdict::Unseen);
    }

    #[test]
    fn a_lease_whose_rounds_begin_anew_says_nothing_of_the_old_ones() {
        let mut judge = judge();
        judge.see(at(1), record(7, 50, 49));
        judge.see(at(2), record(7, 1, 0));
        judge.see(at(3), record(7, 2, 1));
        assert_eq!(judge.verdict(at(3)), Verdict::Unseen);
        judge.see(at(4), record(7, 3, 2));
        assert_eq!(judge.verdict(at(4)), Verdict::Alive);
    }

    #[test]
    fn memory_is_bounded() {
        let mut judge = judge();
        for round in 0..10_000 {
            judge.see(at(0), record(7, round, 0));
        }
        assert_eq!(judge.looks.len(), REMEMBERED);
    }
}
