//! What is known of the lease, and since when (the observation rule).
//!
//! A record counts as unchanged from the moment at which *this* machine first saw it, in this life. A watch may be late: then the
//! observation is of a record that is gone, which only the compare at the store tells. So an observation makes a claim possible, and
//! never makes a term.

use std::time::Duration;

use crate::lease::{Holder, LeaseView, Term};
use crate::names::{ClusterName, Token};
use crate::timing::{Boot, DRIFT_PER_MILLE};

/// The lease as it was last seen.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// `None`: never read. `Some(None)`: it doesn't exist.
    view: Option<Option<LeaseView>>,
    /// When this record was first seen.
    since: Boot,
    /// An answer was lost, or what was seen doesn't fit: it must be read before anything is decided by it.
    unsure: bool,
    /// The last holder before this record, if this one has none.
    former: Option<ClusterName>,
    /// Whether any record had a holder.
    had_holder: bool,
    /// The longest duration that a record of the present term named: by which its holder may live.
    longest: Duration,
    /// When unconfirmed terms were first seen to be that.
    replaced: Vec<(ClusterName, Token, Boot)>,
}

/// resourceVersions are numbers that grow; what isn't a number has no order.
fn number(view: &LeaseView) -> Option<u64> {
    view.version.parse().ok()
}

impl Record {
    /// From a watch: may be old. Whether it was news.
    pub(super) fn seen(&mut self, now: Boot, lease: Option<LeaseView>) -> bool {
        if let Some(Some(known)) = &self.view {
            let Some(lease) = &lease else {
                // Deleted, or a list from before it was made.
                self.unsure = true;
                return false;
            };
            if lease == known {
                return false;
            }
            if let (Some(new), Some(old)) = (number(lease), number(known))
                && new < old
            {
                // Late news, or the store went back in time.
                self.unsure = true;
                return false;
            }
        }
        self.learn(now, lease);
        true
    }

    /// From an answer of the store: this is it.
    pub(super) fn told(&mut self, now: Boot, lease: Option<LeaseView>) -> bool {
        self.unsure = false;
        if self.view.as_ref() == Some(&lease) {
            return false;
        }
        self.learn(now, lease);
        true
    }

    fn learn(&mut self, now: Boot, lease: Option<LeaseView>) {
        self.unsure = false;
        let before = self
            .holder()
            .map(|holder| (holder.cluster.clone(), holder.token));
        let after = lease.as_ref().and_then(|view| view.holder.as_ref());
        if after.is_some() {
            self.had_holder = true;
            self.former = None;
        } else if let Some((cluster, _)) = &before {
            self.former = Some(cluster.clone());
        }
        let same_term = match (&before, after) {
            (Some((cluster, token)), Some(holder)) => {
                holder.cluster == *cluster && holder.token == *token
            }
            _ => false,
        };
        let duration = after.map_or(Duration::ZERO, |holder| holder.duration);
        self.longest = if same_term {
            self.longest.max(duration)
        } else {
            duration
        };
        let terms = lease.as_ref().map_or(&[][..], |view| &view.unconfirmed);
        let is = |term: &Term, (cluster, token, _): &(ClusterName, Token, Boot)| {
            term.cluster == *cluster && term.token == *token
        };
        self.replaced
            .retain(|known| terms.iter().any(|term| is(term, known)));
        for term in terms {
            if !self.replaced.iter().any(|known| is(term, known)) {
                self.replaced.push((term.cluster.clone(), term.token, now));
            }
        }
        self.view = Some(lease);
        self.since = now;
    }

    /// What was seen can't be relied on: ask.
    pub(super) fn doubt(&mut self) {
        self.unsure = true;
    }

    /// Whether it must be read before anything is decided by it.
    pub(super) fn is_unsure(&self) -> bool {
        self.unsure
    }

    /// The record, if it was read and nothing speaks against it. `Some(None)`: there is no lease.
    pub(super) fn known(&self) -> Option<Option<&LeaseView>> {
        if self.unsure {
            return None;
        }
        self.view.as_ref().map(Option::as_ref)
    }

    /// When the record was first seen.
    pub(super) fn since(&self) -> Boot {
        self.since
    }

    /// Who gave the lease up, if it is free and this machine saw that.
    pub(super) fn former(&self) -> Option<&ClusterName> {
        self.former.as_ref()
    }

    /// Whether this machine has ever seen a holder.
    pub(super) fn had_holder(&self) -> bool {
        self.had_holder
    }

    fn view(&self) -> Option<&LeaseView> {
        self.view.as_ref()?.as_ref()
    }

    fn holder(&self) -> Option<&Holder> {
        self.view()?.holder.as_ref()
    }

    /// Version of the record, if it is known to name `me` at `token`.
    pub(super) fn ours(&self, me: &ClusterName, token: Token) -> Option<&LeaseView> {
        let view = self.known()??;
        let holder = view.holder.as_ref()?;
        (holder.cluster == *me && holder.token == token).then_some(view)
    }

    /// The token at which it is known to name `me`.
    pub(super) fn names(&self, me: &ClusterName) -> Option<(&LeaseView, &Holder)> {
        let view = self.known()??;
        let holder = view.holder.as_ref()?;
        (holder.cluster == *me).then_some((view, holder))
    }

    /// Terms that the record, as last seen, doesn't know to be over.
    pub(super) fn unconfirmed(&self) -> &[Term] {
        self.view().map_or(&[], |view| &view.unconfirmed)
    }

    /// The newest term of `cluster` that another one has replaced without knowing that it is over.
    pub(super) fn replaced(&self, cluster: &ClusterName) -> Option<Token> {
        let terms = &self.known()??.unconfirmed;
        let own = terms.iter().filter(|term| term.cluster == *cluster);
        own.map(|term| term.token).max()
    }

    /// When a held record will have run out by this machine's observation; `usual` where the record has no duration.
    pub(super) fn runs_out(&self, usual: Duration) -> Boot {
        let duration = if self.longest.is_zero() {
            usual
        } else {
            self.longest
        };
        self.since + duration
    }

    /// When the dead-man's switch of an unconfirmed term has surely done its work: its time counts from the moment at which this machine
    /// saw the term replaced, which is after its record ran out; the switch has a clock of its own, so ρ is added.
    pub(super) fn switched_off(&self, term: &Term) -> Option<Boot> {
        let takes = term.dead_man?;
        let (_, _, seen) = self
            .replaced
            .iter()
            .find(|(cluster, token, _)| term.cluster == *cluster && term.token == *token)?;
        Some(*seen + takes + takes * DRIFT_PER_MILLE / 1000)
    }
}
