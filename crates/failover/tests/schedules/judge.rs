//! What must never have happened, by the true time that no member knows.

use helium_failover::Token;
use helium_failover::kind::Mode;

use super::Time;

/// A term as it really was.
#[derive(Debug)]
pub struct TermLog {
    pub cluster: usize,
    pub token: Token,
    pub mode: Mode,
    pub switch: bool,
    /// When the payload could have been applied first.
    pub began: Option<Time>,
    /// When the member's role ends at the latest by its own clock, so far.
    pub role: Time,
    /// When everything was gone, as the member believed.
    pub gone: Option<Time>,
    /// The last moment at which something of the payload was there.
    pub there: Time,
    /// Last renewal of the local lease that the switch looks at.
    pub fresh: Time,
    /// A person declared it over, or made its trace vanish.
    pub forced: bool,
    /// The store forgot it.
    pub lost: bool,
    /// The agent couldn't stop: it was paused or dead, or its own API server away.
    pub hindered: bool,
}

#[derive(Debug, Default)]
pub struct Judge {
    pub terms: Vec<TermLog>,
    acknowledged: Vec<Token>,
    /// Objects that are there: cluster and token.
    live: Vec<(usize, Token)>,
    /// What was found, the first first.
    pub found: Vec<String>,
}

impl Judge {
    pub fn new(members: usize) -> Self {
        Self {
            acknowledged: vec![Token(0); members],
            ..Self::default()
        }
    }

    pub fn find(&mut self, what: String) {
        self.found.push(what);
    }

    /// A term began in the store.
    pub fn term(&mut self, cluster: usize, token: Token, mode: Mode, switch: bool) {
        if self.terms.iter().any(|term| term.token >= token) {
            self.find(format!("token {token} isn't above all earlier ones"));
        }
        self.terms.push(TermLog {
            cluster,
            token,
            mode,
            switch,
            began: None,
            role: 0,
            gone: None,
            there: 0,
            fresh: 0,
            forced: false,
            lost: false,
            hindered: false,
        });
    }

    pub fn of(&mut self, token: Token) -> Option<&mut TermLog> {
        self.terms.iter_mut().find(|term| term.token == token)
    }

    /// A member said that its terms up to this one are over.
    pub fn acknowledged(&mut self, t: Time, cluster: usize, token: Token) {
        self.acknowledged[cluster] = self.acknowledged[cluster].max(token);
        if self
            .live
            .iter()
            .any(|(of, live)| *of == cluster && *live <= token)
        {
            self.find(format!(
                "cluster {cluster} said at {t} that term {token} is over, and its payload is there"
            ));
        }
    }

    /// An object of a payload was made.
    pub fn made(&mut self, t: Time, cluster: usize, token: Token) {
        self.live.push((cluster, token));
        if self.acknowledged[cluster] >= token {
            self.find(format!("cluster {cluster} made an object of term {token} at {t}, after it had said that the term is over"));
        }
    }

    /// An object of a payload is gone.
    pub fn unmade(&mut self, t: Time, cluster: usize, token: Token, half: Time) {
        if let Some(at) = self.live.iter().position(|one| *one == (cluster, token)) {
            self.live.swap_remove(at);
        }
        if let Some(term) = self.of(token) {
            let ran = if term.switch {
                t.min(term.fresh + half)
            } else {
                t
            };
            term.there = term.there.max(ran);
        }
    }

    /// Something keeps a cluster's agent from stopping what is there.
    pub fn hinder(&mut self, cluster: usize) {
        for (of, token) in self.live.clone() {
            if of == cluster
                && let Some(term) = self.of(token)
            {
                term.hindered = true;
            }
        }
        for term in &mut self.terms {
            term.hindered |= term.cluster == cluster && term.began.is_some() && term.gone.is_none();
        }
    }

    /// Terms up to this one are over because a person said so.
    pub fn force(&mut self, token: Token) {
        for term in &mut self.terms {
            term.forced |= term.token <= token;
        }
    }

    /// Looks at all terms, when all is over.
    pub fn sum_up(&mut self, end: Time, half: Time) {
        for (cluster, token) in self.live.clone() {
            self.unmade(end, cluster, token, half);
        }
        let mut found = Vec::new();
        for (at, one) in self.terms.iter().enumerate() {
            let Some(began) = one.began else { continue };
            let one_role = one.gone.unwrap_or(end).min(one.role);
            if !one.hindered && !one.switch && one.gone.is_some_and(|gone| gone > one.role) {
                found.push(format!(
                    "term {} of cluster {} was stopped {} us after its time",
                    one.token,
                    one.cluster,
                    one.gone.unwrap_or(0) - one.role
                ));
            }
            for two in &self.terms[at + 1..] {
                let Some(next) = two.began else { continue };
                if one.cluster == two.cluster || one.forced || two.forced {
                    continue;
                }
                let two_role = two.gone.unwrap_or(end).min(two.role);
                if began < two_role && next < one_role {
                    found.push(format!(
                        "roles of term {} (cluster {}, {began}..{one_role}) and term {} (cluster {}, {next}..{two_role}) overlap",
                        one.token, one.cluster, two.token, two.cluster
                    ));
                }
                let strict = one.mode == Mode::Strict || two.mode == Mode::Strict;
                // A term that the store has forgotten is known to nobody: it counts as over at its own deadline.
                let excused = one.lost && one.hindered || two.lost && two.hindered;
                if strict && !excused && began < two.there && next < one.there {
                    found.push(format!(
                        "payloads of term {} (cluster {}, {began}..{}) and term {} (cluster {}, {next}..{}) overlap",
                        one.token, one.cluster, one.there, two.token, two.cluster, two.there
                    ));
                }
            }
        }
        self.found.extend(found);
    }
}
