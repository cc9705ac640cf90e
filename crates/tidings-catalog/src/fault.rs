//! Faults: what is wrong in a catalog, and where; and the bounded list they are gathered in.

use crate::{limits::FAULTS_MAX, path::Path, tree::Place};
use std::{cell::RefCell, fmt};

/// One mistake in a catalog file, or one thing worth a warning.
///
/// `Display` is `catalog.yaml:17: segments[2].rule: message (hint)`, followed by the excerpt, if
/// there is one, on two lines of its own. It never shows the value of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file, as it was named by the caller.
    pub file: String,
    /// The line, from 1; 0 when the fault is of the file as a whole.
    pub line: u32,
    /// The column in characters, from 1; 0 when the fault is of the file as a whole.
    pub column: u32,
    /// The way to the value, such as `segments[2].rule`; empty for the file as a whole.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What may help.
    pub hint: Option<String>,
    /// The line of a rule in which the fault is.
    pub excerpt: Option<Excerpt>,
}

/// Part of a rule, and the place in it that an error is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    /// One line of text, or the part of it around the place.
    pub text: String,
    /// How many characters of `text` come before the place.
    pub caret: usize,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        if !self.path.is_empty() {
            write!(f, ": {}", self.path)?;
        }
        write!(f, ": {}", self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, " ({hint})")?;
        }
        if let Some(excerpt) = &self.excerpt {
            write!(
                f,
                "\n    {}\n    {:caret$}^",
                excerpt.text,
                "",
                caret = excerpt.caret
            )?;
        }
        Ok(())
    }
}

/// The faults and warnings found so far.
///
/// It is shared by the readers of all levels, each of which borrows parts of the tree; hence the
/// cells instead of a mutable reference.
#[derive(Debug)]
pub(crate) struct Report<'s> {
    file: &'s str,
    faults: RefCell<Bounded>,
    warnings: RefCell<Bounded>,
}

#[derive(Debug, Default)]
struct Bounded {
    list: Vec<Fault>,
    more: usize,
}

/// What a reader says about one place.
#[derive(Debug)]
pub(crate) struct Remark {
    message: String,
    hint: Option<String>,
    excerpt: Option<Excerpt>,
}

impl<M: Into<String>> From<M> for Remark {
    fn from(message: M) -> Self {
        Self {
            message: message.into(),
            hint: None,
            excerpt: None,
        }
    }
}

impl Remark {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        message.into().into()
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn excerpt(mut self, excerpt: Excerpt) -> Self {
        self.excerpt = Some(excerpt);
        self
    }
}

impl<'s> Report<'s> {
    pub(crate) fn new(file: &'s str) -> Self {
        Self {
            file,
            faults: RefCell::default(),
            warnings: RefCell::default(),
        }
    }

    pub(crate) fn fault(&self, place: Place, path: Path<'_>, remark: Remark) {
        self.push(&self.faults, place, path, remark);
    }

    pub(crate) fn warn(&self, place: Place, path: Path<'_>, remark: Remark) {
        self.push(&self.warnings, place, path, remark);
    }

    /// The faults and the warnings, each in the order of the file.
    pub(crate) fn finish(self) -> (Vec<Fault>, Vec<Fault>) {
        let file = self.file;
        let finish = |gathered: RefCell<Bounded>| gathered.into_inner().finish(file);
        (finish(self.faults), finish(self.warnings))
    }

    fn push(&self, to: &RefCell<Bounded>, place: Place, path: Path<'_>, remark: Remark) {
        let mut to = to.borrow_mut();
        if to.list.len() >= FAULTS_MAX {
            to.more += 1;
            return;
        }
        to.list.push(Fault {
            file: self.file.to_owned(),
            line: place.line,
            column: place.column,
            path: path.to_string(),
            message: remark.message,
            hint: remark.hint,
            excerpt: remark.excerpt,
        });
    }
}

impl Bounded {
    fn finish(mut self, file: &str) -> Vec<Fault> {
        self.list.sort_by_key(|fault| (fault.line, fault.column));
        if self.more > 0 {
            self.list.push(Fault {
                file: file.to_owned(),
                line: 0,
                column: 0,
                path: String::new(),
                message: format!("and {} more", self.more),
                hint: None,
                excerpt: None,
            });
        }
        self.list
    }
}
