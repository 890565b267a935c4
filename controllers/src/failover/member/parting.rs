//! The end of a member: its footprint, its entry and its finalizer go, in this order.

use std::time::Duration;

use helium_failover::Token;
use helium_telemetry::Chain;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use super::Member;
use super::jobs::{REQUEST, hold};
use crate::failover::payload::ForgetOutcome;
use crate::failover::{group, plan};

impl Member {
    /// Removes what is left of this member in the fleet, when nothing is left in the own cluster. Ends early when the agent does.
    pub(super) async fn end(mut self, stop: &CancellationToken) {
        let done = async {
            while let Some(Ok(done)) = self.jobs.join_next().await {
                self.take(done);
            }
            self.forget().await;
            self.leave_group().await;
            self.let_go().await;
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = done => info!("a member of a failover group is gone"),
        }
    }

    pub(super) async fn forget(&mut self) {
        while self.footprint {
            let token = self.ended.unwrap_or(Token(i64::MAX));
            match self.shared.site.forget(&self.group, token).await {
                ForgetOutcome::Failed(failure) => {
                    debug!(group = %self.group, %failure, "the footprint stays for now");
                    tokio::time::sleep(REQUEST).await;
                }
                _ => self.footprint = false,
            }
        }
        self.shared.memory.forget(&self.group);
        self.shared.metrics.forget(&self.group);
    }

    pub(super) async fn leave_group(&mut self) {
        loop {
            let client = self.shared.clients.borrow().clone();
            if let Some(client) = client {
                let done = group::put_entry(client, &self.group, &self.shared.me, None).await;
                match done {
                    Ok(true) => return,
                    Err(kube::Error::Api(status)) if status.is_not_found() => return,
                    Ok(false) => {}
                    Err(error) => {
                        debug!(group = %self.group, error = %Chain(&error), "leaving the group failed");
                    }
                }
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// Takes the finalizer off an object that is being deleted and is still of this group.
    pub(super) async fn let_go(&mut self) {
        loop {
            let seen = self.inputs.borrow_and_update().own.clone();
            let Some(object) = seen.object().cloned() else {
                return;
            };
            let ours = object.metadata.uid.as_deref() == Some(self.uid.as_str())
                && plan::group(&object).as_ref() == Ok(&self.group);
            if !ours || !plan::is_deleted(&object) || !plan::is_held(&object) {
                return;
            }
            let client = self.shared.clients.borrow().clone();
            if let Some(client) = client
                && let Err(error) = hold(client, &object, false).await
            {
                debug!(group = %self.group, error = %Chain(&error), "taking the finalizer off failed");
            }
            tokio::select! {
                Ok(()) = self.inputs.changed() => {}
                () = tokio::time::sleep(Duration::from_millis(500)) => {}
            }
        }
    }
}
