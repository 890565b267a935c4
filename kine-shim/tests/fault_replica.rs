//! The replica runtime against a journal that misbehaves on purpose: for each invariant, the
//! schedule that breaks a design without it. Time is paused wherever a test does not race threads.

#[path = "fault_replica/append.rs"]
mod append;
#[path = "fault_replica/chain.rs"]
mod chain;
#[path = "fault_replica/checkpoint.rs"]
mod checkpoint;
#[path = "fault_replica/harness.rs"]
mod harness;
#[path = "fault_replica/lease.rs"]
mod lease;
#[path = "fault_replica/peers.rs"]
mod peers;
#[path = "fault_replica/random.rs"]
mod random;
#[path = "fault_replica/read.rs"]
mod read;
#[path = "fault_replica/staged.rs"]
mod staged;
