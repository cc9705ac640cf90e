//! Keys: one keyspace, a first byte per kind of row.
//!
//! | key | row |
//! | --- | --- |
//! | `p` device | profile |
//! | `g` commit | profiles that a commit wrote, newer than their own rows, see `profile_log.rs`; 64 bits |
//! | `q` commit | pairs that a commit made pending, or that it ended, see `pending.rs`; 64 bits |
//! | `o` destination device | pending pair: the partner has not been told the newest state |
//! | `u` destination device | undelivered pair |
//! | `i` data source, id as text | links: declared id to devices |
//! | `m` name | one row of the store itself: `m/format`, `m/epoch`, `m/head`, `m/opt-out` |
//! | `b` destination device | the device has changes since the destination's last batch; no value |
//! | `h` destination number | one batch of the destination; the number has 32 bits |
//! | `t` hour device | timer: the profile can change by itself in this hour; no value |
//! | `a` destination time position | a page of the attempt log; 40 bits and 64 bits |
//! | `r` destination device segment data source, id as text | removals, in the ledger |
//! | `e` destination | the last resend of undelivered pairs |
//! | `x` 16 bytes | a declared id or a device that opted out, see `opt_out.rs`; no value |
//!
//! A *device* of 38 digits is its number in 16 bytes, big-endian; its top bit is 0, since 10^38 < 2^127.
//! Any other is a byte `0x80 | digits` followed by its digits. So devices of 38 digits sort by number,
//! and the others after them by length, then by digits.
//! A *number* (destination, data source) is a byte with the count of its significant bytes, 0 to 4, and
//! these, big-endian: it sorts as the number does, and keys of pairs stay within 20 bytes, which the
//! backend keeps without an allocation, for destinations below 65,536.
//!
//! Invariant: every part is self-delimiting, so a prefix of whole parts selects what it says and no more.

pub(crate) mod records;

pub use records::AttemptKey;

use crate::{
    codec::bytes::{DecodeError, Problem, Reader},
    opt_out::OptOutMark,
};
use tidings_model::{DataSourceId, DestinationId, DeviceUuid, Timestamp};

/// Profiles.
pub const PROFILE: u8 = b'p';
/// The log of profiles.
pub const PROFILE_LOG: u8 = b'g';
/// Pending pairs that are no longer in the log.
pub const PENDING: u8 = b'o';
/// The log of pending pairs.
pub const PENDING_LOG: u8 = b'q';
/// Undelivered pairs.
pub const UNDELIVERED: u8 = b'u';
/// Links of declared ids.
pub const LINK: u8 = b'i';
/// Rows of the store itself.
pub const META: u8 = b'm';
/// Devices with changes since the last batch of a destination.
pub const BATCH_CHANGE: u8 = b'b';
/// Batches of a destination.
pub const BATCH_RECORD: u8 = b'h';
/// Timers.
pub const TIMER: u8 = b't';
/// Pages of the attempt log.
pub const ATTEMPT: u8 = b'a';
/// Rows of the removal ledger.
pub const REMOVAL: u8 = b'r';
/// Resends of undelivered pairs.
pub const RESEND: u8 = b'e';
/// Declared ids and devices that opted out.
pub const OPT_OUT: u8 = b'x';

pub(crate) const FORMAT: &[u8] = b"m/format";
pub(crate) const EPOCH: &[u8] = b"m/epoch";
pub(crate) const HEAD: &[u8] = b"m/head";
pub(crate) const OPT_OUT_KEY: &[u8] = b"m/opt-out";

/// Whether rows of this kind are read one by one, and often.
pub(crate) const fn is_read_alone(kind: u8) -> bool {
    matches!(kind, PROFILE | LINK | REMOVAL | OPT_OUT)
}

/// Set in the first byte of a device that has not 38 digits; the other bits count them.
const TEXT: u8 = 0x80;

/// Appends the key of a profile.
pub(crate) fn put_profile(out: &mut Vec<u8>, uuid: &DeviceUuid) {
    out.push(PROFILE);
    put_uuid(out, uuid);
}

/// Reads the device in the key of a profile.
pub(crate) fn read_profile(key: &[u8]) -> Result<DeviceUuid, DecodeError> {
    let mut reader = Reader::new(key);
    reader.u8("row kind")?;
    let uuid = read_uuid(&mut reader)?;
    reader.end("key")?;
    Ok(uuid)
}

/// Appends the key of the links of a declared id.
pub(crate) fn put_link(out: &mut Vec<u8>, data_source: DataSourceId, id: &str) {
    out.push(LINK);
    put_number(out, data_source.0);
    out.extend_from_slice(id.as_bytes());
}

/// Appends the key of a declared id that opted out.
pub(crate) fn put_opt_out(out: &mut Vec<u8>, mark: OptOutMark) {
    out.push(OPT_OUT);
    out.extend_from_slice(&mark.0);
}

