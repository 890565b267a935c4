//! Judges a [`History`]: which promises of failover were kept, and how long things took. A pure function.
//!
//! # The promises
//! - `one-payload`: payloads of different clusters are never there at once. In strict mode, whatever happens. In fast mode a cluster
//!   whose agent is dead or stopped can't remove its payload, and others don't wait for it (docs/failover.md): while its agent is
//!   paralysed, and at most [`CLEARED_WITHIN`] afterwards, it may have its old payload beside the new one. Only certain sight counts
//!   (see [`super::history`]): what may have been isn't held against anybody.
//! - `tokens-grow`: in the order of the store, tokens grow with each term, one token is one leader's, and no payload has a token that
//!   the lease never had.
//! - `one-record`: the group never names another leader than the lease for the same token, and all clusters show the same.
//! - `writes`: every acknowledged write to a shared object counts once, in order; none with an old token is accepted behind one
//!   with a newer.
//! - `takeover`: in fast mode, when the leader is lost to the others at once and wholly, another one's payload is there within T + 1 s (more where that was asked
//!   for: a machine that does too much else keeps no times). In strict mode there is no such promise.
//! - `recovers`: after each round, when all is healed, exactly one leads, everybody says so, and its payload is there and nowhere
//!   else; the same in the end.

use std::collections::BTreeMap;

use serde::Serialize;

use super::agreement;
use super::history::{Fault, History, Moment};

/// In fast mode: how long after its agent is back a cluster may have a payload that it lost the right to. An agent that was killed must first get
/// its cluster's own Lease, which its former life held for 15 s; then it stops at once.
pub(crate) const CLEARED_WITHIN: f64 = 25.0;
/// How a promise came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Outcome {
    /// It held.
    Kept,
    /// It didn't.
    Broken,
    /// Nothing happened that would show.
    NotShown,
}

/// A promise, and how it came out.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Promise {
    /// Its name, as in the module's documentation.
    pub(crate) name: &'static str,
    /// What is promised.
    pub(crate) text: String,
    /// How it came out.
    pub(crate) outcome: Outcome,
    /// What was measured.
    pub(crate) detail: String,
    /// What contradicts it.
    pub(crate) findings: Vec<String>,
}

/// A change of leader after a fault at the leader.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Takeover {
    /// Of which fault.
    pub(crate) round: u32,
    /// Who led.
    pub(crate) from: String,
    /// Whose payload came.
    pub(crate) to: String,
    /// From the fault until then, in seconds.
    pub(crate) seconds: f64,
    /// The bound that is promised, if there is one for such a fault.
    pub(crate) within: Option<f64>,
}

/// The whole judgement.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Judgement {
    /// All promises.
    pub(crate) promises: Vec<Promise>,
    /// All takeovers.
    pub(crate) takeovers: Vec<Takeover>,
}

impl Judgement {
    /// Whether no promise was broken, and there was something to see.
    pub(crate) fn holds(&self) -> bool {
        self.promises
            .iter()
            .all(|promise| promise.outcome != Outcome::Broken)
    }
}

/// All objects of a term in a cluster together.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stay {
    /// Where.
    pub(crate) cluster: String,
    /// In which term; `None`: nothing is written on it.
    pub(crate) token: Option<i64>,
    /// From when it may have been there.
    pub(crate) maybe_from: Moment,
    /// From when it was certainly there.
    pub(crate) from: Moment,
    /// Until when it was certainly there.
    pub(crate) to: Moment,
    /// Until when it may have been there.
    pub(crate) maybe_to: Moment,
}

/// Judges.
pub(crate) fn judge(history: &History) -> Judgement {
    let stays = stays(history);
    let takeovers = takeovers(history, &stays);
    Judgement {
        promises: vec![
            one_payload(history, &stays),
            tokens_grow(history),
            one_record(history),
            writes(history),
            takeover(history, &takeovers),
            recovers(history),
        ],
        takeovers,
    }
}

/// The stays of payloads, in the order of their beginnings. Something that was gone between two objects of a term is two stays.
pub(crate) fn stays(history: &History) -> Vec<Stay> {
    let mut stays: Vec<Stay> = Vec::new();
    let mut presences: Vec<_> = history.presences.iter().collect();
    presences.sort_by_key(|presence| presence.first);
    for presence in presences {
        let maybe_to = presence.gone.unwrap_or(history.ended);
        let same = stays.iter_mut().find(|stay| {
            stay.cluster == presence.cluster
                && stay.token == presence.token
                && presence.first <= stay.maybe_to
        });
        if let Some(stay) = same {
            stay.to = stay.to.max(presence.last);
            stay.maybe_to = stay.maybe_to.max(maybe_to);
            continue;
        }
        stays.push(Stay {
            cluster: presence.cluster.clone(),
            token: presence.token,
            maybe_from: presence.after.unwrap_or_default(),
            from: presence.first,
            to: presence.last,
            maybe_to,
        });
    }
    stays
}

