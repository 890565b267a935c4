//! The payload of a group in the member's own cluster: applied, kept as it is written, and taken away again until nothing is left.
//!
//! [`Payload::parse`] makes objects of a MultiCluster's text. A [`Site`] is the cluster that they are put into: its own kube-apiserver,
//! reached without the fleet. Nothing here asks who leads; it is told the token of the term, and until when it may write.
//!
//! ```text
//! document   YAML → objects           kinds      kind → resource, by discovery     turn      one job of a group at a time
//! contents   what others have inside
//! injection  token, labels            order      what is applied before what       wire      requests, each with a bound
//! object     names, and whose it is   footprint  what was begun, written first     trouble   refusals in words that help
//! apply, stop, sweep, readiness       the jobs of a Site
//! ```
//!
//! Invariants (F numbers are those of `helium-failover`):
//! - **P1 Written down first (F4).** Before the first object of a term is sent, the *footprint* in the own cluster names the term, the agent
//!   and every object that will be there; before the first deletion it says that stopping has begun. Each of its writes is a compare on what was
//!   read.
//! - **P2 Own objects only.** What is there without our label and the MultiCluster's uid is neither changed nor deleted. A change carries the
//!   uid of the object that was looked at, a deletion has it as precondition. A creation can't: it is sent without force, so that an
//!   object that appeared in between is a conflict; where it is none (it says the same as ours) the answer shows that nothing was created,
//!   and our fields are taken out again.
//! - **P3 Nothing after `until`.** The boot clock is read right before each write; the write's own bound, which the server is told
//!   too, ends within the stop budget.
//! - **P4 Gone is gone (F3).** Stopping first ends the running application and waits for what it has in flight: answered, or
//!   its bound is over. Then what is owned is deleted until a list that was begun after that is empty; in strict mode of pods, too.
//! - **P5 One agent.** The footprint names the agent. Objects are listed first, then the footprint is read again, then they are deleted: an agent
//!   that was replaced meanwhile can only hit what was there before it was.
//!
//! What it will not do: take over what others made; know pods that neither a payload's own pod template nor a Pod of it has
//! made (an operator's, for example); promise that a write which got no answer within its bound never lands. [`Site::sweep`]
//! finds those.

mod apply;
mod contents;
mod document;
mod footprint;
mod injection;
mod kinds;
mod object;
mod order;
mod readiness;
mod site;
mod stop;
mod sweep;
mod trouble;
mod turn;
mod wire;

pub use apply::{Applied, ApplyOutcome, TermContext};
pub use document::{DocumentProblem, Payload, PayloadError};
pub use footprint::{Footprints, Record};
pub use object::{ObjectName, Owner, Place};
pub use readiness::{Condition, ObjectReadiness, Readiness};
pub use site::{ForgetOutcome, Site, SiteOptions, Watchdog};
pub use stop::StopOutcome;
pub use sweep::SweepOutcome;
pub use trouble::{Failure, FailureReason, Problem, ProblemReason};