/// Appends what the keys of all timers of an hour start with: 32 bits, so that hours sort in order.
pub(crate) fn put_hour(out: &mut Vec<u8>, at: Timestamp) {
    out.push(TIMER);
    let hour = u32::try_from(at.0.div_euclid(3600)).unwrap_or(if at.0 < 0 { 0 } else { u32::MAX });
    out.extend_from_slice(&hour.to_be_bytes());
}

/// Appends the key of a timer.
pub(crate) fn put_timer(out: &mut Vec<u8>, at: Timestamp, uuid: &DeviceUuid) {
    put_hour(out, at);
    put_uuid(out, uuid);
}

/// Reads the key of a timer: the beginning of its hour, and the device.
pub(crate) fn read_timer(key: &[u8]) -> Result<(Timestamp, DeviceUuid), DecodeError> {
    let mut reader = Reader::new(key);
    reader.u8("row kind")?;
    let hour = u32::from_be_bytes(reader.array::<4>("hour")?);
    let uuid = read_uuid(&mut reader)?;
    reader.end("key")?;
    Ok((Timestamp(i64::from(hour) * 3600), uuid))
}

/// Appends what the keys of all pairs of a destination start with; `kind` is [`PENDING`],
/// [`UNDELIVERED`] or [`BATCH_CHANGE`]. Those of its batches start in the same way.
pub(crate) fn put_destination(out: &mut Vec<u8>, kind: u8, destination: DestinationId) {
    out.push(kind);
    put_number(out, destination.0);
}

/// Appends the key of a pair of destination and device.
pub(crate) fn put_pair(out: &mut Vec<u8>, kind: u8, destination: DestinationId, uuid: &DeviceUuid) {
    put_destination(out, kind, destination);
    put_uuid(out, uuid);
}

/// Reads the key of a pair.
pub(crate) fn read_pair(key: &[u8]) -> Result<(DestinationId, DeviceUuid), DecodeError> {
    let mut reader = Reader::new(key);
    reader.u8("row kind")?;
    let destination = DestinationId(read_number(&mut reader)?);
    let uuid = read_uuid(&mut reader)?;
    reader.end("key")?;
    Ok((destination, uuid))
}

/// Reads past the destination and device in the key of a pair, behind its kind.
pub(crate) fn skip_pair(reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    read_number(reader)?;
    let first = reader.u8(DEVICE)?;
    let more = if first & TEXT == 0 { 15 } else { first & !TEXT };
    reader.bytes(DEVICE, more.into())?;
    Ok(())
}

/// Appends the key of a row of the log of profiles.
pub(crate) fn put_profile_log(out: &mut Vec<u8>, commit: u64) {
    out.push(PROFILE_LOG);
    out.extend_from_slice(&commit.to_be_bytes());
}

/// Reads the commit in the key of a row of the log of profiles.
pub(crate) fn read_profile_log(key: &[u8]) -> Result<u64, DecodeError> {
    read_pending_log(key)
}

/// Appends the key of a row of the log of pending pairs: commits sort in order.
pub(crate) fn put_pending_log(out: &mut Vec<u8>, commit: u64) {
    out.push(PENDING_LOG);
    out.extend_from_slice(&commit.to_be_bytes());
}

/// Reads the commit in the key of a row of the log of pending pairs.
pub(crate) fn read_pending_log(key: &[u8]) -> Result<u64, DecodeError> {
    let mut reader = Reader::new(key);
    reader.u8("row kind")?;
    let commit = u64::from_be_bytes(reader.array("commit")?);
    reader.end("key")?;
    Ok(commit)
}

/// Appends the key of a batch: its number has 32 bits, so that batches sort in order.
pub(crate) fn put_batch_record(out: &mut Vec<u8>, destination: DestinationId, number: u32) {
    put_destination(out, BATCH_RECORD, destination);
    out.extend_from_slice(&number.to_be_bytes());
}

/// Reads the number in the key of a batch.
pub(crate) fn read_batch_record(key: &[u8]) -> Result<u32, DecodeError> {
    let mut reader = Reader::new(key);
    reader.u8("row kind")?;
    read_number(&mut reader)?;
    let number = u32::from_be_bytes(reader.array::<4>("batch number")?);
    reader.end("key")?;
    Ok(number)
}

/// The first key after all that start with `prefix`, whose first byte is the kind of a row.
pub(crate) fn prefix_end(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    // No kind is 0xff, so there always is a byte to count up.
    while let Some(last) = end.pop() {
        if last != u8::MAX {
            end.push(last + 1);
            break;
        }
    }
    end
}

pub(crate) fn put_uuid(out: &mut Vec<u8>, uuid: &DeviceUuid) {
    if let Some(number) = uuid.as_number() {
        out.extend_from_slice(&number.to_be_bytes());
    } else if let Some(text) = uuid.as_text() {
        // At most 64 digits, see `limits::UUID_DIGITS_MAX`.
        out.push(TEXT | u8::try_from(text.len()).unwrap_or(!TEXT));
        out.extend_from_slice(text.as_bytes());
    }
}

