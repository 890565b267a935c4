//! Objects are sent, each until it is there or can't be.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use helium_failover::kind::FIELD_MANAGER;
use http::Method;
use serde_json::{Value, json};

use super::examine::{Trouble, halt};
use super::plan::Planned;
use super::{Halt, Job, PAUSE};
use crate::failover::payload::object::{Place, text};
use crate::failover::payload::site::WIDTH;
use crate::failover::payload::trouble::{
    Failure, FailureReason, Problem, ProblemReason, Verdict, judge,
};
use crate::failover::payload::wire::{APPLY, Refused};

/// How often one object is sent at most: a server that is away is the caller's to wait for.
const ATTEMPTS: u32 = 6;

impl Job<'_> {
    /// Sends the objects of one step. Returns for each its index, its uid, and whether it is new.
    pub(super) async fn send_all(
        &self,
        planned: &[Planned],
        places: &[usize],
    ) -> Result<Vec<(usize, String, bool)>, Halt> {
        let sends = stream::iter(
            places
                .iter()
                .map(|index| async move { (*index, self.send(&planned[*index]).await) })
                .collect::<Vec<_>>(),
        )
        .buffer_unordered(WIDTH);
        let sent: Vec<_> = sends.collect().await;
        let (mut placed, mut troubles) = (Vec::new(), Vec::new());
        for (index, outcome) in sent {
            match outcome {
                Ok((uid, is_new)) => placed.push((index, uid, is_new)),
                Err(trouble) => troubles.push(trouble),
            }
        }
        halt(troubles)?;
        Ok(placed)
    }

    async fn send(&self, one: &Planned) -> Result<(String, bool), Trouble> {
        let place = &one.place;
        let mut present = one.present.clone();
        let mut last = String::new();
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                self.limits.pause(PAUSE * 2_u32.pow(attempt - 1)).await;
                present = self.look(place).await?;
            }
            let refused = match self.send_once(one, present.as_deref()).await? {
                Ok((_, object)) if present.is_some() => return Ok((uid(&object), false)),
                Ok((201, object)) => return Ok((uid(&object), true)),
                // Somebody has made it since we looked: our marks must go from it again.
                Ok((_, object)) => {
                    self.undo(place, &object).await;
                    last = "it appeared while it was being created".to_owned();
                    continue;
                }
                Err(refused) => refused,
            };
            match judge(&refused, "applying", place, self.site.asker(self.group)) {
                Verdict::Changed(said) => last = said,
                // The uid of what we looked at is another's by now, which some servers call invalid.
                Verdict::Problem(ProblemReason::Invalid, said)
                    if present.is_some() && said.contains("metadata.uid") =>
                {
                    last = said;
                }
                Verdict::Problem(reason, message) => {
                    return Err(Trouble::Problem(Problem {
                        object: place.object(),
                        reason,
                        message,
                    }));
                }
                Verdict::Missing(said) => {
                    self.site.kinds.forget(&place.group, &place.version);
                    last = said;
                }
                Verdict::Failure(failure) if !failure.is_retryable() => {
                    return Err(Trouble::Failure(failure));
                }
                Verdict::Failure(failure) => last = failure.message,
            }
        }
        let message = format!("applying {}: {last}", place.object());
        Err(Trouble::Failure(Failure::new(FailureReason::Away, message)))
    }

    /// One write, registered while it is open. The outer error: it may not be sent any more.
    async fn send_once(
        &self,
        one: &Planned,
        present: Option<&str>,
    ) -> Result<Result<(u16, Value), Refused>, Trouble> {
        let mut content = one.content.clone();
        if let Some(uid) = present {
            content["metadata"]["uid"] = uid.into();
        }
        let bound = self.limits.bound().map_err(Trouble::Failure)?;
        Ok(self
            .patch(&one.place, &content, present.is_some(), bound)
            .await)
    }

    async fn patch(
        &self,
        place: &Place,
        content: &Value,
        force: bool,
        bound: Duration,
    ) -> Result<(u16, Value), Refused> {
        let path = format!(
            "{}?fieldManager={FIELD_MANAGER}&force={force}&fieldValidation=Strict",
            place.path()
        );
        let flight = self.turn.depart((self.limits.clock)(), bound);
        let done = self
            .site
            .wire
            .write(self.who(), Method::PATCH, &path, APPLY, content, bound)
            .await;
        if !matches!(done, Err(Refused::NoAnswer(_))) {
            flight.landed();
        }
        done
    }

    /// Takes our fields out of somebody's object. If this fails the next look at the object tells; ours alone is what it keeps then.
    async fn undo(&self, place: &Place, object: &Value) {
        let nothing = json!({
            "apiVersion": object["apiVersion"],
            "kind": object["kind"],
            "metadata": {"name": place.name, "uid": object["metadata"]["uid"]},
        });
        let Ok(bound) = self.limits.bound() else {
            return;
        };
        if let Err(refused) = self.patch(place, &nothing, true, bound).await {
            tracing::warn!(object = %place.object(), ?refused,
                "an object of somebody else got the payload's marks, and they can't be taken back");
        }
    }
}

fn uid(object: &Value) -> String {
    text(object, "/metadata/uid").unwrap_or_default().to_owned()
}
