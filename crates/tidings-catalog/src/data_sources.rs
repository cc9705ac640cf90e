//! The section `data_sources`: `- { id, name, kind, export_controls }`.

use crate::built_in::{BUILT_IN_DATA_SOURCES, BUILT_IN_KIND, is_built_in};
use crate::context::Context;
use crate::export;
use crate::known::Ids;
use crate::record::Record;
use crate::value::{self, Value};
use tidings_model::{DataSource, DataSourceId, DataSourceKind, ExportUses};

const KEYS: [&str; 4] = ["id", "name", "kind", "export_controls"];
const KINDS: [(&str, DataSourceKind); 3] = [
    ("cookie", DataSourceKind::Cookie),
    ("device", DataSourceKind::Device),
    ("cross_device", DataSourceKind::CrossDevice),
];

/// The data sources declared in a catalog, by id, and the built-in ones.
#[derive(Debug)]
pub(crate) struct KnownDataSources(Ids<()>);

impl KnownDataSources {
    pub(crate) fn new() -> Self {
        Self(Ids::new("data source"))
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
        self.0.find(id, value, ctx).map(DataSourceId)
    }
}

/// Reads one data source; `None` also for a built-in one, which needs no entry unless it has export
/// controls.
pub(crate) fn read(
    value: Value<'_, '_>,
    known: &mut KnownDataSources,
    ctx: &Context<'_>,
) -> Option<DataSource> {
    let record = Record::open(value, &KEYS, ctx)?;
    let id = record.required("id", |value, ctx| {
        let id = value.id(ctx)?;
        known.0.claim(id, (), value, ctx);
        Some(DataSourceId(id))
    });
    let name = record.required("name", value::name);
    let kind = record.optional("kind", |value, ctx| value.choice(&KINDS, ctx));
    let export_controls = record.or("export_controls", ExportUses::default(), export::controls);
    let id = id?;
    let built_in = BUILT_IN_DATA_SOURCES.iter().find(|(known, _)| *known == id);
    if let Some((_, what)) = built_in {
        judge_built_in(id, what, (kind, export_controls), value, ctx);
        if export_controls.is_empty() {
            return None;
        }
    }
    let default_kind = built_in.map_or(DataSourceKind::Cookie, |_| BUILT_IN_KIND);
    Some(DataSource {
        id,
        name: name?,
        kind: kind.unwrap_or(default_kind),
        export_controls,
    })
}

fn judge_built_in(
    id: DataSourceId,
    what: &str,
    (kind, export_controls): (Option<DataSourceKind>, ExportUses),
    value: Value<'_, '_>,
    ctx: &Context<'_>,
) {
    let message = format!("data source {id} is built in: {what}");
    if kind.is_some_and(|kind| kind != BUILT_IN_KIND) {
        ctx.fault(value, format!("{message}, of the kind device"));
    } else if export_controls.is_empty() {
        ctx.warn(value, format!("{message}; this entry changes nothing"));
    }
}
