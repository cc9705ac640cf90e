//! The mapping `limits`: how many entries of each sort the catalog may have,
//! `{ traits_per_kind, folders, segments, destinations }`.
//!
//! Each has a default, the usual limit of one account, and a ceiling: what a server can bear. Bounds
//! that no catalog can change are in `limits.rs`.

use crate::context::Context;
use crate::fault::Remark;
use crate::record::Record;
use crate::value::Value;
use tidings_model::limits::{
    DESTINATIONS_DEFAULT, DESTINATIONS_MAX, FOLDERS_DEFAULT, FOLDERS_MAX, SEGMENTS_DEFAULT,
    SEGMENTS_MAX, TRAITS_PER_KIND_DEFAULT, TRAITS_PER_KIND_MAX,
};

const KEYS: [&str; 4] = ["traits_per_kind", "folders", "segments", "destinations"];

/// The limits of one catalog.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UsageLimits {
    pub(crate) traits_per_kind: Limit,
    pub(crate) folders: Limit,
    pub(crate) segments: Limit,
    pub(crate) destinations: Limit,
}

/// How many entries of one sort there may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    /// By which the catalog sets it.
    key: &'static str,
    max: u32,
    /// What the catalog may set it to at most.
    ceiling: u32,
}

impl Default for UsageLimits {
    fn default() -> Self {
        let limit = |key, max, ceiling| Limit { key, max, ceiling };
        Self {
            traits_per_kind: limit(
                "traits_per_kind",
                TRAITS_PER_KIND_DEFAULT,
                TRAITS_PER_KIND_MAX,
            ),
            folders: limit("folders", FOLDERS_DEFAULT, FOLDERS_MAX),
            segments: limit("segments", SEGMENTS_DEFAULT, SEGMENTS_MAX),
            destinations: limit("destinations", DESTINATIONS_DEFAULT, DESTINATIONS_MAX),
        }
    }
}

impl UsageLimits {
    /// Reads the mapping; what it does not set keeps its default.
    pub(crate) fn read(value: Value<'_, '_>, ctx: &Context<'_>) -> Option<Self> {
        let record = Record::open(value, &KEYS, ctx)?;
        let mut limits = Self::default();
        for limit in [
            &mut limits.traits_per_kind,
            &mut limits.folders,
            &mut limits.segments,
            &mut limits.destinations,
        ] {
            limit.max = record.or(limit.key, limit.max, |value, ctx| {
                value.number(0..=limit.ceiling, ctx)
            });
        }
        Some(limits)
    }

    /// The highest that a catalog may set.
    pub(crate) fn at_ceilings(self) -> Self {
        let highest = |limit: Limit| Limit {
            max: limit.ceiling,
            ..limit
        };
        Self {
            traits_per_kind: highest(self.traits_per_kind),
            folders: highest(self.folders),
            segments: highest(self.segments),
            destinations: highest(self.destinations),
        }
    }
}

impl Limit {
    /// The sound entries of a list, each read by `read`; more entries than the limit are a fault.
    pub(crate) fn list<'t, T>(
        self,
        value: Value<'t, '_>,
        ctx: &Context<'_>,
        read: impl FnMut(Value<'t, '_>) -> Option<T>,
    ) -> Vec<T> {
        let count = value.node.items().map_or(0, |items| items.len());
        if count > self.max() {
            ctx.fault(value, self.exceeded(&format!("{count} entries")));
        }
        // As many as any limit would allow, or else what refers to one of them had a fault as well.
        value.items(size(self.ceiling), ctx, read)
    }

    /// How many entries there may be.
    pub(crate) const fn max(self) -> usize {
        size(self.max)
    }

    /// What is said of entries that are too many: how many there are, and what raises the limit.
    pub(crate) fn exceeded(self, counted: &str) -> Remark {
        let Self { key, max, ceiling } = self;
        let remark = Remark::new(format!("{counted}, the limit is {max}"));
        if max < ceiling {
            remark.hint(format!("raise `limits.{key}`, to at most {ceiling}"))
        } else {
            remark
        }
    }
}

/// A limit as a number of entries in memory.
pub(crate) const fn size(limit: u32) -> usize {
    limit as usize
}
