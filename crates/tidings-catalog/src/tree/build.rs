//! Builds the tree from the events of the YAML parser.
//!
//! Refused here, before anything is read: a second document, anchors and aliases (so nothing can be
//! multiplied), tags, keys that are not text, nesting and numbers of values beyond the limits.
//! Repeated keys are found where mappings are read, since only there the path is known.
//!
//! The parser holds back the pieces of a `{…}` or `[…]` that may still turn out to be a key until
//! it closes. That is nothing for an entry of a list, and much for a whole file in JSON form: hence
//! a limit of its own for those.

use super::{Kind, Place, Raw, Tree};
use crate::limits::{DEPTH_MAX, JSON_BYTES_MAX, NODES_MAX};
use saphyr_parser::{Event, Parser, ScalarStyle, Span};

/// Why a text has no tree. The place is that of the first problem; the rest is not looked at.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BuildError {
    pub(crate) place: Place,
    pub(crate) message: String,
    pub(crate) hint: Option<&'static str>,
}

/// Parses one document. A text without any value gives a tree without a root.
pub(crate) fn build(text: &str) -> Result<Tree, BuildError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim_start().starts_with(['{', '[']) && text.len() > JSON_BYTES_MAX {
        return Err(BuildError {
            place: Place::default(),
            message: format!(
                "{} bytes of JSON, the limit is {JSON_BYTES_MAX}",
                text.len()
            ),
            hint: Some("write it as YAML, with each key on its own line"),
        });
    }
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| BuildError {
            place: place(*error.marker()),
            message: format!("not valid YAML: {}", error.info()),
            hint: None,
        })?;
        builder.apply(event, span)?;
    }
    Ok(builder.tree)
}

struct Builder {
    tree: Tree,
    /// Indexes of the collections that are open.
    open: Vec<usize>,
    documents: usize,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            tree: Tree {
                nodes: Vec::new(),
                text: String::new(),
            },
            open: Vec::new(),
            documents: 0,
        }
    }
}

impl Builder {
    fn apply(&mut self, event: Event<'_>, span: Span) -> Result<(), BuildError> {
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(refuse(
                        span,
                        "a second document begins here",
                        "write one document, without `---` inside",
                    ));
                }
                Ok(())
            }
            Event::Alias(_) => Err(refuse_anchor(span)),
            Event::Scalar(text, style, anchor, tag) => {
                refuse_extras(span, anchor, tag.is_some())?;
                self.scalar(&text, style, span)
            }
            Event::SequenceStart(anchor, tag) => {
                refuse_extras(span, anchor, tag.is_some())?;
                self.start(Kind::Sequence, span)
            }
            Event::MappingStart(anchor, tag) => {
                refuse_extras(span, anchor, tag.is_some())?;
                self.start(Kind::Mapping, span)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                self.end();
                Ok(())
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
        }
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, span: Span) -> Result<(), BuildError> {
        let kind = match style {
            ScalarStyle::Plain => Kind::Plain,
            ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => Kind::Quoted,
            ScalarStyle::Literal => Kind::Literal,
            ScalarStyle::Folded => Kind::Folded,
        };
        // An escape or a folded line break makes the text and its span differ in length.
        let quotes = if kind == Kind::Quoted { 2 } else { 0 };
        let verbatim = matches!(kind, Kind::Plain | Kind::Quoted)
            && span.start.line() == span.end.line()
            && span.len() == text.chars().count() + quotes;
        let start = self.position(self.tree.text.len(), span)?;
        self.tree.text.push_str(text);
        let end = self.position(self.tree.text.len(), span)?;
        self.push(Raw {
            place: place(span.start),
            kind,
            verbatim,
            start,
            end,
        })
    }

    fn start(&mut self, kind: Kind, span: Span) -> Result<(), BuildError> {
        if self.open.len() >= DEPTH_MAX {
            return Err(refuse(
                span,
                format!("nested deeper than {DEPTH_MAX} levels"),
                None,
            ));
        }
        if self.at_key() {
            return Err(refuse(span, "a key must be plain text", None));
        }
        let index = self.tree.nodes.len();
        self.push(Raw {
            place: place(span.start),
            kind,
            verbatim: false,
            start: 0,
            end: 0,
        })?;
        self.open.push(index);
        Ok(())
    }

    /// True when the next value is a key of the innermost collection.
    fn at_key(&self) -> bool {
        self.open
            .last()
            .and_then(|index| self.tree.nodes.get(*index))
            .is_some_and(|raw| raw.kind == Kind::Mapping && raw.start.is_multiple_of(2))
    }

    fn push(&mut self, raw: Raw) -> Result<(), BuildError> {
        if self.tree.nodes.len() >= NODES_MAX {
            return Err(BuildError {
                place: raw.place,
                message: format!("more than {NODES_MAX} keys and values"),
                hint: None,
            });
        }
        let parent = self.open.last().copied();
        if let Some(parent) = parent.and_then(|index| self.tree.nodes.get_mut(index)) {
            parent.start += 1;
        }
        self.tree.nodes.push(raw);
        Ok(())
    }

    fn end(&mut self) {
        // The limit on nodes is far below 2^32.
        let end = u32::try_from(self.tree.nodes.len()).unwrap_or(u32::MAX);
        let index = self.open.pop();
        if let Some(raw) = index.and_then(|index| self.tree.nodes.get_mut(index)) {
            raw.end = end;
        }
    }

    fn position(&self, position: usize, span: Span) -> Result<u32, BuildError> {
        u32::try_from(position).map_err(|_| refuse(span, "more than 4 GiB of text", None))
    }
}

