//! What a declared id may look like: opaque text in a partner's namespace, a fixed form in the
//! global namespaces of device advertising ids.
//!
//! Source: the documentation of global device ids and of declared ids. Where it says "alphanumeric
//! string" without more, hyphens and 1 to 64 characters are taken, since devices report such ids.
//! An advertising id of zeros means that tracking is off; linking it would join unrelated people,
//! so it is refused. No version or variant bits of a UUID are checked: published samples ignore them.

use tidings_model::{DataSourceId, limits};

/// Why a text is not a declared id of its data source.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeclaredIdError {
    /// The text is empty.
    #[error("is empty")]
    Empty,
    /// The text is longer than the limit.
    #[error("has {length} bytes, the limit is {max}")]
    TooLong {
        /// Bytes found.
        length: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// A colon, written plainly or as `%3A`, or a control character such as a tab.
    #[error("has a {what} at byte {position}, which declared ids may not contain")]
    Forbidden {
        /// What was found.
        what: &'static str,
        /// Byte position, from 0.
        position: usize,
    },
    /// The id does not have the form that its global data source demands.
    #[error("is not an id of data source {data_source}: expected {expected}")]
    Form {
        /// The global data source.
        data_source: DataSourceId,
        /// The form it demands.
        expected: &'static str,
    },
    /// An advertising id of zeros: tracking is off on this device.
    #[error("is all zeros, which stands for a device that does not want to be tracked")]
    AllZero,
}

/// Checks the text of a declared id against its namespace.
///
/// # Errors
/// The first thing that is wrong with the id.
pub fn check(data_source: DataSourceId, id: &str) -> Result<(), DeclaredIdError> {
    if id.is_empty() {
        return Err(DeclaredIdError::Empty);
    }
    if id.len() > limits::DECLARED_ID_BYTES_MAX {
        return Err(DeclaredIdError::TooLong {
            length: id.len(),
            max: limits::DECLARED_ID_BYTES_MAX,
        });
    }
    refuse_forbidden(id)?;
    let Some(form) = Form::of(data_source) else {
        return Ok(());
    };
    if !form.accepts(id.as_bytes()) {
        return Err(DeclaredIdError::Form {
            data_source,
            expected: form.text(),
        });
    }
    if form != Form::DeviceUuid && id.bytes().all(|byte| matches!(byte, b'0' | b'-')) {
        return Err(DeclaredIdError::AllZero);
    }
    Ok(())
}

fn refuse_forbidden(id: &str) -> Result<(), DeclaredIdError> {
    let plain = id
        .char_indices()
        .find(|&(_, character)| character == ':' || character.is_control());
    if let Some((position, character)) = plain {
        let what = match character {
            ':' => "colon",
            '\t' => "tab",
            _ => "control character",
        };
        return Err(DeclaredIdError::Forbidden { what, position });
    }
    let encoded = id
        .as_bytes()
        .windows(3)
        .position(|window| window.eq_ignore_ascii_case(b"%3A"));
    encoded.map_or(Ok(()), |position| {
        let what = "colon written as %3A";
        Err(DeclaredIdError::Forbidden { what, position })
    })
}

/// The form of the ids of a global data source.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    DeviceUuid,
    LowerHex,
    UpperHex,
    Alphanumeric,
}

impl Form {
    const fn of(data_source: DataSourceId) -> Option<Self> {
        match data_source.0 {
            0 => Some(Self::DeviceUuid),
            20914 | 121_963 | 488_258 | 1_171_485 => Some(Self::LowerHex),
            20915 => Some(Self::UpperHex),
            389_146 | 963_906 | 1_171_489 => Some(Self::Alphanumeric),
            _ => None,
        }
    }

    const fn text(self) -> &'static str {
        match self {
            Self::DeviceUuid => "38 digits",
            Self::LowerHex => "lower-case hexadecimal digits in groups of 8-4-4-4-12",
            Self::UpperHex => "upper-case hexadecimal digits in groups of 8-4-4-4-12",
            Self::Alphanumeric => "1 to 64 letters, digits and hyphens",
        }
    }

    fn accepts(self, id: &[u8]) -> bool {
        match self {
            Self::DeviceUuid => id.len() == 38 && id.iter().all(u8::is_ascii_digit),
            Self::LowerHex => grouped(id, |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')),
            Self::UpperHex => grouped(id, |byte| matches!(byte, b'0'..=b'9' | b'A'..=b'F')),
            Self::Alphanumeric => {
                id.len() <= 64
                    && id
                        .iter()
                        .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
            }
        }
    }
}

