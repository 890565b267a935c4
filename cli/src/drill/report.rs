//! A drill's report: for people and for programs.

use serde::Serialize;

use super::history::{Fault, History, Moment};
use super::judge::{self, Judgement, Outcome, Promise, Takeover};
use crate::options::{OutputFormat, Scenario};

/// What programs get.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    group: &'a str,
    mode: &'static str,
    lease_seconds: f64,
    seed: u64,
    began: &'a str,
    lasted_seconds: f64,
    interrupted: bool,
    holds: bool,
    rounds: Vec<Round<'a>>,
    promises: &'a [Promise],
    takeovers: &'a [Takeover],
    acknowledged_writes: usize,
    longest_blind_seconds: f64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Round<'a> {
    round: u32,
    scenario: Scenario,
    what: String,
    cluster: Option<&'a str>,
    at_leader: bool,
    began_seconds: f64,
    lasted_seconds: f64,
    taken_over_by: Option<&'a str>,
    taken_over_after_seconds: Option<f64>,
    well_after_seconds: Option<f64>,
}

/// The report in the form that was asked for.
pub(crate) fn render(history: &History, judgement: &Judgement, format: OutputFormat) -> String {
    match format {
        OutputFormat::Text => text(history, judgement),
        OutputFormat::Json => {
            let document = document(history, judgement);
            // Texts and numbers only: it can't fail to serialise.
            serde_json::to_string_pretty(&document).unwrap_or_default() + "\n"
        }
    }
}

fn document<'a>(history: &'a History, judgement: &'a Judgement) -> Document<'a> {
    let round = |fault: &'a Fault| {
        let takeover = takeover_of(judgement, fault);
        Round {
            round: fault.round,
            scenario: fault.scenario,
            what: fault.what(),
            cluster: fault.cluster.as_deref(),
            at_leader: fault.is_at_leader(),
            began_seconds: fault.began.seconds(),
            lasted_seconds: fault.ended.since(fault.began),
            taken_over_by: takeover.map(|takeover| takeover.to.as_str()),
            taken_over_after_seconds: takeover.map(|takeover| takeover.seconds),
            well_after_seconds: well_after(history, fault.round),
        }
    };
    Document {
        group: &history.group,
        mode: mode(history),
        lease_seconds: history.lease_seconds,
        seed: history.seed,
        began: &history.wall,
        lasted_seconds: history.ended.seconds(),
        interrupted: history.interrupted,
        holds: judgement.holds(),
        rounds: history.faults.iter().map(round).collect(),
        promises: &judgement.promises,
        takeovers: &judgement.takeovers,
        acknowledged_writes: history.writes.len(),
        longest_blind_seconds: longest_blind(history),
    }
}

fn text(history: &History, judgement: &Judgement) -> String {
    let mut lines = vec![
        format!(
            "{}: {} mode, T = {} s, {}, seed {}, {:.0} s",
            history.group,
            mode(history),
            history.lease_seconds,
            plural(history.faults.len(), "round"),
            history.seed,
            history.ended.seconds()
        ),
        String::new(),
    ];
    let mut events = events(history, judgement);
    events.sort_by_key(|(at, _)| *at);
    lines.extend(
        events
            .into_iter()
            .map(|(at, what)| format!("{:>8.1} s   {what}", at.seconds())),
    );
    lines.push(String::new());
    for promise in &judgement.promises {
        let outcome = match promise.outcome {
            Outcome::Kept => "kept",
            Outcome::Broken => "BROKEN",
            Outcome::NotShown => "not shown",
        };
        lines.push(format!("{outcome:<9}   {}", promise.text));
        lines.push(format!("            {}", promise.detail));
        let findings = promise.findings.iter();
        lines.extend(findings.map(|finding| format!("          ✗ {finding}")));
    }
    lines.push(String::new());
    if history.interrupted {
        lines.push("The drill was ended early; what was broken is healed.".to_owned());
    }
    lines.push(format!(
        "Each cluster's payload was looked at every {} ms; the longest time without an answer was {:.1} s.",
        history.look_every_seconds * 1e3,
        longest_blind(history)
    ));
    lines.push(
        if judgement.holds() {
            "Every promise that was put to the test was kept."
        } else {
            "Promises were broken."
        }
        .to_owned(),
    );
    lines.join("\n") + "\n"
}

