//! The ids read so far, to find repeated ones and references to nothing.

use crate::context::Context;
use crate::value::Value;
use std::collections::HashMap;

/// The ids of one kind of entry, each with what others need to know about it.
#[derive(Debug)]
pub(crate) struct Ids<T> {
    /// What the entries are, for messages.
    what: &'static str,
    first: HashMap<u32, First<T>>,
}

#[derive(Debug)]
struct First<T> {
    line: u32,
    about: T,
}

impl<T: Copy> Ids<T> {
    pub(crate) fn new(what: &'static str) -> Self {
        Self {
            what,
            first: HashMap::new(),
        }
    }

    /// Remembers `id`, which is given at `value`; that it is taken is a fault.
    pub(crate) fn claim(&mut self, id: u32, about: T, value: Value<'_, '_>, ctx: &Context<'_>) {
        let line = value.node.place().line;
        match self.first.get(&id) {
            Some(first) => {
                let message = format!("{} {id} is already at line {}", self.what, first.line);
                ctx.fault(value, message);
            }
            None => {
                self.first.insert(id, First { line, about });
            }
        }
    }

    /// What is known about `id`; `None` when there is no such entry.
    pub(crate) fn get(&self, id: u32) -> Option<T> {
        self.first.get(&id).map(|first| first.about)
    }

    /// Reads a reference to one of these entries.
    pub(crate) fn reference(&self, value: Value<'_, '_>, ctx: &Context<'_>) -> Option<u32> {
        let id = value.id(ctx)?;
        self.find(id, value, ctx)
    }

    /// `id`, which `value` refers to, if there is such an entry; otherwise that is a fault.
    pub(crate) fn find(&self, id: u32, value: Value<'_, '_>, ctx: &Context<'_>) -> Option<u32> {
        if self.first.contains_key(&id) {
            return Some(id);
        }
        ctx.fault(value, format!("there is no {} {id}", self.what));
        None
    }
}
