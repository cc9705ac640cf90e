//! Declared ids as text: digits and hexadecimal at half their length, UUIDs in 16 bytes.
//!
//! ```text
//! header varint = length << 2 | form, then
//!   form 0  the text itself, `length` bytes of UTF-8
//!   form 1  hexadecimal in lower case, or digits alone: two characters a byte, the high half first;
//!           an odd length ends with a half byte of zero
//!   form 2  hexadecimal in upper case, likewise
//!   form 3  8-4-4-4-12 hexadecimal with hyphens: 16 bytes; the length is 0 in lower, 1 in upper case
//! ```
//!
//! Invariant: reading gives the very text that was written. Text that no packed form gives back as it
//! was (mixed case, say) is kept as it is.

use super::bytes::{DecodeError, Problem, Reader, put_len};

const PLAIN: usize = 0;
const HEX_LOWER: usize = 1;
const HEX_UPPER: usize = 2;
const UUID: usize = 3;

const UUID_LENGTH: usize = 36;
const UUID_HYPHENS: [usize; 4] = [8, 13, 18, 23];
/// Where the pairs of digits begin that make a byte each.
const UUID_PAIRS: [usize; 16] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];

/// In a table of values: not a digit.
const NONE: u8 = 0xf0;

/// Case of hexadecimal letters.
#[derive(Clone, Copy)]
enum Case {
    Lower,
    Upper,
}

impl Case {
    const fn digits(self) -> &'static [u8; 16] {
        match self {
            Self::Lower => b"0123456789abcdef",
            Self::Upper => b"0123456789ABCDEF",
        }
    }

    /// The value of a digit, or [`NONE`].
    fn value(self, digit: u8) -> u8 {
        static LOWER: [u8; 256] = values(Case::Lower);
        static UPPER: [u8; 256] = values(Case::Upper);
        let values = match self {
            Self::Lower => &LOWER,
            Self::Upper => &UPPER,
        };
        values[usize::from(digit)]
    }

    /// The two digits of a byte.
    fn pair(self, byte: u8) -> [u8; 2] {
        let digits = self.digits();
        [byte >> 4, byte & 0x0f].map(|nibble| digits[usize::from(nibble)])
    }
}

const fn values(case: Case) -> [u8; 256] {
    let mut values = [NONE; 256];
    let mut value = 0;
    while value < 16 {
        values[case.digits()[value as usize] as usize] = value;
        value += 1;
    }
    values
}

/// Appends `text` in its shortest form.
pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    if let Ok(text) = bytes.try_into() {
        for (length, case) in [(0, Case::Lower), (1, Case::Upper)] {
            if let Some(packed) = pack_uuid(text, case) {
                put_len(out, length << 2 | UUID);
                out.extend_from_slice(&packed);
                return;
            }
        }
    }
    if bytes.len() > 1 {
        for (form, case) in [(HEX_LOWER, Case::Lower), (HEX_UPPER, Case::Upper)] {
            if put_hex(out, bytes, form, case) {
                return;
            }
        }
    }
    put_len(out, bytes.len() << 2 | PLAIN);
    out.extend_from_slice(bytes);
}

/// Reads what [`put_text`] wrote.
pub(crate) fn read_text(reader: &mut Reader<'_>) -> Result<Box<str>, DecodeError> {
    const FIELD: &str = "declared id";
    let header = reader.u64(FIELD)?;
    let out_of_range = reader.fail(FIELD, Problem::OutOfRange);
    let Ok(header) = usize::try_from(header) else {
        return Err(out_of_range);
    };
    let length = header >> 2;
    let packed_length = length.div_ceil(2);
    match (header & 3, length) {
        (HEX_LOWER, _) => Ok(hex(
            reader.bytes(FIELD, packed_length)?,
            length,
            Case::Lower,
        )),
        (HEX_UPPER, _) => Ok(hex(
            reader.bytes(FIELD, packed_length)?,
            length,
            Case::Upper,
        )),
        (UUID, 0) => Ok(uuid(reader.bytes(FIELD, 16)?, Case::Lower)),
        (UUID, 1) => Ok(uuid(reader.bytes(FIELD, 16)?, Case::Upper)),
        (UUID, _) => Err(out_of_range),
        _ => {
            let bytes = reader.bytes(FIELD, length)?;
            let text = std::str::from_utf8(bytes);
            Ok(text
                .map_err(|_| reader.fail(FIELD, Problem::NotUtf8))?
                .into())
        }
    }
}

