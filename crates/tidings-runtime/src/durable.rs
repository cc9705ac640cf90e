//! Small files that are either the old or the new one, whatever happens.

use anyhow::Context as _;
use std::{
    fs::{self, File},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

/// Replaces a file that only its owner may read: written beside its place, synced and moved there.
pub(crate) fn write_durably(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let write = || {
        let new = path.with_extension("json.new");
        let mut file = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        let directory = path.parent().unwrap_or_else(|| Path::new("."));
        File::open(directory)?.sync_all()
    };
    write().with_context(|| format!("writing {}", path.display()))
}
