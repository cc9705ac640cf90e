//! Segment expressions in the form in which they are evaluated: a flat list of tests, each with the
//! place to go on with when it is true and when it is false.
//!
//! There are no AND, OR and NOT left to interpret and no stack: an evaluation makes each test at most
//! once, skips what cannot change the value, and allocates nothing.
//! Invariant: every jump leads to an earlier node, so an evaluation ends. It starts at the last.

use crate::expr::Expr;
use crate::segment_rule::{FrequencyOp, Recency, RecencyOp, SegmentRule, SegmentTerm, days_i32};
use tidings_model::{TraitId, UtcDay};

/// What a profile knows about the realisations of a trait. All are 0 for a trait that is not live.
pub trait Realizations {
    /// All realisations.
    fn total(&self, trait_id: TraitId) -> u64;
    /// Those of this day or a later one.
    fn on_or_after(&self, trait_id: TraitId, day: UtcDay) -> u64;
    /// Those of this day or an earlier one.
    fn on_or_before(&self, trait_id: TraitId, day: UtcDay) -> u64;
}

/// A compiled segment expression: about 40 bytes per term and 8 per trait.
#[derive(Clone, Debug)]
pub struct SegmentProgram {
    nodes: Box<[Node]>,
    /// The lists of all nodes, one after the other.
    lists: Box<[TraitId]>,
    /// Sorted and distinct.
    traits: Box<[TraitId]>,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    /// The traits that are counted: `list..list + list_length` of the lists.
    list: u32,
    list_length: u32,
    recency: Option<Recency>,
    op: FrequencyOp,
    threshold: u32,
    /// The node to go on with when the test is true, or the answer.
    on_true: u32,
    on_false: u32,
}

/// Targets that are answers.
const TRUE: u32 = u32::MAX;
const FALSE: u32 = u32::MAX - 1;

/// A trait whose realisations are looked at through a window of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// The trait.
    pub trait_id: TraitId,
    /// Which realisations count.
    pub recency: Recency,
}

impl Window {
    /// The first day on which a realisation of `day` counts differently from `day` itself: it leaves
    /// a `<=` window `n + 1` days later and enters a `>=` window `n` days later.
    #[must_use]
    pub fn changes_on(&self, day: UtcDay) -> UtcDay {
        let days = days_i32(self.recency.days);
        match self.recency.op {
            RecencyOp::AtMost => day.plus_days(days).plus_days(1),
            RecencyOp::AtLeast => day.plus_days(days),
        }
    }
}

impl SegmentProgram {
    /// Compiles a rule, which should have passed [`SegmentRule::check`].
    #[must_use]
    pub fn new(rule: &SegmentRule) -> Self {
        let mut compiler = Compiler::default();
        compiler.emit(rule.expr(), TRUE, FALSE);
        let mut traits = compiler.lists.clone();
        traits.sort_unstable();
        traits.dedup();
        Self {
            nodes: compiler.nodes.into(),
            lists: compiler.lists.into(),
            traits: traits.into(),
        }
    }

    /// Whether a profile is in the segment on this day. Allocates nothing.
    pub fn evaluate(&self, today: UtcDay, profile: &impl Realizations) -> bool {
        let mut next = position(self.nodes.len().saturating_sub(1));
        while let Some(node) = self.nodes.get(next as usize) {
            next = if self.holds(node, today, profile) {
                node.on_true
            } else {
                node.on_false
            };
        }
        next == TRUE
    }

    fn holds(&self, node: &Node, today: UtcDay, profile: &impl Realizations) -> bool {
        let threshold = u64::from(node.threshold);
        let mut count = 0u64;
        for &trait_id in self.list(node) {
            count = count.saturating_add(Recency::count(node.recency, today, profile, trait_id));
            // Counts only grow, so the answer is often known before the end of the list.
            match node.op {
                FrequencyOp::AtLeast if count >= threshold => return true,
                FrequencyOp::AtMost | FrequencyOp::Equal if count > threshold => return false,
                _ => {}
            }
        }
        node.op.holds(count, node.threshold)
    }

    fn list(&self, node: &Node) -> &[TraitId] {
        let start = node.list as usize;
        self.lists
            .get(start..start + node.list_length as usize)
            .unwrap_or_default()
    }

    /// The traits the expression reads, sorted, each once. For all others its value is the same.
    #[must_use]
    pub fn traits(&self) -> &[TraitId] {
        &self.traits
    }

    /// The windows through which traits are looked at; one may occur more than once. They tell how
    /// many days of history each trait needs, and when time alone can change the value.
    pub fn windows(&self) -> impl Iterator<Item = Window> {
        self.nodes.iter().flat_map(|node| {
            node.recency.into_iter().flat_map(|recency| {
                self.list(node)
                    .iter()
                    .map(move |&trait_id| Window { trait_id, recency })
            })
        })
    }

    /// Bytes on the heap.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        size_of_val(&*self.nodes) + size_of_val(&*self.lists) + size_of_val(&*self.traits)
    }
}

#[derive(Default)]
struct Compiler {
    nodes: Vec<Node>,
    lists: Vec<TraitId>,
}

impl Compiler {
    /// Adds the nodes of an expression that goes on with these targets, and returns its entry.
    ///
    /// The last child comes first, so that the entry of what follows is known when it is needed.
    fn emit(&mut self, expr: &Expr<SegmentTerm>, on_true: u32, on_false: u32) -> u32 {
        match expr {
            Expr::Term(term) => self.node(term, on_true, on_false),
            Expr::Not(child) => self.emit(child, on_false, on_true),
            Expr::And(children) => children.iter().rev().fold(on_true, |following, child| {
                self.emit(child, following, on_false)
            }),
            Expr::Or(children) => children.iter().rev().fold(on_false, |following, child| {
                self.emit(child, on_true, following)
            }),
        }
    }

    fn node(&mut self, term: &SegmentTerm, on_true: u32, on_false: u32) -> u32 {
        let list = position(self.lists.len());
        self.lists.extend_from_slice(term.traits());
        let (op, threshold) = term.comparison();
        self.nodes.push(Node {
            list,
            list_length: position(term.traits().len()),
            recency: term.recency(),
            op,
            threshold,
            on_true,
            on_false,
        });
        position(self.nodes.len() - 1)
    }
}

fn position(index: usize) -> u32 {
    u32::try_from(index).expect("a rule of limited length has fewer than 2^32 terms")
}

#[cfg(test)]
pub(crate) mod tests;
