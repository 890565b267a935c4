//! What a member says of itself: its entry in the group, its object's status, and its changes of state in words that help.

use helium_failover::kind::{MemberEntry, Mode};
use helium_failover::lease;
use helium_failover::machine::{Reason, State, Transition};
use helium_failover::{GroupName, Token};

use super::{Member, Seen, Standing};
use crate::failover::plan;
use crate::failover::record::micro;
use crate::failover::status::{
    ACCEPTED, PAYLOAD_APPLIED, PAYLOAD_CONFLICT, PAYLOAD_READY, PREDECESSOR_STOPPED, Report,
    verdict,
};
use crate::membership::Verdict;

impl Member {
    /// Our entry in the group, as it should be.
    pub(super) fn entry(&self) -> MemberEntry {
        let said = MemberEntry {
            rank: self.rank,
            ready: self.machine.ready(),
            address: self.address.clone(),
            payload_hash: self
                .payload
                .as_ref()
                .map(|payload| payload.hash().to_owned()),
            ..MemberEntry::default()
        };
        // Before our object was read, what an earlier agent has said of it holds: a rank that isn't known is no rank, and a leader
        // that seems to have none would be asked to hand over.
        let earlier = match self.seen.own {
            Seen::Unread => self
                .view
                .as_ref()
                .and_then(|view| view.entry(&self.shared.me)),
            _ => None,
        };
        let said = earlier.cloned().unwrap_or(said);
        MemberEntry {
            cluster: self.shared.me.clone(),
            state: self.machine.state().to_string(),
            reason: self.machine.reason().to_string(),
            message: self
                .transition
                .as_ref()
                .map(|change| change.message.clone())
                .unwrap_or_default(),
            since: Some(micro(self.since)),
            joined: Some(micro(self.joined.unwrap_or(self.since))),
            stands_for: self.machine.stands_for(),
            stopped: self.machine.stopped(),
            ..said
        }
    }

    /// The status of our object, as it should be.
    pub(super) fn report(&self) -> Report {
        let state = self.machine.state();
        let group = self.view.as_ref();
        let leader = group.and_then(|group| group.status.leader.clone());
        let spec = self.own.as_deref().map(plan::spec).and_then(Result::ok);
        let port = spec
            .as_ref()
            .and_then(|spec| spec.more.get("port"))
            .and_then(serde_json::Value::as_i64);
        let address = match state {
            State::Leading => self.address.clone(),
            _ => group.and_then(|group| group.status.leader_address.clone()),
        };
        Report {
            leading: state == State::Leading,
            leader_address: address.unwrap_or_default(),
            ready: self.machine.ready(),
            port: port.unwrap_or_default(),
            state: state.to_string(),
            reason: self.machine.reason().to_string(),
            token: match state.has_term() {
                true => self.token(),
                false => group.and_then(|group| group.status.token),
            },
            group: self.group.to_string(),
            leader: leader.map(|name| name.0),
            conditions: self.conditions(state),
            transition: self.transition.clone(),
            generation: self.own.as_ref().and_then(|own| own.metadata.generation),
        }
    }

    fn conditions(&self, state: State) -> Vec<(&'static str, Verdict)> {
        let problem = self.problem.as_ref().or(self.group_problem.as_ref());
        let accepted = match problem {
            Some(problem) => verdict(false, problem.reason, problem.message.clone()),
            None => verdict(true, "Valid", "the object is understood and takes part"),
        };
        let mut all = vec![
            (ACCEPTED, accepted),
            (PAYLOAD_APPLIED, self.payload_applied()),
            (PAYLOAD_READY, self.payload_ready(state)),
        ];
        if let Some(conflict) = self.payload_conflict() {
            all.push((PAYLOAD_CONFLICT, conflict));
        }
        all.push((PREDECESSOR_STOPPED, self.predecessor_stopped(state)));
        all
    }

