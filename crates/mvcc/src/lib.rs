//! The etcd state machine: keys with history, transactions, leases, watches. No I/O, no clock, no
//! tasks: what happens is decided by the values that are passed in.
//!
//! # How the pieces fit
//! The store is a journal; an entry's payload is a [`BatchBody`]: transactions that are already
//! *resolved* (this key gets this version), so that applying them can't fail and can't differ.
//!
//! ```text
//! requests ──► Batch (overlay on &State) ──finish──► BatchBody ──encode──► journal slot n
//!                 │ evaluate: Outcome                                           │ won, or read
//!                 ▼                                                             ▼
//!              answers, held back until slot n is won            State::apply(stamp, &BatchBody)
//!                                                                     │ Applied   │ changes
//!                                                                     ▼           ▼
//!                                                                  Expiry      WatchHub
//! ```
//! ```text
//! // evaluation                                     Batch<'a>
//! Batch::new(&State) | Batch::with_limits(&State, Limits)
//! batch.evaluate(&Request) -> Result<Outcome, Error>        // sees the earlier ones' effects
//! batch.evaluate_forwarded(Forward, &Request) -> Result<Outcome, Error>
//! batch.revision() / size() / is_empty() / finish() -> BatchBody
//! // entries                                        BatchBody
//! BatchBody::decode(&[u8]) -> Result<BatchBody, DecodeError>;  body.encode() -> Bytes
//! body.first_revision() / last_revision() / transactions();  ENCODING: i16
//! // state                                          State
//! State::new() | Restore::begin(side, slot)?.row(KeyValue)… finish() -> State
//! state.apply(Stamp, &BatchBody) -> Result<Applied, ApplyError>
//! state.compact_step(budget) -> bool                        // more to do?
//! state.range(&RangeRequest) / txn_read(&TxnRequest) / lease(id) / leases() / hash_kv(revision)
//! state.revision() / compact_revision() / slot() / epoch() / owner() / incarnation() / alarms() / …
//! // time                                           Expiry (monotonic `now: Duration` passed in)
//! expiry.restart_all(now, state.leases()); expiry.apply(now, &Applied)
//! expiry.renew(now, id) / due(now, max) -> Vec<LeaseId> / remaining(now, id)
//! // watches                                        WatchHub
//! WatchHub::new(&State); hub.stream_open() -> StreamId; hub.stream_close(stream)
//! hub.watch_create(stream, WatchRequest) / watch_cancel(stream, id) / progress_request(stream)
//! hub.progress_tick(stream)                                 // progress_notify, at your interval
//! hub.advance(&State, |StreamId| wake)                      // after every apply
//! hub.poll(stream, &State) -> Poll { messages, more, closed }
//! hub.reset(&State, |StreamId| wake)                         // memory dropped: streams end
//! // checkpoints                                    Fold
//! Fold::new() | Fold::load(side)?; fold.apply(&BatchBody)?; fold.take_rows(); fold.save() -> Bytes
//! ```
mod batch;
mod body;
mod error;
mod expiry;
mod fold;
mod history;
mod key;
mod keyspace;
mod kv;
mod range;
mod request;
mod response;
mod revision;
mod side;
mod state;
mod validate;
mod view;
mod watch;
mod wire;

pub use batch::{Batch, Limits, MAX_LEASE_TTL};
pub use body::{BatchBody, DecodeError, ENCODING, Operation, Transaction};
pub use error::{Error, Result};
pub use expiry::Expiry;
pub use fold::{Fold, Row};
pub use key::KeyRange;
pub use kv::{Event, EventKind, KeyValue};
pub use request::*;
pub use response::*;
pub use revision::*;
pub use state::{Applied, ApplyError, HashKv, LeaseChange, Restore, State};
pub use watch::{
    Poll, StreamId, WatchBody, WatchHub, WatchId, WatchMessage, WatchRefusal, WatchRequest,
};
pub use wire::WireError;
