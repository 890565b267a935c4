//! Continue tokens of lists in pages.
//!
//! A token is base64url (without padding) of `{"v":"meta.k8s.io/v1","rv":N,"start":"key"}`, where the key is
//! relative to the prefix of the list, so that a token can't reach outside of what its user may list. Revision −1
//! means "go on at the latest version", for pages after the list's own version has been compacted.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::status::{Result, Status};

const VERSION: &str = "meta.k8s.io/v1";

/// Where a list goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Continue {
    /// The first key of the next page, with the prefix of the list.
    pub start_key: String,
    /// The version that the list shows; `None` for an inconsistent continuation at the latest version.
    pub revision: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct Token {
    #[serde(default, rename = "v")]
    version: String,
    #[serde(default, rename = "rv")]
    revision: i64,
    #[serde(default, rename = "start")]
    start: String,
}

/// The largest revision that a token can hold is that of a signed number.
const NO_REVISION: i64 = -1;

impl Continue {
    /// Goes on after a key: with the smallest key that is greater than it.
    pub fn after(last_key: &str, revision: Option<u64>) -> Self {
        Self {
            start_key: format!("{last_key}\0"),
            revision,
        }
    }

    /// The opaque text. `start_key` must begin with `prefix`; a key that doesn't is encoded as the
    /// beginning of the list.
    pub fn encode(&self, prefix: &str) -> String {
        let token = Token {
            version: VERSION.to_owned(),
            revision: self
                .revision
                .and_then(|r| i64::try_from(r).ok())
                .unwrap_or(NO_REVISION),
            start: match self.start_key.strip_prefix(prefix) {
                Some(rest) if !rest.is_empty() => rest.to_owned(),
                _ => "\0".to_owned(),
            },
        };
        // Three plain fields always serialise.
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&token).unwrap_or_default())
    }

    /// Reads a token for a list under `prefix` (which ends with `/`); 400 for anything else than a token
    /// that this server makes.
    pub fn decode(text: &str, prefix: &str) -> Result<Self> {
        let invalid = |why: &dyn std::fmt::Display| {
            Status::bad_request(format!("continue key is not valid: {why}"))
        };
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|e| invalid(&e))?;
        let token: Token = serde_json::from_slice(&bytes).map_err(|e| invalid(&e))?;
        if token.version != VERSION {
            return Err(Status::bad_request(format!(
                "continue key is not valid: server does not recognize this encoded version {}",
                token.version
            )));
        }
        let revision = match token.revision {
            NO_REVISION => None,
            other => match u64::try_from(other) {
                Ok(revision) if revision > 0 => Some(revision),
                _ => {
                    return Err(invalid(
                        &"incorrect encoded start resourceVersion (version meta.k8s.io/v1)",
                    ));
                }
            },
        };
        if token.start.is_empty() {
            return Err(invalid(&"encoded start key empty (version meta.k8s.io/v1)"));
        }
        let relative = token.start.strip_prefix('/').unwrap_or(&token.start);
        if !is_clean(relative) {
            return Err(invalid(&token.start));
        }
        Ok(Self {
            start_key: format!("{prefix}{relative}"),
            revision,
        })
    }
}

/// Whether a relative path has no part that would climb or be skipped.
fn is_clean(path: &str) -> bool {
    !path.is_empty() && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PREFIX: &str = "/registry/g.io/widgets/";

    #[test]
    fn tokens_round_trip() {
        for revision in [Some(7), None] {
            let token = Continue::after(&format!("{PREFIX}ns/a"), revision);
            assert_eq!(
                Continue::decode(&token.encode(PREFIX), PREFIX).unwrap(),
                token
            );
        }
    }

    #[test]
    fn tokens_of_others_are_refused() {
        let raw = |json: &str| URL_SAFE_NO_PAD.encode(json);
        for bad in [
            "%%%".to_owned(),
            raw("[]"),
            raw(r#"{"v":"v2","rv":1,"start":"a"}"#),
            raw(r#"{"v":"meta.k8s.io/v1","rv":0,"start":"a"}"#),
            raw(r#"{"v":"meta.k8s.io/v1","rv":-2,"start":"a"}"#),
            raw(r#"{"v":"meta.k8s.io/v1","rv":1,"start":""}"#),
            raw(r#"{"v":"meta.k8s.io/v1","rv":1,"start":"../secrets/a"}"#),
            raw(r#"{"v":"meta.k8s.io/v1","rv":1,"start":"a//b"}"#),
            raw(r#"{"v":"meta.k8s.io/v1","rv":1,"start":"/"}"#),
        ] {
            let status = Continue::decode(&bad, PREFIX).unwrap_err();
            assert_eq!(status.code(), 400, "{bad}");
            assert!(
                status.message().starts_with("continue key is not valid"),
                "{status}"
            );
        }
    }
}