fn pack_uuid(text: &[u8; UUID_LENGTH], case: Case) -> Option<[u8; 16]> {
    if UUID_HYPHENS.iter().any(|&at| text[at] != b'-') {
        return None;
    }
    let mut all = 0;
    let packed = UUID_PAIRS.map(|at| {
        let (high, low) = (case.value(text[at]), case.value(text[at + 1]));
        all |= high | low;
        high << 4 | low
    });
    (all & NONE == 0).then_some(packed)
}

/// Two hexadecimal characters a byte. Nothing is appended, and false returned, if there is anything else.
fn put_hex(out: &mut Vec<u8>, text: &[u8], form: usize, case: Case) -> bool {
    if text.iter().any(|digit| case.value(*digit) == NONE) {
        return false;
    }
    put_len(out, text.len() << 2 | form);
    let (pairs, last) = text.as_chunks::<2>();
    out.extend(
        pairs
            .iter()
            .map(|[high, low]| case.value(*high) << 4 | case.value(*low)),
    );
    out.extend(last.iter().map(|high| case.value(*high) << 4));
    true
}

fn hex(bytes: &[u8], length: usize, case: Case) -> Box<str> {
    let mut text = vec![0; length];
    let (pairs, last) = text.as_chunks_mut::<2>();
    for (pair, byte) in pairs.iter_mut().zip(bytes) {
        *pair = case.pair(*byte);
    }
    if let (Some(last), Some(byte)) = (last.first_mut(), bytes.last()) {
        [*last, _] = case.pair(*byte);
    }
    // Digits are text.
    String::from_utf8(text).unwrap_or_default().into_boxed_str()
}

fn uuid(bytes: &[u8], case: Case) -> Box<str> {
    let mut digits = [0; 32];
    for (pair, byte) in digits.as_chunks_mut::<2>().0.iter_mut().zip(bytes) {
        *pair = case.pair(*byte);
    }
    let mut text = [b'-'; UUID_LENGTH];
    text[..8].copy_from_slice(&digits[..8]);
    text[9..13].copy_from_slice(&digits[8..12]);
    text[14..18].copy_from_slice(&digits[12..16]);
    text[19..23].copy_from_slice(&digits[16..20]);
    text[24..].copy_from_slice(&digits[20..]);
    // Digits and hyphens are text.
    std::str::from_utf8(&text).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, length: usize) {
        let mut out = Vec::new();
        put_text(&mut out, text);
        assert_eq!(out.len(), length, "{text}");
        let mut reader = Reader::new(&out);
        assert_eq!(&*read_text(&mut reader).unwrap(), text);
        assert_eq!(reader.end("text"), Ok(()));
    }

    #[test]
    fn ids_come_back_as_they_were() {
        check("", 1);
        check("7", 2);
        check("4250948725049857", 9);
        check("425094872504985", 9);
        check("123e4567-e89b-12d3-a456-426614174000", 17);
        check("123E4567-E89B-12D3-A456-426614174000", 17);
        check("123e4567-E89B-12d3-a456-426614174000", 38);
        check("123e4567-e89b-12d3-a456-4266141740-0", 38);
        check("d41d8cd98f00b204e9800998ecf8427e", 18);
        check("D41D8CD98F00B204E9800998ECF8427E", 18);
        check("CAESEKr_bv3mZ-dVYJ4jw9f8p0M", 28);
        check("grüße", 8);
    }

    proptest::proptest! {
        #[test]
        fn any_text_comes_back(text in "([0-9]{0,40}|[0-9a-f]{0,40}|[0-9A-F]{0,40}|.{0,40})") {
            let mut out = Vec::new();
            put_text(&mut out, &text);
            proptest::prop_assert_eq!(&*read_text(&mut Reader::new(&out)).unwrap(), &*text);
        }

        #[test]
        fn any_uuid_comes_back(text in "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}") {
            let mut out = Vec::new();
            put_text(&mut out, &text);
            proptest::prop_assert_eq!(&*read_text(&mut Reader::new(&out)).unwrap(), &*text);
        }
    }
}
