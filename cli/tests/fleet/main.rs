//! `helium init`, `token`, `join`, `members`, `leave --dead` and `revoke`, as a person uses them, with real servers.

mod database;
mod impostor;
mod joining;
mod refusals;
mod shutting_out;
mod support;
#[path = "../up/support.rs"]
#[allow(dead_code, reason = "the other test asks the store too")]
mod up;
