//! Answers of the hot calls, written straight from the state machine's values into the wire format.
//!
//! The generated messages would do the same after copying every answer into another tree of
//! structures; a page of a list has a thousand byte strings. Each type says how long it is and then
//! writes itself, once, into a buffer of exactly that size. The numbers of the fields are those of
//! `crates/etcd-proto/proto`; the tests read what is written here with the generated messages.

use bytes::{BufMut, BytesMut};
use helium_mvcc::{
    DeleteRangeResponse, Event, EventKind, KeyValue, PutResponse, RangeResponse, TxnOpResponse,
    TxnResponse,
};
use prost::encoding::{encode_varint, encoded_len_varint};

use crate::node::Header;

/// Something with a protobuf form.
pub(crate) trait Wire {
    /// Bytes that [`Wire::write`] writes.
    fn len(&self) -> usize;
    /// Appends the message, without any prefix.
    fn write(&self, buffer: &mut BytesMut);
}

const VARINT: u64 = 0;
const BYTES: u64 = 2;

fn put_varint(buffer: &mut BytesMut, value: u64) {
    if value < 0x80 {
        // Truncation is ruled out by the comparison.
        #[allow(clippy::cast_possible_truncation)]
        buffer.put_u8(value as u8);
    } else {
        encode_varint(value, buffer);
    }
}

/// A number field; zero is left out. Negative numbers take ten bytes, as protobuf has it.
#[derive(Clone, Copy)]
struct Number(u64, i64);

impl Number {
    fn len(self) -> usize {
        if self.1 == 0 {
            return 0;
        }
        encoded_len_varint(self.0 << 3) + encoded_len_varint(self.1.cast_unsigned())
    }

    fn write(self, buffer: &mut BytesMut) {
        if self.1 != 0 {
            put_varint(buffer, self.0 << 3 | VARINT);
            put_varint(buffer, self.1.cast_unsigned());
        }
    }
}

fn bytes_len(field: u64, value: &[u8]) -> usize {
    if value.is_empty() {
        return 0;
    }
    prefixed_len(field, value.len())
}

fn put_bytes(buffer: &mut BytesMut, field: u64, value: &[u8]) {
    if !value.is_empty() {
        put_prefix(buffer, field, value.len());
        buffer.put_slice(value);
    }
}

/// Length of a field that holds `len` bytes, its key and length included.
fn prefixed_len(field: u64, len: usize) -> usize {
    encoded_len_varint(field << 3) + encoded_len_varint(len as u64) + len
}

fn put_prefix(buffer: &mut BytesMut, field: u64, len: usize) {
    put_varint(buffer, field << 3 | BYTES);
    put_varint(buffer, len as u64);
}

fn message_len(field: u64, message: &impl Wire) -> usize {
    prefixed_len(field, message.len())
}

fn put_message(buffer: &mut BytesMut, field: u64, message: &impl Wire) {
    put_prefix(buffer, field, message.len());
    message.write(buffer);
}

impl Wire for Header {
    fn len(&self) -> usize {
        Number(1, self.cluster_id.cast_signed()).len()
            + Number(2, self.member_id.cast_signed()).len()
            + Number(3, self.revision).len()
            + Number(4, self.raft_term.cast_signed()).len()
    }

    fn write(&self, buffer: &mut BytesMut) {
        Number(1, self.cluster_id.cast_signed()).write(buffer);
        Number(2, self.member_id.cast_signed()).write(buffer);
        Number(3, self.revision).write(buffer);
        Number(4, self.raft_term.cast_signed()).write(buffer);
    }
}

impl Wire for KeyValue {
    fn len(&self) -> usize {
        bytes_len(1, &self.key)
            + Number(2, self.create_revision.0).len()
            + Number(3, self.mod_revision.0).len()
            + Number(4, self.version).len()
            + bytes_len(5, &self.value)
            + Number(6, self.lease.0).len()
    }

    fn write(&self, buffer: &mut BytesMut) {
        put_bytes(buffer, 1, &self.key);
        Number(2, self.create_revision.0).write(buffer);
        Number(3, self.mod_revision.0).write(buffer);
        Number(4, self.version).write(buffer);
        put_bytes(buffer, 5, &self.value);
        Number(6, self.lease.0).write(buffer);
    }
}

impl Wire for Event {
    fn len(&self) -> usize {
        kind(self).len()
            + message_len(2, &*self.kv)
            + self
                .prev_kv
                .as_deref()
                .map_or(0, |prev| message_len(3, prev))
    }

    fn write(&self, buffer: &mut BytesMut) {
        kind(self).write(buffer);
        put_message(buffer, 2, &*self.kv);
        if let Some(prev) = self.prev_kv.as_deref() {
            put_message(buffer, 3, prev);
        }
    }
}

fn kind(event: &Event) -> Number {
    Number(1, i64::from(event.kind == EventKind::Delete))
}

/// A message of a watch stream.
#[derive(Default)]
pub(crate) struct WatchMessage<'a> {
    pub(crate) header: Header,
    pub(crate) watch_id: i64,
    pub(crate) created: bool,
    pub(crate) canceled: bool,
    pub(crate) compact_revision: i64,
    pub(crate) cancel_reason: &'a str,
    pub(crate) fragment: bool,
    pub(crate) events: &'a [Event],
}

impl WatchMessage<'_> {
    fn numbers(&self) -> [Number; 4] {
        [
            Number(2, self.watch_id),
            Number(3, i64::from(self.created)),
            Number(4, i64::from(self.canceled)),
            Number(5, self.compact_revision),
        ]
    }

    /// Bytes that one event takes in this message.
    pub(crate) fn event_len(event: &Event) -> usize {
        message_len(11, event)
    }
}

