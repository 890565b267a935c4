//! The evaluation of a batch on the applied prefix.

use std::collections::HashSet;

use helium_mvcc::{Batch, BatchBody, LeaseExpireResponse, LeaseId, Request, Response};

use super::proposal::{Proposal, Work};
use crate::replica::core::{Core, Position};
use crate::replica::error::Result;
use crate::replica::shared::Shared;

/// What a piece of work is answered; `None` for a barrier.
pub(super) type Outcome = Option<Result<Response, helium_mvcc::Error>>;

/// A batch, evaluated but not written.
pub(super) struct Draft {
    /// The prefix on which it was evaluated (I4).
    pub position: Position,
    /// What to append; `None` if nothing needs to be written.
    pub body: Option<BatchBody>,
    /// One for each proposal.
    pub outcomes: Vec<Outcome>,
    /// Whether any answer could differ on a longer prefix.
    pub depends_on_state: bool,
}

impl Draft {
    /// Evaluates all proposals in order, each seeing the effects of those before.
    pub(super) fn evaluate(shared: &Shared, proposals: &[Proposal]) -> Result<Self> {
        let core = shared.core.read();
        core.serving()?;
        let mut batch = Batch::with_limits(core.state(), shared.options.limits);
        let mut outcomes = Vec::with_capacity(proposals.len());
        let mut must_append = false;
        let mut depends_on_state = false;
        let mut restarted = HashSet::new();
        for proposal in proposals {
            let Work::Request(request) = proposal.work() else {
                must_append = true;
                outcomes.push(None);
                continue;
            };
            if let Some(id) = lease_to_expire(request)
                && (restarted.contains(&id) || !shared.is_expirable(&core, id))
            {
                // I7: it was renewed meanwhile, or somebody else judges now.
                depends_on_state = true;
                outcomes.push(Some(Ok(not_expired(&core))));
                continue;
            }
            let result = batch.evaluate(request);
            match &result {
                Ok(outcome) if outcome.wrote => {
                    must_append = true;
                    restarted.extend(lease_restarted(request));
                }
                Ok(_) => depends_on_state = true,
                Err(error) => depends_on_state |= !error.is_independent_of_state(),
            }
            outcomes.push(Some(result.map(|outcome| outcome.response)));
        }
        let body = must_append.then(|| batch.finish());
        Ok(Self {
            position: core.position(),
            body,
            outcomes,
            depends_on_state,
        })
    }
}

fn lease_to_expire(request: &Request) -> Option<LeaseId> {
    match request {
        Request::LeaseExpire(expire) => Some(expire.id),
        _ => None,
    }
}

fn lease_restarted(request: &Request) -> Option<LeaseId> {
    match request {
        Request::LeaseRenew(renew) => Some(renew.id),
        Request::LeaseGrant(grant) => Some(grant.id),
        _ => None,
    }
}

fn not_expired(core: &Core) -> Response {
    Response::LeaseExpire(LeaseExpireResponse {
        revision: core.state().revision(),
        expired: false,
    })
}
