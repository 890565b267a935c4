//! `helium failover`: which payload runs where, and moving it.
//!
//! A payload's members form a `FailoverGroup`, one object for all clusters: who leads is written there by the servers in the transaction of the term,
//! what each member says of itself by its own cluster, and what people want in its `spec`. So everything here is reading that object and writing
//! its `spec`, through any cluster of the fleet; the agents do the rest (docs/failover.md). Rules:
//!
//! 1. Nothing here starts or stops a payload, and nothing here decides who leads.
//! 2. What can't work is refused before anything is written, with the reason; what didn't work in time is called off.
//! 3. What lasts (a kept wish, a pause) is said, with the command that ends it.
//! 4. The only command that can make two clusters run a payload is `take`, and it says so.

mod api;
mod handover;
mod history;
mod pause;
mod status;
mod take;
mod view;
mod wait;
mod watch;

use crate::error::Result;
use crate::options::FailoverCommand;

/// Does what is asked for.
pub(crate) async fn run(command: FailoverCommand) -> Result<()> {
    match command {
        FailoverCommand::Status(options) => status::run(options).await,
        FailoverCommand::Handover(options) => handover::run(options).await,
        FailoverCommand::Take(options) => take::run(options).await,
        FailoverCommand::Pause(options) => pause::run(options, true).await,
        FailoverCommand::Resume(options) => pause::run(options, false).await,
        FailoverCommand::History(options) => history::run(options).await,
    }
}