impl Wire for WatchMessage<'_> {
    fn len(&self) -> usize {
        message_len(1, &self.header)
            + self
                .numbers()
                .iter()
                .map(|number| number.len())
                .sum::<usize>()
            + bytes_len(6, self.cancel_reason.as_bytes())
            + Number(7, i64::from(self.fragment)).len()
            + self.events.iter().map(Self::event_len).sum::<usize>()
    }

    fn write(&self, buffer: &mut BytesMut) {
        put_message(buffer, 1, &self.header);
        for number in self.numbers() {
            number.write(buffer);
        }
        put_bytes(buffer, 6, self.cancel_reason.as_bytes());
        Number(7, i64::from(self.fragment)).write(buffer);
        for event in self.events {
            put_message(buffer, 11, event);
        }
    }
}

/// An answer with the header that goes into it. Answers inside a transaction have headers that
/// hold the revision alone.
pub(crate) struct Answer<'a, T> {
    pub(crate) header: Header,
    pub(crate) body: &'a T,
}

impl<'a, T> Answer<'a, T> {
    pub(crate) fn new(header: Header, body: &'a T) -> Self {
        Self { header, body }
    }
}

impl Wire for Answer<'_, RangeResponse> {
    fn len(&self) -> usize {
        message_len(1, &self.header)
            + self
                .body
                .kvs
                .iter()
                .map(|kv| message_len(2, &**kv))
                .sum::<usize>()
            + Number(3, i64::from(self.body.more)).len()
            + Number(4, self.body.count).len()
    }

    fn write(&self, buffer: &mut BytesMut) {
        put_message(buffer, 1, &self.header);
        for kv in &self.body.kvs {
            put_message(buffer, 2, &**kv);
        }
        Number(3, i64::from(self.body.more)).write(buffer);
        Number(4, self.body.count).write(buffer);
    }
}

impl Wire for Answer<'_, PutResponse> {
    fn len(&self) -> usize {
        message_len(1, &self.header)
            + self
                .body
                .prev_kv
                .as_deref()
                .map_or(0, |prev| message_len(2, prev))
    }

    fn write(&self, buffer: &mut BytesMut) {
        put_message(buffer, 1, &self.header);
        if let Some(prev) = self.body.prev_kv.as_deref() {
            put_message(buffer, 2, prev);
        }
    }
}

impl Wire for Answer<'_, DeleteRangeResponse> {
    fn len(&self) -> usize {
        message_len(1, &self.header)
            + Number(2, self.body.deleted).len()
            + self
                .body
                .prev_kvs
                .iter()
                .map(|kv| message_len(3, &**kv))
                .sum::<usize>()
    }

    fn write(&self, buffer: &mut BytesMut) {
        put_message(buffer, 1, &self.header);
        Number(2, self.body.deleted).write(buffer);
        for kv in &self.body.prev_kvs {
            put_message(buffer, 3, &**kv);
        }
    }
}

impl Wire for Answer<'_, TxnResponse> {
    fn len(&self) -> usize {
        message_len(1, &self.header)
            + Number(2, i64::from(self.body.succeeded)).len()
            + self
                .body
                .responses
                .iter()
                .map(|op| message_len(3, op))
                .sum::<usize>()
    }

    fn write(&self, buffer: &mut BytesMut) {
        put_message(buffer, 1, &self.header);
        Number(2, i64::from(self.body.succeeded)).write(buffer);
        for op in &self.body.responses {
            put_message(buffer, 3, op);
        }
    }
}

impl Wire for TxnOpResponse {
    fn len(&self) -> usize {
        match self {
            Self::Range(range) => message_len(1, &inner(range.revision, range)),
            Self::Put(put) => message_len(2, &inner(put.revision, put)),
            Self::DeleteRange(delete) => message_len(3, &inner(delete.revision, delete)),
            Self::Txn(txn) => message_len(4, &inner(txn.revision, txn)),
        }
    }

    fn write(&self, buffer: &mut BytesMut) {
        match self {
            Self::Range(range) => put_message(buffer, 1, &inner(range.revision, range)),
            Self::Put(put) => put_message(buffer, 2, &inner(put.revision, put)),
            Self::DeleteRange(delete) => put_message(buffer, 3, &inner(delete.revision, delete)),
            Self::Txn(txn) => put_message(buffer, 4, &inner(txn.revision, txn)),
        }
    }
}

fn inner<T>(revision: helium_mvcc::Revision, body: &T) -> Answer<'_, T> {
    Answer::new(
        Header {
            revision: revision.0,
            ..Header::default()
        },
        body,
    )
}

/// An answer that is nothing but its header.
pub(crate) struct HeaderOnly(pub(crate) Header);

impl Wire for HeaderOnly {
    fn len(&self) -> usize {
        message_len(1, &self.0)
    }

    fn write(&self, buffer: &mut BytesMut) {
        put_message(buffer, 1, &self.0);
    }
}

/// One chunk of a streamed range, `RangeStreamResponse`.
pub(crate) struct Chunk<'a>(pub(crate) Answer<'a, RangeResponse>, pub(crate) bool);

impl Chunk<'_> {
    fn body_len(&self) -> usize {
        if self.1 {
            return self.0.len();
        }
        self.0.body.kvs.iter().map(|kv| message_len(2, &**kv)).sum()
    }
}

impl Wire for Chunk<'_> {
    fn len(&self) -> usize {
        prefixed_len(1, self.body_len())
    }

    fn write(&self, buffer: &mut BytesMut) {
        put_prefix(buffer, 1, self.body_len());
        if self.1 {
            return self.0.write(buffer);
        }
        // Only the last chunk has a header, `more` and the count.
        for kv in &self.0.body.kvs {
            put_message(buffer, 2, &**kv);
        }
    }
}

#[cfg(test)]
mod tests;
