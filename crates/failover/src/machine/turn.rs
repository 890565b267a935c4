//! When a candidate may claim the lease, and what it takes over with it.

use std::time::Duration;

use super::Reason;
use super::order::place;
use super::record::Record;
use super::view::GroupView;
use crate::lease::Term;
use crate::names::{ClusterName, Token};
use crate::timing::Boot;

/// By how much a member waits for each that comes before it.
const STEP: Duration = Duration::from_millis(200);
/// But no longer than this.
const STEPS: Duration = Duration::from_millis(800);
/// By how much a member waits for the one that a free lease is kept for.
const KEPT: Duration = Duration::from_secs(1);

/// A claim that may be made.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Turn {
    /// From when on.
    pub(super) at: Boot,
    /// Why.
    pub(super) reason: Reason,
    /// Terms that the new one doesn't know to be over.
    pub(super) unconfirmed: Vec<Term>,
}

/// Whether a person declared a term to be over.
fn forced(group: &GroupView, token: Token) -> bool {
    group.force.as_ref().is_some_and(|(upto, _)| token <= *upto)
}

/// Whether a term is over for certain: its holder said so, or a person, or its dead-man's switch had its time. Of `me`, nothing is there
/// where this is asked.
pub(super) fn is_over(
    term: &Term,
    me: &ClusterName,
    group: &GroupView,
    record: &Record,
    now: Boot,
) -> bool {
    let stopped = group.member(&term.cluster).and_then(|one| one.stopped);
    term.cluster == *me
        || stopped >= Some(term.token)
        || forced(group, term.token)
        || record
            .switched_off(term)
            .is_some_and(|moment| moment <= now)
}

/// Terms of a record that aren't over for certain.
pub(super) fn not_over(
    terms: &[Term],
    me: &ClusterName,
    group: &GroupView,
    record: &Record,
    now: Boot,
) -> Vec<Term> {
    let open = |term: &&Term| !is_over(term, me, group, record, now);
    terms.iter().filter(open).cloned().collect()
}

/// When `me` may claim. `None`: not before something changes.
pub(super) fn turn(
    me: &ClusterName,
    group: &GroupView,
    record: &Record,
    now: Boot,
) -> Option<Turn> {
    let lease = record.known()?;
    let mut unconfirmed = not_over(record.unconfirmed(), me, group, record, now);
    let by_force = |token: Token| {
        let named = group.force.as_ref().is_some_and(|(_, who)| who == me);
        named && forced(group, token)
    };
    // The one that has just given it up, or has let it run out, isn't waited for.
    let steps = |gone: Option<&ClusterName>| {
        let place = place(group, me, |one| Some(one) == gone);
        STEP.saturating_mul(place).min(STEPS)
    };
    let turn = |at: Boot, reason: Reason, unconfirmed: Vec<Term>| {
        Some(Turn {
            at,
            reason,
            unconfirmed,
        })
    };

    if let Some(holder) = lease.and_then(|view| view.holder.as_ref()) {
        if holder.cluster == *me {
            return None;
        }
        // A cluster has one term at most that isn't over: it begins none before.
        unconfirmed.retain(|term| term.cluster != holder.cluster);
        let term = Term {
            cluster: holder.cluster.clone(),
            token: holder.token,
            mode: holder.mode,
            dead_man: holder.dead_man,
        };
        if by_force(holder.token) {
            return turn(now, Reason::Forced, unconfirmed);
        }
        if !is_over(&term, me, group, record, now) {
            unconfirmed.push(term);
        }
        let out = record.runs_out(group.timing.lease);
        return turn(
            out + steps(Some(&holder.cluster)),
            Reason::Expired,
            unconfirmed,
        );
    }

    let former = record.former();
    let given_up = lease.and_then(|view| view.stopped);
    let last = group.last_term.as_ref();
    if let Some(token) = given_up.or(last.map(|(_, token)| *token))
        && by_force(token)
    {
        return turn(now, Reason::Forced, unconfirmed);
    }
    if given_up.is_none() && (last.is_some() || record.had_holder()) {
        // Deleted, or emptied by hand: a holder may live on until its record would have run out, even one that the group, as it was
        // seen last, doesn't name yet.
        if let Some((cluster, token)) = last {
            let term = Term {
                cluster: cluster.clone(),
                token: *token,
                mode: group.mode,
                dead_man: None,
            };
            if !is_over(&term, me, group, record, now) {
                unconfirmed.retain(|one| one.cluster != *cluster);
                unconfirmed.push(term);
            }
        }
        let out = record.since() + group.timing.lease;
        return turn(out + steps(former), Reason::Expired, unconfirmed);
    }
    match lease.and_then(|view| view.preferred.as_ref()) {
        Some(kept) if kept == me => turn(now, Reason::HandedOver, unconfirmed),
        Some(kept) => {
            let place = place(group, me, |one| one == kept).max(1);
            let at = record.since() + KEPT.saturating_mul(place);
            turn(at, Reason::Free, unconfirmed)
        }
        None => turn(record.since() + steps(former), Reason::Free, unconfirmed),
    }
}
