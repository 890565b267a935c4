//! Everything of a group is taken out of the cluster, until a fresh look finds nothing (P4).

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use helium_failover::kind::Mode;
use helium_failover::machine::Phase;
use helium_failover::{Boot, GroupName, Token};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::apply::{finalizers, pods_shelves};
use super::footprint::{Put, Record};
use super::object::{ObjectName, Place, Whose, text, whose};
use super::order::{holds_others, step};
use super::site::{Inner, Shelf, Site, Standing, WIDTH, shelves};
use super::trouble::{Failure, FailureReason, Verdict, judge};
use super::turn::Turn;
use super::wire::{As, Refused};

/// Pause between two looks at what remains; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// Nobody is told of the end later than that.
const LONGEST_PAUSE: Duration = Duration::from_millis(200);
/// So many objects that remain are named.
const NAMED: usize = 5;

/// How [`Site::stop`] ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StopOutcome {
    /// Nothing of the term is left, and nothing is on its way.
    Gone {
        /// Namespaces and definitions with others' objects in them. They run nothing, and stay.
        kept: Vec<ObjectName>,
    },
    /// Not yet, or not known. To be called again: it goes on where it was.
    Failed(Failure),
    /// Another agent has taken the footprint, and stops what there is.
    Replaced {
        /// Its id.
        by: String,
    },
}

/// An object that is to go.
#[derive(Debug)]
struct Remaining {
    place: Place,
    uid: String,
    /// Its deletion was asked for; who holds it.
    leaving: Option<String>,
    /// Of pods that controllers make: they go with what made them.
    is_dependent: bool,
}

/// One stop.
#[derive(Debug)]
struct Job<'a> {
    site: &'a Inner,
    turn: &'a Turn,
    group: &'a GroupName,
    mode: Mode,
    user: Option<String>,
}

impl Site {
    /// Stops the term of `token`: ends what [`Site::apply`] does, deletes what is owned, and waits until it is gone; in strict mode until
    /// its pods are gone, too. Says after its patience what it waits for, and goes on when it is called again.
    pub async fn stop(
        &self,
        group: &GroupName,
        token: Token,
        mode: Mode,
        cancel: &CancellationToken,
    ) -> StopOutcome {
        let inner = &*self.inner;
        let turn = inner.turn(group);
        turn.supersede();
        let job = Job {
            site: inner,
            turn: &turn,
            group,
            mode,
            user: inner.user(group),
        };
        let work = async {
            // Applications are ended, and answer or time out by themselves.
            match turn.take(cancel).await {
                Some(_place) => job.run(token).await,
                None => cancelled(),
            }
        };
        tokio::select! {
            biased;
            outcome = work => outcome,
            // Deletions are as good later; nothing is acknowledged.
            () = cancel.cancelled() => cancelled(),
        }
    }
}

fn cancelled() -> StopOutcome {
    StopOutcome::Failed(Failure::new(
        FailureReason::Ended,
        "the stop was ended; it goes on when it is asked for again",
    ))
}

