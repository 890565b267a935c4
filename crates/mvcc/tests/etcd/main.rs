//! The observable contract of etcd, case by case, on the state machine alone.

mod checkpoint;
mod compaction;
mod kv;
mod lease;
mod maintenance;
mod store;
mod txn;
mod watch;
