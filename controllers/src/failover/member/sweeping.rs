//! Writes of a term that land when it is over: who leads nothing here looks for them.

use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, warn};

use super::Member;
use super::jobs::Finished;
use crate::failover::payload::SweepOutcome;

/// How often it is looked for them. A write outlives its bound only in a network that holds it back.
const INTERVAL: Duration = Duration::from_secs(30);

impl Member {
    /// Looks for objects of the payload that no term here has: once after the start, then now and then.
    pub(super) fn sweep(&mut self, now: Instant) {
        let is_idle = !self.footprint
            && !self.machine.state().has_term()
            && !self.cluster.is_open()
            && self.sweeping.is_free(now);
        let (Some(payload), true, true) = (&self.payload, is_idle, self.own.is_some()) else {
            return;
        };
        let (site, group, payload) = (
            self.shared.site.clone(),
            self.group.clone(),
            payload.clone(),
        );
        let owner = self.owner();
        self.sweeping.begin();
        self.jobs
            .spawn(async move { Finished::Swept(site.sweep(&group, &owner, &payload).await) });
    }

    /// Takes what came of it.
    pub(super) fn swept(&mut self, done: SweepOutcome, now: Instant) {
        match done {
            SweepOutcome::Swept(objects) => {
                for object in objects {
                    warn!(group = %self.group, %object, "removed what a term that is over has left behind");
                    let note =
                        format!("{object} was removed: it landed when its term was over already");
                    self.tell_once("LateWrite", "Sweep", &note);
                }
            }
            SweepOutcome::InUse => {}
            SweepOutcome::Failed(failure) => {
                debug!(group = %self.group, %failure, "late writes can't be looked for");
            }
        }
        self.sweeping.rest(INTERVAL, now);
    }
}