fn promise(
    name: &'static str,
    text: impl Into<String>,
    is_shown: bool,
    detail: String,
    findings: Vec<String>,
) -> Promise {
    let outcome = match (findings.is_empty(), is_shown) {
        (false, _) => Outcome::Broken,
        (true, true) => Outcome::Kept,
        (true, false) => Outcome::NotShown,
    };
    Promise {
        name,
        text: text.into(),
        outcome,
        detail,
        findings,
    }
}

fn one_payload(history: &History, stays: &[Stay]) -> Promise {
    let mut findings = Vec::new();
    let mut allowed = 0_usize;
    let mut longest = 0.0_f64;
    for (index, one) in stays.iter().enumerate() {
        for other in &stays[index + 1..] {
            let (from, to) = (one.from.max(other.from), one.to.min(other.to));
            if one.cluster == other.cluster || to <= from {
                continue;
            }
            // The one of the older term should have gone.
            let (old, new) = if one.token <= other.token {
                (one, other)
            } else {
                (other, one)
            };
            if !history.strict && is_excused(history, &old.cluster, from, to) {
                allowed += 1;
                longest = longest.max(to.since(from));
                continue;
            }
            findings.push(format!(
                "from {:.3} s to {:.3} s {} had the payload of token {} and {} that of token {}",
                from.seconds(),
                to.seconds(),
                old.cluster,
                number(old.token),
                new.cluster,
                number(new.token)
            ));
        }
    }
    let mut detail: Vec<String> = Vec::new();
    detail.extend(closest(stays).map(|pause| format!("shortest time between two: {pause:.2} s")));
    if allowed > 0 {
        detail.push(format!(
            "{} beside a cluster whose agent was dead or stopped, {longest:.1} s at most: fast mode allows that",
            times(allowed)
        ));
    }
    if detail.is_empty() {
        detail.push("it was in one cluster only".to_owned());
    }
    let detail = detail.join("; ");
    let text = if history.strict {
        "never two payloads at once"
    } else {
        "never two payloads at once where an agent lives"
    };
    promise("one-payload", text, stays.len() > 1, detail, findings)
}

/// Whether a cluster couldn't remove its payload all that time.
fn is_excused(history: &History, cluster: &str, from: Moment, to: Moment) -> bool {
    history.faults.iter().any(|fault| {
        // A cluster that was killed isn't back before its own API server answers.
        let dark = history.blind.iter().filter(|blind| {
            blind.cluster == cluster && blind.from <= fault.ended && blind.to >= fault.began
        });
        let back = dark.map(|blind| blind.to).fold(fault.ended, Moment::max);
        fault.paralyses(cluster) && fault.began <= from && to <= back.plus(CLEARED_WITHIN)
    })
}

/// The shortest time in seconds between the end of a stay and the beginning of the next in another cluster, as far as it is certain that there
/// was one.
fn closest(stays: &[Stay]) -> Option<f64> {
    let pairs = stays.iter().flat_map(|one| {
        let next = stays
            .iter()
            .filter(move |next| next.cluster != one.cluster && next.maybe_from >= one.maybe_to);
        next.map(move |next| next.maybe_from.since(one.maybe_to))
    });
    pairs.min_by(f64::total_cmp)
}

