//! The bytes of a batch, format 1:
//!
//! ```text
//! u8 format · varint base revision · varint transactions · transaction* · u32le crc32c of all before
//! transaction = varint (operations << 1 | forwarded) [varint origin · varint sequence] operation*
//! operation   = u8 tag, then its fields: varint, zigzag varint, or varint length and bytes
//! ```
//! Mod revisions aren't written: they are dense from the base on. Whoever changes the format
//! takes the next number; a reader that doesn't know a number refuses the entry.

use std::sync::Arc;

use bytes::Bytes;

use super::{BatchBody, Operation};
use crate::{
    Alarm, AlarmKind, Epoch, Forward, Incarnation, KeyValue, LeaseId, MemberId, Revision,
    wire::{Reader, WireError, Writer},
};

/// The number of the format that [`BatchBody::encode`] writes.
pub const ENCODING: i16 = 1;

/// Why the payload of an entry can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// It was written by a newer release.
    #[error("unknown batch format {0}")]
    UnknownFormat(u8),
    /// It isn't what was written.
    #[error("corrupt batch")]
    Corrupt(#[source] WireError),
    /// Its checksum holds, but it says something that no writer says.
    #[error("malformed batch: {0}")]
    Malformed(&'static str),
}

impl From<WireError> for DecodeError {
    fn from(error: WireError) -> Self {
        Self::Corrupt(error)
    }
}

const PUT: u8 = 1;
const DELETE: u8 = 2;
const LEASE_GRANT: u8 = 3;
const LEASE_REVOKE: u8 = 4;
const LEASE_RENEW: u8 = 5;
const COMPACT: u8 = 6;
const EPOCH: u8 = 7;
const INCARNATION: u8 = 8;
const ALARM_ACTIVATE: u8 = 9;
const ALARM_DEACTIVATE: u8 = 10;

impl BatchBody {
    /// The payload of the entry.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let size = self
            .operations
            .iter()
            .map(|op| op.version().map_or(16, |kv| kv.size()))
            .sum();
        let mut out = Writer::with_capacity(size, ENCODING as u8);
        out.varint(self.base.0 as u64);
        out.varint(self.ends.len() as u64);
        for transaction in self.transactions() {
            let forwarded = u64::from(transaction.forward.is_some());
            out.varint((transaction.operations.len() as u64) << 1 | forwarded);
            if let Some(forward) = transaction.forward {
                out.varint(forward.origin);
                out.varint(forward.sequence);
            }
            for operation in transaction.operations {
                write_operation(&mut out, operation);
            }
        }
        out.finish()
    }

    /// The batch of a payload. Keys and values are copied out, so that a kept version never pins
    /// the whole payload in memory. Never panics, whatever the bytes.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let mut from = Reader::open(payload)?;
        if i16::from(from.format()) != ENCODING {
            return Err(DecodeError::UnknownFormat(from.format()));
        }
        let base = from.varint()? as i64;
        if base < 0 {
            return Err(DecodeError::Malformed("negative revision"));
        }
        let mut body = Self::empty(Revision(base));
        let transactions = from.varint()?;
        for _ in 0..transactions {
            read_transaction(&mut from, &mut body)?;
        }
        from.end()?;
        Ok(body)
    }
}

fn write_operation(out: &mut Writer, operation: &Operation) {
    match operation {
        Operation::Put(kv) => {
            out.byte(PUT);
            out.bytes(&kv.key);
            out.bytes(&kv.value);
            // How far back the creation is: 0 for a creation, small for young keys.
            out.varint(kv.mod_revision.0.wrapping_sub(kv.create_revision.0) as u64);
            out.varint(kv.version as u64);
            out.zigzag(kv.lease.0);
        }
        Operation::Delete(kv) => {
            out.byte(DELETE);
            out.bytes(&kv.key);
        }
        Operation::LeaseGrant { id, ttl } => {
            out.byte(LEASE_GRANT);
            out.zigzag(id.0);
            out.zigzag(*ttl);
        }
        Operation::LeaseRevoke { id } => {
            out.byte(LEASE_REVOKE);
            out.zigzag(id.0);
        }
        Operation::LeaseRenew { id } => {
            out.byte(LEASE_RENEW);
            out.zigzag(id.0);
        }
        Operation::Compact { revision } => {
            out.byte(COMPACT);
            out.zigzag(revision.0);
        }
        Operation::Epoch { epoch, owner } => {
            out.byte(EPOCH);
            out.varint(epoch.0);
            out.varint(owner.0);
        }
        Operation::Incarnation {
            incarnation,
            revision,
        } => {
            out.byte(INCARNATION);
            out.varint(incarnation.0);
            out.varint(revision.0 as u64);
        }
        Operation::AlarmActivate(alarm) => {
            out.byte(ALARM_ACTIVATE);
            write_alarm(out, *alarm);
        }
        Operation::AlarmDeactivate(alarm) => {
            out.byte(ALARM_DEACTIVATE);
            write_alarm(out, *alarm);
        }
    }
}

