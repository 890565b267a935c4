//! Continue tokens of lists in pages.

use crate::status::Result;

/// Where a list goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Continue {
    /// The first key of the next page, with the prefix of the list.
    pub start_key: String,
    /// The version that the list shows; `None` for an inconsistent continuation at the latest version.
    pub revision: Option<u64>,
}

impl Continue {
    /// The opaque text. `start_key` must begin with `prefix`.
    pub fn encode(&self, _prefix: &str) -> String {
        unimplemented!()
    }
    /// Reads a token for a list under `prefix`; 400 for anything that this server didn't make.
    pub fn decode(_token: &str, _prefix: &str) -> Result<Self> {
        unimplemented!()
    }
}
