//! Whether the loaded state may be served as it is, and the entry that makes it so.

use bytes::Bytes;
use helium_journal::{Appended, Slot};
use helium_mvcc::{
    Batch, Error as Refusal, Incarnation, IncarnationRequest, LeaseGrantRequest, LeaseId,
    PutRequest, Request, Revision,
};
use rand::Rng as _;

use super::chain::Chain;
use super::{Cause, Former, Interrupted};
use crate::replica::backoff::Backoff;
use crate::replica::core::Position;
use crate::replica::options::INCARNATION_TTL;
use crate::replica::shared::{Shared, journal_epoch};

/// How often a random id is drawn again because a lease has it already.
const ID_ATTEMPTS: usize = 8;

/// The revision that an incarnation must exceed; `None` if none is needed.
pub(super) fn needed(chain: &Chain, former: Option<&Former>, cause: Cause) -> Option<Revision> {
    let revision = chain.state().revision();
    let lost = chain.lost();
    let Some(former) = former else {
        return (lost > revision).then_some(lost);
    };
    let beyond = former.exposed.max(lost);
    let is_intact = former.slot == Slot::ZERO || chain.marked() == Some(former.id);
    let is_out_of_sight = cause == Cause::BelowFloor && chain.marked().is_none();
    let is_continued = chain.state().incarnation() > former.incarnation && revision > beyond;
    // Nothing of what we showed is lost, or somebody has lifted the revision beyond it.
    let is_whole = cause != Cause::OtherDatabase && (is_intact || is_out_of_sight);
    let is_fine = is_continued || (is_whole && revision >= beyond);
    (!is_fine).then_some(beyond.max(revision))
}

/// Puts the key that tells of an incarnation, in the very entry that begins it: nobody is served a state in which the one is there
/// without the other, whoever replays it.
fn tell(batch: &mut Batch<'_>, key: &Bytes, incarnation: Incarnation) {
    let granted = (0..ID_ATTEMPTS).find_map(|_| {
        let id = LeaseId(rand::rng().random_range(1..i64::MAX));
        let ttl = INCARNATION_TTL;
        let grant = Request::LeaseGrant(LeaseGrantRequest { id, ttl });
        match batch.evaluate(&grant) {
            Err(Refusal::LeaseExists) => None,
            other => Some(other.map(|_| id)),
        }
    });
    let put = granted
        .unwrap_or(Err(Refusal::LeaseExists))
        .and_then(|lease| {
            let value = incarnation.0.to_string();
            batch.evaluate(&Request::Put(PutRequest {
                lease,
                ..PutRequest::new(key.clone(), value)
            }))
        });
    // An alarm forbids writes. Clients can't write then, either.
    if let Err(error) = put {
        tracing::error!(%error, "the key that tells of the incarnation could not be put");
    }
}

/// Appends an incarnation behind the chain, unless somebody else takes the slot. Either way the
/// replay that follows tells what is there now; it also checks that the entry before is.
pub(super) async fn append(
    shared: &Shared,
    chain: &Chain,
    beyond: Revision,
) -> Result<(), Interrupted> {
    let state = chain.state();
    let request = IncarnationRequest {
        incarnation: state.incarnation().next(),
        bump_to: Revision(
            beyond
                .0
                .saturating_add(shared.options.incarnation_bump.max(1)),
        ),
    };
    let mut batch = Batch::new(state);
    if let Err(error) = batch.evaluate(&Request::Incarnation(request)) {
        // Its evaluation asks nothing that could be refused.
        tracing::error!(%error, "incarnation refused");
        return Err(Interrupted::Moved);
    }
    if let Some(key) = &shared.options.incarnation_key {
        tell(&mut batch, key, request.incarnation);
    }
    let body = batch.finish();
    let position = Position {
        slot: chain.ids().slot(),
        id: chain.ids().id(),
        generation: 0,
    };
    let entry = shared.entry(position, journal_epoch(state.epoch()), &body);
    let mut backoff = Backoff::new(shared.options.retry_min, shared.options.retry_max);
    loop {
        match shared.journal.entry_append(&entry).await {
            // If the slot is taken, perhaps by an earlier try of this one.
            Ok(Appended::Committed | Appended::SlotTaken) => return Ok(()),
            Ok(Appended::BelowFloor { .. } | Appended::Diverged { .. }) => {
                return Err(Interrupted::Moved);
            }
            Err(error) if error.is_determinate() => return Err(error.into()),
            Err(error) => {
                tracing::warn!(
                    error = helium_journal::chain(&error),
                    "outcome of an incarnation is unknown, trying the same slot again"
                );
            }
        }
        tokio::time::sleep(backoff.next_pause()).await;
    }
}
