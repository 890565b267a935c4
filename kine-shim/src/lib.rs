//! An etcd v3 server over a SQL database.
//!
//! Clients see etcd: the same services, messages, errors, headers and HTTP endpoints. Behind it is a
//! [`replica`] of a journal in PostgreSQL, YugabyteDB or SQLite. Several servers on one database
//! serve one store. kine's flags, environment names and endpoint URLs work unchanged.
//!
//! # How a call goes
//!
//! ```text
//! listener ── connection ── service ──┬── kv, txn ─────────────── replica (memory, journal)
//!  TLS, gate   one task      routing  ├── watch ───────────────── the hub's stream
//!              for all its            ├── lease, maintenance, cluster, auth, health
//!              calls                  └── http: /health /readyz /livez /version /metrics
//! ```
//!
//! The path of a unary call is the limit of the whole system, so it is short: a request is copied
//! once out of the connection's buffer ([`rpc`]), decoded without copying keys and values, mapped to
//! the state machine's request ([`convert`]), and its answer is written once, into a buffer of its
//! size ([`encode`]). No task is spawned for it; the replica answers a whole batch together, and the
//! connection's task then sends all that is ready with one flush ([`connection`]).
//!
//! # What holds
//!
//! 1. Every answer's header shows the store's revision when it was served, from the same look at the
//!    state as its data.
//! 2. A request is refused in etcd's order and words ([`error`] has all of them).
//! 3. Nothing is buffered without bound: queues refuse, watch streams are polled by their clients'
//!    speed, messages have limits.
//! 4. An outage of the database is `Unavailable`. A write that may have happened is never reported
//!    as one that didn't.
//!
//! # What it will not do
//!
//! Users and roles (who may connect at all is the [`gate`]'s to say), learners, snapshots and quotas: certificates, the database's own backups and
//! its disk take their place. The lock and election services of etcd are left to clients.

mod advice;
mod auth;
mod body;
mod cluster;
pub mod command;
mod compaction;
mod connection;
mod convert;
mod duration;
mod encode;
mod error;
mod gate;
mod health;
mod http;
mod kv;
mod lease;
mod listener;
mod maintenance;
mod method;
mod metrics;
mod node;
pub mod options;
pub mod replica;
mod rpc;
mod server;
mod service;
mod tls;
mod txn;
mod watch;

pub use listener::{AddressError, BindError, ListenAddress};
pub use server::{AutoCompaction, Config, Running, Server, StartError, Storage};
pub use tls::{PeerConfig, TlsConfig};
