//! An explanation as text, for reading: the answer first, what is behind it below.

use super::{
    Answer, ChangeCause, DestinationWhy, IdWhy, MappingState, NextChange, Realised, Reason,
    RulePart, RuleWhy, TermWhy, TraitWhy, Why,
};
use std::fmt::{self, Display, Formatter};
use tidings_model::{Status, TraitKind, Unsegment, UtcDay};

impl Display for Why {
    /// Several lines, the last without a line break.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self {
            now, segment, name, ..
        } = self;
        let paused = match self.status {
            Status::Active => "",
            Status::Paused => ", paused",
        };
        write!(f, "segment {segment} {name:?}{paused}, as of {now}")?;
        match self.since {
            Some(since) => write!(f, "\n  in since {since}: {}", self.reason)?,
            None => write!(f, "\n  not in: {}", self.reason)?,
        }
        match &self.next {
            Some(next) if next.to => write!(f, "\n  enters by itself {next}")?,
            Some(next) => write!(f, "\n  leaves by itself {next}")?,
            None if self.reason == Reason::Behind => {}
            None => f.write_str("\n  time alone does not change that")?,
        }
        if let Some(device) = &self.device {
            let (seen, evaluated) = (device.last_seen, device.evaluated);
            write!(f, "\n  device: last seen {seen}, evaluated {evaluated}")?;
            if let (Some(sent), Some(refresh)) = (device.last_sent, device.refresh_from) {
                write!(f, "; partners were last told {sent}")?;
                write!(f, ", a sighting from {refresh} on tells everything again")?;
            }
        }
        f.write_str("\n  rule:")?;
        write_rule(f, &self.rule, 4)?;
        if self.destinations.is_empty() {
            return f.write_str("\n  no destination has a mapping of it");
        }
        for destination in &self.destinations {
            write!(f, "\n{destination}")?;
        }
        Ok(())
    }
}

impl Display for Reason {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Holds => f.write_str("the rule holds"),
            Self::Fails => f.write_str("the rule does not hold"),
            Self::KeptByPause => f.write_str(
                "the rule does not hold, but the segment is paused and keeps its members",
            ),
            Self::ClosedByPause => {
                f.write_str("the rule holds, but the segment is paused and takes no new members")
            }
            Self::OptedOut => f.write_str("the device has opted out"),
            Self::Unseen(since) => write!(
                f,
                "the device was last seen {since}, and one unseen for 120 days is in nothing"
            ),
            Self::NeverSeen => f.write_str("nothing is known of the device"),
            Self::Behind => f.write_str(
                "the rule says otherwise by now; the profile is brought up to date in its turn",
            ),
        }
    }
}

impl Display for NextChange {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "at {}: ", self.at)?;
        for (position, cause) in self.causes.iter().enumerate() {
            let and = if position > 0 { ", and " } else { "" };
            write!(f, "{and}{cause}")?;
        }
        Ok(())
    }
}

impl Display for ChangeCause {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimeToLive(id) => write!(f, "the time-to-live of trait {id} ends"),
            Self::Window {
                trait_id,
                day,
                recency,
            } => write!(
                f,
                "the realisations of trait {trait_id} on {day} cross the window {recency}"
            ),
            Self::Unseen => f.write_str("the device has been unseen for 120 days"),
        }
    }
}

fn write_rule(f: &mut Formatter<'_>, rule: &RuleWhy, indent: usize) -> fmt::Result {
    let RuleWhy { text, holds, .. } = rule;
    write!(f, "\n{:indent$}{holds:<5}  {text}", "")?;
    if let RulePart::Term(term) = &rule.part {
        write!(f, "    counts {} {}", term.count, window(term))?;
    }
    if let Some(next) = &rule.next {
        write!(f, "\n{:indent$}       {} {next}", "", next.to)?;
    }
    match &rule.part {
        RulePart::And(parts) | RulePart::Or(parts) => {
            for part in parts {
                write_rule(f, part, indent + 2)?;
            }
        }
        RulePart::Not(part) => write_rule(f, part, indent + 2)?,
        RulePart::Term(term) => {
            for trait_ in &term.traits {
                write_trait(f, trait_, indent + 9)?;
            }
            if term.absent > 0 {
                let absent = term.absent;
                write!(
                    f,
                    "\n{:indent$}         and {absent} more it does not have",
                    ""
                )?;
            }
        }
    }
    Ok(())
}

fn window(term: &TermWhy) -> String {
    let day = |day: Option<UtcDay>| day.map_or_else(String::new, |day| day.to_string());
    match term.window {
        None => "in all".to_owned(),
        Some((from, until)) => format!("in {}..{}", day(from), day(until)),
    }
}

