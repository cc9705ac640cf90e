//! What differs between destinations: the form of numbers, the name of one member, two members that
//! may be left out. The sender encodes by it; a strict receiver checks by it.

/// The destination's key as every published sample spells it: the default.
pub const DESTINATION_KEY: &str = "AAM_Destination_Id";
/// The destination's key as the published parameter tables spell it.
pub const DESTINATION_KEY_OF_TABLES: &str = "AAM_Destination_ID";
/// Bytes of a destination's key.
pub const DESTINATION_KEY_BYTES_MAX: usize = 128;

/// How the numeric members are written: `User_DPID`, the destination's id, `User_count`,
/// `AAM_Regions`, `Segment_ID` and `Status`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Numbers {
    /// `"423"`, as all published samples: the default.
    #[default]
    Strings,
    /// `423`, as the published parameter tables say.
    Integers,
}

/// What one destination wants to be different. The default is what the published samples show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Strings or integers.
    pub numbers: Numbers,
    /// The name of the member that carries the destination's id.
    pub destination_key: String,
    /// Whether `User_DPID` is sent (when it is known).
    pub user_dpid: bool,
    /// Whether `AAM_Regions` is sent (when a region is known).
    pub regions: bool,
}

/// The options of a destination cannot give a readable message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OptionsError {
    /// The destination's key is empty or too long.
    #[error("destination key must have 1 to {DESTINATION_KEY_BYTES_MAX} bytes")]
    KeyLength,
    /// The destination's key is the name of another member of the message.
    #[error("destination key {0:?} is the name of another member")]
    KeyTaken(String),
}

impl Default for Options {
    fn default() -> Self {
        Self {
            numbers: Numbers::Strings,
            destination_key: DESTINATION_KEY.to_owned(),
            user_dpid: true,
            regions: true,
        }
    }
}

impl Options {
    /// Checks what the types cannot: call it once when a destination is configured.
    ///
    /// # Errors
    /// When the destination's key is empty, too long, or would appear twice in a message.
    pub fn check(&self) -> Result<(), OptionsError> {
        let key = self.destination_key.as_str();
        if key.is_empty() || key.len() > DESTINATION_KEY_BYTES_MAX {
            return Err(OptionsError::KeyLength);
        }
        match key {
            "ProcessTime" | "User_DPID" | "Client_ID" | "User_count" | "Users" => {
                Err(OptionsError::KeyTaken(key.to_owned()))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(key: &str, expected: Result<(), OptionsError>) {
        let options = Options {
            destination_key: key.to_owned(),
            ..Options::default()
        };
        assert_eq!(options.check(), expected);
    }

    #[test]
    fn a_destination_key_must_be_usable() {
        check(DESTINATION_KEY, Ok(()));
        check(DESTINATION_KEY_OF_TABLES, Ok(()));
        check("", Err(OptionsError::KeyLength));
        check(&"k".repeat(DESTINATION_KEY_BYTES_MAX), Ok(()));
        check(
            &"k".repeat(DESTINATION_KEY_BYTES_MAX + 1),
            Err(OptionsError::KeyLength),
        );
        check("Users", Err(OptionsError::KeyTaken("Users".to_owned())));
    }
}
