//! Events: what a device did, and the ids it was seen under.

use crate::{DataSourceId, DeviceUuid, RegionId, Timestamp, TraitId};

/// One event of one device, already validated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// The device, when the sender knows it; otherwise it is found through `ids`.
    pub uuid: Option<DeviceUuid>,
    /// When it happened; `None` means now.
    pub time: Option<Timestamp>,
    /// The edge region that saw it.
    pub region: Option<RegionId>,
    /// Key-value pairs that trait rules read.
    pub signals: Signals,
    /// Traits realised by id.
    pub traits: Vec<TraitId>,
    /// Traits removed by id; removals act before realisations.
    pub remove_traits: Vec<TraitId>,
    /// Declared ids to link to the device.
    pub ids: Vec<DeclaredId>,
    /// The sender's own id of the event, for dropping duplicates.
    pub event_id: Option<Box<str>>,
}

/// An id that a partner or the operator declared for the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclaredId {
    /// The namespace of the id.
    pub data_source: DataSourceId,
    /// Opaque, case-sensitive text.
    pub id: Box<str>,
    /// Whether the person behind the id was logged in.
    pub state: AuthState,
}

/// Authentication state of a declared id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AuthState {
    /// 0
    Unknown,
    /// 1, and what a missing state means.
    #[default]
    Authenticated,
    /// 2
    LoggedOut,
}

/// The signals of one event: pairs of key and value, sorted by key; a key may have many values.
///
/// All text lies in one buffer, so an event with many signals costs two allocations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signals {
    text: String,
    pairs: Vec<Pair>,
}

/// Byte positions in the buffer: the key is `start..value`, the value `value..end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pair {
    start: u32,
    value: u32,
    end: u32,
}

impl Signals {
    /// Adds one value of `key`, keeping the pairs sorted by key and values in the order they came.
    ///
    /// Returns false, changing nothing, when the buffer would grow past 4 GiB; callers limit events
    /// to far less.
    pub fn push(&mut self, key: &str, value: &str) -> bool {
        let start = self.text.len();
        let Ok(end) = u32::try_from(start + key.len() + value.len()) else {
            return false;
        };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "not above `end`, which fits"
        )]
        let pair = Pair {
            start: start as u32,
            value: (start + key.len()) as u32,
            end,
        };
        self.text.push_str(key);
        self.text.push_str(value);
        let sorted = self.pairs.last().is_none_or(|last| self.key(last) <= key);
        if sorted {
            self.pairs.push(pair);
        } else {
            let place = self.pairs.partition_point(|other| self.key(other) <= key);
            self.pairs.insert(place, pair);
        }
        true
    }

    /// Number of pairs.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// True when there is no signal.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// All pairs, sorted by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs
            .iter()
            .map(|pair| (self.key(pair), self.value(pair)))
    }

    /// The values of `key`, in the order they came; none when the key is absent.
    pub fn values<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        let from = self.pairs.partition_point(|pair| self.key(pair) < key);
        let rest = self.pairs.get(from..).unwrap_or_default();
        let count = rest.partition_point(|pair| self.key(pair) == key);
        rest.iter().take(count).map(|pair| self.value(pair))
    }

    fn key(&self, pair: &Pair) -> &str {
        self.text
            .get(pair.start as usize..pair.value as usize)
            .unwrap_or_default()
    }

    fn value(&self, pair: &Pair) -> &str {
        self.text
            .get(pair.value as usize..pair.end as usize)
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_by_key() {
        let mut signals = Signals::default();
        for (key, value) in [("page", "a"), ("area", "x"), ("page", "b"), ("pager", "c")] {
            assert!(signals.push(key, value));
        }
        assert_eq!(signals.values("page").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(signals.values("area").collect::<Vec<_>>(), ["x"]);
        assert_eq!(signals.values("absent").count(), 0);
        let keys: Vec<_> = signals.iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["area", "page", "page", "pager"]);
    }
}
