//! Differences as text, for reading.

use super::{CatalogDiff, Change, Consequence, Entry, EntryChange, FieldChange};
use std::fmt::{self, Display, Formatter};

impl Display for CatalogDiff {
    /// Several lines, each with its line break.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("no differences\n");
        }
        for change in &self.changes {
            writeln!(f, "{change}")?;
        }
        if self.consequences.is_empty() {
            return f.write_str("\nnobody enters, leaves or is told anything by it\n");
        }
        f.write_str("\nwhat follows:\n")?;
        for consequence in &self.consequences {
            writeln!(f, "  {consequence}")?;
        }
        Ok(())
    }
}

impl Display for Entry {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Settings => f.write_str("settings of the"),
            Self::DataSource(id) => write!(f, "data source {id}"),
            Self::Trait(id) => write!(f, "trait {id}"),
            Self::Segment(id) => write!(f, "segment {id}"),
            Self::Destination(id) => write!(f, "destination {id}"),
            Self::Mapping(destination, segment) => {
                write!(f, "destination {destination}, mapping of segment {segment}")
            }
        }
    }
}

impl Display for EntryChange {
    /// A line, and one more per field; the last without a line break.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self {
            entry,
            name,
            change,
        } = self;
        match change {
            Change::Added => write!(f, "+ {entry} {name:?}"),
            Change::Removed => write!(f, "- {entry} {name:?}"),
            Change::Changed(fields) => {
                write!(f, "~ {entry} {name:?}")?;
                fields
                    .iter()
                    .try_for_each(|field| write!(f, "\n    {field}"))
            }
        }
    }
}

impl Display for FieldChange {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.values {
            Some((old, new)) => {
                let (old, new) = (old.escape_debug(), new.escape_debug());
                write!(f, "{}: {old} -> {new}", self.field)
            }
            None => write!(f, "{}: changed in what is not shown", self.field),
        }
    }
}

impl Display for Consequence {
    /// One line.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::CleanupDiffers(days) => write!(
                f,
                "devices that were not seen for 120 days leave with a cleanup every {days} days, \
                 which is told"
            ),
            Self::DataSourceGone(id) => {
                write!(f, "data source {id}: events that name it are refused")
            }
            Self::TraitGone(id) => write!(f, "trait {id}: it leaves all profiles with its history"),
            Self::TraitRuleChanged(id) => write!(
                f,
                "trait {id}: other events realise it from now on; what was realised stays"
            ),
            Self::TraitsReadDiffer(id, traits) => {
                let traits: Vec<_> = traits.iter().map(ToString::to_string).collect();
                let traits = traits.join(", ");
                write!(
                    f,
                    "segment {id}: it reads what differs (traits {traits}), so devices may enter \
                     and leave, which is told"
                )
            }
            Self::RuleChanged(id) => write!(
                f,
                "segment {id}: devices enter and leave by the new rule, which is told: at once \
                 when seen, else in the background"
            ),
            Self::SegmentBegins(id) => write!(
                f,
                "segment {id}: devices whose traits fulfil its rule already enter it, which is told"
            ),
            Self::SegmentPaused(id) => write!(
                f,
                "segment {id}: paused: it keeps its members, takes no new ones, and partners hear \
                 neither 1 nor 0"
            ),
            Self::SegmentResumed(id) => {
                write!(
                    f,
                    "segment {id}: at work again: devices enter and leave, which is told"
                )
            }
            Self::SegmentGone(id) => write!(
                f,
                "segment {id}: its members leave without a word: partners that were told 1 are not \
                 told 0"
            ),
            Self::ToldAgain(id) => write!(
                f,
                "segment {id}: what is mapped of it differs: members hear all their segments again \
                 when they are seen next"
            ),
            Self::MappingGone(destination, segment) => write!(
                f,
                "destination {destination}: nothing more of segment {segment}, not even the 0 of \
                 members that leave"
            ),
            Self::TextGone(destination, segment, text) => write!(
                f,
                "destination {destination}: segment {segment} is not sent as {text:?} any more: \
                 under that text no 0 follows a 1"
            ),
            Self::BlockBegins(destination, segment, block) => write!(
                f,
                "destination {destination}: blocked for segment {segment} by {block}: it hears \
                 neither 1 nor 0 of it"
            ),
            Self::BlockEnds(destination, segment) => write!(
                f,
                "destination {destination}: no export control blocks segment {segment} any more: it \
                 is told of members, and of the 0 it is owed, when they are seen next"
            ),
            Self::DestinationBegins(id) => write!(
                f,
                "destination {id}: it is told of devices when they change, or are seen next"
            ),
            Self::DestinationGone(id) => write!(
                f,
                "destination {id}: nothing is sent any more; what it was still to be told is dropped"
            ),
            Self::DestinationPaused(id) => {
                write!(
                    f,
                    "destination {id}: paused: nothing is sent, what there is to tell waits"
                )
            }
            Self::DestinationResumed(id) => {
                write!(
                    f,
                    "destination {id}: at work again: it is told what has waited"
                )
            }
            Self::NamespaceBegins(id, source) => write!(
                f,
                "destination {id}: told under ids of {source} with the next message about a device"
            ),
            Self::NamespaceGone(id, source) => write!(
                f,
                "destination {id}: nothing more under ids of {source}, not even a 0"
            ),
            Self::BatchesBegin(id) => {
                write!(
                    f,
                    "destination {id}: its first batch tells every membership"
                )
            }
            Self::BatchesEnd(id) => write!(
                f,
                "destination {id}: no batches any more; a later first one tells every membership"
            ),
        }
    }
}
