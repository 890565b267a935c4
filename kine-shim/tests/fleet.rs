//! Several instances on one database: one truth, whoever is asked, and whoever dies.

#[allow(dead_code, reason = "the suite's client has more than is used here")]
#[path = "suite/client.rs"]
mod client;
#[path = "fleet/crash.rs"]
mod crash;
#[path = "fleet/failover.rs"]
mod failover;
#[path = "fleet/instance.rs"]
mod instance;
#[path = "fleet/list_watch.rs"]
mod list_watch;
#[path = "fleet/program.rs"]
mod program;
#[path = "fleet/visible.rs"]
mod visible;
