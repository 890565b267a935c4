//! Finding the watchers of a key.
//!
//! Nearly all watch one key or the keys with one prefix: those are found by hashing the key, and
//! as many of its prefixes as there are different lengths of watched prefixes. The few other
//! intervals are sorted by their lower bound.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;

use super::Serial;
use crate::KeyRange;

#[derive(Debug, Default)]
pub(super) struct Index {
    keys: HashMap<Bytes, Vec<Serial>>,
    prefixes: HashMap<Bytes, Vec<Serial>>,
    /// How many watched prefixes have each length.
    lengths: BTreeMap<usize, usize>,
    intervals: BTreeMap<(Bytes, Serial), KeyRange>,
}

impl Index {
    pub(super) fn insert(&mut self, serial: Serial, range: &KeyRange) {
        // Copies: a watcher must not pin the message that asked for it.
        if range.is_single() {
            self.keys
                .entry(Bytes::copy_from_slice(range.key()))
                .or_default()
                .push(serial);
        } else if let Some(prefix) = range.as_prefix() {
            let prefix = Bytes::copy_from_slice(prefix);
            *self.lengths.entry(prefix.len()).or_default() += 1;
            self.prefixes.entry(prefix).or_default().push(serial);
        } else {
            self.intervals
                .insert((range.key().clone(), serial), range.clone());
        }
    }

    pub(super) fn remove(&mut self, serial: Serial, range: &KeyRange) {
        if range.is_single() {
            take_out(&mut self.keys, range.key(), serial);
        } else if let Some(prefix) = range.as_prefix() {
            take_out(&mut self.prefixes, prefix, serial);
            if let Some(count) = self.lengths.get_mut(&prefix.len()) {
                *count -= 1;
                if *count == 0 {
                    self.lengths.remove(&prefix.len());
                }
            }
        } else {
            self.intervals.remove(&(range.key().clone(), serial));
        }
    }

    /// Shows the watchers of a key.
    pub(super) fn find(&self, key: &Bytes, mut visit: impl FnMut(Serial)) {
        if let Some(serials) = self.keys.get(key) {
            serials.iter().for_each(|serial| visit(*serial));
        }
        for length in self.lengths.range(..=key.len()).map(|(length, _)| *length) {
            if let Some(serials) = self.prefixes.get(&key[..length]) {
                serials.iter().for_each(|serial| visit(*serial));
            }
        }
        if !self.intervals.is_empty() {
            let below = self.intervals.range(..=(key.clone(), Serial::MAX));
            for ((_, serial), range) in below {
                if range.contains(key) {
                    visit(*serial);
                }
            }
        }
    }
}

fn take_out(map: &mut HashMap<Bytes, Vec<Serial>>, key: &[u8], serial: Serial) {
    if let Some(serials) = map.get_mut(key) {
        if let Some(at) = serials.iter().position(|other| *other == serial) {
            serials.swap_remove(at);
        }
        if serials.is_empty() {
            map.remove(key);
        }
    }
}