fn refuse(
    span: Span,
    message: impl Into<String>,
    hint: impl Into<Option<&'static str>>,
) -> BuildError {
    BuildError {
        place: place(span.start),
        message: message.into(),
        hint: hint.into(),
    }
}

fn refuse_anchor(span: Span) -> BuildError {
    refuse(
        span,
        "anchors and aliases are not supported",
        "write the value out; quote text that begins with `&` or `*`",
    )
}

fn refuse_extras(span: Span, anchor: usize, tagged: bool) -> Result<(), BuildError> {
    if anchor != 0 {
        return Err(refuse_anchor(span));
    }
    if tagged {
        return Err(refuse(
            span,
            "tags are not supported",
            "quote text that begins with `!`",
        ));
    }
    Ok(())
}

fn place(marker: saphyr_parser::Marker) -> Place {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Place {
        line: number(marker.line()),
        column: number(marker.col().saturating_add(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Node;

    fn show(node: Node<'_>, out: &mut String) {
        let Place { line, column } = node.place();
        out.push_str(&format!("{line}:{column}"));
        if let Some(text) = node.text() {
            out.push_str(&format!(" {text:?} "));
        } else if let Some(items) = node.items() {
            out.push_str(" [ ");
            items.for_each(|item| show(item, out));
            out.push_str("] ");
        } else if let Some(entries) = node.entries() {
            out.push_str(" { ");
            entries.for_each(|(key, value)| {
                show(key, out);
                show(value, out);
            });
            out.push_str("} ");
        }
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let shown = match build(text) {
            Ok(tree) => {
                let mut out = String::new();
                if let Some(root) = tree.root() {
                    show(root, &mut out);
                }
                out.trim_end().to_owned()
            }
            Err(error) => format!(
                "{}:{} {}",
                error.place.line, error.place.column, error.message
            ),
        };
        assert_eq!(shown, expected);
    }

    #[test]
    fn every_value_knows_its_place() {
        check(
            "a: 1\nb:\n  - x\n  - {y: 'z'}\n",
            r#"1:1 { 1:1 "a" 1:4 "1" 2:1 "b" 3:3 [ 3:5 "x" 4:5 { 4:6 "y" 4:9 "z" } ] }"#,
        );
        check(
            "{\"a\": [1, 2]}",
            r#"1:1 { 1:2 "a" 1:7 [ 1:8 "1" 1:11 "2" ] }"#,
        );
        check("\u{feff}a: é", r#"1:1 { 1:1 "a" 1:4 "é" }"#);
        check("# nothing\n", "");
        check("", "");
    }

    #[test]
    fn refuses_what_multiplies_or_confuses() {
        check("a: &x 1", "1:4 anchors and aliases are not supported");
        check(
            "a: &x [1]\nb: *x",
            "1:4 anchors and aliases are not supported",
        );
        check("a: !!str 1", "1:4 tags are not supported");
        check("a: 1\n---\nb: 2\n", "2:1 a second document begins here");
        check("[a]: 1", "1:1 a key must be plain text");
        check(
            "a: [1, 2",
            "2:1 not valid YAML: while parsing a flow sequence, expected ',' or ']'",
        );
        check(&"[".repeat(100), "1:65 nested deeper than 64 levels");
    }

    #[track_caller]
    fn check_offset(text: &str, offset: usize, expected: (u32, u32)) {
        let tree = build(text).unwrap();
        let value = tree.root().unwrap().entries().unwrap().next().unwrap().1;
        let place = value.place_of(offset);
        assert_eq!((place.line, place.column), expected, "{text}");
    }

    #[test]
    fn places_inside_text_are_found() {
        check_offset("r: abc def  # why\n", 4, (1, 8));
        check_offset("r: 'abc def'\n", 4, (1, 9));
        check_offset("r: \"é b\"\n", 3, (1, 7));
        check_offset("r: \"a\\\"b c\"\n", 4, (1, 4));
        check_offset("r: |\n  ab\n  cd\n", 0, (2, 3));
        check_offset("r: |\n  ab\n  cd\n", 4, (3, 4));
        check_offset("r: |\n\n  ab\n\n  cd\n", 5, (5, 3));
        check_offset("r: >\n  ab\n  cd\n", 3, (2, 3));
        check_offset("r: 'ab\n  cd'\n", 3, (1, 4));
    }
}
