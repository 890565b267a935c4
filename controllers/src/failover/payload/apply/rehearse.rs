//! An edit is judged as a whole by the server before any of it is sent.

use futures_util::{StreamExt, stream};
use helium_failover::kind::FIELD_MANAGER;
use http::Method;

use super::examine::{Trouble, halt};
use super::plan::Planned;
use super::{Halt, Job};
use crate::failover::payload::site::WIDTH;
use crate::failover::payload::trouble::{Problem, Verdict, judge};
use crate::failover::payload::wire::APPLY;

impl Job<'_> {
    /// Asks the server what it would say. Only a plain no counts: what can't be asked without doing it shows when it is done.
    pub(super) async fn rehearse(&self, planned: &[Planned]) -> Result<(), Halt> {
        let asks: Vec<_> = planned.iter().map(|one| self.rehearse_one(one)).collect();
        let asks = stream::iter(asks).buffer_unordered(WIDTH);
        let troubles: Vec<Option<Trouble>> = asks.collect().await;
        halt(troubles.into_iter().flatten().collect())
    }

    async fn rehearse_one(&self, one: &Planned) -> Option<Trouble> {
        let bound = match self.limits.bound() {
            Ok(bound) => bound,
            Err(failure) => return Some(Trouble::Failure(failure)),
        };
        let mut content = one.content.clone();
        if let Some(uid) = &one.present {
            content["metadata"]["uid"] = uid.clone().into();
        }
        let force = one.present.is_some();
        let path = format!(
            "{}?fieldManager={FIELD_MANAGER}&force={force}&fieldValidation=Strict&dryRun=All",
            one.place.path()
        );
        let asked = self
            .site
            .wire
            .write(self.who(), Method::PATCH, &path, APPLY, &content, bound)
            .await;
        let refused = asked.err()?;
        match judge(
            &refused,
            "rehearsing",
            &one.place,
            self.site.asker(self.group),
        ) {
            // Some webhooks can't be asked like this.
            Verdict::Problem(_, message) if message.contains("dry run") => None,
            Verdict::Problem(reason, message) => Some(Trouble::Problem(Problem {
                object: one.place.object(),
                reason,
                message,
            })),
            Verdict::Failure(_) | Verdict::Changed(_) | Verdict::Missing(_) => None,
        }
    }
}
