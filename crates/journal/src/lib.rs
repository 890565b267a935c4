//! A write-once journal in SQL.
//!
//! One row holds one *batch* of already resolved work. Rows sit in numbered slots, and the primary
//! key is the only lock: whoever inserts a slot first has decided it. Everything above (revisions,
//! keys, leases, watches) is computed by replaying the rows in slot order, so this crate knows
//! nothing of etcd. It knows slots, random entry ids, opaque payloads, and a checkpoint: the state
//! at one slot as rows that people can query.
//!
//! Invariants that every backend keeps, and that the suite in [`conformance`] checks:
//!
//! - **J1 one row a slot.** Of any number of racing appends to a slot one is committed; the others
//!   learn it as a value, [`Appended::SlotTaken`], never as an error.
//! - **J2 slots at or below the floor do not exist.** The floor is the checkpoint's slot. An append
//!   reads it *after* its row is durable, on the same connection, and says
//!   [`Appended::BelowFloor`] whatever became of the row. A listing from below the floor yields no
//!   rows at all: a row there may be the ghost of a writer that slept over a trim.
//! - **J3 the floor's own row stays.** Trimming removes only slots below the floor, and the floor
//!   moves before they go. The chain can therefore always be checked against it.
//! - **J4 one statement, one instant.** [`Journal::head_read`], [`Journal::entry_list`] and
//!   [`Journal::kv_list`] each take the floor and their rows from one snapshot of the primary.
//! - **J5 a result is whole or an error.** A connection that is cut in the middle of rows never
//!   looks like a short answer.
//! - **J6 a checkpoint loads exactly.** While a checkpointer writes chunks, and after one died
//!   half-way, [`Journal::kv_list`] still yields the state at the checkpoint's slot: each chunk
//!   keeps what it overwrites until the checkpoint has advanced.
//! - **J7 a displaced checkpointer changes nothing.** Each chunk checks the claim in its own
//!   transaction.
//! - **J8 an entry follows the one that it names.** An append is committed only where the slot before
//!   holds `prev`, seen by the database that took the row: [`Appended::Diverged`] otherwise. A
//!   connection that comes back may be answered by a database that has lost the newest entries, and
//!   an entry behind the gap would be acknowledged and never be read. At the floor it is the floor's
//!   own row that is looked at (J3); slot 1 names [`EntryId::NIL`].
//!
//! What it will not do: decide what an undecided append became (the caller retries the same slot
//! with the same id, see [`Journal::entry_append`]), use clocks, sequences, advisory locks or
//! notifications, or retry a statement that may have happened.
//!
//! Backends: [`postgres`] (also YugabyteDB), [`sqlite`], [`memory`]; [`faulty`] wraps any of them
//! and misbehaves on purpose. [`endpoint`] opens one from a kine endpoint URL.

mod checkpoint;
pub mod conformance;
pub mod endpoint;
mod entry;
mod error;
pub mod faulty;
mod identity;
mod journal;
mod member;
pub mod memory;
mod observer;
mod options;
pub mod postgres;
pub mod sqlite;

pub use checkpoint::{Advanced, CheckpointMeta, Chunked, ClaimId, Claimed, KvPage, KvRow};
pub(crate) use entry::Inserted;
pub use entry::{Appended, Entry, EntryId, Epoch, Head, Listed, LogId, Slot, WriterId};
pub use error::{Error, ErrorKind, Outcome, Result, chain};
pub use identity::{DatabaseIdentity, LogMeta, StoreSize};
pub use journal::Journal;
pub use member::Member;
pub use observer::{NoObserver, StatementObserver};
pub use options::{Options, TlsFiles};