/// What happened, for people.
fn events(history: &History, judgement: &Judgement) -> Vec<(Moment, String)> {
    let mut events: Vec<(Moment, String)> = terms(history)
        .into_iter()
        .map(|term| {
            (
                term.at,
                format!("{} leads at token {}", term.holder, term.token),
            )
        })
        .collect();
    for fault in &history.faults {
        let lasted = fault.ended.since(fault.began);
        events.push((
            fault.began,
            format!("round {}: {}, for {lasted:.1} s", fault.round, fault.what()),
        ));
        if let Some(takeover) = takeover_of(judgement, fault) {
            events.push((
                fault.began.plus(takeover.seconds),
                format!(
                    "the payload is in {}, {:.2} s after the fault",
                    takeover.to, takeover.seconds
                ),
            ));
        }
        events.push((
            fault.ended,
            match well_after(history, fault.round) {
                Some(seconds) => format!("healed; all is well {seconds:.1} s later"),
                None => "healed; not well again".to_owned(),
            },
        ));
    }
    events
}

/// A term, and when it was first seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TermSeen<'a> {
    /// When.
    pub(crate) at: Moment,
    /// Whose.
    pub(crate) holder: &'a str,
    /// Its token.
    pub(crate) token: i64,
    /// When it was first seen to be over.
    pub(crate) over: Option<Moment>,
}

/// All terms, in the order of their tokens, as the first cluster that showed them.
pub(crate) fn terms(history: &History) -> Vec<TermSeen<'_>> {
    let mut terms: Vec<TermSeen<'_>> = Vec::new();
    for lease in &history.leases {
        let (Some(holder), Some(token)) = (lease.holder.as_deref(), lease.token) else {
            continue;
        };
        match terms.iter_mut().find(|term| term.token == token) {
            Some(term) => term.at = term.at.min(lease.at),
            None => terms.push(TermSeen {
                at: lease.at,
                holder,
                token,
                over: None,
            }),
        }
    }
    terms.sort_by_key(|term| term.token);
    for term in &mut terms {
        let released = history.leases.iter().filter(|lease| {
            lease.token > Some(term.token)
                || (lease.token == Some(term.token) && lease.holder.is_none())
        });
        term.over = released.map(|lease| lease.at).min();
    }
    terms
}

fn takeover_of<'a>(judgement: &'a Judgement, fault: &Fault) -> Option<&'a Takeover> {
    let takeovers = &judgement.takeovers;
    takeovers
        .iter()
        .find(|takeover| takeover.round == fault.round)
}

/// How long after healing all was well again, in seconds.
fn well_after(history: &History, round: u32) -> Option<f64> {
    let settled = history
        .settled
        .iter()
        .find(|settled| settled.round == round)?;
    Some(settled.at?.since(settled.healed))
}

fn longest_blind(history: &History) -> f64 {
    let blind = history.blind.iter().map(|blind| blind.to.since(blind.from));
    blind.max_by(f64::total_cmp).unwrap_or_default()
}

/// A sentence for a picture's head.
pub(crate) fn verdict(judgement: &Judgement) -> &'static str {
    if judgement.holds() {
        "every promise kept"
    } else {
        "promises broken"
    }
}

/// The group's mode, for people.
pub(crate) fn mode(history: &History) -> &'static str {
    if history.strict { "strict" } else { "fast" }
}

/// How many of something, for people.
fn plural(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Judges and reports in one.
pub(crate) fn of(history: &History, format: OutputFormat) -> (Judgement, String) {
    let judgement = judge::judge(history);
    let text = render(history, &judgement, format);
    (judgement, text)
}