fn read_transaction(from: &mut Reader<'_>, body: &mut BatchBody) -> Result<(), DecodeError> {
    let head = from.varint()?;
    let forward = if head & 1 == 1 {
        Some(Forward {
            origin: from.varint()?,
            sequence: from.varint()?,
        })
    } else {
        None
    };
    let base = body.last;
    let Some(next) = base.0.checked_add(1).map(Revision) else {
        return Err(DecodeError::Malformed("revision out of range"));
    };
    let mut revision = base;
    for _ in 0..head >> 1 {
        let operation = read_operation(from, next)?;
        match &operation {
            Operation::Put(_) | Operation::Delete(_) => revision = revision.max(next),
            Operation::Incarnation { revision: to, .. } => {
                if *to < next {
                    return Err(DecodeError::Malformed("incarnation goes back"));
                }
                revision = *to;
            }
            _ => {}
        }
        body.push(operation);
    }
    body.seal(forward, revision);
    Ok(())
}

fn read_operation(from: &mut Reader<'_>, next: Revision) -> Result<Operation, DecodeError> {
    Ok(match from.byte()? {
        PUT => {
            let key = Bytes::copy_from_slice(from.bytes()?);
            let value = Bytes::copy_from_slice(from.bytes()?);
            let create_revision = Revision(next.0.wrapping_sub(from.varint()? as i64));
            let version = from.varint()? as i64;
            if create_revision > next || create_revision.0 < 1 || version < 1 {
                return Err(DecodeError::Malformed("impossible version of a key"));
            }
            let lease = LeaseId(from.zigzag()?);
            let kv = KeyValue {
                key,
                value,
                create_revision,
                mod_revision: next,
                version,
                lease,
            };
            Operation::Put(Arc::new(kv))
        }
        DELETE => {
            let key = Bytes::copy_from_slice(from.bytes()?);
            Operation::Delete(Arc::new(KeyValue::tombstone(key, next)))
        }
        LEASE_GRANT => Operation::LeaseGrant {
            id: LeaseId(from.zigzag()?),
            ttl: from.zigzag()?,
        },
        LEASE_REVOKE => Operation::LeaseRevoke {
            id: LeaseId(from.zigzag()?),
        },
        LEASE_RENEW => Operation::LeaseRenew {
            id: LeaseId(from.zigzag()?),
        },
        COMPACT => Operation::Compact {
            revision: Revision(from.zigzag()?),
        },
        EPOCH => Operation::Epoch {
            epoch: Epoch(from.varint()?),
            owner: MemberId(from.varint()?),
        },
        INCARNATION => Operation::Incarnation {
            incarnation: Incarnation(from.varint()?),
            revision: Revision(from.varint()? as i64),
        },
        ALARM_ACTIVATE => Operation::AlarmActivate(read_alarm(from)?),
        ALARM_DEACTIVATE => Operation::AlarmDeactivate(read_alarm(from)?),
        _ => return Err(DecodeError::Malformed("unknown operation")),
    })
}

pub(crate) fn write_alarm(out: &mut Writer, alarm: Alarm) {
    out.byte(match alarm.kind {
        AlarmKind::NoSpace => 1,
        AlarmKind::Corrupt => 2,
    });
    out.varint(alarm.member.0);
}

pub(crate) fn read_alarm(from: &mut Reader<'_>) -> Result<Alarm, DecodeError> {
    let kind = match from.byte()? {
        1 => AlarmKind::NoSpace,
        2 => AlarmKind::Corrupt,
        _ => return Err(DecodeError::Malformed("unknown alarm")),
    };
    Ok(Alarm {
        kind,
        member: MemberId(from.varint()?),
    })
}

#[cfg(test)]
mod tests;
