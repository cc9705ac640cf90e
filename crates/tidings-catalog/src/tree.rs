//! The file as a tree of values that know their place.
//!
//! Layout: one array of nodes in the order of the file and one buffer of text. A collection is
//! followed by all that is in it; `end` is the index after the last of it, so that a reader can
//! step over it. A catalog of 100,000 traits has a million nodes: 20 bytes each and no allocation
//! of its own for any of them.
//!
//! Invariant: the text is well-formed UTF-8 cut at the bounds of scalars; positions fit in 32 bits
//! since the file does.

mod build;

pub(crate) use build::build;

/// A place in the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// From 1; 0 for the file as a whole.
    pub(crate) line: u32,
    /// In characters, from 1; 0 for the file as a whole.
    pub(crate) column: u32,
}

/// What kind of value a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Text without quotes: also numbers, `true` and nothing at all.
    Plain,
    /// Text in single or double quotes.
    Quoted,
    /// Text after `|`, line by line as it stands.
    Literal,
    /// Text after `>`.
    Folded,
    /// A list.
    Sequence,
    /// Keys and values, by turns.
    Mapping,
}

#[derive(Debug)]
struct Raw {
    place: Place,
    kind: Kind,
    /// For text: it stands on one line of the file exactly as it reads.
    verbatim: bool,
    /// For text: where it starts in the buffer. For a collection: the number of nodes directly in it.
    start: u32,
    /// For text: its end in the buffer. For a collection: the index of the node after it.
    end: u32,
}

/// All values of one file. The node 0 is the outermost one.
#[derive(Debug)]
pub(crate) struct Tree {
    nodes: Vec<Raw>,
    text: String,
}

impl Tree {
    pub(crate) fn root(&self) -> Option<Node<'_>> {
        self.node(0)
    }

    fn node(&self, index: usize) -> Option<Node<'_>> {
        let raw = self.nodes.get(index)?;
        Some(Node {
            tree: self,
            index,
            raw,
        })
    }
}

/// One value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node<'t> {
    tree: &'t Tree,
    index: usize,
    raw: &'t Raw,
}

impl<'t> Node<'t> {
    pub(crate) const fn place(self) -> Place {
        self.raw.place
    }

    pub(crate) const fn kind(self) -> Kind {
        self.raw.kind
    }

    /// The text of a scalar; `None` for a collection.
    pub(crate) fn text(self) -> Option<&'t str> {
        match self.raw.kind {
            Kind::Sequence | Kind::Mapping => None,
            Kind::Plain | Kind::Quoted | Kind::Literal | Kind::Folded => self
                .tree
                .text
                .get(self.raw.start as usize..self.raw.end as usize),
        }
    }

    /// True for what YAML reads as "no value".
    pub(crate) fn is_null(self) -> bool {
        self.raw.kind == Kind::Plain
            && matches!(self.text(), Some("" | "~" | "null" | "Null" | "NULL"))
    }

    /// The nodes directly in a collection: items of a sequence, keys and values of a mapping.
    fn children(self) -> Children<'t> {
        let is_collection = matches!(self.raw.kind, Kind::Sequence | Kind::Mapping);
        Children {
            tree: self.tree,
            next: self.index + 1,
            left: if is_collection { self.raw.start } else { 0 },
        }
    }

    /// The items of a sequence; `None` for anything else.
    pub(crate) fn items(self) -> Option<impl ExactSizeIterator<Item = Node<'t>>> {
        (self.raw.kind == Kind::Sequence).then(|| self.children())
    }

    /// The keys of a mapping and their values; `None` for anything else.
    pub(crate) fn entries(self) -> Option<impl Iterator<Item = (Node<'t>, Node<'t>)>> {
        if self.raw.kind != Kind::Mapping {
            return None;
        }
        let mut children = self.children();
        Some(std::iter::from_fn(move || {
            Some((children.next()?, children.next()?))
        }))
    }

    /// Where the byte `offset` of a scalar's text stands in the file, as exactly as can be told
    /// without reading the file again.
    pub(crate) fn place_of(self, offset: usize) -> Place {
        let Place { line, column } = self.raw.place;
        let Some(before) = self.text().and_then(|text| text.get(..offset)) else {
            return self.raw.place;
        };
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        match self.raw.kind {
            Kind::Plain | Kind::Quoted if self.raw.verbatim => {
                let quote = u32::from(self.raw.kind == Kind::Quoted);
                Place {
                    line,
                    column: column + quote + count(before.chars().count()),
                }
            }
            // The place is that of the first line with content; every line begins in its column.
            Kind::Literal => {
                let breaks = before.matches('\n').count();
                let blank = before.bytes().take_while(|byte| *byte == b'\n').count();
                let last_line = before.rsplit('\n').next().unwrap_or_default();
                Place {
                    line: line + count(breaks - blank),
                    column: column + count(last_line.chars().count()),
                }
            }
            _ => self.raw.place,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Children<'t> {
    tree: &'t Tree,
    next: usize,
    left: u32,
}

impl<'t> Iterator for Children<'t> {
    type Item = Node<'t>;

    fn next(&mut self) -> Option<Node<'t>> {
        self.left = self.left.checked_sub(1)?;
        let node = self.tree.node(self.next)?;
        self.next = match node.raw.kind {
            Kind::Sequence | Kind::Mapping => node.raw.end as usize,
            Kind::Plain | Kind::Quoted | Kind::Literal | Kind::Folded => self.next + 1,
        };
        Some(node)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left as usize, Some(self.left as usize))
    }
}

impl ExactSizeIterator for Children<'_> {}
