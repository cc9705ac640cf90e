//! Destinations: what is mapped to them, and when.

use super::segments::CompiledSegment;
use std::sync::Arc;
use tidings_model::{
    Catalog, DataSourceId, Destination, DestinationId, ExportBlock, SegmentId, Status, Timestamp,
    Unsegment, Unsynced, UtcDay, planted,
};
use tidings_rules::SegmentExports;

/// What the engine needs of a destination.
#[derive(Debug)]
pub struct CompiledDestination {
    /// Its id.
    pub id: DestinationId,
    /// The namespaces it is told in: those of the catalog, or [`DataSourceId::NONE`] alone.
    pub namespaces: Vec<DataSourceId>,
    pub(crate) mappings: Vec<CompiledMapping>,
    pub(crate) shared_values: bool,
    pub(crate) max_mappings: usize,
    pub(crate) unsynced: Unsynced,
    pub(crate) unsegment: Unsegment,
    /// Whether it takes zeros.
    pub supports_unsegment: bool,
    pub(crate) status: Status,
    /// Whether it gets batches.
    pub batches: bool,
}

#[derive(Debug)]
pub(crate) struct CompiledMapping {
    pub(crate) segment: SegmentId,
    pub(crate) value: Option<Arc<str>>,
    pub(crate) segment_status: Status,
    /// The export control that keeps everything of the segment back, if one does.
    pub(crate) block: Option<ExportBlock>,
    pub(crate) start: Option<Timestamp>,
    pub(crate) end: Option<Timestamp>,
}

impl CompiledDestination {
    /// Whether messages hold ids of this namespace.
    pub(crate) fn tells_in(&self, data_source: DataSourceId) -> bool {
        self.namespaces.contains(&data_source)
    }

    /// The mappings of one segment.
    pub(crate) fn mappings_of(&self, segment: SegmentId) -> &[CompiledMapping] {
        let from = self
            .mappings
            .partition_point(|mapping| mapping.segment < segment);
        let rest = self.mappings.get(from..).unwrap_or_default();
        let count = rest.partition_point(|mapping| mapping.segment == segment);
        rest.get(..count).unwrap_or_default()
    }

    /// The export control that keeps everything about the segment back: neither 1 nor 0 is sent.
    /// `None` also when the segment is not mapped. Of several controls it is the first by control,
    /// data source and trait.
    #[must_use]
    pub fn block_of(&self, segment: SegmentId) -> Option<&ExportBlock> {
        self.mappings_of(segment).first()?.block.as_ref()
    }

    /// The mapped segments that an export control keeps back, ascending, each once.
    ///
    /// # Cost
    /// Linear in the mappings.
    pub fn blocks(&self) -> impl Iterator<Item = (SegmentId, &ExportBlock)> {
        let of_one = self
            .mappings
            .chunk_by(|one, next| one.segment == next.segment);
        of_one.filter_map(|mappings| {
            let first = mappings.first()?;
            Some((first.segment, first.block.as_ref()?))
        })
    }

    /// Whether anything about the segment may be sent now. A paused destination counts as one that
    /// is down: what it is owed adds up and is sent when it is at work again.
    #[must_use]
    pub fn delivers(&self, segment: SegmentId, now: Timestamp) -> bool {
        self.deliverable(segment, now).next().is_some()
    }

    /// The mappings of the segment that are at work now.
    pub(crate) fn deliverable(
        &self,
        segment: SegmentId,
        now: Timestamp,
    ) -> impl Iterator<Item = &CompiledMapping> {
        let mappings = self.mappings_of(segment).iter();
        mappings.filter(move |mapping| mapping.deliverable(now))
    }

    /// Whether anything about the segment may be sent now or on a later day.
    pub(crate) fn will_deliver(&self, segment: SegmentId, now: Timestamp) -> bool {
        self.upcoming(segment, now).next().is_some()
    }

    /// The mappings of the segment that are at work now or will be on a later day.
    pub(crate) fn upcoming(
        &self,
        segment: SegmentId,
        now: Timestamp,
    ) -> impl Iterator<Item = &CompiledMapping> {
        let mappings = self.mappings_of(segment).iter();
        mappings.filter(move |mapping| mapping.is_open() && !mapping.ended(now))
    }

    /// Whether nothing about the segment will ever be sent again by what is mapped now.
    pub(crate) fn ended(&self, segment: SegmentId, now: Timestamp) -> bool {
        let mut mappings = self.mappings_of(segment).iter();
        mappings.all(|mapping| mapping.ended(now))
    }
}

