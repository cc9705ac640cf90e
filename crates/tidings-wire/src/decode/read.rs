//! JSON tree to message: every check of every member, going on after each problem.
//!
//! A function that reads something returns `None` after it has noted why. Nothing `None` gets into a
//! message, because a message with problems is not handed out. Single values are read in `values`.

mod values;

use std::fmt;

use super::{
    DecodeError, Decoded, Limits, Problems,
    json::Node,
    problem::{Quoted, Shortened},
    rules::{Rules, USER_MEMBERS},
};
use crate::{
    Message,
    message::{MessageSegment, MessageUser},
    number,
};

const SEGMENT_MEMBERS: [&str; 3] = ["Segment_ID", "Status", "DateTime"];

/// Reads the message in `tree`.
pub(super) fn message(
    rules: &Rules,
    limits: &Limits,
    tree: &Node<'_>,
) -> Result<Decoded, DecodeError> {
    let mut reader = Reader {
        rules,
        users_max: limits.users,
        problems: Problems::new(limits.problems),
        warnings: Problems::new(limits.problems),
    };
    match reader.message(tree) {
        Some(message) if reader.problems.is_empty() => Ok(Decoded {
            message,
            warnings: reader.warnings,
        }),
        _ => Err(DecodeError::Invalid(reader.problems)),
    }
}

/// An object of the message, to name it in problems.
#[derive(Clone, Copy)]
enum Place {
    Message,
    User(usize),
    Segment { user: usize, segment: usize },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message => f.write_str("message"),
            Self::User(user) => write!(f, "Users[{user}]"),
            Self::Segment { user, segment } => write!(f, "Users[{user}].Segments[{segment}]"),
        }
    }
}

/// A member of the object at `place`, or an element of that member.
#[derive(Clone, Copy)]
struct Path<'n> {
    place: Place,
    member: &'n str,
    element: Option<usize>,
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Place::Message => {}
            place => write!(f, "{place}.")?,
        }
        write!(f, "{}", Shortened(self.member))?;
        match self.element {
            Some(element) => write!(f, "[{element}]"),
            None => Ok(()),
        }
    }
}

/// A value and where it stands.
#[derive(Clone, Copy)]
struct Field<'n> {
    path: Path<'n>,
    node: &'n Node<'n>,
}

struct Reader<'d> {
    rules: &'d Rules,
    users_max: usize,
    problems: Problems,
    warnings: Problems,
}

