//! Lists of a profile: plain ones, ids as differences, and subsets of another list.

use crate::codec::bytes::{DecodeError, Problem, Reader, put_len, put_u64};
use smallvec::SmallVec;
use tidings_engine::IdKey;
use tidings_model::DataSourceId;

/// A list that is filled from its front.
pub(super) trait List<T> {
    /// An empty one, with room for so many items.
    fn with_room(count: usize) -> Self;
    /// Appends an item.
    fn add(&mut self, item: T);
}

impl<T> List<T> for Vec<T> {
    fn with_room(count: usize) -> Self {
        Self::with_capacity(count)
    }

    #[inline]
    fn add(&mut self, item: T) {
        self.push(item);
    }
}

impl<A: smallvec::Array> List<A::Item> for SmallVec<A> {
    fn with_room(count: usize) -> Self {
        Self::with_capacity(count)
    }

    #[inline]
    fn add(&mut self, item: A::Item) {
        self.push(item);
    }
}

/// Nothing for an empty list, else its length and its items. Whether it is empty stands elsewhere.
#[inline]
pub(super) fn put_list<T>(out: &mut Vec<u8>, items: &[T], mut put: impl FnMut(&mut Vec<u8>, &T)) {
    if items.is_empty() {
        return;
    }
    put_len(out, items.len());
    for item in items {
        put(out, item);
    }
}

/// A list whose items take `item_bytes_min` bytes or more each.
pub(super) fn read_list<'a, T, L: List<T>>(
    reader: &mut Reader<'a>,
    field: &'static str,
    item_bytes_min: usize,
    mut read: impl FnMut(&mut Reader<'a>) -> Result<T, DecodeError>,
) -> Result<L, DecodeError> {
    let count = reader.count(field, item_bytes_min)?;
    let mut items = L::with_room(count);
    for _ in 0..count {
        items.add(read(reader)?);
    }
    Ok(items)
}

#[inline]
pub(super) fn put_id(out: &mut Vec<u8>, previous: &mut u32, id: u32) {
    put_u64(out, id.wrapping_sub(*previous).into());
    *previous = id;
}

#[inline]
pub(super) fn read_id(
    reader: &mut Reader<'_>,
    field: &'static str,
    previous: &mut u32,
) -> Result<u32, DecodeError> {
    *previous = previous.wrapping_add(reader.u32(field)?);
    Ok(*previous)
}

#[inline]
pub(super) fn put_key(out: &mut Vec<u8>, previous: &mut u16, key: IdKey) {
    put_u64(out, key.0.wrapping_sub(*previous).into());
    *previous = key.0;
}

#[inline]
pub(super) fn read_key(reader: &mut Reader<'_>, previous: &mut u16) -> Result<IdKey, DecodeError> {
    *previous = previous.wrapping_add(reader.u16("id key")?);
    Ok(IdKey(*previous))
}

/// One more than the number, so that [`DataSourceId::NONE`], the largest, is a zero byte.
#[inline]
pub(super) fn put_data_source(out: &mut Vec<u8>, data_source: DataSourceId) {
    put_u64(out, data_source.0.wrapping_add(1).into());
}

#[inline]
pub(super) fn read_data_source(reader: &mut Reader<'_>) -> Result<DataSourceId, DecodeError> {
    Ok(DataSourceId(reader.u32("data source")?.wrapping_sub(1)))
}

/// Appends one bit for each of `all`, set for those in `some`, and returns true; or appends nothing and
/// returns false when `some` has anything else, is in another order, or would be shorter written out.
pub(super) fn put_subset<T: PartialEq>(
    out: &mut Vec<u8>,
    all: impl ExactSizeIterator<Item = T>,
    some: &[T],
) -> bool {
    let start = out.len();
    if all.len().div_ceil(8) > some.len() + 1 {
        return false;
    }
    let mut rest = some;
    let mut bits = 0u8;
    let count = all.len();
    for (position, item) in all.enumerate() {
        if let Some((first, others)) = rest.split_first()
            && *first == item
        {
            bits |= 1 << (position % 8);
            rest = others;
        }
        if position % 8 == 7 || position + 1 == count {
            out.push(std::mem::take(&mut bits));
        }
    }
    if !rest.is_empty() {
        out.truncate(start);
        return false;
    }
    true
}

pub(super) fn read_subset<T, L: List<T>>(
    reader: &mut Reader<'_>,
    field: &'static str,
    all: impl ExactSizeIterator<Item = T>,
) -> Result<L, DecodeError> {
    let count = all.len();
    let bits = reader.bytes(field, count.div_ceil(8))?;
    let set: u32 = bits.iter().map(|byte| byte.count_ones()).sum();
    let set = usize::try_from(set).unwrap_or(usize::MAX);
    let mut some = L::with_room(set.min(count));
    let mut read = 0;
    for (position, item) in all.enumerate() {
        let byte = bits.get(position / 8).copied().unwrap_or_default();
        if byte >> (position % 8) & 1 == 1 {
            some.add(item);
            read += 1;
        }
    }
    // Bits past the last item would be lost if the profile were written again.
    if read != set {
        return Err(reader.fail(field, Problem::OutOfRange));
    }
    Ok(some)
}