/// True for five hyphenated groups of 8, 4, 4, 4 and 12 digits.
fn grouped(id: &[u8], is_digit: impl Fn(u8) -> bool) -> bool {
    id.len() == 36
        && id.iter().enumerate().all(|(position, &byte)| {
            if matches!(position, 8 | 13 | 18 | 23) {
                byte == b'-'
            } else {
                is_digit(byte)
            }
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(data_source: u32, id: &str, expected: &str) {
        let verdict = match super::check(DataSourceId(data_source), id) {
            Ok(()) => "valid".to_owned(),
            Err(error) => error.to_string(),
        };
        assert_eq!(verdict, expected, "{data_source} {id}");
    }

    #[test]
    fn accepts_the_published_samples() {
        for (data_source, id) in [
            (20914, "e4fe9bde-caa0-47b6-908d-ffba3fa184f2"),
            (20914, "97987bca-ae59-4c7d-94ba-ee4f19ab8c21"),
            (20915, "AEBE52E7-03EE-455A-B3C4-E57283966239"),
            (20915, "6D92078A-8246-4BA4-AE5B-76104861E7DC"),
            (121_963, "fcb2a29c-315a-5e6b-bcfd-d889ba19aada"),
            (488_258, "df07c7dc-cea7-4a89-b328-810ff5acb15d"),
            (1_171_485, "095f142a-ace8-ac5d-b86a-92c8be18b197"),
            (1_171_489, "7XCBNROQJQPYW"),
            (389_146, "a-B-9"),
            (0, "22920112968019678612904394744954398990"),
            (12345, "4250948725049857"),
            (12345, "CAESEEPfHBiRjhkzvBPXQ-0MFRE|UzCESAAABOnFeHJy"),
            (12345, "00000000-0000-0000-0000-000000000000"),
        ] {
            check(data_source, id, "valid");
        }
    }

    #[test]
    fn refuses_other_forms_in_global_namespaces() {
        let lower = "is not an id of data source 20914: expected lower-case hexadecimal digits in \
                     groups of 8-4-4-4-12";
        let upper = "is not an id of data source 20915: expected upper-case hexadecimal digits in \
                     groups of 8-4-4-4-12";
        let digits = "is not an id of data source 0: expected 38 digits";
        let letters =
            "is not an id of data source 963906: expected 1 to 64 letters, digits and hyphens";
        check(20914, "97987BCA-ae59-4c7d-94ba-ee4f19ab8c21", lower);
        check(20914, "97987bca-ae59-4c7d-94ba-ee4f19ab8c2", lower);
        check(20914, "97987bca0ae59-4c7d-94ba-ee4f19ab8c21", lower);
        check(20915, "a53cc5a2-6aa1-4210-8ded-a88b29b6212z", upper);
        check(20915, "6D92078A82464BA4AE5B76104861E7DC", upper);
        check(0, "2292011296801967861290439474495439899", digits);
        check(963_906, "a b", letters);
        check(963_906, &"a".repeat(65), letters);
    }

    #[test]
    fn refuses_zeros_in_global_namespaces() {
        let zeros = "is all zeros, which stands for a device that does not want to be tracked";
        check(20914, "00000000-0000-0000-0000-000000000000", zeros);
        check(20915, "00000000-0000-0000-0000-000000000000", zeros);
        check(1_171_489, "0000", zeros);
    }

    #[test]
    fn refuses_what_no_id_may_contain() {
        check(7, "", "is empty");
        check(7, &"x".repeat(513), "has 513 bytes, the limit is 512");
        for (id, what, position) in [
            ("ab:c", "colon", 2),
            ("a%3Ac", "colon written as %3A", 1),
            ("a%3ac", "colon written as %3A", 1),
            ("a\tb", "tab", 1),
            ("a\nb", "control character", 1),
            ("é\u{85}", "control character", 2),
        ] {
            let expected =
                format!("has a {what} at byte {position}, which declared ids may not contain");
            check(7, id, &expected);
        }
        check(7, "100%3", "valid");
    }
}