    fn payload_applied(&self) -> Verdict {
        match &self.standing {
            Standing::Absent => verdict(false, "NotLeading", "this cluster doesn't lead"),
            Standing::Applying => verdict(false, "Applying", "the payload is being applied"),
            Standing::Applied(objects) => verdict(
                true,
                "Applied",
                format!("{objects} objects are as the payload says"),
            ),
            Standing::Rejected(reason, text) => verdict(false, reason, text.clone()),
            Standing::Failed(text) => verdict(false, "ApplyFailed", text.clone()),
            Standing::Stopping => verdict(false, "Stopping", "the payload is being deleted"),
            Standing::StopFailed(text) => Verdict {
                status: "Unknown",
                ..verdict(
                    false,
                    "StopFailed",
                    format!("the payload may still be here: {text}"),
                )
            },
        }
    }

    fn payload_ready(&self, state: State) -> Verdict {
        match (&self.ready, state) {
            (Some(ready), State::Leading) if ready.is_ready() => {
                verdict(true, "Ready", "everything of the payload is ready")
            }
            (Some(ready), State::Leading) => {
                let worst = ready.worst().map_or_else(
                    || "nothing of it is known".to_owned(),
                    |one| format!("{}: {}", one.object, one.message),
                );
                verdict(false, "NotReady", worst)
            }
            (None, State::Leading) => Verdict {
                status: "Unknown",
                ..verdict(false, "NotSeen", "the payload hasn't been looked at yet")
            },
            _ => verdict(false, "NotLeading", "this cluster doesn't lead"),
        }
    }

    fn payload_conflict(&self) -> Option<Verdict> {
        let payload = self.payload.as_ref()?;
        let others = self
            .view
            .as_ref()?
            .differing(&self.shared.me, payload.hash());
        if others.is_empty() {
            return Some(verdict(
                false,
                "SamePayload",
                "all members have one payload",
            ));
        }
        let text = format!(
            "the payload is another one in {}: what runs depends on who leads; give all members the same text",
            others.join(", ")
        );
        Some(verdict(true, "PayloadsDiffer", text))
    }

    fn predecessor_stopped(&self, state: State) -> Verdict {
        let waiting = self.machine.unconfirmed();
        if !waiting.is_empty() && state.has_term() {
            let names = lease::terms_text(waiting).unwrap_or_default();
            if state == State::Elected {
                let text = format!(
                    "nobody has confirmed that these terms are over: {names}. Bring the cluster back, or, if you know that its payload \
                     doesn't run, say so with helium failover take --force"
                );
                return verdict(false, "PredecessorUnconfirmed", text);
            }
            let text = format!(
                "the lease had run out, but these terms haven't been acknowledged to be over: {names}. Each ends by its own cluster's \
                 clock, unless that cluster or its agent can't"
            );
            return verdict(false, "NotAcknowledged", text);
        }
        match self.began {
            Some(Reason::Forced) => verdict(
                true,
                "Forced",
                "a person has said that the predecessor is over",
            ),
            Some(Reason::Resumed) => verdict(true, "Resumed", "it is the same term as before"),
            Some(_) => verdict(
                true,
                "Acknowledged",
                "the predecessor has said that it stopped",
            ),
            None => Verdict {
                status: "Unknown",
                ..verdict(false, "NotLeading", "this cluster doesn't lead")
            },
        }
    }
}

/// Whether a person should look at a change.
pub(super) fn is_warning(to: State, reason: Reason) -> bool {
    to == State::Isolated
        || matches!(
            reason,
            Reason::Invalid
                | Reason::PayloadRefused
                | Reason::PayloadFailed
                | Reason::StoreWentBack
                | Reason::Expired
                | Reason::Lost
                | Reason::NotRenewed
                | Reason::StopFailed
                | Reason::UnknownTerm
        )
}

/// A change of state in words, with what to do where there is something to do.
pub(super) fn explain(member: &Member, change: &Transition) -> String {
    let mode = member.view.as_ref().map(|group| group.spec.mode);
    words(change, mode, &member.group, member.machine.token())
}

