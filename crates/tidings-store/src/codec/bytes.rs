//! Variable-length numbers: what the rows are written with and read from.
//!
//! A `varint` is little-endian base 128, seven bits a byte, the high bit set on all but the last.
//! Signed numbers are folded first (zigzag: 0, -1, 1, -2, … become 0, 1, 2, 3, …), so that small ones
//! of either sign stay short.
//!
//! Invariant: a [`Reader`] never reads past its end, and no length that it returns is larger than
//! what the bytes that are left could hold. So a list may be allocated before it is read.

/// A stored row cannot be read: what was being read, at which byte, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} at byte {offset} {problem}")]
pub struct DecodeError {
    /// What was being read.
    pub field: &'static str,
    /// Where, counted from the start of the row.
    pub offset: usize,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with a stored row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The row ends in the middle.
    #[error("is cut short")]
    CutShort,
    /// A number or length that cannot be.
    #[error("is out of range")]
    OutOfRange,
    /// Text that is not text.
    #[error("is not UTF-8")]
    NotUtf8,
    /// Bytes after the last field.
    #[error("is followed by bytes that belong to nothing")]
    Trailing,
    /// The row was written by a newer version.
    #[error("is {0}, which only a newer version of tidings can read")]
    NewerVersion(u8),
}

/// Appends `value` as a varint: 1 byte below 128, at most 10.
#[inline]
pub(crate) fn put_u64(out: &mut Vec<u8>, value: u64) {
    // Most numbers take one byte.
    if value < 0x80 {
        out.push(value.to_le_bytes()[0]);
    } else {
        put_long(out, value);
    }
}

/// A varint of more than one byte, for which room is asked for once.
#[inline(never)]
fn put_long(out: &mut Vec<u8>, mut value: u64) {
    let (first, second) = (value.to_le_bytes()[0] | 0x80, value >> 7);
    if second < 0x80 {
        out.extend_from_slice(&[first, second.to_le_bytes()[0]]);
        return;
    }
    let (mut bytes, mut length) = ([0; VARINT_BYTES_MAX], 1);
    for byte in &mut bytes {
        *byte = value.to_le_bytes()[0] | 0x80;
        value >>= 7;
        if value == 0 {
            *byte &= 0x7f;
            break;
        }
        length += 1;
    }
    out.extend_from_slice(bytes.get(..length).unwrap_or_default());
}

/// 64 bits, seven a byte.
const VARINT_BYTES_MAX: usize = 10;

/// Appends `value` as a folded varint: 1 byte from -64 to 63, at most 10.
#[inline]
pub(crate) fn put_i64(out: &mut Vec<u8>, value: i64) {
    put_u64(out, ((value << 1) ^ (value >> 63)).cast_unsigned());
}

/// Appends a length as a varint.
pub(crate) fn put_len(out: &mut Vec<u8>, length: usize) {
    // usize has at most 64 bits on every platform there is.
    put_u64(out, u64::try_from(length).unwrap_or(u64::MAX));
}

