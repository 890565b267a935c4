//! Key ranges in the encoding of the etcd v3 API.

use bytes::Bytes;

/// A set of keys: one key, an interval, or everything from a key on.
///
/// Kept as it came over the wire: an empty `range_end` means the one key, the single byte zero
/// means no upper bound, anything else is the exclusive upper bound. An upper bound at or below
/// the key makes an empty range, which is no error.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyRange {
    key: Bytes,
    range_end: Bytes,
}

impl KeyRange {
    /// The range of a request's `key` and `range_end`.
    #[must_use]
    pub fn new(key: Bytes, range_end: Bytes) -> Self {
        Self { key, range_end }
    }

    /// The one key.
    #[must_use]
    pub fn single(key: impl Into<Bytes>) -> Self {
        Self {
            key: key.into(),
            range_end: Bytes::new(),
        }
    }

    /// Every key that starts with `prefix`; every key at all if it is empty.
    #[must_use]
    pub fn prefix(prefix: impl Into<Bytes>) -> Self {
        let prefix = prefix.into();
        if prefix.is_empty() {
            return Self::all();
        }
        let range_end = prefix_end(&prefix);
        Self {
            key: prefix,
            range_end,
        }
    }

    /// `key` and every key above it.
    #[must_use]
    pub fn from_key(key: impl Into<Bytes>) -> Self {
        Self {
            key: key.into(),
            range_end: Bytes::from_static(&[0]),
        }
    }

    /// Every key.
    #[must_use]
    pub fn all() -> Self {
        Self::from_key(Bytes::from_static(&[0]))
    }

    /// The inclusive lower bound.
    #[must_use]
    pub fn key(&self) -> &Bytes {
        &self.key
    }

    /// The upper bound as it goes over the wire.
    #[must_use]
    pub fn range_end(&self) -> &Bytes {
        &self.range_end
    }

    /// Whether this is the one-key form.
    #[must_use]
    pub fn is_single(&self) -> bool {
        self.range_end.is_empty()
    }

    /// The exclusive upper bound of an interval; `None` for the one-key form and for no bound.
    #[must_use]
    pub fn upper(&self) -> Option<&Bytes> {
        if self.range_end.is_empty() || self.range_end[..] == [0] {
            None
        } else {
            Some(&self.range_end)
        }
    }

    /// Whether no key can be in the range.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.upper().is_some_and(|end| *end <= self.key)
    }

    /// Whether `key` is in the range.
    #[must_use]
    pub fn contains(&self, key: &[u8]) -> bool {
        if self.is_single() {
            return self.key == key;
        }
        self.key <= key && self.upper().is_none_or(|end| key < &end[..])
    }

    /// The prefix whose keys are exactly this range, if it is of that shape.
    #[must_use]
    pub fn as_prefix(&self) -> Option<&[u8]> {
        if self.is_single() {
            return None;
        }
        match self.upper() {
            // From the first possible key on: the empty key can't exist.
            None if self.key.is_empty() || self.key[..] == [0] => Some(&[]),
            None => (prefix_end(&self.key)[..] == [0]).then_some(&self.key[..]),
            Some(end) => {
                (!self.key.is_empty() && prefix_end(&self.key) == *end).then_some(&self.key[..])
            }
        }
    }
}

/// The exclusive upper bound of the keys that start with `prefix`: the last byte below 0xff goes
/// up by one and what follows it is dropped. All 0xff has none, which is the single byte zero.
fn prefix_end(prefix: &[u8]) -> Bytes {
    match prefix.iter().rposition(|&byte| byte < 0xff) {
        Some(at) => {
            let mut end = prefix[..=at].to_vec();
            end[at] += 1;
            end.into()
        }
        None => Bytes::from_static(&[0]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(key: &'static [u8], end: &'static [u8]) -> KeyRange {
        KeyRange::new(Bytes::from_static(key), Bytes::from_static(end))
    }

    #[test]
    fn prefix_ends_count_up_the_last_byte_that_can() {
        assert_eq!(KeyRange::prefix("a"), range(b"a", b"b"));
        assert_eq!(KeyRange::prefix(&b"a\xff"[..]), range(b"a\xff", b"b"));
        assert_eq!(
            KeyRange::prefix(&b"\xff\xff"[..]),
            range(b"\xff\xff", b"\0")
        );
        assert_eq!(KeyRange::prefix(""), KeyRange::all());
    }

    #[test]
    fn ranges_hold_their_lower_bound_and_not_their_upper() {
        assert!(range(b"a", b"c").contains(b"a"));
        assert!(range(b"a", b"c").contains(b"b\xff"));
        assert!(!range(b"a", b"c").contains(b"c"));
        assert!(range(b"a", b"\0").contains(b"\xff\xff"));
        assert!(!range(b"b", b"\0").contains(b"a"));
        assert!(range(b"a", b"").contains(b"a"));
        assert!(!range(b"a", b"").contains(b"a\0"));
        assert!(range(b"c", b"c").is_empty());
        assert!(range(b"d", b"b").is_empty());
        assert!(!range(b"d", b"b").contains(b"c"));
        assert!(!KeyRange::prefix("/a/").contains(b"/ab"));
    }

    #[test]
    fn only_whole_prefixes_are_recognised_as_prefixes() {
        for prefix in [&b"a"[..], b"/registry/", b"\xff\xff", b"a\xff", b""] {
            assert_eq!(KeyRange::prefix(prefix).as_prefix(), Some(prefix));
        }
        assert_eq!(range(b"a", b"c").as_prefix(), None);
        assert_eq!(range(b"a", b"").as_prefix(), None);
        assert_eq!(range(b"a", b"\0").as_prefix(), None);
    }
}