impl Job<'_> {
    fn who(&self) -> As<'_> {
        self.user.as_deref().map_or(As::Agent, As::User)
    }

    fn bound(&self) -> Duration {
        self.site.options.request_timeout
    }

    async fn run(&self, token: Token) -> StopOutcome {
        let record = match self.begin(token).await {
            Ok(Some(record)) => record,
            Ok(None) => return StopOutcome::Gone { kept: Vec::new() },
            Err(outcome) => return outcome,
        };
        let clock = self.site.options.clock;
        let report = clock() + self.site.options.patience;
        let shelves = shelves(record.everything());
        let pods = match self.mode {
            Mode::Strict => pods_shelves(record.everything()),
            Mode::Fast => Vec::new(),
        };
        let mut kept: BTreeMap<ObjectName, Place> = BTreeMap::new();
        let mut pause = FIRST_PAUSE;
        loop {
            let begun = clock();
            let trouble = match self.round(&record, &shelves, &pods, &mut kept).await {
                Ok(remaining) if remaining.is_empty() => match self.proven(begun) {
                    None => {
                        let kept = kept.into_keys().collect();
                        return StopOutcome::Gone { kept };
                    }
                    Some(lands) => {
                        // Nothing is there, but something may still come.
                        tokio::time::sleep(lands.since(clock())).await;
                        continue;
                    }
                },
                Ok(remaining) => waits(&remaining),
                Err(Halt::Replaced(by)) => return StopOutcome::Replaced { by },
                Err(Halt::Failed(failure)) => failure,
            };
            if clock() >= report || !trouble.is_retryable() {
                return StopOutcome::Failed(trouble);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// `None` if a look that was begun then saw everything that will ever come (F3); else when to look again.
    fn proven(&self, begun: Boot) -> Option<Boot> {
        self.turn.landed().filter(|lands| *lands >= begun)
    }

    /// Writes down that stopping has begun. `None`: there is nothing to stop.
    async fn begin(&self, token: Token) -> Result<Option<Record>, StopOutcome> {
        let known = self.turn.memory();
        let current = self
            .site
            .footprints
            .read(self.group, self.bound())
            .await
            .map_err(StopOutcome::Failed)?;
        let last = match (&current, &known) {
            // A person has removed it; what it said is still true.
            (None, Some(known)) => known.record.clone(),
            (None, None) => return Ok(None),
            (Some(current), _) => current.record.clone(),
        };
        if last.token > token {
            // That term was begun when this one was over.
            return Ok(None);
        }
        let put = self
            .site
            .footprints
            .put(
                self.group,
                current,
                || Ok(self.bound()),
                |before| {
                    let mut record = before.cloned().unwrap_or_else(|| last.clone());
                    record.phase = Phase::Stopping;
                    record
                },
            )
            .await;
        match put {
            Put::Done(stored) if stored.record.token > token => Ok(None),
            Put::Done(stored) => {
                let record = stored.record.clone();
                self.turn.remember(Some(*stored));
                Ok(Some(record))
            }
            Put::Replaced(by) => Err(StopOutcome::Replaced { by }),
            Put::Failed(failure) => Err(StopOutcome::Failed(failure)),
        }
    }

    /// Looks, and deletes what is found. Returns what was found, but for what is kept.
    async fn round(
        &self,
        record: &Record,
        shelves: &[Shelf],
        pods: &[Shelf],
        kept: &mut BTreeMap<ObjectName, Place>,
    ) -> Result<Vec<Remaining>, Halt> {
        let mut remaining = self.find(record, shelves, pods).await?;
        remaining.retain(|one| !kept.contains_key(&one.place.object()));
        if remaining.is_empty() {
            return Ok(remaining);
        }
        // P5: what was found is older than this confirmation.
        match self.site.confirm(self.group).await {
            Ok(Standing::Own) => {}
            Ok(Standing::Replaced(by)) => return Err(Halt::Replaced(by)),
            // Removed by a person: written anew by the next call, from memory.
            Ok(Standing::None) => {
                let words = "the footprint was removed while its objects are being deleted; it is written again";
                return Err(Halt::Failed(Failure::new(FailureReason::Busy, words)));
            }
            Err(failure) => return Err(Halt::Failed(failure)),
        }
        self.delete(record, &remaining, kept).await?;
        remaining.retain(|one| !kept.contains_key(&one.place.object()));
        Ok(remaining)
    }

    async fn find(
        &self,
        record: &Record,
        shelves: &[Shelf],
        pods: &[Shelf],
    ) -> Result<Vec<Remaining>, Halt> {
        let user = self.user.as_deref();
        let listed = self.site.all_labelled(user, self.group, shelves);
        let listed = listed
            .await
            .map_err(|(shelf, refused)| self.halt(&refused, "listing", &shelf.place("*")))?;
        let mut found: Vec<Remaining> = listed
            .into_iter()
            .filter(|(place, item)| {
                whose(item, self.group, &record.owner.uid) == Whose::Ours
                    || is_recorded(record, place)
            })
            .map(|(place, item)| remaining(place, &item, false))
            .filter(|one| !self.is_ending_pod(one))
            .collect();
        let listed = self.site.all_labelled(user, self.group, pods).await;
        let listed =
            listed.map_err(|(shelf, refused)| self.halt(&refused, "listing", &shelf.place("*")))?;
        for (place, item) in listed {
            if !found.iter().any(|known| known.place.is(&place)) {
                found.push(remaining(place, &item, true));
            }
        }
        if found.is_empty() {
            found = self.unmarked(record).await?;
        }
        Ok(found)
    }

    /// In fast mode pods may still be ending, also those that a payload has without a controller.
    fn is_ending_pod(&self, one: &Remaining) -> bool {
        let is_pod = one.place.group.is_empty() && one.place.kind == "Pod";
        self.mode == Mode::Fast && is_pod && one.leaving.is_some()
    }

    /// Objects that we have made, by their uids, from which somebody took the label: a list by label doesn't have them.
    async fn unmarked(&self, record: &Record) -> Result<Vec<Remaining>, Halt> {
        let made = record.everything().filter(|place| place.uid.is_some());
        let looks = stream::iter(
            made.into_iter()
                .map(|place| async move {
                    let path = place.path();
                    let found = self.site.wire.get_opt(self.who(), &path, self.bound());
                    (place, found.await)
                })
                .collect::<Vec<_>>(),
        )
        .buffer_unordered(WIDTH);
        let looked: Vec<_> = looks.collect().await;
        let mut found = Vec::new();
        for (place, looked) in looked {
            match looked {
                Ok(Some(item)) if text(&item, "/metadata/uid") == place.uid.as_deref() => {
                    let one = remaining(place.clone(), &item, false);
                    if !self.is_ending_pod(&one) {
                        found.push(one);
                    }
                }
                Ok(_) => {}
                Err(refused) => return Err(self.halt(&refused, "looking at", place)),
            }
        }
        Ok(found)
    }

    /// Asks for the deletion of what isn't leaving yet, in reverse order.
    async fn delete(
        &self,
        record: &Record,
        remaining: &[Remaining],
        kept: &mut BTreeMap<ObjectName, Place>,
    ) -> Result<(), Halt> {
        // Dependents first, then the object: so that it is there as long as they are.
        let propagation = match self.mode {
            Mode::Strict => "Foreground",
            Mode::Fast => "Background",
        };
        let mut steps: BTreeMap<_, Vec<&Remaining>> = BTreeMap::new();
        for one in remaining {
            if one.leaving.is_none() && !one.is_dependent {
                let step = std::cmp::Reverse(step(&one.place));
                steps.entry(step).or_default().push(one);
            }
        }
        let mut failed = None;
        for one in steps.into_values() {
            let deletions = stream::iter(
                one.into_iter()
                    .map(|one| async move {
                        let holds = holds_others(&one.place)
                            && self
                                .site
                                .holds_others(self.who(), self.group, &record.owner.uid, &one.place)
                                .await;
                        if holds {
                            return (one, None);
                        }
                        let path = one.place.path();
                        let wire = &self.site.wire;
                        let done =
                            wire.delete(self.who(), &path, &one.uid, propagation, self.bound());
                        (one, Some(done.await))
                    })
                    .collect::<Vec<_>>(),
            )
            .buffer_unordered(WIDTH);
            for (one, done) in deletions.collect::<Vec<_>>().await {
                match done {
                    None => {
                        kept.insert(one.place.object(), one.place.clone());
                    }
                    Some(Ok(())) => {}
                    // The others are deleted all the same.
                    Some(Err(refused)) => {
                        failed = Some(self.halt(&refused, "deleting", &one.place));
                    }
                }
            }
        }
        failed.map_or(Ok(()), Err)
    }

    fn halt(&self, refused: &Refused, doing: &str, place: &Place) -> Halt {
        let failure = match judge(refused, doing, place, self.site.asker(self.group)) {
            Verdict::Failure(failure) => failure,
            Verdict::Problem(_, message) => Failure::new(
                FailureReason::Forbidden,
                format!("{doing} {}: {message}", place.object()),
            ),
            Verdict::Changed(said) | Verdict::Missing(said) => Failure::new(
                FailureReason::Busy,
                format!("{doing} {}: {said}", place.object()),
            ),
        };
        Halt::Failed(failure)
    }
}

/// Why a round ends early.
#[derive(Debug)]
enum Halt {
    Failed(Failure),
    Replaced(String),
}

fn remaining(place: Place, item: &Value, is_dependent: bool) -> Remaining {
    let leaving = item["metadata"]["deletionTimestamp"].is_string();
    Remaining {
        uid: text(item, "/metadata/uid").unwrap_or_default().to_owned(),
        place,
        leaving: leaving.then(|| finalizers(item)),
        is_dependent,
    }
}

/// Whether the very object is in the footprint: a mark that somebody changed makes it no other's.
fn is_recorded(record: &Record, place: &Place) -> bool {
    place.uid.is_some()
        && record
            .everything()
            .any(|made| made.is(place) && made.uid == place.uid)
}

/// What remains, in words.
fn waits(remaining: &[Remaining]) -> Failure {
    let mut names: Vec<String> = remaining
        .iter()
        .map(|one| {
            let held = one.leaving.as_deref().unwrap_or_default();
            format!("{}{held}", one.place.object())
        })
        .collect();
    names.sort();
    let more = names.len().saturating_sub(NAMED);
    names.truncate(NAMED);
    let mut message = format!("waiting until it is gone: {}", names.join(", "));
    if more > 0 {
        message.push_str(&format!(" and {more} more"));
    }
    Failure::new(FailureReason::Remaining, message)
}
