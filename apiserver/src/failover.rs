//! Failover groups, as far as this server has a hand in them.
//!
//! The MultiClusters of one callsign in all clusters are a `FailoverGroup`. Who of them leads is decided by one Lease, like every
//! election of the fleet; it has the label [`GROUP_LABEL`]. What the agents do with it is theirs
//! (`helium-failover`). What they can't do, or can't be trusted with, is here:
//!
//! - **G1 A cluster speaks for itself.** A group's lease is held in the name of a cluster, and only writes that come through that cluster
//!   put its name there, or take it away ([`lease`]). An entry in the group's `status.members` is written by its own cluster only
//!   ([`group`]).
//! - **G2 Term and record are one transaction.** A write that begins or ends a term of the lease writes the group's `status` too: leader,
//!   address, token, since when and why, and the history ([`record`]). Nobody ever sees one without the other, and nobody else
//!   writes these.
//! - **G3 No term after the store went back in time**, until every term that was forgotten is over ([`setback`]; F5 of `helium-failover`).
//!
//! What it will not do: judge whether a leader is alive, take a lease away, or know what a payload is.

mod group;
mod lease;
mod record;
mod setback;

use helium_apimachinery::field::ErrorList;
use helium_apimachinery::meta::Object;
use helium_failover::kind::GROUP_LABEL;

pub(crate) use group::{admit as admit_group, forget, refuse_deletion as refuse_group_deletion};
pub(crate) use lease::{admit as admit_lease, refuse_deletion as refuse_lease_deletion};
pub(crate) use record::{LeaseWrite, agrees, complete, write as write_record};
pub(crate) use setback::Setback;

/// Why a write isn't taken.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// It makes no sense, whoever writes it.
    Invalid(ErrorList),
    /// It isn't this cluster's to write.
    Forbidden(String),
}

/// Tells whether a cluster is known to have left the fleet.
pub(crate) type Gone<'a> = &'a dyn Fn(&str) -> bool;

/// The callsign of the group that a lease is of, if it is one's.
pub(crate) fn group_of(lease: &Object) -> Option<&str> {
    lease.label(GROUP_LABEL)
}