const DEVICE: &str = "device";

pub(crate) fn read_uuid(reader: &mut Reader<'_>) -> Result<DeviceUuid, DecodeError> {
    let first = reader.u8(DEVICE)?;
    let uuid = if first & TEXT == 0 {
        let mut number = [first; 16];
        number[1..].copy_from_slice(&reader.array::<15>(DEVICE)?);
        DeviceUuid::from_number(u128::from_be_bytes(number))
    } else {
        let digits = reader.bytes(DEVICE, (first & !TEXT).into())?;
        let parsed = std::str::from_utf8(digits).ok();
        let parsed: Option<DeviceUuid> = parsed.and_then(|text| text.parse().ok());
        // 38 digits have the other form; taking them here would make two keys of one device.
        parsed.filter(|uuid| uuid.as_text().is_some())
    };
    uuid.ok_or_else(|| reader.fail(DEVICE, Problem::OutOfRange))
}

fn put_number(out: &mut Vec<u8>, number: u32) {
    let skipped = number.leading_zeros() / 8;
    let bytes = number.to_be_bytes();
    let significant = bytes.iter().skip(usize::try_from(skipped).unwrap_or(0));
    out.push(u8::try_from(significant.len()).unwrap_or(4));
    out.extend(significant);
}

fn read_number(reader: &mut Reader<'_>) -> Result<u32, DecodeError> {
    const FIELD: &str = "number";
    let length = reader.u8(FIELD)?;
    if length > 4 {
        return Err(reader.fail(FIELD, Problem::OutOfRange));
    }
    let bytes = reader.bytes(FIELD, length.into())?;
    if bytes.first() == Some(&0) {
        return Err(reader.fail(FIELD, Problem::OutOfRange));
    }
    Ok(bytes
        .iter()
        .fold(0, |number, byte| number << 8 | u32::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    fn pair(destination: u32, uuid: &str) -> Vec<u8> {
        let mut key = Vec::new();
        let uuid = uuid.parse().unwrap();
        put_pair(&mut key, PENDING, DestinationId(destination), &uuid);
        key
    }

    #[track_caller]
    fn check(key: &[u8], expected: &str) {
        let hex: Vec<_> = key.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex.join(""), expected);
    }

    #[test]
    fn keys_stay_as_they_are() {
        let number = "00000000000000000000000000000000000258";
        check(
            &pair(423, number),
            "6f0201a700000000000000000000000000000102",
        );
        check(&pair(0, "012"), "6f0083303132");
        let mut key = Vec::new();
        put_link(&mut key, DataSourceId(12345), "a/b");
        check(&key, "69023039612f62");
        key.clear();
        put_profile(&mut key, &"7".parse().unwrap());
        check(&key, "708137");
        key.clear();
        put_batch_record(&mut key, DestinationId(423), 258);
        check(&key, "680201a700000102");
        assert_eq!(read_batch_record(&key), Ok(258));
    }

    #[test]
    fn the_end_of_a_prefix_follows_all_that_start_with_it() {
        check(&prefix_end(b"o\x01\x07"), "6f0108");
        check(&prefix_end(b"o\x02\x01\xff"), "6f0202");
        check(&prefix_end(b"o"), "70");
    }

    #[test]
    fn a_device_has_one_key() {
        let mut key = vec![TEXT | 38];
        key.extend([b'1'; 38]);
        assert!(read_uuid(&mut Reader::new(&key)).is_err());
        assert!(read_uuid(&mut Reader::new(&[0x7f; 16])).is_err());
        assert!(read_pair(&[PENDING, 2, 0, 7, 0x81, b'1']).is_err());
    }

    proptest! {
        #[test]
        fn pairs_come_back(destination in any::<u32>(), uuid in "[0-9]{1,64}|[0-9]{38}") {
            let expected = (DestinationId(destination), uuid.parse().unwrap());
            prop_assert_eq!(read_pair(&pair(destination, &uuid)), Ok(expected));
        }

        #[test]
        fn keys_sort_by_destination_then_device(
            a in (any::<u32>(), "[0-9]{38}"),
            b in (any::<u32>(), "[0-9]{38}"),
        ) {
            prop_assert_eq!(pair(a.0, &a.1).cmp(&pair(b.0, &b.1)), a.cmp(&b));
        }

        #[test]
        fn no_key_is_the_start_of_another(
            a in (0u32..300, "[0-9]{1,64}"),
            b in (0u32..300, "[0-9]{1,64}"),
        ) {
            prop_assert!(a == b || !pair(a.0, &a.1).starts_with(&pair(b.0, &b.1)));
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            drop((read_pair(&bytes), read_batch_record(&bytes)));
        }
    }
}
