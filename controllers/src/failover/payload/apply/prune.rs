//! What the payload had and has no more is deleted.

use std::collections::BTreeSet;

use helium_failover::kind::Mode;

use super::examine::Trouble;
use super::{Halt, Job};
use crate::failover::payload::injection::makes_pods;
use crate::failover::payload::object::{Place, Whose, text, whose};
use crate::failover::payload::order::{holds_others, step};
use crate::failover::payload::trouble::Problem;
use crate::failover::payload::wire::Refused;

/// What became of dropped objects.
#[derive(Debug, Default)]
pub(super) struct Pruned {
    /// Their deletion was asked for.
    pub(super) deleted: Vec<Place>,
    /// Those that a stop has to look for: they were there just now, or their pods may be.
    pub(super) remaining: Vec<Place>,
}

/// How an object was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    /// There is none, or it is another's.
    Nothing,
    /// Others' objects are inside.
    Kept,
    /// Its deletion was asked for.
    Deleted,
}

impl Job<'_> {
    /// Deletes own objects in reverse order; others' with the same name are left alone.
    pub(super) async fn prune(&self, dropped: &[Place]) -> Result<Pruned, Halt> {
        let mut dropped: Vec<&Place> = dropped.iter().collect();
        dropped.sort_by_key(|place| std::cmp::Reverse(step(place)));
        let mut pruned = Pruned::default();
        let mut shelves = BTreeSet::new();
        for place in dropped {
            let found = self.drop_one(place).await?;
            // One of a kind is enough to remember where pods may be.
            let may_have_pods = self.term.mode == Mode::Strict
                && makes_pods(&place.group, &place.kind)
                && shelves.insert(place.namespace.clone());
            if found != Found::Nothing || may_have_pods {
                pruned.remaining.push(place.clone());
            }
            if found == Found::Deleted {
                pruned.deleted.push(place.clone());
            }
        }
        Ok(pruned)
    }

    async fn drop_one(&self, place: &Place) -> Result<Found, Halt> {
        let bound = self.limits.bound()?;
        let path = place.path();
        let halt = |refused| match self.trouble(&refused, "dropping", place) {
            Trouble::Problem(Problem { message, .. }) => {
                let message = format!("it can't be dropped: {message}");
                let problem = Problem {
                    object: place.object(),
                    reason: crate::failover::payload::ProblemReason::Forbidden,
                    message,
                };
                Halt::Rejected(vec![problem])
            }
            Trouble::Failure(failure) => Halt::Failed(failure),
        };
        let found = self.site.wire.get_opt(self.who(), &path, bound).await;
        let Some(found) = found.map_err(halt)? else {
            return Ok(Found::Nothing);
        };
        let uid = text(&found, "/metadata/uid").unwrap_or_default();
        let is_ours = whose(&found, self.group, &self.owner.uid) == Whose::Ours
            || place.uid.as_deref() == Some(uid);
        if !is_ours {
            return Ok(Found::Nothing);
        }
        if holds_others(place) {
            let uid = &self.owner.uid;
            let holds = self
                .site
                .holds_others(self.who(), self.group, uid, place)
                .await;
            if holds {
                return Ok(Found::Kept);
            }
        }
        let bound = self.limits.bound()?;
        let flight = self.turn.depart((self.limits.clock)(), bound);
        let done = self
            .site
            .wire
            .delete(self.who(), &path, uid, "Background", bound)
            .await;
        if !matches!(done, Err(Refused::NoAnswer(_))) {
            flight.landed();
        }
        done.map_err(halt)?;
        Ok(Found::Deleted)
    }
}
