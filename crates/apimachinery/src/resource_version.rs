//! Which version a get, list or watch wants to see.

use crate::options::ListOptions;
use crate::status::Result;

/// How a list (or get) is to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadAt {
    /// The latest state, confirmed with the store.
    Latest,
    /// Whatever is at hand.
    Any,
    /// State at least as new as this; 504 if the server doesn't get there in time.
    NotOlderThan(u64),
    /// Exactly this state; 410 if compacted, 504 if in the future.
    Exact(u64),
    /// The next page of a list.
    Continue(String),
}

/// Where a watch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchFrom {
    /// Synthetic ADDED for the latest state (confirmed with the store), then changes.
    Latest,
    /// Synthetic ADDED for whatever is at hand, then changes.
    Any,
    /// Changes after this version. With `sendInitialEvents`, state at least as new as this first.
    After(u64),
}

/// Reads a resourceVersion parameter: `None` when empty; 400 when it isn't a number.
pub fn parse(_text: &str) -> Result<Option<u64>> {
    unimplemented!()
}

impl ListOptions {
    /// How a list is to be read (after `validate`).
    pub fn read_at(&self) -> Result<ReadAt> {
        unimplemented!()
    }
    /// Where a watch begins (after `validate`).
    pub fn watch_from(&self) -> Result<WatchFrom> {
        unimplemented!()
    }
}
