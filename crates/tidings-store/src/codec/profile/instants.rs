//! Instants of a profile, each of them written out once.

use crate::codec::bytes::{DecodeError, Problem, Reader, put_i64};
use tidings_model::Timestamp;

/// The instants of a profile, each written out where it first occurs and a single byte from then on.
///
/// The byte holds the place of the instant in the table in its upper five bits and three bits of the
/// caller's flags in its lower ones. Place 31 stands for an instant that is not in the table: how long
/// it lies before `last_seen` follows as a folded varint, and it is entered if there is room. `last_seen`
/// has place 0. More than 31 distinct instants are rare and cost their four bytes.
pub(super) struct Instants {
    last_seen: i64,
    known: [i64; Self::WRITTEN_OUT as usize],
    length: u8,
}

impl Instants {
    const WRITTEN_OUT: u8 = 31;
    const FLAGS: u8 = 7;

    pub(super) fn new(last_seen: Timestamp) -> Self {
        let mut instants = Self {
            last_seen: last_seen.0,
            known: [0; Self::WRITTEN_OUT as usize],
            length: 0,
        };
        instants.enter(last_seen.0);
        instants
    }

    fn enter(&mut self, at: i64) {
        if let Some(place) = self.known.get_mut(usize::from(self.length)) {
            *place = at;
            self.length += 1;
        }
    }

    /// Appends an instant with up to three flags.
    #[inline]
    pub(super) fn put(&mut self, out: &mut Vec<u8>, at: Timestamp, flags: u8) {
        let mut places = (0..self.length).zip(&self.known);
        if let Some((place, _)) = places.find(|(_, known)| **known == at.0) {
            out.push(place << 3 | flags);
        } else {
            out.push(Self::WRITTEN_OUT << 3 | flags);
            put_i64(out, self.last_seen.wrapping_sub(at.0));
            self.enter(at.0);
        }
    }

    /// Reads an instant and its flags.
    #[inline]
    pub(super) fn read(
        &mut self,
        reader: &mut Reader<'_>,
        field: &'static str,
    ) -> Result<(Timestamp, u8), DecodeError> {
        let byte = reader.u8(field)?;
        let (place, flags) = (byte >> 3, byte & Self::FLAGS);
        if place == Self::WRITTEN_OUT {
            let at = self.last_seen.wrapping_sub(reader.i64(field)?);
            self.enter(at);
            return Ok((Timestamp(at), flags));
        }
        match self.known.get(usize::from(place)) {
            Some(at) if place < self.length => Ok((Timestamp(*at), flags)),
            _ => Err(reader.fail(field, Problem::OutOfRange)),
        }
    }

    /// Reads an instant that has no flags.
    pub(super) fn read_plain(
        &mut self,
        reader: &mut Reader<'_>,
        field: &'static str,
    ) -> Result<Timestamp, DecodeError> {
        match self.read(reader, field)? {
            (at, 0) => Ok(at),
            _ => Err(reader.fail(field, Problem::OutOfRange)),
        }
    }
}
