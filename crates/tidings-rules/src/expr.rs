//! The tree that both languages share: AND, OR and NOT over terms.
//!
//! Invariant of a parsed tree: AND and OR have at least two children, no AND is a child of an AND
//! and no OR a child of an OR. So trees that mean the same grouping are equal, and a chain of a
//! hundred thousand ORs is one node instead of a hundred thousand levels.

use std::fmt;

/// A rule as a tree; `T` is the term of the language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expr<T> {
    /// True when every child is.
    And(Vec<Expr<T>>),
    /// True when any child is.
    Or(Vec<Expr<T>>),
    /// True when the child is not.
    Not(Box<Expr<T>>),
    /// A leaf.
    Term(T),
}

impl<T> Expr<T> {
    /// The conjunction of at least one child; nested conjunctions become one.
    pub(crate) fn and(children: Vec<Self>) -> Self {
        Self::joined(children, Self::And, |child| match child {
            Self::And(children) => Ok(children),
            other => Err(other),
        })
    }

    /// The disjunction of at least one child; nested disjunctions become one.
    pub(crate) fn or(children: Vec<Self>) -> Self {
        Self::joined(children, Self::Or, |child| match child {
            Self::Or(children) => Ok(children),
            other => Err(other),
        })
    }

    fn joined(
        children: Vec<Self>,
        join: fn(Vec<Self>) -> Self,
        open: fn(Self) -> Result<Vec<Self>, Self>,
    ) -> Self {
        let mut flat: Vec<Self> = Vec::new();
        for child in children {
            match open(child) {
                // Growing the first list in place keeps `((a OR b) OR c) OR ...` linear.
                Ok(inner) if flat.is_empty() => flat = inner,
                Ok(inner) => flat.extend(inner),
                Err(other) => flat.push(other),
            }
        }
        match <[Self; 1]>::try_from(flat) {
            Ok([only]) => only,
            Err(flat) => join(flat),
        }
    }

    /// The value of the tree when `term` gives the values of the terms.
    ///
    /// Terms are asked from left to right, and only as long as the value is open.
    pub fn holds(&self, term: &mut impl FnMut(&T) -> bool) -> bool {
        match self {
            Self::And(children) => children.iter().all(|child| child.holds(term)),
            Self::Or(children) => children.iter().any(|child| child.holds(term)),
            Self::Not(child) => !child.holds(term),
            Self::Term(leaf) => term(leaf),
        }
    }

    /// The same tree over other terms, made from left to right.
    pub fn map<'a, U>(&'a self, term: &mut impl FnMut(&'a T) -> U) -> Expr<U> {
        match self {
            Self::And(children) => {
                Expr::And(children.iter().map(|child| child.map(term)).collect())
            }
            Self::Or(children) => Expr::Or(children.iter().map(|child| child.map(term)).collect()),
            Self::Not(child) => Expr::Not(Box::new(child.map(term))),
            Self::Term(leaf) => Expr::Term(term(leaf)),
        }
    }

    /// Calls `visit` with every term from left to right.
    pub fn for_each_term<'a>(&'a self, visit: &mut impl FnMut(&'a T)) {
        match self {
            Self::And(children) | Self::Or(children) => {
                for child in children {
                    child.for_each_term(visit);
                }
            }
            Self::Not(child) => child.for_each_term(visit),
            Self::Term(leaf) => visit(leaf),
        }
    }
}

impl<T: fmt::Display> Expr<T> {
    fn write_children(children: &[Self], word: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, child) in children.iter().enumerate() {
            if position > 0 {
                f.write_str(word)?;
            }
            // Only an OR inside an AND binds less tightly than its surroundings.
            match child {
                Self::Or(_) => write!(f, "({child})")?,
                Self::And(_) | Self::Not(_) | Self::Term(_) => fmt::Display::fmt(child, f)?,
            }
        }
        Ok(())
    }
}

impl<T: fmt::Display> fmt::Display for Expr<T> {
    /// With as few parentheses as the grammar allows; parses back to an equal tree.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::And(children) => Self::write_children(children, " AND ", f),
            Self::Or(children) => Self::write_children(children, " OR ", f),
            Self::Not(child) => match child.as_ref() {
                Self::Term(leaf) => write!(f, "NOT {leaf}"),
                inner => write!(f, "NOT ({inner})"),
            },
            Self::Term(leaf) => fmt::Display::fmt(leaf, f),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Random trees as parsing makes them.
    pub(crate) fn arbitrary<T: Clone + fmt::Debug + 'static>(
        term: impl Strategy<Value = Expr<T>> + 'static,
    ) -> impl Strategy<Value = Expr<T>> {
        term.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 2..4).prop_map(Expr::and),
                prop::collection::vec(inner.clone(), 2..4).prop_map(Expr::or),
                inner.prop_map(|inner| Expr::Not(Box::new(inner))),
            ]
        })
    }

    #[test]
    fn groups_of_one_kind_are_flat() {
        let term = Expr::Term;
        let nested = Expr::or(vec![
            Expr::or(vec![term(1), term(2)]),
            Expr::and(vec![term(3)]),
            Expr::or(vec![term(4), Expr::and(vec![term(5), term(6)])]),
        ]);
        assert_eq!(
            nested,
            Expr::Or(vec![
                term(1),
                term(2),
                term(3),
                term(4),
                Expr::And(vec![term(5), term(6)])
            ])
        );
    }
}
