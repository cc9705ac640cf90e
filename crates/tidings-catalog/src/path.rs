//! The way to a value, such as `segments[2].rule`: a chain on the stack, written out only for a fault.

use std::fmt;

/// The last step to a value and, through `parent`, the ones before it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Path<'p> {
    parent: Option<&'p Path<'p>>,
    step: Step,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Root,
    Key(&'static str),
    Index(usize),
}

impl<'p> Path<'p> {
    pub(crate) const ROOT: Self = Path {
        parent: None,
        step: Step::Root,
    };

    pub(crate) const fn key(&'p self, key: &'static str) -> Path<'p> {
        Path {
            parent: Some(self),
            step: Step::Key(key),
        }
    }

    pub(crate) const fn index(&'p self, index: usize) -> Path<'p> {
        Path {
            parent: Some(self),
            step: Step::Index(index),
        }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            fmt::Display::fmt(parent, f)?;
        }
        match self.step {
            Step::Root => Ok(()),
            Step::Index(index) => write!(f, "[{index}]"),
            Step::Key(key) => match self.parent.map(|parent| parent.step) {
                None | Some(Step::Root) => f.write_str(key),
                Some(Step::Key(_) | Step::Index(_)) => write!(f, ".{key}"),
            },
        }
    }
}
