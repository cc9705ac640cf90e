//! The section `data_sources`: `- { id, name, kind, integration_code, export_controls }`.

use crate::built_in::{BUILT_IN_DATA_SOURCES, BUILT_IN_KIND, is_built_in};
use crate::context::Context;
use crate::export;
use crate::known::Ids;
use crate::record::Record;
use crate::suggest::quote;
use crate::value::{self, Value};
use std::collections::HashMap;
use tidings_model::{DataSource, DataSourceId, DataSourceKind, ExportUses};

const KEYS: [&str; 5] = ["id", "name", "kind", "integration_code", "export_controls"];
const KINDS: [(&str, DataSourceKind); 3] = [
    ("cookie", DataSourceKind::Cookie),
    ("device", DataSourceKind::Device),
    ("cross_device", DataSourceKind::CrossDevice),
];

/// The data sources declared in a catalog, by id, and the built-in ones.
#[derive(Debug)]
pub(crate) struct KnownDataSources {
    ids: Ids<()>,
    /// The line of each integration code.
    codes: HashMap<String, u32>,
}

impl KnownDataSources {
    pub(crate) fn new() -> Self {
        Self {
            ids: Ids::new("data source"),
            codes: HashMap::new(),
        }
    }

    /// Reads a reference to a data source.
    pub(crate) fn reference(
        &self,
        value: Value<'_, '_>,
        ctx: &Context<'_>,
    ) -> Option<DataSourceId> {
        let id = value.id(ctx)?;
        if is_built_in(DataSourceId(id)) {
            return Some(DataSourceId(id));
        }
        self.ids.find(id, value, ctx).map(DataSourceId)
    }

    /// Reads an integration code; that it is taken is a fault.
    fn code(&mut self, value: Value<'_, '_>, ctx: &Context<'_>) -> Option<String> {
        let code = value::name(value, ctx)?;
        let line = value.node.place().line;
        if let Some(first) = self.codes.get(&code) {
            let code = quote(&code);
            let message = format!("integration code {code} is already at line {first}");
            ctx.fault(value, message);
            return None;
        }
        self.codes.insert(code.clone(), line);
        Some(code)
    }
}

/// Reads one data source; `None` also for a built-in one, which needs no entry unless it has export
/// controls or an integration code.
pub(crate) fn read(
    value: Value<'_, '_>,
    known: &mut KnownDataSources,
    ctx: &Context<'_>,
) -> Option<DataSource> {
    let record = Record::open(value, &KEYS, ctx)?;
    let id = record.required("id", |value, ctx| {
        let id = value.id(ctx)?;
        known.ids.claim(id, (), value, ctx);
        Some(DataSourceId(id))
    });
    let name = record.required("name", value::name);
    let kind = record.optional("kind", |value, ctx| value.choice(&KINDS, ctx));
    let integration_code = record.optional("integration_code", |value, ctx| known.code(value, ctx));
    let export_controls = record.or("export_controls", ExportUses::default(), export::controls);
    let id = id?;
    let built_in = BUILT_IN_DATA_SOURCES.iter().find(|(known, _)| *known == id);
    if let Some((_, what)) = built_in {
        let is_idle = export_controls.is_empty() && integration_code.is_none();
        let message = format!("data source {id} is built in: {what}");
        if kind.is_some_and(|kind| kind != BUILT_IN_KIND) {
            ctx.fault(value, format!("{message}, of the kind device"));
        } else if is_idle {
            ctx.warn(value, format!("{message}; this entry changes nothing"));
        }
        if is_idle {
            return None;
        }
    }
    let default_kind = built_in.map_or(DataSourceKind::Cookie, |_| BUILT_IN_KIND);
    Some(DataSource {
        id,
        name: name?,
        kind: kind.unwrap_or(default_kind),
        integration_code,
        export_controls,
    })
}
