//! Where a key stands in the index.
//!
//! PostgreSQL's B-tree takes at most 2704 bytes, and etcd's keys have no such limit. A long key is
//! therefore indexed by its head and a digest of the whole; the key itself is a column beside it.

use sha2::{Digest as _, Sha256};

/// Keys up to here stand in the index as they are.
const WHOLE: usize = 1024;
/// How much of a longer key stands before its digest.
const HEAD: usize = WHOLE - 32;

/// The indexed form of a key: itself, or its head and digest. Distinct keys have distinct places.
/// Places are ordered as keys are, but for long keys with the same head.
pub(super) fn place(key: &[u8]) -> Vec<u8> {
    if key.len() < WHOLE {
        return key.to_vec();
    }
    // A short key is never as long as a place with a digest, so the two can't meet.
    [&key[..HEAD], Sha256::digest(key).as_slice()].concat()
}

/// The least place behind a key's, in byte order.
pub(super) fn behind(key: &[u8]) -> Vec<u8> {
    let mut place = place(key);
    place.push(0);
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_short_and_distinct() {
        let long = vec![7; 5000];
        let longer = vec![7; 5001];
        assert_eq!(place(&long).len(), WHOLE);
        assert_ne!(place(&long), place(&longer));
        assert_ne!(place(&long), place(&place(&long)));
        assert_eq!(place(b"a"), b"a");
        assert!(behind(b"a") > place(b"a") && behind(b"a") < place(b"b"));
    }
}
