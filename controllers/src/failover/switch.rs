//! The dead-man's switch: what stops a payload whose agent can't.
//!
//! An agent that is killed or paused while its cluster lives stops nothing. So in strict mode a *watchdog* may run beside the payload's
//! containers: it reads a Lease in its own cluster ([`LocalLease`]), which the agent renews while its term is alive, and the kubelet asks it
//! once a second (a liveness probe of every container) whether the containers may go on ([`inject`]).
//!
//! Invariants, cited by tests:
//! - **W1 Never fresher than the term.** What the watchdog counts from lies before the *sending* of a renewal that the fleet's store has acknowledged,
//!   however late the agent writes that down. A write that says "alive" as it happens would not do: an agent that was paused between acknowledgement and writing would
//!   revive a term that is over. So each record has a *round*, and says which earlier round was written before a renewal was sent that was acknowledged
//!   later. The watchdog counts from the sending of its last look that did *not* show that round yet.
//! - **W2 Silent at `T(1−ρ)`.** Counted so, a watchdog says *no* from `T(1−ρ)` after that sending, by its own boot clock: before anybody may judge that the
//!   record has run out. What comes then is the kubelet's part, and takes no longer than [`takes`].
//! - **W3 No by default.** A watchdog that has not seen its own token become alive, or can't read, or is paused or dead, is a failed probe.
//! - **W4 Nothing of the payload's own is lost.** A pod whose own probes, ports or grace period don't go together with the switch is refused with advice,
//!   never changed silently.
//!
//! What it will not do: stop a container when the kubelet is gone too, run without a kubelet, or keep a container that
//! the kubelet starts again from running until its first probe (about a second; its `postStart` hook ends most of that).

mod inject;
mod judge;
mod local;
mod record;
pub(crate) mod watchdog;

use std::time::Duration;

use helium_failover::{GroupName, Timing, Token};

pub use inject::{CONTAINER, SwitchError, UNGUARDED, inject};
pub use local::{LocalLease, LocalLeaseError, keep};

/// Port of the watchdog in a pod, unless the agent is told another.
pub const DEFAULT_PORT: u16 = 10455;

/// Pause between two probes of the kubelet, and the most that one takes: it knows whole seconds only.
const PROBE: Duration = Duration::from_secs(1);
/// What a kubelet may take to act on a failed probe, and a container runtime to end a container after its grace period.
const KUBELET: Duration = Duration::from_secs(2);

/// What a pod's switch must know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SwitchContext {
    /// Image with `helium-agent`.
    pub image: String,
    /// Whose payload it is.
    pub group: GroupName,
    /// The term in which the pods run.
    pub token: Token,
    /// Times of that term.
    pub timing: Timing,
    /// Where the watchdog listens in the pod.
    pub port: u16,
}

/// How long a container may run after the holder's record ran out: until the next probe, its time limit, the grace period, and what the kubelet
/// takes to do it. This is `Term::dead_man` of the machine.
#[must_use]
pub fn takes(timing: Timing) -> Duration {
    PROBE + PROBE + Duration::from_secs(grace(timing)) + KUBELET
}

/// Seconds from SIGTERM to SIGKILL: stopping may take the stop budget. Kubernetes knows no less than one.
fn grace(timing: Timing) -> u64 {
    timing
        .stop_budget
        .as_millis()
        .div_ceil(1000)
        .clamp(1, 3600)
        .try_into()
        .unwrap_or(3600)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_switch_takes_two_probes_the_grace_period_and_the_kubelets_time() {
        let timing = |millis| {
            Timing::new(Duration::from_secs(60), Duration::from_millis(millis)).expect("times")
        };
        assert_eq!(takes(timing(5000)), Duration::from_secs(9));
        assert_eq!(takes(timing(4001)), Duration::from_secs(9));
        // Kubernetes has no grace period of a probe below a second.
        assert_eq!(takes(timing(0)), Duration::from_secs(5));
    }
}
