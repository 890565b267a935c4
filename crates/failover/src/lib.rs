//! Failover of a payload between clusters, as pure functions: who should lead, when a member may start, when it must stop.
//!
//! Members of a [group](kind::GroupSpec) stand in different clusters. One Lease of the fleet says who leads; each acquisition of it
//! begins a *term* with a fencing token. The [`machine`] of a member is told what it sees (its own object, the group, the lease,
//! answers to what it asked for) with the time of the member's own boot clock, and says what to do. It knows no socket, no
//! clock and no Kubernetes client.
//!
//! Invariants, cited by tests:
//! - **F1 Stopped before started.** A member starts its payload only in a term of its own, and only when each earlier term is *over*:
//!   its holder has acknowledged that it stopped (it gave the lease up, or says so in its entry of the group), or the lease had
//!   run out by the successor's own observation (fast mode), or what strict mode asks for has happened ([`machine`]).
//! - **F2 Stops by its own clock.** The deadline of a term counts from the *sending* of the last renewal that was
//!   acknowledged: stopping begins at `sent + T(1−ρ) − budget`, so that it is finished by `sent + T(1−ρ)`. A judge grants itself
//!   the lease no earlier than T after *its* first sight of the record, which is later than the sending.
//! - **F3 Stopped means gone.** Own writes in flight are answered or timed out, then what is owned is deleted, then a fresh list is
//!   empty; in strict mode of pods too. Only then is it acknowledged, and never before.
//! - **F4 No term without memory.** What was started is written down in the member's own cluster before it is started, so a
//!   restarted agent knows what to stop without asking anybody.
//! - **F5 After the store went back in time** no term begins for T + budget: a term that was lost may still be lived. So a term is
//!   lived on by renewals only where its deadline is known to be ahead; any other is claimed anew.
//!
//! What the members agree on, in tables, and what is shown by which test: `docs/failover-protocol.md`.
//!
//! What this crate will not do: read a clock, choose names, judge whether a cluster is alive (it is told), or
//! promise that a container is dead (strict mode is told that, too).

pub mod kind;
pub mod lease;
pub mod machine;
pub mod names;
pub mod timing;

pub use names::{ClusterName, GroupName, Token};
pub use timing::{Boot, Timing};