fn write_trait(f: &mut Formatter<'_>, trait_: &TraitWhy, indent: usize) -> fmt::Result {
    let TraitWhy {
        id, name, counted, ..
    } = trait_;
    let kind = match trait_.kind {
        TraitKind::RuleBased => "rule-based",
        TraitKind::Onboarded => "onboarded",
        TraitKind::Folder => "folder",
        TraitKind::ThirdParty => "third-party",
    };
    write!(f, "\n{:indent$}trait {id} {name:?} ({kind}): ", "")?;
    match (&trait_.realised, trait_.kind) {
        (Some(realised), _) => {
            write!(f, "counts {counted}; ")?;
            write_realised(f, realised)?;
        }
        (None, TraitKind::Folder) => write!(f, "counts {counted}")?,
        (None, _) => f.write_str("the device does not have it")?,
    }
    for member in &trait_.members {
        write_trait(f, member, indent + 2)?;
    }
    Ok(())
}

fn write_realised(f: &mut Formatter<'_>, realised: &Realised) -> fmt::Result {
    let Realised { last, older, .. } = realised;
    write!(f, "last realised {last}, ")?;
    match (realised.live_until, realised.live) {
        (None, _) => f.write_str("lives for ever")?,
        (Some(end), true) => write!(f, "lives until {end}")?,
        (Some(end), false) => write!(f, "gone since {end}")?,
    }
    if realised.days.is_empty() {
        return Ok(());
    }
    f.write_str("; by day:")?;
    if *older > 0 {
        let counts = counts(realised.older_counts);
        write!(f, " before{counts} x{older}")?;
    }
    for day in &realised.days {
        let counts = counts(day.counts);
        write!(f, " {}{counts} x{}", day.day, day.count)?;
    }
    Ok(())
}

const fn counts(counts: bool) -> &'static str {
    if counts { "" } else { " (not counted)" }
}

impl Display for DestinationWhy {
    /// Several lines, the last without a line break.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { id, name, .. } = self;
        write!(f, "  destination {id} {name:?}: {}", self.answer)?;
        for mapping in &self.mappings {
            write!(f, "\n    mapping as {:?}: {}", mapping.value, mapping.state)?;
        }
        for id in &self.ids {
            write!(f, "\n    {id}")?;
        }
        if self.ids.is_empty() {
            f.write_str("\n    no id in its namespaces")?;
        }
        match self.unsegment {
            Unsegment::Immediate => {}
            Unsegment::Batch => f.write_str("\n    what time changes waits for the batch")?,
            Unsegment::WhenSeen => {
                f.write_str("\n    what time changes waits until the device is seen")?;
            }
        }
        if let Some(marked) = self.batch_marked {
            let told = if self.batch_told { "1" } else { "no 1, or 0" };
            let next = if marked { "something" } else { "nothing" };
            write!(
                f,
                "\n    its batches last told {told}; the next has {next} to tell"
            )?;
        }
        Ok(())
    }
}

impl Display for IdWhy {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match (self.data_source, self.id.as_str()) {
            (_, "") => f.write_str("blank id")?,
            (Some(source), id) => write!(f, "id {source}/{id:?}")?,
            (None, id) => write!(f, "id {id:?}")?,
        }
        match self.linked {
            true => write!(f, " linked {}", self.linked_at)?,
            false => f.write_str(" not linked")?,
        }
        f.write_str(if self.gets_ones {
            ", gets 1"
        } else {
            ", gets no 1"
        })?;
        if self.told {
            f.write_str(", was told")?;
        }
        if self.owed {
            f.write_str(", is owed 0")?;
        }
        Ok(())
    }
}

impl Display for MappingState {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deliverable => f.write_str("at work"),
            Self::SegmentPaused => f.write_str("the segment is paused"),
            Self::ExportBlocked(block) => write!(f, "blocked by {block}"),
            Self::NotBefore(start) => write!(f, "begins {start}"),
            Self::Ended(end) => write!(f, "ended {end}"),
        }
    }
}

impl Display for Answer {
    /// One line.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Told => "told 1",
            Self::Waiting { one, since, held } => {
                let status = u8::from(*one);
                let how = if *held {
                    "given up and held"
                } else {
                    "waiting or on its way"
                };
                return write!(f, "{status} is {how} since {since}");
            }
            Self::NothingToTell => {
                "nothing to tell: no 1 was sent, or its 0 was acknowledged, or it was left while \
                 nothing of it was sent"
            }
            Self::NotMapped => "not told: it is not mapped to this destination",
            Self::Undeliverable(state) => return write!(f, "not told: {state}"),
            Self::NoId => "not told: the device has no id in its namespaces",
            Self::DestinationPaused => "not told: the destination is paused; what it misses waits",
            Self::GivenUp => "not told: the message was given up; the next change is told again",
            Self::WhenSeen => "not told yet: it waits until the device is seen",
            Self::NextBatch => "not told yet: it goes with the next batch, or what is told before",
            Self::NextSighting => {
                "not told yet: what is mapped was changed, which is told when the device is seen"
            }
            Self::WithNext => "0 is owed and goes with whatever is told next",
            Self::SharedText => {
                "0 is owed, but the device is in another segment with the same text"
            }
            Self::NoTrigger => {
                "not told yet: nothing has changed since it can be; it goes with the next change, \
                 or at a sighting three days after the last message"
            }
        })
    }
}
