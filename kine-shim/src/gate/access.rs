//! One connection's right to be served, and its end.

use std::sync::{Arc, OnceLock};

use rustls::pki_types::{CertificateDer, UnixTime};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::Status;

use super::{Gate, Refused};
use crate::error;

/// The right of one connection. Clones are the same right.
#[derive(Debug, Clone)]
pub(crate) struct Access(Option<Arc<Seat>>);

#[derive(Debug)]
struct Seat {
    gate: Arc<Gate>,
    /// What the client has shown, its own certificate first.
    chain: Vec<CertificateDer<'static>>,
    /// The gate's generation when the chain was judged.
    seen: u64,
    refused: OnceLock<Refused>,
    ended: CancellationToken,
}

impl Access {
    /// A connection that no gate stands before.
    pub(crate) const fn unrestricted() -> Self {
        Self(None)
    }

    pub(super) fn new(gate: Arc<Gate>, chain: Vec<CertificateDer<'static>>, seen: u64) -> Self {
        Self(Some(Arc::new(Seat {
            gate,
            chain,
            seen,
            refused: OnceLock::new(),
            ended: CancellationToken::new(),
        })))
    }

    /// The status for a call of a connection that isn't accepted any more.
    pub(crate) fn refusal(&self) -> Option<Status> {
        let refused = self.0.as_ref()?.refused.get()?;
        Some(error::not_admitted(refused))
    }

    /// Ends when the right does; `None` if it can't.
    pub(crate) fn ended(&self) -> Option<WaitForCancellationFutureOwned> {
        let seat = self.0.as_ref()?;
        Some(seat.ended.clone().cancelled_owned())
    }

    /// Judges the connection anew whenever the members change, and ends its right when it doesn't
    /// pass. Returns then, and never else.
    pub(crate) async fn watch(self) {
        let Some(seat) = self.0 else {
            return std::future::pending().await;
        };
        let mut changes = seat.gate.changes();
        let mut seen = seat.seen;
        loop {
            // The sender lives as long as the gate, which the seat holds.
            if changes.wait_for(|now| *now != seen).await.is_err() {
                return std::future::pending().await;
            }
            seen = *changes.borrow_and_update();
            let Err(refused) = seat.gate.judge(&seat.chain, UnixTime::now()) else {
                continue;
            };
            tracing::info!(reason = %refused, "a connection is ended");
            seat.gate.metrics.ended.inc();
            // Set once, by the one task that serves the connection.
            drop(seat.refused.set(refused));
            seat.ended.cancel();
            return;
        }
    }
}
