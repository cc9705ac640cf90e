//! Data sources that exist without being declared: the advertising ids of device platforms.

use tidings_model::{DataSourceId, DataSourceKind};

/// Their ids, and what they hold. All of them are of the kind [`BUILT_IN_KIND`].
pub const BUILT_IN_DATA_SOURCES: [(DataSourceId, &str); 8] = [
    (DataSourceId(20_914), "Android advertising ids (GAID)"),
    (DataSourceId(20_915), "Apple advertising ids (IDFA)"),
    (DataSourceId(121_963), "Roku advertising ids (RIDA)"),
    (DataSourceId(389_146), "Microsoft advertising ids (MAID)"),
    (DataSourceId(488_258), "Amazon Fire TV advertising ids"),
    (
        DataSourceId(963_906),
        "Samsung Tizen advertising ids (TIFA)",
    ),
    (DataSourceId(1_171_485), "LG webOS advertising ids (LGUDID)"),
    (DataSourceId(1_171_489), "Vizio advertising ids (IFA)"),
];

/// The kind of every built-in data source.
pub const BUILT_IN_KIND: DataSourceKind = DataSourceKind::Device;

/// True for a data source that exists without being declared.
#[must_use]
pub fn is_built_in(id: DataSourceId) -> bool {
    BUILT_IN_DATA_SOURCES.iter().any(|(known, _)| *known == id)
}