fn tokens_grow(history: &History) -> Promise {
    let mut findings = Vec::new();
    let mut seen: Vec<_> = history
        .leases
        .iter()
        .map(|lease| (lease.version, lease.token, lease.holder.as_deref()))
        .collect();
    seen.sort_unstable();
    seen.dedup();
    let mut holders: BTreeMap<i64, &str> = BTreeMap::new();
    let mut newest: Option<i64> = None;
    for (version, token, holder) in seen {
        let Some(token) = token else { continue };
        if let Some(before) = newest
            && token < before
        {
            findings.push(format!(
                "at resourceVersion {version} the lease has token {token}, behind {before}"
            ));
        }
        newest = newest.max(Some(token));
        if let Some(holder) = holder {
            let first = *holders.entry(token).or_insert(holder);
            if first != holder {
                findings.push(format!("token {token} is {first}'s and {holder}'s"));
            }
        }
    }
    for presence in &history.presences {
        let owner = presence.token.and_then(|token| holders.get(&token));
        match owner {
            Some(owner) if *owner == presence.cluster => {}
            Some(owner) => findings.push(format!(
                "{} has {} with token {}, which is {owner}'s",
                presence.cluster,
                presence.object,
                number(presence.token)
            )),
            // A term can be too short to be seen in the lease, if no cluster's view was open.
            None if presence.token.is_some() && presence.token < newest => {}
            None => findings.push(format!(
                "{} has {} with token {}, which the lease never had",
                presence.cluster,
                presence.object,
                number(presence.token)
            )),
        }
    }
    findings.sort();
    findings.dedup();
    let terms = holders.len();
    let detail = match (holders.keys().next(), holders.keys().next_back()) {
        (Some(first), Some(last)) => format!("{terms} terms, tokens {first} to {last}"),
        _ => "no term was seen".to_owned(),
    };
    promise(
        "tokens-grow",
        "tokens grow with each term",
        terms > 0,
        detail,
        findings,
    )
}

fn one_record(history: &History) -> Promise {
    let mut findings = Vec::new();
    let mut holders: BTreeMap<i64, &str> = BTreeMap::new();
    for lease in &history.leases {
        if let (Some(token), Some(holder)) = (lease.token, lease.holder.as_deref()) {
            holders.entry(token).or_insert(holder);
        }
    }
    type Shown<'a> = (Option<&'a str>, Option<&'a str>, Option<i64>, &'a str);
    let mut by_version: BTreeMap<u64, Shown<'_>> = BTreeMap::new();
    for group in &history.groups {
        if let (Some(token), Some(leader)) = (group.token, group.leader.as_deref())
            && let Some(holder) = holders.get(&token)
            && *holder != leader
        {
            findings.push(format!(
                "{} shows the group with {leader} at token {token}, which is {holder}'s",
                group.view
            ));
        }
        let (leader, address) = (group.leader.as_deref(), group.address.as_deref());
        let shown = (leader, address, group.token, group.view.as_str());
        let first = *by_version.entry(group.version).or_insert(shown);
        if (first.0, first.1, first.2) != (leader, address, group.token) {
            findings.push(format!(
                "at resourceVersion {} {} and {} show different groups",
                group.version, first.3, group.view
            ));
        }
    }
    let detail = format!(
        "{} changes, seen from {} clusters",
        by_version.len(),
        history.clusters.len()
    );
    let is_shown = !history.groups.is_empty();
    promise(
        "one-record",
        "the group says what the lease says, everywhere",
        is_shown,
        detail,
        findings,
    )
}

fn writes(history: &History) -> Promise {
    let mut findings = Vec::new();
    let mut writes: Vec<_> = history.writes.iter().collect();
    writes.sort_by_key(|write| (write.count, write.answered));
    for pair in writes.windows(2) {
        let (one, next) = (pair[0], pair[1]);
        if one.count == next.count {
            findings.push(format!(
                "write {} was acknowledged twice: to {} at {:.3} s and to {} at {:.3} s, so one is lost",
                one.count,
                one.cluster,
                one.answered.seconds(),
                next.cluster,
                next.answered.seconds()
            ));
        }
        if next.token < one.token {
            findings.push(format!(
                "write {} of {} with token {} was accepted behind write {} with token {}",
                next.count, next.cluster, next.token, one.count, one.token
            ));
        }
        if next.answered < one.sent {
            findings.push(format!(
                "write {} was acknowledged at {:.3} s, before write {} was sent: one was lost between them",
                next.count,
                next.answered.seconds(),
                one.count
            ));
        }
    }
    let most = writes.last().map_or(0, |write| write.count);
    match history.written {
        Some(written) if written < most => findings.push(format!(
            "the shared object has counted to {written}, but {most} was acknowledged"
        )),
        Some(_) => {}
        None if writes.is_empty() => {}
        None => findings.push("the shared object couldn't be read in the end".to_owned()),
    }
    let unanswered = &history.unanswered;
    let detail = format!(
        "{} acknowledged, {} refused by the fence, {} without an answer",
        writes.len(),
        unanswered.fenced,
        unanswered.unknown
    );
    promise(
        "writes",
        "no acknowledged write is lost, none with an old token is accepted",
        !writes.is_empty(),
        detail,
        findings,
    )
}

