//! What one cluster does to belong to the fleet: `helium-agent`, one for each cluster.
//!
//! The agent stands between two API servers. At the *control plane*, the cluster's own `helium-apiserver`, it reads
//! what the fleet shares; in its *own cluster*, at the kube-apiserver, it arranges that this is served. It has no
//! state: after a restart it looks at both and goes on.
//!
//! ```text
//! command     flags, log, signals          options    the flags themselves
//! endpoint    clients for the two sides    follow     list and watch into memory, kept through outages
//! election    one active agent a cluster   probe      /healthz /readyz /metrics
//! agent       the controllers, together    uninstall  removes what they have written
//!
//! registrar   APIServices and ClusterRoles equal to the fleet's definitions
//! membership  the cluster's Member and its heartbeat; whose heartbeat is missed
//! service     the Service that APIServices point at, where the agent keeps it
//! ```
//!
//! Each controller is a folder whose core is a pure function from what was observed to what is to be done; only its
//! `run` does I/O.
//!
//! Invariants of every controller here:
//! - **A1** Not knowing is never a reason to delete: nothing is removed or first written before both sides have been
//!   read once, and while one of them is away what it last said holds.
//! - **A2** Only what carries our label is changed or removed; a write is conditional on what was seen, so that it
//!   can't hit something that somebody else has put in its place meanwhile.
//! - **A3** Two agents in one cluster do no harm, only double work: the lease is for economy, A2 for safety.
//!
//! What the agent will not do: carry data between clusters, speak to another cluster's API, or sit on the path of a
//! request.

mod agent;
mod ca;
pub mod cluster_name;
pub mod command;
mod election;
mod endpoint;
pub mod failover;
mod follow;
mod membership;
mod metrics;
mod options;
mod probe;
pub mod registrar;
#[cfg(test)]
mod scripted;
mod service;
pub mod service_address;
mod uninstall;

pub use cluster_name::ClusterName;
pub use service_address::ServiceAddress;
