//! Links between instances: a fast path beside the poll, and nothing more.
//!
//! Each instance follows every other live member's commits over one stream, on the address that the
//! member advertises. What arrives is offered to the follower; what is missing, late, doubled or
//! wrong costs a head query. A link that fails is tried again, with growing pauses.

mod link;
mod service;
mod wire;

use std::collections::HashMap;
use std::sync::Arc;

use helium_journal::WriterId;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::shared::Shared;

pub use service::PeerService;

/// Runs until the replica stops: one link for each other live member.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut links: HashMap<WriterId, CancellationToken> = HashMap::new();
    let tasks = TaskTracker::new();
    loop {
        let members = shared.members.lock().others(shared.clock.now());
        links.retain(|id, cancel| {
            let is_alive = members.iter().any(|member| member.id == *id);
            if !is_alive {
                cancel.cancel();
            }
            is_alive
        });
        for member in members {
            links.entry(member.id).or_insert_with(|| {
                let cancel = shared.cancel.child_token();
                tasks.spawn(link::run(Arc::clone(&shared), member, cancel.clone()));
                cancel
            });
        }
        tokio::select! {
            () = shared.cancel.cancelled() => break,
            () = tokio::time::sleep(shared.options.heartbeat_interval) => {}
        }
    }
    tasks.close();
    tasks.wait().await;
}
