//! A fleet of clusters on one store: instances let in its members and nobody else, over real TLS.

#[path = "fleet_members/admission.rs"]
mod admission;
#[allow(dead_code, reason = "the suite's client has more than is used here")]
#[path = "suite/client.rs"]
mod client;
#[path = "fleet_members/fleet.rs"]
mod fleet;
#[path = "fleet_members/peers.rs"]
mod peers;
#[path = "fleet_members/program.rs"]
mod program;
#[path = "fleet_members/revocation.rs"]
mod revocation;
#[path = "fleet_members/roles.rs"]
mod roles;
