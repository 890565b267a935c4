//! `helium failover` as a person uses it: real servers of three clusters, and for each a stand-in that plays its agent.

mod moves;
mod shows;
mod stand_in;
#[path = "../fleet/support.rs"]
#[allow(dead_code, reason = "the other test does more with a fleet")]
mod support;
#[path = "../up/support.rs"]
#[allow(dead_code, reason = "the other test asks the store too")]
mod up;
