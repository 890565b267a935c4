//! Objects of a group that has no term here: writes that landed late.

use futures_util::{StreamExt, stream};
use helium_failover::GroupName;
use tokio_util::sync::CancellationToken;

use super::document::{Manifest, Payload};
use super::kinds::Resolved;
use super::object::{ObjectName, Owner, Place, Whose, whose};
use super::order::{holds_others, step};
use super::site::{Site, Standing, WIDTH, shelves};
use super::trouble::{Failure, FailureReason, Verdict, judge};
use super::wire::As;

/// How [`Site::sweep`] ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SweepOutcome {
    /// These were there, and their deletion was asked for; as a rule none.
    Swept(Vec<ObjectName>),
    /// The group has a footprint: what is there is its term's to stop.
    InUse,
    /// Not known.
    Failed(Failure),
}

impl Site {
    /// Deletes own objects of the payload's kinds while the group has no footprint. To be called now and then by who doesn't lead, and once
    /// after an agent's start.
    pub async fn sweep(&self, group: &GroupName, owner: &Owner, payload: &Payload) -> SweepOutcome {
        let inner = &*self.inner;
        let turn = inner.turn(group);
        let Some(_place) = turn.take(&CancellationToken::new()).await else {
            return SweepOutcome::InUse;
        };
        let places = match self.places(payload).await {
            Ok(places) => places,
            Err(failure) => return SweepOutcome::Failed(failure),
        };
        let user = inner.user(group);
        let found = inner
            .all_labelled(user.as_deref(), group, &shelves(&places))
            .await;
        let failed = |refused, doing: &str, place: &Place| {
            let failure = match judge(refused, doing, place, inner.asker(group)) {
                Verdict::Failure(failure) => failure,
                Verdict::Problem(_, message) => Failure::new(FailureReason::Forbidden, message),
                Verdict::Changed(said) | Verdict::Missing(said) => {
                    Failure::new(FailureReason::Busy, said)
                }
            };
            SweepOutcome::Failed(failure)
        };
        let found = match found {
            Ok(found) => found,
            Err((shelf, refused)) => return failed(&refused, "listing", &shelf.place("*")),
        };
        // P5: what was found is older than this look, so it is of no term that has a footprint since.
        match inner.confirm(group).await {
            Ok(Standing::None) => {}
            Ok(Standing::Own | Standing::Replaced(_)) => return SweepOutcome::InUse,
            Err(failure) => return SweepOutcome::Failed(failure),
        }
        let mut late: Vec<Place> = found
            .into_iter()
            .filter(|(_, item)| {
                whose(item, group, &owner.uid) == Whose::Ours
                    && !item["metadata"]["deletionTimestamp"].is_string()
            })
            .map(|(place, _)| place)
            // They run nothing, and others' may be inside.
            .filter(|place| !holds_others(place))
            .collect();
        late.sort_by_key(|place| std::cmp::Reverse(step(place)));
        let who = user.as_deref().map_or(As::Agent, As::User);
        for place in &late {
            let uid = place.uid.as_deref().unwrap_or_default();
            let bound = inner.options.request_timeout;
            let done = inner
                .wire
                .delete(who, &place.path(), uid, "Background", bound)
                .await;
            if let Err(refused) = done {
                return failed(&refused, "deleting", place);
            }
        }
        SweepOutcome::Swept(late.iter().map(Place::object).collect())
    }

    /// Where a payload's objects would be. Kinds that aren't served have none.
    async fn places(&self, payload: &Payload) -> Result<Vec<Place>, Failure> {
        let looks = stream::iter(
            payload
                .objects
                .iter()
                .map(|manifest| self.place_of(payload, manifest))
                .collect::<Vec<_>>(),
        )
        .buffer_unordered(WIDTH);
        let found: Vec<Result<Option<Place>, Failure>> = looks.collect().await;
        let mut places = Vec::new();
        for place in found {
            places.extend(place?);
        }
        Ok(places)
    }

    async fn place_of(
        &self,
        payload: &Payload,
        manifest: &Manifest,
    ) -> Result<Option<Place>, Failure> {
        let inner = &*self.inner;
        let Manifest {
            group,
            version,
            kind,
            ..
        } = manifest;
        let bound = inner.options.request_timeout;
        let resolved = inner
            .kinds
            .resolve(&inner.wire, (group, version, kind), bound)
            .await;
        let Ok(resolved) = resolved else {
            let message =
                format!("the cluster doesn't say whether it serves {kind}; it is tried again");
            return Err(Failure::new(FailureReason::Away, message));
        };
        let Resolved::Known(known) = resolved else {
            return Ok(None);
        };
        let namespace = manifest.namespace.as_deref();
        let namespace = namespace.unwrap_or_else(|| payload.default_namespace());
        Ok(Some(Place {
            group: group.clone(),
            version: version.clone(),
            kind: kind.clone(),
            resource: known.resource,
            namespace: known.namespaced.then(|| namespace.to_owned()),
            name: manifest.name.clone(),
            uid: None,
        }))
    }
}
