//! A checksum of the keys that is equal on all replicas at equal revisions.

use super::{EVERYTHING, State};
use crate::{Error, KeyValue, Result, Revision};

/// The checksum of the keys at a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashKv {
    /// The header's revision.
    pub revision: Revision,
    /// CRC-32C over the versions that are readable up to `hash_revision`.
    pub hash: u32,
    /// The compact revision, which the checksum depends on.
    pub compact_revision: Revision,
    /// The revision that the checksum is of.
    pub hash_revision: Revision,
}

impl State {
    /// The checksum of all versions readable at or below a revision; zero or less is the current
    /// one. It depends on the compact revision, not on how far its clean-up has come. The value
    /// isn't that which etcd computes.
    ///
    /// # Errors
    /// If the revision is compacted or in the future.
    pub fn hash_kv(&self, revision: Revision) -> Result<HashKv> {
        let current = self.revision();
        let floor = self.compact_revision();
        let upto = if revision.0 <= 0 { current } else { revision };
        if upto > current {
            return Err(Error::FutureRevision { revision: current });
        }
        if upto < floor {
            return Err(Error::Compacted {
                compact_revision: floor,
            });
        }
        let mut hash = 0;
        for node in self.keyspace().iter(&EVERYTHING) {
            let kept = node.live_at(floor).into_iter();
            let since = node.versions().filter(|kv| kv.mod_revision > floor);
            for kv in kept.chain(since).take_while(|kv| kv.mod_revision <= upto) {
                hash = append(hash, kv);
            }
        }
        Ok(HashKv {
            revision: current,
            hash,
            compact_revision: floor,
            hash_revision: upto,
        })
    }
}

fn append(hash: u32, kv: &KeyValue) -> u32 {
    let numbers = [
        kv.create_revision.0,
        kv.mod_revision.0,
        kv.version,
        kv.lease.0,
        kv.key.len() as i64,
        kv.value.len() as i64,
    ];
    let hash = numbers.iter().fold(hash, |hash, number| {
        crc32c::crc32c_append(hash, &number.to_le_bytes())
    });
    crc32c::crc32c_append(crc32c::crc32c_append(hash, &kv.key), &kv.value)
}
