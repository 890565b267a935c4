//! The member's own term, as long as it is lived or being ended.

use super::Reason;
use super::view::{Footprint, Phase};
use crate::kind::{DeadManSwitch, Mode};
use crate::names::{ClusterName, Token};
use crate::timing::{Boot, Timing};

/// A term of this member.
#[derive(Debug, Clone)]
pub(super) struct Held {
    /// Its token.
    pub(super) token: Token,
    /// Its mode: changes of the group are for the next term.
    pub(super) mode: Mode,
    /// Its times.
    pub(super) timing: Timing,
    /// Whether its payload has a switch.
    pub(super) dead_man: DeadManSwitch,
    /// Send time of the last write that was acknowledged (F2). `None`: nothing may be started.
    pub(super) sent: Option<Boot>,
    /// When the last renewal was asked for, acknowledged or not.
    pub(super) tried: Option<Boot>,
    /// Nothing of the payload is there: nothing was applied in it, or it is gone (F3).
    pub(super) gone: bool,
    /// Something of the payload may have been sent in it.
    pub(super) touched: bool,
    /// Why it began.
    pub(super) began: Reason,
    /// Whether earlier terms had to be waited for.
    pub(super) waited: bool,
    /// The payload that is applied.
    pub(super) applied: Option<String>,
    /// To whom it is handed over: the one that answered.
    pub(super) successor: Option<ClusterName>,
    /// Why it ends.
    pub(super) ends: Option<Reason>,
    /// When stopping began.
    pub(super) stopping: Option<Boot>,
    /// Whether stopping has failed.
    pub(super) stop_failed: bool,
    /// Address that the record has.
    pub(super) address: Option<String>,
}

impl Held {
    /// A term of which nothing is known but this. Nothing was applied in it.
    pub(super) fn new(token: Token, mode: Mode, timing: Timing, began: Reason) -> Self {
        Self {
            token,
            mode,
            timing,
            dead_man: DeadManSwitch::None,
            sent: None,
            tried: None,
            gone: true,
            touched: false,
            began,
            waited: false,
            applied: None,
            successor: None,
            ends: None,
            stopping: None,
            stop_failed: false,
            address: None,
        }
    }

    /// What an earlier life of the agent has left.
    pub(super) fn left(footprint: &Footprint) -> Self {
        let running = footprint.phase == Phase::Running;
        Self {
            dead_man: footprint.dead_man,
            sent: footprint.sent,
            gone: false,
            touched: true,
            applied: running.then(|| footprint.payload.clone()),
            ..Self::new(
                footprint.token,
                footprint.mode,
                footprint.timing,
                Reason::Resumed,
            )
        }
    }

    /// When stopping begins unless another renewal is acknowledged (F2).
    pub(super) fn deadline(&self) -> Option<Boot> {
        self.sent.map(|sent| self.timing.stop_begins(sent))
    }
}
