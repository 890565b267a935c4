//! Identity headers of a front proxy: which they are, reading them, and removing them.

use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;

use super::user::UserInfo;

/// Prefix of the customary identity headers; removed from every request, configured or not.
const CUSTOMARY_PREFIX: &str = "x-remote-";
/// Prefix of headers that ask to act as somebody else.
const IMPERSONATE_PREFIX: &str = "impersonate-";

/// The front proxy's settings, with names ready for lookup (lower case).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct HeaderNames {
    allowed_names: Vec<String>,
    username: Vec<String>,
    uid: Vec<String>,
    group: Vec<String>,
    extra_prefixes: Vec<String>,
}

impl HeaderNames {
    /// Settings from lists of names in any case. Blank names are dropped.
    pub(crate) fn new(
        allowed_names: &[String],
        username: &[String],
        uid: &[String],
        group: &[String],
        extra_prefixes: &[String],
    ) -> Self {
        let lower = |names: &[String]| -> Vec<String> {
            names
                .iter()
                .map(|name| name.trim().to_ascii_lowercase())
                .filter(|name| !name.is_empty())
                .collect()
        };
        Self {
            allowed_names: allowed_names.to_vec(),
            username: lower(username),
            uid: lower(uid),
            group: lower(group),
            extra_prefixes: lower(extra_prefixes),
        }
    }

    /// Whether a proxy's certificate may have this common name.
    pub(crate) fn allows(&self, common_name: &str) -> bool {
        self.allowed_names.is_empty() || self.allowed_names.iter().any(|name| name == common_name)
    }

    fn is_identity(&self, header: &str) -> bool {
        let named = |names: &[String]| names.iter().any(|name| name == header);
        named(&self.username)
            || named(&self.uid)
            || named(&self.group)
            || self
                .extra_prefixes
                .iter()
                .any(|prefix| header.starts_with(prefix.as_str()))
    }
}

/// Removes all identity headers and returns the user that they claim, if they name one.
///
/// The claim means nothing until the connection is known to be the front proxy's.
pub(super) fn take(headers: &mut HeaderMap, names: Option<&HeaderNames>) -> Option<UserInfo> {
    let claim = names.and_then(|names| read(headers, names));
    let doomed: Vec<HeaderName> = headers
        .keys()
        .filter(|name| {
            let name = name.as_str();
            name.starts_with(CUSTOMARY_PREFIX) || names.is_some_and(|names| names.is_identity(name))
        })
        .cloned()
        .collect();
    for name in doomed {
        headers.remove(name);
    }
    claim
}

/// Removes the headers that ask to act as somebody else; returns whether there were any.
pub(super) fn take_impersonation(headers: &mut HeaderMap) -> bool {
    let doomed: Vec<HeaderName> = headers
        .keys()
        .filter(|name| name.as_str().starts_with(IMPERSONATE_PREFIX))
        .cloned()
        .collect();
    for name in &doomed {
        headers.remove(name);
    }
    !doomed.is_empty()
}

fn read(headers: &HeaderMap, names: &HeaderNames) -> Option<UserInfo> {
    let first = |wanted: &[String]| {
        wanted
            .iter()
            .filter_map(|name| headers.get(name.as_str()))
            .map(text)
            .find(|value| !value.is_empty())
    };
    let mut user = UserInfo::new(first(&names.username)?, []);
    user.uid = first(&names.uid).unwrap_or_default();
    for name in &names.group {
        user.groups
            .extend(headers.get_all(name.as_str()).iter().map(text));
    }
    for (name, value) in headers {
        let key = names
            .extra_prefixes
            .iter()
            .find_map(|prefix| name.as_str().strip_prefix(prefix.as_str()));
        if let Some(key) = key {
            let key = percent_decode_str(key).decode_utf8_lossy().to_lowercase();
            user.extra.entry(key).or_default().push(text(value));
        }
    }
    Some(user)
}

/// Header values are bytes; user names outside ASCII travel as UTF-8.
fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> HeaderNames {
        let list = |name: &str| vec![name.to_owned()];
        HeaderNames::new(
            &[],
            &["X-Forwarded-User".to_owned(), "X-Remote-User".to_owned()],
            &[],
            &list("X-Remote-Group"),
            &list("X-Remote-Extra-"),
        )
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, HeaderValue::from_str(value).expect("valid"));
        }
        map
    }

    #[test]
    fn repeated_groups_and_decoded_extra_keys_are_read() {
        let mut map = headers(&[
            ("x-remote-user", "jane"),
            ("x-remote-group", "dev"),
            ("x-remote-group", "ops, really"),
            ("x-remote-extra-example.com%2fscopes", "a"),
            ("x-remote-extra-example.com%2fscopes", "b"),
        ]);
        let user = take(&mut map, Some(&names())).expect("named");
        assert_eq!(user.name, "jane");
        assert_eq!(user.groups, ["dev", "ops, really"]);
        assert_eq!(user.extra["example.com/scopes"], ["a", "b"]);
        assert!(map.is_empty());
    }

    #[test]
    fn a_uid_header_that_is_not_configured_is_dropped() {
        let mut map = headers(&[("x-remote-user", "jane"), ("x-remote-uid", "root")]);
        let user = take(&mut map, Some(&names())).expect("named");
        assert_eq!(user.uid, "");
        assert!(map.is_empty());
    }

    #[test]
    fn without_a_front_proxy_the_customary_headers_are_removed_all_the_same() {
        let mut map = headers(&[("x-remote-user", "jane"), ("accept", "*/*")]);
        assert_eq!(take(&mut map, None), None);
        assert_eq!(map.len(), 1);
    }

    #[test]
    fn a_claim_without_a_user_name_is_no_claim() {
        let mut map = headers(&[("x-remote-user", ""), ("x-remote-group", "system:masters")]);
        assert_eq!(take(&mut map, Some(&names())), None);
        assert!(map.is_empty());
    }
}
