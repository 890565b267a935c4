//! Whether what was applied works, by the rules that `kubectl rollout status` goes by.

mod rules;

use futures_util::{StreamExt, stream};
use helium_failover::GroupName;
use serde_json::Value;

use super::object::ObjectName;
use super::site::{Site, WIDTH};
use super::trouble::{Failure, FailureReason, Verdict, judge};
use super::wire::As;

/// How far an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Condition {
    /// It does what it is for, or has done it.
    Ready,
    /// It is on the way.
    Progressing,
    /// It won't get there by itself.
    Failed,
    /// It was applied and isn't there any more.
    Missing,
}

/// One object's readiness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectReadiness {
    /// The object.
    pub object: ObjectName,
    /// How far it is.
    pub condition: Condition,
    /// What it waits for; empty when it is ready.
    pub message: String,
}

/// A payload's readiness.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Readiness {
    /// One for each object, as the footprint has them.
    pub objects: Vec<ObjectReadiness>,
}

impl Readiness {
    /// Whether everything is ready. A payload without objects is not.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let ready = |one: &ObjectReadiness| one.condition == Condition::Ready;
        !self.objects.is_empty() && self.objects.iter().all(ready)
    }

    /// The worst of all objects.
    #[must_use]
    pub fn worst(&self) -> Option<&ObjectReadiness> {
        let unready = self.objects.iter();
        unready
            .filter(|one| one.condition != Condition::Ready)
            .max_by_key(|one| one.condition)
    }
}

impl Site {
    /// How far the group's objects are, as this process knows them from applying or taking over. `None` if it has none.
    ///
    /// # Errors
    /// [`Failure`] when the cluster doesn't say.
    pub async fn readiness(&self, group: &GroupName) -> Result<Option<Readiness>, Failure> {
        let inner = &*self.inner;
        let Some(stored) = inner.turn(group).memory() else {
            return Ok(None);
        };
        let user = inner.user(group);
        let who = user.as_deref().map_or(As::Agent, As::User);
        let looks = stream::iter(
            stored
                .record
                .inventory
                .iter()
                .map(|place| async move {
                    let bound = inner.options.request_timeout;
                    let found = inner.wire.get_opt(who, &place.path(), bound).await;
                    (place, found)
                })
                .collect::<Vec<_>>(),
        )
        .buffered(WIDTH);
        let mut readiness = Readiness::default();
        for (place, found) in looks.collect::<Vec<_>>().await {
            let (condition, message) = match found {
                Ok(Some(object)) => rules::judge(&place.group, &place.kind, &object),
                Ok(None) => (Condition::Missing, "it was deleted by somebody".to_owned()),
                Err(refused) => {
                    return Err(
                        match judge(&refused, "looking at", place, inner.asker(group)) {
                            Verdict::Failure(failure) => failure,
                            Verdict::Problem(_, message) => {
                                Failure::new(FailureReason::Forbidden, message)
                            }
                            Verdict::Changed(said) | Verdict::Missing(said) => {
                                Failure::new(FailureReason::Away, said)
                            }
                        },
                    );
                }
            };
            readiness.objects.push(ObjectReadiness {
                object: place.object(),
                condition,
                message,
            });
        }
        Ok(Some(readiness))
    }
}

/// A condition of an object's status.
fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    let conditions = object["status"]["conditions"].as_array()?;
    conditions.iter().find(|found| found["type"] == kind)
}
