//! What tests need around the code under test: servers of their own, and waiting with a bound.

pub mod ended;
pub mod etcd;
pub mod postgres;
pub mod process;
pub mod wait;

pub use ended::Ended;
pub use etcd::Etcd;
pub use postgres::Postgres;
pub use process::{Process, component, free_port};
pub use wait::wait_for;
