//! Keys of the rows that say what happened: attempt log, removal ledger, resends.

use super::{
    ATTEMPT, REMOVAL, RESEND, put_destination, put_number, put_uuid, read_number, read_uuid,
};
use crate::codec::{
    RemovalKey,
    bytes::{DecodeError, Problem, Reader},
};
use tidings_model::{DataSourceId, DestinationId, DeviceUuid, SegmentId, Timestamp};

/// Names a page of a destination's attempt log. Pages sort by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AttemptKey {
    /// When the page was written, from 1970 on.
    pub time: Timestamp,
    /// Bytes of all pages of the destination before this one, since the log began: tells pages of
    /// one second apart, and how large the log is.
    pub position: u64,
}

/// Appends what the keys of a destination's pages at or after a time start with: 40 bits.
pub(crate) fn put_attempts_from(out: &mut Vec<u8>, destination: DestinationId, time: Timestamp) {
    const TIME_MAX: u64 = (1 << 40) - 1;
    put_destination(out, ATTEMPT, destination);
    let time = u64::try_from(time.0).unwrap_or(0).min(TIME_MAX);
    out.extend(time.to_be_bytes().iter().skip(3));
}

/// Appends the key of a page.
pub(crate) fn put_attempts(out: &mut Vec<u8>, destination: DestinationId, key: AttemptKey) {
    put_attempts_from(out, destination, key.time);
    out.extend_from_slice(&key.position.to_be_bytes());
}

/// Reads the key of a page.
pub(crate) fn read_attempts(key: &[u8]) -> Result<AttemptKey, DecodeError> {
    let mut reader = Reader::new(key);
    read_destination(&mut reader)?;
    let time = reader.array::<5>("time")?;
    let time = time
        .iter()
        .fold(0, |time, byte| time << 8 | i64::from(*byte));
    let position = u64::from_be_bytes(reader.array("position")?);
    reader.end("key")?;
    Ok(AttemptKey {
        time: Timestamp(time),
        position,
    })
}

/// Appends the key of a row of the ledger.
pub(crate) fn put_removal(out: &mut Vec<u8>, key: &RemovalKey) {
    put_removals_of(out, key.destination, &key.uuid);
    put_number(out, key.segment.0);
    put_number(out, key.namespace.0);
    out.extend_from_slice(key.id.as_bytes());
}

/// Appends what the keys of all of a device's rows in the ledger of a destination start with.
pub(crate) fn put_removals_of(out: &mut Vec<u8>, destination: DestinationId, uuid: &DeviceUuid) {
    put_destination(out, REMOVAL, destination);
    put_uuid(out, uuid);
}

/// Reads the key of a row of the ledger.
pub(crate) fn read_removal(key: &[u8]) -> Result<RemovalKey, DecodeError> {
    let mut reader = Reader::new(key);
    let destination = read_destination(&mut reader)?;
    let uuid = read_uuid(&mut reader)?;
    let segment = SegmentId(read_number(&mut reader)?);
    let namespace = DataSourceId(read_number(&mut reader)?);
    let id = std::str::from_utf8(reader.rest())
        .map_err(|_| reader.fail("partner's id", Problem::NotUtf8))?;
    Ok(RemovalKey {
        destination,
        uuid,
        segment,
        namespace,
        id: id.into(),
    })
}

/// Appends the key of a destination's resend.
pub(crate) fn put_resend(out: &mut Vec<u8>, destination: DestinationId) {
    put_destination(out, RESEND, destination);
}

/// Reads the kind of a row and its destination.
pub(crate) fn read_destination(reader: &mut Reader<'_>) -> Result<DestinationId, DecodeError> {
    reader.u8("row kind")?;
    Ok(DestinationId(read_number(reader)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    #[track_caller]
    fn check(key: &[u8], expected: &str) {
        let hex: Vec<_> = key.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex.join(""), expected);
    }

    fn removal(destination: u32, uuid: &str, segment: u32, id: &str) -> RemovalKey {
        RemovalKey {
            destination: DestinationId(destination),
            uuid: uuid.parse().unwrap(),
            segment: SegmentId(segment),
            namespace: DataSourceId(55),
            id: id.into(),
        }
    }

    #[test]
    fn keys_stay_as_they_are() {
        let mut key = Vec::new();
        let page = AttemptKey {
            time: Timestamp(1),
            position: 258,
        };
        put_attempts(&mut key, DestinationId(423), page);
        check(&key, "610201a700000000010000000000000102");
        key.clear();
        put_removal(&mut key, &removal(423, "7", 10, "a1"));
        check(&key, "720201a78137010a01376131");
        key.clear();
        put_resend(&mut key, DestinationId(423));
        check(&key, "650201a7");
    }

    proptest! {
        #[test]
        fn pages_come_back_and_sort_by_time(
            a in (0..1i64 << 40, any::<u64>()),
            b in (0..1i64 << 40, any::<u64>()),
        ) {
            let pages = [a, b].map(|(time, position)| AttemptKey { time: Timestamp(time), position });
            let keys = pages.map(|page| {
                let mut key = Vec::new();
                put_attempts(&mut key, DestinationId(7), page);
                key
            });
            prop_assert_eq!(read_attempts(&keys[0]), Ok(pages[0]));
            prop_assert_eq!(keys[0].cmp(&keys[1]), pages[0].cmp(&pages[1]));
        }

        #[test]
        fn removals_come_back(
            (destination, segment) in any::<(u32, u32)>(),
            uuid in "[0-9]{1,64}|[0-9]{38}",
            id in "\\PC{0,20}",
        ) {
            let expected = removal(destination, &uuid, segment, &id);
            let mut key = Vec::new();
            put_removal(&mut key, &expected);
            prop_assert_eq!(read_removal(&key), Ok(expected));
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            drop((read_attempts(&bytes), read_removal(&bytes)));
            prop_assert!(true);
        }
    }
}
