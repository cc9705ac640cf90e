//! Rules of a decoder: which members and which forms of numbers it takes.

use crate::{
    Numbers, Options,
    options::{DESTINATION_KEY, DESTINATION_KEY_OF_TABLES},
};

/// Members of a user object; the place in this list is the slot that the reader expects.
pub(super) const USER_MEMBERS: [&str; 4] =
    ["AAM_UUID", "DataPartner_UUID", "AAM_Regions", "Segments"];

/// Which forms are taken.
#[derive(Clone, Debug)]
pub(super) enum Rules {
    Tolerant {
        extra_destination_key: Option<String>,
    },
    Strict(Options),
}

impl Rules {
    /// The form that numbers must have; `None` if either will do.
    pub(super) const fn numbers(&self) -> Option<Numbers> {
        match self {
            Self::Tolerant { .. } => None,
            Self::Strict(options) => Some(options.numbers),
        }
    }

    pub(super) const fn is_strict(&self) -> bool {
        matches!(self, Self::Strict(_))
    }

    /// The destination's key in problems about its absence.
    pub(super) fn destination_key(&self) -> &str {
        match self {
            Self::Tolerant { .. } => DESTINATION_KEY,
            Self::Strict(options) => &options.destination_key,
        }
    }

    /// The slot of the top-level member `name`, counted in wire order; `None` if it is unknown.
    pub(super) fn top_level_slot(&self, name: &str) -> Option<usize> {
        let (is_destination_key, user_dpid) = match self {
            Self::Tolerant {
                extra_destination_key,
            } => {
                let known = [DESTINATION_KEY, DESTINATION_KEY_OF_TABLES].contains(&name);
                (
                    known || extra_destination_key.as_deref() == Some(name),
                    true,
                )
            }
            Self::Strict(options) => (options.destination_key == name, options.user_dpid),
        };
        match name {
            "ProcessTime" => Some(0),
            "User_DPID" => user_dpid.then_some(1),
            "Client_ID" => Some(2),
            "User_count" => Some(4),
            "Users" => Some(5),
            _ => is_destination_key.then_some(3),
        }
    }

    /// The slot of the member `name` of a user object.
    pub(super) fn user_slot(&self, name: &str) -> Option<usize> {
        match self {
            Self::Strict(options) if !options.regions && name == "AAM_Regions" => None,
            _ => USER_MEMBERS.iter().position(|&known| known == name),
        }
    }
}