impl CompiledMapping {
    /// Active while start 00:00:00Z <= now < end 00:00:00Z, and its segment is neither paused nor
    /// blocked by an export control.
    pub(crate) fn deliverable(&self, now: Timestamp) -> bool {
        self.is_open() && self.start.is_none_or(|start| start <= now) && !self.ended(now)
    }

    /// Whether, but for its days, anything may be sent by it.
    fn is_open(&self) -> bool {
        let is_blocked = planted!(ExportBlockIgnored, false, self.block.is_some());
        self.segment_status == Status::Active && !is_blocked
    }

    fn ended(&self, now: Timestamp) -> bool {
        let until = planted!(MappingEndInclusive, now.plus_seconds(-86_400), now);
        self.end.is_some_and(|end| end <= until)
    }

    /// Whether, from now on, this one's dates hold whenever the other's do.
    pub(crate) fn covers(&self, other: &Self, now: Timestamp) -> bool {
        let from = other.start.map_or(now, |start| start.max(now));
        let until = |end| other.end.is_some_and(|other| other <= end);
        self.start.is_none_or(|start| start <= from) && self.end.is_none_or(until)
    }

    /// Whether both are sent under the same `Segment_ID`.
    pub(crate) fn has_text_of(&self, other: &Self) -> bool {
        same_text(
            (self.segment, self.value.as_deref()),
            (other.segment, other.value.as_deref()),
        )
    }
}

/// Whether two segments, each with the text of its mapping, are sent under the same `Segment_ID`.
pub(crate) fn same_text(a: (SegmentId, Option<&str>), b: (SegmentId, Option<&str>)) -> bool {
    match (a.1, b.1) {
        (None, None) => a.0 == b.0,
        (Some(a), Some(b)) => a == b,
        (Some(text), None) => text == b.0.to_string(),
        (None, Some(text)) => text == a.0.to_string(),
    }
}

/// Compiles a destination; `segments` are ascending by id.
pub(super) fn compile_destination(
    destination: &Destination,
    segments: &[CompiledSegment],
    exports: &SegmentExports,
) -> CompiledDestination {
    let mut mappings: Vec<_> = destination
        .mappings
        .iter()
        .map(|mapping| CompiledMapping {
            segment: mapping.segment,
            value: mapping.value.as_deref().map(Arc::from),
            segment_status: segments
                .binary_search_by_key(&mapping.segment, |segment| segment.id)
                .ok()
                .and_then(|index| segments.get(index))
                .map_or(Status::Paused, |segment| segment.status),
            block: exports.block(mapping.segment, destination.export_labels),
            start: mapping.start.map(UtcDay::start),
            end: mapping.end.map(UtcDay::start),
        })
        .collect();
    mappings.sort_by_key(|mapping| mapping.segment);
    let mut values: Vec<_> = mappings.iter().map(CompiledMapping::wire_id).collect();
    values.sort_unstable();
    let shared_values = values.windows(2).any(|pair| pair.first() == pair.last());
    let namespaces = if destination.id_data_sources.is_empty() {
        vec![DataSourceId::NONE]
    } else {
        destination.id_data_sources.clone()
    };
    CompiledDestination {
        id: destination.id,
        namespaces,
        mappings,
        shared_values,
        max_mappings: match destination.max_mappings {
            0 => usize::MAX,
            count => count as usize,
        },
        unsynced: destination.unsynced,
        unsegment: destination.unsegment,
        supports_unsegment: planted!(RefusedZerosSent, true, destination.supports_unsegment),
        status: destination.status,
        batches: destination.batch.is_some(),
    }
}

impl CompiledMapping {
    /// What is sent as `Segment_ID`, as text.
    pub(crate) fn wire_id(&self) -> String {
        self.value
            .as_deref()
            .map_or_else(|| self.segment.to_string(), str::to_owned)
    }
}

/// Instants at which a mapping's dates begin or end, ascending, with its segment.
pub(super) fn date_changes(catalog: &Catalog) -> Vec<(Timestamp, SegmentId)> {
    let mappings = catalog
        .destinations
        .iter()
        .flat_map(|destination| &destination.mappings);
    let mut changes: Vec<_> = mappings
        .flat_map(|mapping| {
            let days = [mapping.start, mapping.end].into_iter().flatten();
            days.map(|day| (day.start(), mapping.segment))
        })
        .collect();
    changes.sort_unstable();
    changes
}
