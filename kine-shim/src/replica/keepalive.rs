//! Keep-alives: restarting a lease without ever having to take it back (I7).

use helium_mvcc::{
    Epoch, LeaseExpireRequest, LeaseId, LeaseRenewRequest, Request, Response, Revision,
};

use super::error::{Error, Result};
use super::shared::Shared;

/// How often a keep-alive begins again because ownership or the lease changed under it.
const ROUNDS: usize = 8;

/// The answer to a keep-alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepAlive {
    /// The lease's full time to live in seconds; 0 if there is no such lease any more.
    pub ttl: i64,
    /// The store's revision from before the renewal, hence not above that of a later revocation.
    pub revision: Revision,
}

/// What became of the lease in memory.
enum Renewal {
    Done(KeepAlive),
    /// It is past its deadline: it has to be revoked first.
    Due(Epoch),
    /// We don't own the epoch any more.
    NotOurs,
}

pub(super) async fn keep_alive(shared: &Shared, id: LeaseId) -> Result<KeepAlive> {
    // From before the renewal, also when it takes several rounds.
    let mut revision = None;
    for _ in 0..ROUNDS {
        if !owns_epoch(shared)? {
            return renew_in_journal(shared, id).await;
        }
        // Begun after the request arrived: it confirms that the epoch is still ours.
        shared.head_barrier().await?;
        let known = shared.core.read().state().revision();
        revision.get_or_insert(known);
        match renew_in_memory(shared, id)? {
            Renewal::Done(answer) => {
                let revision = revision.unwrap_or(answer.revision);
                return Ok(KeepAlive { revision, ..answer });
            }
            Renewal::Due(epoch) => expire(shared, id, epoch).await?,
            Renewal::NotOurs => {}
        }
    }
    Err(Error::Unavailable("ownership of the epoch keeps changing"))
}

fn owns_epoch(shared: &Shared) -> Result<bool> {
    let core = shared.core.read();
    core.serving()?;
    Ok(core.owned_epoch(shared.member()).is_some())
}

fn renew_in_memory(shared: &Shared, id: LeaseId) -> Result<Renewal> {
    let mut core = shared.core.write();
    core.serving()?;
    let Some(epoch) = core.owned_epoch(shared.member()) else {
        return Ok(Renewal::NotOurs);
    };
    let revision = core.state().revision();
    let Some(lease) = core.state().lease(id) else {
        return Ok(Renewal::Done(KeepAlive { ttl: 0, revision }));
    };
    // Read under the lock: nothing may pass between the judgement and the renewal.
    let now = shared.clock.now();
    if core.lease_is_due(now, id) {
        return Ok(Renewal::Due(epoch));
    }
    core.lease_renew(now, id);
    Ok(Renewal::Done(KeepAlive {
        ttl: lease.ttl,
        revision,
    }))
}

/// Revokes a lease that is past its deadline, unless the journal holds a renewal before.
async fn expire(shared: &Shared, id: LeaseId, epoch: Epoch) -> Result<()> {
    let request = Request::LeaseExpire(LeaseExpireRequest { id, epoch });
    shared.propose(request).await.map(drop)
}

async fn renew_in_journal(shared: &Shared, id: LeaseId) -> Result<KeepAlive> {
    let revision = shared.core.read().state().revision();
    match shared
        .propose(Request::LeaseRenew(LeaseRenewRequest { id }))
        .await?
    {
        Response::LeaseRenew(renewed) => Ok(KeepAlive {
            ttl: renewed.ttl,
            revision,
        }),
        _ => Err(Error::Unavailable(
            "a renewal was answered with something else",
        )),
    }
}