impl Reader<'_> {
    fn message(&mut self, tree: &Node<'_>) -> Option<Message> {
        let rules = self.rules;
        let members = self.members(Place::Message, tree, |name| rules.top_level_slot(name))?;
        let [
            process_time,
            user_dpid,
            client_id,
            destination_id,
            user_count,
            users,
        ] = members;

        let process_time = self
            .required(Place::Message, "ProcessTime", process_time)
            .and_then(|field| self.date(field));
        let user_dpid = match user_dpid {
            Some(field) => self.number(field).map(Some),
            None => Some(None),
        };
        let client_id = self
            .required(Place::Message, "Client_ID", client_id)
            .and_then(|field| self.text(field));
        let destination_id = self
            .required(Place::Message, rules.destination_key(), destination_id)
            .and_then(|field| self.number_or_text(field));
        let user_count = self.required(Place::Message, "User_count", user_count);
        let users = self.required(Place::Message, "Users", users);
        self.check_user_count(user_count, users);
        let users = users.and_then(|field| self.users(field));

        Some(Message {
            process_time: process_time?,
            user_dpid: user_dpid?,
            client_id: client_id?,
            destination_id: destination_id?,
            users: users?,
        })
    }

    /// Compares with the number of elements, not with those that turn out to be valid.
    fn check_user_count(&mut self, user_count: Option<Field<'_>>, users: Option<Field<'_>>) {
        let Some(field) = user_count else { return };
        let Some(count) = self.number(field) else {
            return;
        };
        if let Node::Text(text) = field.node
            && self.rules.is_strict()
            && number::canonical::<u32>(text).is_none()
        {
            self.problems.add(field.path, "must have no leading zeros");
        }
        if let Some(Node::Array(users)) = users.map(|field| field.node)
            && u32::try_from(users.len()) != Ok(count)
        {
            let length = users.len();
            self.oddity(
                field.path,
                format_args!("is {count}, but Users has {length}"),
            );
        }
    }

    fn users(&mut self, field: Field<'_>) -> Option<Vec<MessageUser>> {
        let users = self.array(field)?;
        if users.len() > self.users_max {
            let (length, users_max) = (users.len(), self.users_max);
            let reason = format_args!("has {length} elements, more than {users_max}");
            self.problems.add(field.path, reason);
            return None;
        }
        let users = users.iter().enumerate();
        let users = users.filter_map(|(index, user)| self.user(index, user));
        Some(users.collect())
    }

    fn user(&mut self, index: usize, node: &Node<'_>) -> Option<MessageUser> {
        let place = Place::User(index);
        let rules = self.rules;
        let members = self.members(place, node, |name| rules.user_slot(name))?;
        let [aam_uuid, data_partner_uuid, regions, segments] = members;
        let [name_of_uuid, name_of_partner_uuid, _, name_of_segments] = USER_MEMBERS;

        let aam_uuid = self
            .required(place, name_of_uuid, aam_uuid)
            .and_then(|field| self.digits(field));
        let data_partner_uuid = self
            .required(place, name_of_partner_uuid, data_partner_uuid)
            .and_then(|field| self.text(field));
        let regions = regions.map_or(Some(Vec::new()), |field| self.regions(field));
        let segments = self
            .required(place, name_of_segments, segments)
            .and_then(|field| self.segments(index, field));

        Some(MessageUser {
            aam_uuid: aam_uuid?,
            data_partner_uuid: data_partner_uuid?,
            regions: regions?,
            segments: segments?,
        })
    }

    fn regions(&mut self, field: Field<'_>) -> Option<Vec<u32>> {
        let regions = self.array(field)?.iter().enumerate();
        let regions = regions.filter_map(|(index, node)| {
            let path = Path {
                element: Some(index),
                ..field.path
            };
            self.number(Field { path, node })
        });
        Some(regions.collect())
    }

    fn segments(&mut self, user: usize, field: Field<'_>) -> Option<Vec<MessageSegment>> {
        let segments = self.array(field)?.iter().enumerate();
        let segments: Vec<MessageSegment> = segments
            .filter_map(|(segment, node)| self.segment(Place::Segment { user, segment }, node))
            .collect();
        self.check_repetition(field.path, &segments);
        Some(segments)
    }

    fn segment(&mut self, place: Place, node: &Node<'_>) -> Option<MessageSegment> {
        let members = self.members(place, node, |name| {
            SEGMENT_MEMBERS.iter().position(|&known| known == name)
        })?;
        let [segment_id, status, date_time] = members;
        let [name_of_id, name_of_status, name_of_date_time] = SEGMENT_MEMBERS;

        let segment_id = self
            .required(place, name_of_id, segment_id)
            .and_then(|field| self.number_or_text(field));
        let status = self
            .required(place, name_of_status, status)
            .and_then(|field| self.status(field));
        let date_time = self
            .required(place, name_of_date_time, date_time)
            .and_then(|field| self.date(field));

        Some(MessageSegment {
            segment_id: segment_id?,
            status: status?,
            date_time: date_time?,
        })
    }

    /// A receiver cannot know which of two states of one segment is meant.
    fn check_repetition(&mut self, path: Path<'_>, segments: &[MessageSegment]) {
        let mut ids: Vec<&str> = segments
            .iter()
            .map(|segment| &*segment.segment_id)
            .collect();
        ids.sort_unstable();
        if let Some([id, _]) = ids.array_windows().find(|[left, right]| left == right) {
            let reason = format_args!("Segment_ID {} appears more than once", Quoted(id));
            self.warnings.add(path, reason);
        }
    }

    // Objects and arrays.

    /// The known members of the object `node`, each in the slot that `slot_of` gives for its name.
    fn members<'n, const SLOTS: usize>(
        &mut self,
        place: Place,
        node: &'n Node<'n>,
        slot_of: impl Fn(&str) -> Option<usize>,
    ) -> Option<[Option<Field<'n>>; SLOTS]> {
        let Node::Object(members) = node else {
            let reason = format_args!("must be an object, found {}", node.kind());
            self.problems.add(place, reason);
            return None;
        };
        let mut slots = [const { None }; SLOTS];
        for (member, node) in members {
            let path = Path {
                place,
                member,
                element: None,
            };
            match slot_of(member).and_then(|slot| slots.get_mut(slot)) {
                Some(slot @ None) => *slot = Some(Field { path, node }),
                Some(Some(_)) => self.problems.add(path, "must not be given twice"),
                None if self.rules.is_strict() => self.problems.add(path, "is not expected"),
                None => {}
            }
        }
        Some(slots)
    }

    fn required<'n>(
        &mut self,
        place: Place,
        member: &str,
        field: Option<Field<'n>>,
    ) -> Option<Field<'n>> {
        if field.is_none() {
            let path = Path {
                place,
                member,
                element: None,
            };
            self.problems.add(path, "is missing");
        }
        field
    }

    fn array<'n>(&mut self, field: Field<'n>) -> Option<&'n [Node<'n>]> {
        let Node::Array(items) = field.node else {
            return self.expected(field, "an array", field.node.kind());
        };
        if items.is_empty() {
            self.oddity(field.path, "is empty");
        }
        Some(items)
    }

    // Reports.

    fn expected<T>(
        &mut self,
        field: Field<'_>,
        expected: &str,
        found: impl fmt::Display,
    ) -> Option<T> {
        let reason = format_args!("must be {expected}, found {found}");
        self.problems.add(field.path, reason);
        None
    }

    /// What a strict receiver refuses and a tolerant one only mentions.
    fn oddity(&mut self, path: impl fmt::Display, reason: impl fmt::Display) {
        if self.rules.is_strict() {
            self.problems.add(path, reason);
        } else {
            self.warnings.add(path, reason);
        }
    }
}
