//! What goes wrong, and what people do.

use helium_failover::kind::Mode;

use super::Time;
use super::rng::Rng;

#[derive(Debug, Clone)]
pub enum Fault {
    /// The agent stands still, or its whole machine is suspended.
    Pause(Time),
    /// The agent's process ends; what was sent still arrives.
    Crash {
        down: Time,
        forgets: bool,
    },
    /// Between agent and store nothing goes through.
    Cut(Time),
    /// Requests arrive, answers don't.
    Deaf(Time),
    /// What is watched comes late.
    Lag(Time, Time),
    Heal,
    /// The own API server is away.
    ApiAway(Time),
    Rank(i64),
    Ready(bool),
    Exists(bool),
    Payload {
        number: u64,
        rejected: bool,
    },
    Paused(bool),
    Preferred(Option<usize>),
    Mode(Mode),
    /// A person takes the lease for this member.
    Force,
    /// The store is as it was so long ago.
    Back(Time),
    /// A person deletes the lease, if the server lets it.
    DropLease,
    /// A person empties it, through the holder's own cluster.
    EmptyLease,
}

impl Fault {
    /// When, whose, what: within the first nine T.
    pub fn plan(rng: &mut Rng, members: usize, lease: Time) -> Vec<(Time, usize, Self)> {
        let count = rng.between(3, 9);
        (0..count)
            .map(|number| {
                let at = rng.between(lease / 2, lease * 9);
                let whose = usize::try_from(rng.below(members as u64)).unwrap();
                let long = rng.between(lease / 10, lease * 3);
                let fault = match rng.below(100) {
                    0..14 => Self::Pause(long),
                    14..30 => Self::Crash {
                        down: if rng.chance(50) {
                            long
                        } else {
                            rng.between(1000, lease / 4)
                        },
                        forgets: rng.chance(40),
                    },
                    30..42 => Self::Cut(long),
                    42..46 => Self::Deaf(long),
                    46..50 => Self::Lag(long, rng.between(1000, lease)),
                    50..58 => Self::ApiAway(long),
                    58..66 => Self::Rank(i64::try_from(rng.between(1, 4)).unwrap()),
                    66..74 => Self::Ready(rng.chance(50)),
                    74..77 => Self::Exists(rng.chance(50)),
                    77..81 => Self::Payload {
                        number,
                        rejected: rng.chance(40),
                    },
                    81..84 => Self::Paused(rng.chance(50)),
                    84..87 => Self::Preferred(rng.chance(60).then_some(whose)),
                    87..90 => Self::Mode(if rng.chance(50) {
                        Mode::Strict
                    } else {
                        Mode::Fast
                    }),
                    90..92 => Self::Force,
                    92..96 => Self::Back(rng.between(1000, lease * 2)),
                    96..98 => Self::DropLease,
                    _ => Self::EmptyLease,
                };
                (at, whose, fault)
            })
            .collect()
    }
}