/// Reads a row from its first byte to its last.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0 }
    }

    /// The error of a field that ends at the current position.
    pub(crate) fn fail(&self, field: &'static str, problem: Problem) -> DecodeError {
        DecodeError {
            field,
            offset: self.offset,
            problem,
        }
    }

    /// Bytes that are left.
    pub(crate) fn remaining(&self) -> usize {
        self.bytes.len().saturating_sub(self.offset)
    }

    /// Bytes that were read.
    pub(crate) fn offset(&self) -> usize {
        self.offset
    }

    /// What was read from `offset` on.
    pub(crate) fn since(&self, offset: usize) -> &'a [u8] {
        self.bytes.get(offset..self.offset).unwrap_or_default()
    }

    #[inline]
    pub(crate) fn u8(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        let byte = self.bytes.get(self.offset).copied();
        let byte = byte.ok_or_else(|| self.fail(field, Problem::CutShort))?;
        self.offset += 1;
        Ok(byte)
    }

    /// The first byte of a row: its version, which must be `known`.
    pub(crate) fn version(&mut self, known: u8) -> Result<(), DecodeError> {
        match self.u8("version")? {
            version if version == known => Ok(()),
            version if version > known => Err(self.fail("version", Problem::NewerVersion(version))),
            _ => Err(self.fail("version", Problem::OutOfRange)),
        }
    }

    /// A byte of flags, none of them outside `known`.
    pub(crate) fn flags(&mut self, field: &'static str, known: u8) -> Result<u8, DecodeError> {
        let flags = self.u8(field)?;
        if flags & !known != 0 {
            return Err(self.fail(field, Problem::OutOfRange));
        }
        Ok(flags)
    }

    /// A number of one byte, as most are, if one comes next.
    #[inline]
    fn short(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.offset)?;
        let is_short = byte < 0x80;
        self.offset += usize::from(is_short);
        is_short.then_some(byte)
    }

    #[inline]
    pub(crate) fn u64(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        match self.short() {
            Some(byte) => Ok(byte.into()),
            None => self.long(field),
        }
    }

    /// A number of any length.
    #[inline(never)]
    fn long(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8(field)?;
            let bits = u64::from(byte & 0x7f);
            // The tenth byte holds the topmost bit alone.
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(self.fail(field, Problem::OutOfRange))
    }

    #[inline]
    pub(crate) fn i64(&mut self, field: &'static str) -> Result<i64, DecodeError> {
        let folded = self.u64(field)?;
        Ok((folded >> 1).cast_signed() ^ -(folded & 1).cast_signed())
    }

    #[inline]
    pub(crate) fn u32(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        match self.short() {
            Some(byte) => Ok(byte.into()),
            None => self.long_in(field),
        }
    }

    #[inline]
    pub(crate) fn u16(&mut self, field: &'static str) -> Result<u16, DecodeError> {
        match self.short() {
            Some(byte) => Ok(byte.into()),
            None => self.long_in(field),
        }
    }

    /// A number of any length that a `T` can hold.
    #[inline(never)]
    fn long_in<T: TryFrom<u64>>(&mut self, field: &'static str) -> Result<T, DecodeError> {
        let value = self.long(field)?;
        T::try_from(value).map_err(|_| self.fail(field, Problem::OutOfRange))
    }

    /// The length of a list whose items take at least `item_bytes_min` bytes each.
    pub(crate) fn count(
        &mut self,
        field: &'static str,
        item_bytes_min: usize,
    ) -> Result<usize, DecodeError> {
        let count = self.u64(field)?;
        match usize::try_from(count) {
            Ok(count) if count <= self.remaining() / item_bytes_min.max(1) => Ok(count),
            _ => Err(self.fail(field, Problem::OutOfRange)),
        }
    }

    pub(crate) fn bytes(
        &mut self,
        field: &'static str,
        length: usize,
    ) -> Result<&'a [u8], DecodeError> {
        let end = self.offset.checked_add(length);
        let bytes = end.and_then(|end| self.bytes.get(self.offset..end));
        let bytes = bytes.ok_or_else(|| self.fail(field, Problem::CutShort))?;
        self.offset += length;
        Ok(bytes)
    }

    pub(crate) fn array<const N: usize>(
        &mut self,
        field: &'static str,
    ) -> Result<[u8; N], DecodeError> {
        let bytes = self.bytes(field, N)?;
        <[u8; N]>::try_from(bytes).map_err(|_| self.fail(field, Problem::CutShort))
    }

    /// All bytes that are left.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        let rest = self.bytes.get(self.offset..).unwrap_or_default();
        self.offset = self.bytes.len();
        rest
    }

    /// Nothing may follow.
    pub(crate) fn end(&self, field: &'static str) -> Result<(), DecodeError> {
        if self.remaining() == 0 {
            Ok(())
        } else {
            Err(self.fail(field, Problem::Trailing))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: u64, length: usize) {
        let mut out = Vec::new();
        put_u64(&mut out, value);
        assert_eq!(out.len(), length);
        assert_eq!(Reader::new(&out).u64("number"), Ok(value));

        out.clear();
        put_i64(&mut out, value.cast_signed());
        assert_eq!(Reader::new(&out).i64("number"), Ok(value.cast_signed()));
    }

    #[test]
    fn numbers_take_as_many_bytes_as_they_need() {
        check(0, 1);
        check(127, 1);
        check(128, 2);
        check(16_383, 2);
        check(16_384, 3);
        check(u64::from(u32::MAX), 5);
        check(u64::MAX, 10);
    }

    #[test]
    fn numbers_that_cannot_be_are_refused() {
        let mut too_long = vec![0xff; 9];
        too_long.push(2);
        for bytes in [&too_long[..], &[0xff; 11]] {
            let error = Reader::new(bytes).u64("number").unwrap_err();
            assert_eq!(error.problem, Problem::OutOfRange);
        }
        let error = Reader::new(&[0xff, 0xff]).u64("number").unwrap_err();
        assert_eq!(error.to_string(), "number at byte 2 is cut short");
    }

    #[test]
    fn a_length_is_never_more_than_the_row_can_hold() {
        assert_eq!(Reader::new(&[2, 0, 0, 0, 0]).count("list", 2), Ok(2));
        let error = Reader::new(&[3, 0, 0, 0, 0]).count("list", 2).unwrap_err();
        assert_eq!(error.problem, Problem::OutOfRange);
    }
}