fn takeovers(history: &History, stays: &[Stay]) -> Vec<Takeover> {
    let hit = history.faults.iter().filter(|fault| fault.is_at_leader());
    let found = hit.filter_map(|fault| {
        let successor = successor(history, stays, fault)?;
        Some(Takeover {
            round: fault.round,
            from: fault.leader.clone().unwrap_or_default(),
            to: successor.cluster.clone(),
            seconds: successor.from.since(fault.began),
            within: bound(history, fault),
        })
    });
    found.collect()
}

/// The first payload of a later term in another cluster, before the group was well again.
fn successor<'a>(history: &History, stays: &'a [Stay], fault: &Fault) -> Option<&'a Stay> {
    let settled = history.settled.iter();
    let over = settled
        .filter(|settled| settled.round == fault.round)
        .find_map(|settled| settled.at)
        .unwrap_or(history.ended);
    let mut later = stays.iter().filter(|stay| {
        stay.token > fault.token
            && Some(&stay.cluster) != fault.cluster.as_ref()
            && stay.from >= fault.began
            && stay.from <= over
    });
    later.next()
}

/// Within which time another must lead, in seconds, if that is promised.
fn bound(history: &History, fault: &Fault) -> Option<f64> {
    (!history.strict && fault.is_crash())
        .then_some(history.lease_seconds + history.takeover_margin_seconds)
}

fn takeover(history: &History, takeovers: &[Takeover]) -> Promise {
    let mut findings = Vec::new();
    let mut judged: Vec<f64> = Vec::new();
    for fault in history.faults.iter().filter(|fault| fault.is_at_leader()) {
        let Some(within) = bound(history, fault) else {
            continue;
        };
        let lasted = fault.ended.since(fault.began);
        match takeovers
            .iter()
            .find(|takeover| takeover.round == fault.round)
        {
            // One that was over sooner may have ended before anybody had to take over.
            Some(takeover) if takeover.seconds > within && lasted > within => {
                findings.push(format!(
                    "round {}: {}: the payload was in {} only after {:.2} s",
                    fault.round,
                    fault.what(),
                    takeover.to,
                    takeover.seconds
                ))
            }
            Some(takeover) => judged.push(takeover.seconds),
            None if lasted > within => findings.push(format!(
                "round {}: {} for {lasted:.1} s, and nobody took over",
                fault.round,
                fault.what()
            )),
            None => {}
        }
    }
    judged.sort_by(f64::total_cmp);
    let detail = match (judged.get(judged.len() / 2), judged.last()) {
        (Some(median), Some(worst)) => format!(
            "{}, after {median:.2} s in the median, {worst:.2} s at most",
            times(judged.len())
        ),
        _ if history.strict => "strict mode promises none".to_owned(),
        _ => "no leader was lost for long enough".to_owned(),
    };
    let text = format!(
        "another one leads within T + {} s = {} s of a crash",
        history.takeover_margin_seconds,
        history.lease_seconds + history.takeover_margin_seconds
    );
    promise("takeover", text, !judged.is_empty(), detail, findings)
}

fn recovers(history: &History) -> Promise {
    let mut findings = Vec::new();
    let mut times: Vec<f64> = Vec::new();
    for settled in &history.settled {
        match settled.at {
            Some(at) if settled.round > 0 => times.push(at.since(settled.healed)),
            Some(_) => {}
            None => findings.push(format!(
                "round {}: not well {:.0} s after everything was healed: {}",
                settled.round,
                history.ended.since(settled.healed),
                settled.wrong.join("; ")
            )),
        }
    }
    let wrong = agreement::contradictions(&history.finals);
    findings.extend(wrong.into_iter().map(|what| format!("in the end: {what}")));
    times.sort_by(f64::total_cmp);
    let detail = times.last().map_or_else(
        || "nothing was broken".to_owned(),
        |worst| format!("{worst:.1} s after healing at most"),
    );
    promise(
        "recovers",
        "afterwards exactly one leads, all agree, and the payload is there and nowhere else",
        !times.is_empty(),
        detail,
        findings,
    )
}

fn times(count: usize) -> String {
    match count {
        1 => "once".to_owned(),
        count => format!("{count} times"),
    }
}

fn number(token: Option<i64>) -> String {
    token.map_or_else(|| "none".to_owned(), |token| token.to_string())
}
