//! What a seed chooses: the rounds of a drill.

use std::time::Duration;

use crate::options::{LinkMode, Scenario};

/// All scenarios that can be chosen.
pub(crate) const ALL: [Scenario; 8] = [
    Scenario::KillAgent,
    Scenario::PauseAgent,
    Scenario::CutCluster,
    Scenario::CutOneWay,
    Scenario::KillApiserver,
    Scenario::KillShim,
    Scenario::KillCluster,
    Scenario::RestartStore,
];

/// The links of a cluster that can carry one way only.
const ONE_WAY: [&str; 3] = ["control-plane", "store", "database"];

/// One round, before it is known who leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Round {
    /// The how manieth, from 1.
    pub(crate) number: u32,
    /// What is broken.
    pub(crate) scenario: Scenario,
    /// Whether it hits who leads.
    pub(crate) at_leader: bool,
    /// Who is hit otherwise: that many after the leader.
    pub(crate) other: usize,
    /// What is cut, where one way is.
    pub(crate) link: (&'static str, LinkMode),
    /// How long it stays broken.
    pub(crate) hold: Duration,
    /// How long all is left alone before it.
    pub(crate) rest: Duration,
}

/// Chooses the rounds: the same seed, scenarios and lease give the same ones, in every version of this machine and compiler.
pub(crate) fn rounds(seed: u64, scenarios: &[Scenario], count: u32, lease: Duration) -> Vec<Round> {
    let mut random = Random(seed);
    // Each kind comes before any comes twice.
    let mut deck: Vec<Scenario> = Vec::new();
    let round = |number: u32| {
        let turn = scenarios.get((number as usize - 1) % scenarios.len().max(1));
        let scenario = match turn {
            Some(Scenario::Random) | None => {
                if deck.is_empty() {
                    deck = shuffled(&mut random);
                }
                deck.pop().unwrap_or(Scenario::KillAgent)
            }
            Some(scenario) => *scenario,
        };
        let link = ONE_WAY[random.below(ONE_WAY.len())];
        let way = [LinkMode::DropUp, LinkMode::DropDown][random.below(2)];
        // Three of four last for longer than the lease: somebody must take over.
        let hold = if random.below(4) == 0 {
            random.between(Duration::from_millis(200), lease / 2)
        } else {
            random.between(
                lease + Duration::from_millis(1_500),
                lease + Duration::from_millis(4_500),
            )
        };
        let hold = match scenario {
            Scenario::RestartStore => random.between(Duration::ZERO, Duration::from_millis(1_500)),
            _ => hold,
        };
        Round {
            number,
            scenario,
            at_leader: random.below(4) != 0,
            other: 1 + random.below(16),
            link: (link, way),
            hold,
            rest: random.between(Duration::from_millis(500), Duration::from_millis(2_500)),
        }
    };
    (1..=count).map(round).collect()
}

fn shuffled(random: &mut Random) -> Vec<Scenario> {
    let mut deck = ALL.to_vec();
    for last in (1..deck.len()).rev() {
        deck.swap(last, random.below(last + 1));
    }
    deck
}

/// SplitMix64: small, and the same for ever, which a library's generators don't promise.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below another, which isn't zero. Slightly uneven, which is of no concern here.
    #[allow(clippy::cast_possible_truncation)]
    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    fn between(&mut self, from: Duration, to: Duration) -> Duration {
        let span = u64::try_from(to.saturating_sub(from).as_millis()).unwrap_or_default();
        from + Duration::from_millis(self.next() % (span + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: Duration = Duration::from_secs(5);

    #[test]
    fn a_seed_gives_the_same_rounds_for_ever() {
        let plan = rounds(1, &[Scenario::Random], 3, T);
        assert_eq!(plan, rounds(1, &[Scenario::Random], 3, T));
        assert_ne!(plan, rounds(2, &[Scenario::Random], 3, T));
        insta::assert_debug_snapshot!(plan);
    }

    #[test]
    fn every_scenario_comes_before_any_comes_twice() {
        let plan = rounds(7, &[Scenario::Random], 16, T);
        for half in plan.chunks(ALL.len()) {
            let mut seen: Vec<Scenario> = half.iter().map(|round| round.scenario).collect();
            seen.sort();
            assert_eq!(seen, ALL);
        }
    }

    #[test]
    fn named_scenarios_take_turns() {
        let named = [Scenario::KillShim, Scenario::PauseAgent];
        let plan = rounds(3, &named, 4, T);
        let seen: Vec<Scenario> = plan.iter().map(|round| round.scenario).collect();
        assert_eq!(seen, [named, named].concat());
        let long = plan.iter().filter(|round| round.hold > T).count();
        assert!(long >= 1, "{plan:?}");
    }
}
