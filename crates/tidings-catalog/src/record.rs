//! A mapping with known keys. Unknown and repeated keys are faults; `null` is the same as absent.

use crate::context::Context;
use crate::fault::Remark;
use crate::suggest::{nearest, quote};
use crate::tree::Node;
use crate::value::Value;

/// A mapping whose keys have been checked.
pub(crate) struct Record<'c, 't, 'p, const N: usize> {
    ctx: &'c Context<'c>,
    value: Value<'t, 'p>,
    keys: &'static [&'static str; N],
    entries: [Option<Entry<'t>>; N],
}

#[derive(Clone, Copy)]
struct Entry<'t> {
    key: Node<'t>,
    content: Node<'t>,
}

impl<'c, 't, 'p, const N: usize> Record<'c, 't, 'p, N> {
    /// Opens `value`, which is to be a mapping with some of `keys`.
    pub(crate) fn open(
        value: Value<'t, 'p>,
        keys: &'static [&'static str; N],
        ctx: &'c Context<'c>,
    ) -> Option<Self> {
        let Some(entries) = value.node.entries() else {
            let expected = format!("expected a mapping with {}", keys.join(", "));
            ctx.fault(value, format!("{expected}; found {}", value.found()));
            return None;
        };
        let mut record = Self {
            ctx,
            value,
            keys,
            entries: [None; N],
        };
        for (key, content) in entries {
            record.put(key, content);
        }
        Some(record)
    }

    fn put(&mut self, key: Node<'t>, content: Node<'t>) {
        let at_key = Value {
            node: key,
            path: self.value.path,
        };
        let text = key.text().unwrap_or_default();
        let position = self.keys.iter().position(|known| *known == text);
        let Some(slot) = position.and_then(|position| self.entries.get_mut(position)) else {
            let mut remark = Remark::new(format!("unknown key {}", quote(text)));
            if let Some(word) = nearest(text, self.keys) {
                remark = remark.hint(format!("did you mean `{word}`?"));
            }
            self.ctx.fault(at_key, remark);
            return;
        };
        match slot {
            Some(first) => {
                let line = first.key.place().line;
                let message = format!("`{text}` is already given at line {line}");
                self.ctx.fault(at_key, message);
            }
            None => *slot = Some(Entry { key, content }),
        }
    }

    /// The mapping as a whole.
    pub(crate) const fn value(&self) -> Value<'t, 'p> {
        self.value
    }

    /// The value of `key`, if there is one.
    pub(crate) fn field(&self, key: &'static str) -> Option<Value<'t, '_>> {
        let position = self.keys.iter().position(|known| *known == key)?;
        let node = self.entries.get(position).copied().flatten()?.content;
        (!node.is_null()).then_some(Value {
            node,
            path: self.value.path.key(key),
        })
    }

    /// The value of `key`, which must be there.
    pub(crate) fn required<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(Value<'t, '_>, &Context<'_>) -> Option<T>,
    ) -> Option<T> {
        let Some(value) = self.field(key) else {
            self.ctx.fault(self.value, format!("`{key}` is missing"));
            return None;
        };
        read(value, self.ctx)
    }

    /// The value of `key`; `None` also when it is not sound, which has been reported then.
    pub(crate) fn optional<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(Value<'t, '_>, &Context<'_>) -> Option<T>,
    ) -> Option<T> {
        read(self.field(key)?, self.ctx)
    }

    /// The value of `key`, or `default` when it is absent.
    pub(crate) fn or<T>(
        &self,
        key: &'static str,
        default: T,
        read: impl FnOnce(Value<'t, '_>, &Context<'_>) -> Option<T>,
    ) -> T {
        self.optional(key, read).unwrap_or(default)
    }
}
