//! Which version a get, list or watch wants to see.
//!
//! The parameter `resourceVersion` means different things with and without `limit`, `continue` and
//! `resourceVersionMatch` (Kubernetes API concepts, "Resource versions"); here the combinations become one value.

use crate::options::{ListOptions, VersionMatch};
use crate::status::{Result, Status};
use crate::text::quote;

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
    /// The next page of a list: the token (see `continue_token`).
    Continue(String),
}

/// Where a watch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchFrom {
    /// The present state first, as ADDED, confirmed with the store; then changes.
    Latest,
    /// The present state first, whatever is at hand; then changes.
    Any,
    /// Only what changes from now on (`sendInitialEvents=false` without a version).
    Now,
    /// Changes after this version only.
    After(u64),
    /// State at least as new as this first, as ADDED, and the bookmark that ends it; then changes.
    StateNotOlderThan(u64),
}

/// Reads a resourceVersion parameter: `None` when empty; 400 when it isn't a decimal number.
pub fn parse(text: &str) -> Result<Option<u64>> {
    if text.is_empty() {
        return Ok(None);
    }
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    text.parse()
        .ok()
        .filter(|_| digits)
        .map(Some)
        .ok_or_else(|| {
            Status::bad_request(format!(
                "Invalid value: {}: strconv.ParseUint: parsing {}: invalid syntax",
                quote(text),
                quote(text)
            ))
        })
}

/// How a get is to be read, from its parameter `resourceVersion`.
pub fn read_one(text: &str) -> Result<ReadAt> {
    Ok(match parse(text)? {
        None => ReadAt::Latest,
        Some(0) => ReadAt::Any,
        Some(version) => ReadAt::NotOlderThan(version),
    })
}

impl ListOptions {
    /// How a list is to be read. 400 for a version that isn't a number, or that is given with `continue`.
    pub fn read_at(&self) -> Result<ReadAt> {
        if !self.continue_token.is_empty() {
            return if matches!(self.resource_version.as_str(), "" | "0") {
                Ok(ReadAt::Continue(self.continue_token.clone()))
            } else {
                Err(Status::bad_request(
                    "specifying resource version is not allowed when using continue",
                ))
            };
        }
        Ok(
            match (parse(&self.resource_version)?, self.resource_version_match) {
                (None, _) => ReadAt::Latest,
                (Some(0), _) => ReadAt::Any,
                (Some(version), Some(VersionMatch::Exact)) => ReadAt::Exact(version),
                // A page of a list at a version has always meant exactly that version.
                (Some(version), None) if self.limit > 0 => ReadAt::Exact(version),
                (Some(version), _) => ReadAt::NotOlderThan(version),
            },
        )
    }

    /// Where a watch begins. 400 for a version that isn't a number.
    pub fn watch_from(&self) -> Result<WatchFrom> {
        let version = parse(&self.resource_version)?;
        Ok(match (version, self.send_initial_events) {
            (None | Some(0), Some(false)) => WatchFrom::Now,
            (None, _) => WatchFrom::Latest,
            (Some(0), _) => WatchFrom::Any,
            (Some(version), Some(true)) => WatchFrom::StateNotOlderThan(version),
            (Some(version), _) => WatchFrom::After(version),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(version: &str, limit: u64, match_: Option<VersionMatch>) -> ListOptions {
        ListOptions {
            resource_version: version.to_owned(),
            limit,
            resource_version_match: match_,
            ..ListOptions::default()
        }
    }

    #[test]
    fn lists_read_by_version_match_and_limit() {
        use VersionMatch::{Exact, NotOlderThan};
        let cases = [
            (options("", 0, None), ReadAt::Latest),
            (options("", 5, None), ReadAt::Latest),
            (options("0", 5, None), ReadAt::Any),
            (options("7", 0, None), ReadAt::NotOlderThan(7)),
            (options("7", 5, None), ReadAt::Exact(7)),
            (options("7", 5, Some(NotOlderThan)), ReadAt::NotOlderThan(7)),
            (options("7", 0, Some(Exact)), ReadAt::Exact(7)),
        ];
        for (options, expected) in cases {
            assert_eq!(options.read_at().unwrap(), expected, "{options:?}");
        }
    }

    #[test]
    fn a_version_with_continue_or_that_is_no_number_is_refused() {
        let page = ListOptions {
            continue_token: "t".into(),
            ..options("7", 0, None)
        };
        assert_eq!(page.read_at().unwrap_err().code(), 400);
        let page = ListOptions {
            continue_token: "t".into(),
            ..options("0", 0, None)
        };
        assert_eq!(page.read_at().unwrap(), ReadAt::Continue("t".into()));
        for bad in ["x", "-1", "+1", "1.0", "99999999999999999999"] {
            assert_eq!(parse(bad).unwrap_err().code(), 400, "{bad}");
        }
    }

    #[test]
    fn watches_begin_by_version_and_initial_events() {
        let watch = |version, events| {
            ListOptions {
                send_initial_events: events,
                ..options(version, 0, None)
            }
            .watch_from()
            .unwrap()
        };
        assert_eq!(watch("", None), WatchFrom::Latest);
        assert_eq!(watch("0", None), WatchFrom::Any);
        assert_eq!(watch("9", None), WatchFrom::After(9));
        assert_eq!(watch("", Some(true)), WatchFrom::Latest);
        assert_eq!(watch("9", Some(true)), WatchFrom::StateNotOlderThan(9));
        assert_eq!(watch("9", Some(false)), WatchFrom::After(9));
        assert_eq!(watch("", Some(false)), WatchFrom::Now);
    }
}
