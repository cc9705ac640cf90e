//! Segments: their rules as programs.

use super::{CompileError, Map, join, traits::CompiledTrait};
use tidings_model::{Catalog, SegmentId, Status, TraitId};
use tidings_rules::{RuleError, SegmentProgram, SegmentRule};

#[derive(Debug)]
pub(crate) struct CompiledSegment {
    pub(crate) id: SegmentId,
    pub(crate) program: SegmentProgram,
    pub(crate) status: Status,
}

/// Compiles the rules, and lets every trait know the windows through which they look at it.
pub(super) fn compile_segments(
    catalog: &Catalog,
    traits: &mut Map<TraitId, CompiledTrait>,
) -> Result<Vec<CompiledSegment>, CompileError> {
    let mut segments = Vec::with_capacity(catalog.segments.len());
    for segment in &catalog.segments {
        let wrong = |errors: Vec<RuleError>| CompileError::SegmentRule(segment.id, join(&errors));
        let rule = SegmentRule::parse(&segment.rule).map_err(wrong)?;
        rule.check(|id| traits.get(&id).map(|trait_| trait_.kind))
            .map_err(wrong)?;
        let program = SegmentProgram::new(&rule);
        for window in program.windows() {
            // A window on a folder looks at the realisations of every trait below it.
            let members = traits
                .get(&window.trait_id)
                .map(|trait_| trait_.members.clone());
            for id in members
                .unwrap_or_default()
                .into_iter()
                .chain([window.trait_id])
            {
                if let Some(trait_) = traits.get_mut(&id) {
                    trait_.look_through(window.recency);
                }
            }
        }
        segments.push(CompiledSegment {
            id: segment.id,
            program,
            status: segment.status,
        });
    }
    segments.sort_by_key(|segment| segment.id);
    Ok(segments)
}
