//! JSON strings: only what RFC 8259 demands is escaped (`"`, `\` and controls below U+0020).
//!
//! Short forms where the format has them, lower-case `\u00xx` otherwise; everything else, also U+007F,
//! `/` and all non-ASCII text, is copied. Byte for byte what `serde_json` writes.

/// Appends `text` as a JSON string with its quotes.
pub(super) fn write(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    if is_plain(text.as_bytes()) {
        out.extend_from_slice(text.as_bytes());
    } else {
        write_escaped(text.as_bytes(), out);
    }
    out.push(b'"');
}

const fn must_be_escaped(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// Whether nothing needs escaping. Folds over whole chunks, without an early exit inside one, so
/// that the compiler can compare many bytes at once.
fn is_plain(bytes: &[u8]) -> bool {
    let found = |chunk: &[u8]| {
        chunk
            .iter()
            .fold(false, |found, &byte| found | must_be_escaped(byte))
    };
    let (chunks, rest) = bytes.as_chunks::<16>();
    !chunks.iter().any(|chunk| found(chunk)) && !found(rest)
}

#[cold]
fn write_escaped(bytes: &[u8], out: &mut Vec<u8>) {
    const HEX: [u8; 16] = *b"0123456789abcdef";
    for &byte in bytes {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x09 => out.extend_from_slice(b"\\t"),
            0x0a => out.extend_from_slice(b"\\n"),
            0x0c => out.extend_from_slice(b"\\f"),
            0x0d => out.extend_from_slice(b"\\r"),
            0x00..=0x1f => {
                let (high, low) = (usize::from(byte >> 4), usize::from(byte & 0x0f));
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', HEX[high], HEX[low]]);
            }
            _ => out.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let mut out = Vec::new();
        write(text, &mut out);
        assert_eq!(std::str::from_utf8(&out).unwrap(), expected);
    }

    #[test]
    fn copies_what_needs_no_escape() {
        check("", r#""""#);
        check(
            "CAESEPfHBi|UzCESAAABOnFeHJy",
            r#""CAESEPfHBi|UzCESAAABOnFeHJy""#,
        );
        check(
            "a/b <c> \u{7f} \u{2028} ä 消費者 😀",
            "\"a/b <c> \u{7f} \u{2028} ä 消費者 😀\"",
        );
    }

    #[test]
    fn escapes_the_minimum() {
        check(r#"say "hi" \o/"#, r#""say \"hi\" \\o/""#);
        check("\u{8}\t\n\u{c}\r\0\u{1f}", r#""\b\t\n\f\r\u0000\u001f""#);
        check("sixteen plain by\"tail", r#""sixteen plain by\"tail""#);
    }

    proptest! {
        #[test]
        fn agrees_with_serde_json(text in any::<String>(), controls in "[\\x00-\\x7f]{0,40}") {
            for text in [text, controls] {
                let mut out = Vec::new();
                write(&text, &mut out);
                prop_assert_eq!(out, serde_json::to_vec(&text).unwrap());
            }
        }
    }
}
