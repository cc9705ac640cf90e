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

    const fn has(self, byte: u8) -> bool {
        match self {
            Self::Lower => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
            Self::Upper => matches!(byte, b'0'..=b'9' | b'A'..=b'F'),
        }
    }
}

/// Appends `text` in its shortest form.
pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    if bytes.len() == UUID_LENGTH {
        for (length, case) in [(0, Case::Lower), (1, Case::Upper)] {
            if is_uuid(bytes, case) {
                put_len(out, length << 2 | UUID);
                put_nibbles(out, bytes.iter().filter(|byte| **byte != b'-'));
                return;
            }
        }
    }
    for (form, case) in [(HEX_LOWER, Case::Lower), (HEX_UPPER, Case::Upper)] {
        if bytes.len() > 1 && bytes.iter().all(|byte| case.has(*byte)) {
            put_len(out, bytes.len() << 2 | form);
            put_nibbles(out, bytes.iter());
            return;
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

fn is_uuid(bytes: &[u8], case: Case) -> bool {
    bytes.iter().enumerate().all(|(position, byte)| {
        if UUID_HYPHENS.contains(&position) {
            *byte == b'-'
        } else {
            case.has(*byte)
        }
    })
}

/// Two hexadecimal characters a byte.
fn put_nibbles<'a>(out: &mut Vec<u8>, digits: impl Iterator<Item = &'a u8>) {
    let mut high = None;
    for digit in digits {
        // Callers have checked that nothing but hexadecimal is there. The low half of a letter's
        // code counts from 1 in either case.
        let nibble = match digit {
            b'0'..=b'9' => digit - b'0',
            _ => (digit & 0x0f) + 9,
        };
        match high.take() {
            None => high = Some(nibble << 4),
            Some(high) => out.push(high | nibble),
        }
    }
    out.extend(high);
}

fn characters(bytes: &[u8], case: Case) -> impl Iterator<Item = char> {
    let digits = case.digits();
    let digit = |nibble: u8| digits.get(usize::from(nibble)).copied().unwrap_or(b'0');
    let pairs = bytes
        .iter()
        .flat_map(move |byte| [digit(byte >> 4), digit(byte & 0x0f)]);
    pairs.map(char::from)
}

fn hex(bytes: &[u8], length: usize, case: Case) -> Box<str> {
    let mut text = String::with_capacity(length);
    text.extend(characters(bytes, case).take(length));
    text.into_boxed_str()
}

fn uuid(bytes: &[u8], case: Case) -> Box<str> {
    let mut text = String::with_capacity(UUID_LENGTH);
    for character in characters(bytes, case) {
        if UUID_HYPHENS.contains(&text.len()) {
            text.push('-');
        }
        text.push(character);
    }
    text.into_boxed_str()
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
