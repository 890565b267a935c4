//! Entries as peers send them.

use helium_etcd_proto::peer as pb;
use helium_journal::{Entry, EntryId, Epoch, Slot, WriterId};

pub(super) fn to_wire(entry: &Entry) -> pb::Entry {
    pb::Entry {
        slot: entry.slot.0,
        id: bytes::Bytes::copy_from_slice(&entry.id.0),
        prev: bytes::Bytes::copy_from_slice(&entry.prev.0),
        writer: entry.writer.0,
        epoch: entry.epoch.0,
        at_micros: entry.at_micros,
        first_rev: entry.first_rev,
        last_rev: entry.last_rev,
        enc: i32::from(entry.enc),
        payload: entry.payload.clone(),
    }
}

/// `None` if the message isn't an entry.
pub(super) fn from_wire(entry: pb::Entry) -> Option<Entry> {
    Some(Entry {
        slot: Slot(entry.slot),
        id: EntryId(entry.id.as_ref().try_into().ok()?),
        prev: EntryId(entry.prev.as_ref().try_into().ok()?),
        writer: WriterId(entry.writer),
        epoch: Epoch(entry.epoch),
        at_micros: entry.at_micros,
        first_rev: entry.first_rev,
        last_rev: entry.last_rev,
        enc: i16::try_from(entry.enc).ok()?,
        payload: entry.payload,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_survive_the_wire_and_rubbish_is_refused() {
        let entry = Entry {
            slot: Slot(7),
            id: EntryId([1; 16]),
            prev: EntryId([2; 16]),
            writer: WriterId(u64::MAX),
            epoch: Epoch(3),
            at_micros: -4,
            first_rev: 5,
            last_rev: 6,
            enc: 1,
            payload: bytes::Bytes::from_static(b"payload"),
        };
        assert_eq!(from_wire(to_wire(&entry)), Some(entry.clone()));
        let short = pb::Entry {
            id: bytes::Bytes::from_static(b"short"),
            ..to_wire(&entry)
        };
        assert_eq!(from_wire(short), None);
        assert_eq!(
            from_wire(pb::Entry {
                enc: 1 << 20,
                ..to_wire(&entry)
            }),
            None
        );
    }
}
