//! Brings a directory of an older format up to the present one, at opening.
//!
//! | from | to | what |
//! | --- | --- | --- |
//! | 1 | 2 | the row of a declared id held the newest device alone, and outlived the link: rows are made anew from the profiles, whose linked ids are the truth |
//! | 2 | 3 | the profile of a deleted device stayed, with nothing in it but the flag: a mark takes its place |
//! | 3 | 4 | every pending pair had a row of its own: nothing is to be done, they are read as they are |
//! | 4 | 5 | every profile had its newest state in a row of its own: nothing is to be done |
//!
//! Invariant: the format is counted up by the last write. An upgrade that is cut short begins anew,
//! and comes to the same rows.

use crate::{
    backend::Backend,
    batch::Batch,
    codec::{Link, decode_links, decode_profile},
    error::StoreError,
    keys,
    opt_out::OptOutKey,
    store::opt_out_key,
};
use std::{collections::BTreeMap, ops::Bound};
use tidings_engine::Profile;
use tidings_model::{DataSourceId, DeviceUuid, limits};

/// Rows read, and written again, in one go.
const PAGE: usize = 1_000;

/// Brings the directory from format `found` to [`crate::FORMAT`].
///
/// # Errors
/// When the database cannot be read or written, or a profile is damaged.
///
/// # Cost
/// Reads every profile, from format 1 twice and from format 3 never; from format 1 it writes the row of
/// every linked id.
pub(crate) fn upgrade(backend: &Backend, found: u32) -> Result<(), StoreError> {
    // Without a head: it says how far commits go, and these are none.
    let write = |batch: &Batch| backend.write(batch, &[]);
    if found < 2 {
        pages(backend, keys::LINK, |page| {
            let mut batch = Batch::new();
            page.iter().for_each(|(key, _)| batch.delete_row(key));
            write(&batch)
        })?;
        pages(backend, keys::PROFILE, |page| {
            write(&links_of_page(backend, page)?)
        })?;
    }
    if found < 3 {
        // Before the first mark, which it makes.
        let mut batch = Batch::new();
        let key = opt_out_key(backend, &mut batch)?;
        write(&batch)?;
        pages(backend, keys::PROFILE, |page| {
            write(&marks_of_page(&key, page)?)
        })?;
    }
    let mut batch = Batch::new();
    batch.put_meta(keys::FORMAT, &crate::FORMAT.to_le_bytes());
    write(&batch)
}

type Row = (Vec<u8>, Vec<u8>);

/// Hands all rows of a kind to `visit`, page by page.
fn pages(
    backend: &Backend,
    kind: u8,
    mut visit: impl FnMut(&[Row]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let (mut start, end) = (Bound::Included(vec![kind]), keys::prefix_end(&[kind]));
    loop {
        let mut page = Vec::new();
        backend.scan(
            start.as_ref().map(|key| &key[..]),
            &end,
            PAGE,
            |key, value| {
                page.push((key.to_vec(), value.to_vec()));
                Ok(())
            },
        )?;
        let Some((last, _)) = page.last() else {
            return Ok(());
        };
        start = Bound::Excluded(last.clone());
        visit(&page)?;
    }
}

/// The rows of the ids that these profiles are linked to, with what they held before.
fn links_of_page(backend: &Backend, page: &[Row]) -> Result<Batch, StoreError> {
    let mut rows: BTreeMap<(DataSourceId, Box<str>), Vec<Link>> = BTreeMap::new();
    for row in page {
        let (uuid, profile) = profile_of(row)?;
        for (id, link) in linked(&uuid, &profile) {
            rows.entry(id).or_default().push(link);
        }
    }
    let mut batch = Batch::new();
    for ((data_source, id), mut links) in rows {
        let mut key = Vec::new();
        keys::put_link(&mut key, data_source, &id);
        if let Some(value) = backend.get(&key)? {
            let row = format_args!("links of an id of data source {data_source}");
            links.extend(decode_links(&value).map_err(StoreError::corrupt(row))?);
        }
        links.sort_by(|a, b| (a.at, &a.uuid).cmp(&(b.at, &b.uuid)));
        let excess = links.len().saturating_sub(limits::DEVICES_PER_ID_MAX);
        batch.put_links(data_source, &id, links.get(excess..).unwrap_or_default());
    }
    Ok(batch)
}

/// Marks in the place of profiles in which nothing is left but that the device opted out.
fn marks_of_page(key: &OptOutKey, page: &[Row]) -> Result<Batch, StoreError> {
    let mut batch = Batch::new();
    for row in page {
        let (uuid, profile) = profile_of(row)?;
        if profile.is_tombstone() {
            batch.delete_profile(&uuid);
            batch.put_opt_out(key.device_mark(&uuid));
        }
    }
    Ok(batch)
}

fn profile_of((key, value): &Row) -> Result<(DeviceUuid, Profile), StoreError> {
    let uuid = keys::read_profile(key).map_err(StoreError::corrupt("key of a profile"))?;
    let row = format_args!("profile of device {uuid}");
    let profile = decode_profile(value).map_err(StoreError::corrupt(row))?;
    Ok((uuid, profile))
}

fn linked(
    uuid: &DeviceUuid,
    profile: &Profile,
) -> impl Iterator<Item = ((DataSourceId, Box<str>), Link)> {
    let ids = profile.ids.iter().filter(|id| id.linked);
    ids.map(|id| {
        let link = Link {
            uuid: uuid.clone(),
            at: id.linked_at,
        };
        ((id.data_source, id.id.clone()), link)
    })
}
