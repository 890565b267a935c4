//! The building blocks of our binary formats: a format number in front, variable-length numbers
//! between, a CRC-32C behind.

use bytes::Bytes;

const CHECKSUM: usize = 4;

/// How bytes fail to be what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// They end too early.
    #[error("the bytes end too early")]
    Truncated,
    /// They go on after the end.
    #[error("there are bytes after the end")]
    Trailing,
    /// They don't match their checksum.
    #[error("the checksum does not match")]
    Checksum,
    /// A number has more than 64 bits.
    #[error("a number is too long")]
    Number,
}

/// Writes a format.
pub(crate) struct Writer {
    out: Vec<u8>,
}

impl Writer {
    pub(crate) fn with_capacity(size: usize, format: u8) -> Self {
        let mut out = Vec::with_capacity(size + 32);
        out.push(format);
        Self { out }
    }

    pub(crate) fn byte(&mut self, byte: u8) {
        self.out.push(byte);
    }

    pub(crate) fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.out.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.out.push(number as u8);
    }

    pub(crate) fn zigzag(&mut self, number: i64) {
        self.varint((number << 1 ^ number >> 63) as u64);
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.varint(bytes.len() as u64);
        self.out.extend_from_slice(bytes);
    }

    pub(crate) fn finish(mut self) -> Bytes {
        let checksum = crc32c::crc32c(&self.out);
        self.out.extend_from_slice(&checksum.to_le_bytes());
        self.out.into()
    }
}

/// Reads a format. Lengths are believed only as far as there are bytes.
pub(crate) struct Reader<'a> {
    format: u8,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Checks the checksum.
    pub(crate) fn open(bytes: &'a [u8]) -> Result<Self, WireError> {
        let (content, checksum) = bytes
            .split_last_chunk::<CHECKSUM>()
            .ok_or(WireError::Truncated)?;
        if crc32c::crc32c(content) != u32::from_le_bytes(*checksum) {
            return Err(WireError::Checksum);
        }
        let (&format, rest) = content.split_first().ok_or(WireError::Truncated)?;
        Ok(Self { format, rest })
    }

    pub(crate) fn format(&self) -> u8 {
        self.format
    }

    pub(crate) fn byte(&mut self) -> Result<u8, WireError> {
        let (&byte, rest) = self.rest.split_first().ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(byte)
    }

    pub(crate) fn varint(&mut self) -> Result<u64, WireError> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            if shift == 63 && byte > 1 {
                return Err(WireError::Number);
            }
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(WireError::Number)
    }

    pub(crate) fn zigzag(&mut self) -> Result<i64, WireError> {
        let number = self.varint()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], WireError> {
        let length = usize::try_from(self.varint()?).map_err(|_| WireError::Truncated)?;
        let (bytes, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(bytes)
    }

    /// Checks that nothing is left.
    pub(crate) fn end(&self) -> Result<(), WireError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(WireError::Trailing)
        }
    }
}