fn words(
    change: &Transition,
    mode: Option<Mode>,
    group: &GroupName,
    token: Option<Token>,
) -> String {
    let leading = matches!(change.to, State::Elected | State::Starting | State::Leading);
    let text = match change.reason {
        Reason::Fresh => "the agent has just begun to look at it",
        Reason::NotReady => "the object says ready: false; set it to true to let this cluster lead",
        Reason::Deleted => "the object is deleted",
        Reason::Invalid => {
            "the object can't be followed; its condition Accepted says what to correct"
        }
        Reason::PayloadRefused => {
            "the cluster refuses the payload, so it doesn't lead; its condition PayloadApplied says what to correct. It is tried again \
             later, and at once when the payload is edited"
        }
        Reason::PayloadFailed => {
            "the payload couldn't be applied in time, since this cluster's own API server didn't answer well; it is tried again later"
        }
        Reason::Waiting => "another member leads, or should",
        Reason::Paused => "the group is paused: no term begins (helium failover resume)",
        Reason::StoreWentBack => {
            "the store went back in time: no term begins before every term that was lost is certainly over"
        }
        Reason::Free => "the lease was free, and this member is the first",
        Reason::HandedOver => "the predecessor has stopped and handed over",
        Reason::Expired if mode == Some(Mode::Strict) => {
            "the predecessor's lease ran out; its payload must be known to be gone before this one starts"
        }
        Reason::Expired => {
            "the predecessor's lease ran out without its word that it stopped; in fast mode its pods may still be ending"
        }
        Reason::Forced => "a person has said that earlier terms are over",
        Reason::Resumed => {
            "the agent is back in time, and the term goes on with the payload untouched"
        }
        Reason::Confirmed => "all earlier terms are over",
        Reason::Applied => "the payload is applied",
        Reason::HigherRank => "a member that comes first by rank or age stands ready",
        Reason::Preferred => "the group prefers another member",
        Reason::Lost => "somebody else has the lease, or nobody",
        Reason::NotRenewed => {
            "the lease couldn't be renewed in time, so the payload is stopped before anybody else may start it; look at the way to \
             the control plane and the store"
        }
        Reason::StopFailed => {
            "the payload can't be deleted, so the lease is left to run out; its condition PayloadApplied says why"
        }
        Reason::Stopped => "the payload is gone, and that is acknowledged",
        Reason::Restarted => {
            "the agent restarted and can't know whether its term is still its own, so it stops the payload; with --state-dir it could"
        }
        Reason::UnknownTerm => {
            "the lease names this cluster at a token that this agent doesn't know; nothing was started under it"
        }
    };
    match token.filter(|_| leading) {
        Some(token) => format!("{text} (fence {})", group.fence(token)),
        None => text.to_owned(),
    }
}

/// A note that says more than "no".
pub(super) fn advice(problem: &str) -> String {
    format!("the payload can't be applied: {problem}")
}

#[cfg(test)]
mod tests {
    use helium_failover::Boot;

    use super::*;

    fn change(to: State, reason: Reason) -> Transition {
        Transition {
            from: State::Candidate,
            to,
            reason,
            token: Some(Token(7)),
            at: Boot::default(),
        }
    }

    #[test]
    fn a_change_is_told_with_what_to_do() {
        let group = GroupName {
            namespace: "default".to_owned(),
            callsign: "city".to_owned(),
        };
        let say = |to, reason, mode| words(&change(to, reason), mode, &group, Some(Token(7)));
        let fast = say(State::Elected, Reason::Expired, Some(Mode::Fast));
        assert!(fast.contains("in fast mode") && fast.ends_with("(fence default/failover-city=7)"));
        let strict = say(State::Elected, Reason::Expired, Some(Mode::Strict));
        assert!(strict.contains("must be known to be gone"));
        let isolated = say(State::Isolated, Reason::NotRenewed, None);
        assert!(isolated.contains("control plane") && !isolated.contains("fence"));
        assert!(is_warning(State::Isolated, Reason::Restarted));
        assert!(!is_warning(State::Leading, Reason::Applied));
    }
}
