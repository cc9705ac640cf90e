//! Links: which devices a declared id leads to, as the profiles have it.
//!
//! Invariant: the row of an id names the devices whose profile has it linked, and no others; the
//! newest link comes last, and of two made at the same instant the one declared later. That one is
//! the device the id leads to; the others follow when it goes.

use super::{Cached, Changes, Core, Rows, batch, in_flight, load, mark_dirty};
use crate::cache::Cache;
use std::sync::Arc;
use tidings_engine::{CompiledCatalog, Moment};
use tidings_model::{DataSourceId, DeviceUuid, Event, Timestamp, limits};
use tidings_store::Link;

/// A declared id with its namespace.
pub(super) type IdKey = (DataSourceId, Box<str>);

/// What is known of recently used ids.
pub(super) type Links = Cache<IdKey, KnownId>;

/// What is known of a declared id.
#[derive(Debug)]
pub(super) struct KnownId {
    /// The devices that it is linked to, the newest link last.
    pub(super) links: Vec<Link>,
    /// Nothing is collected under it, and it is linked no more.
    pub(super) opted_out: bool,
}

/// What is known of an id.
pub(super) fn known_id<'a, R: Rows>(
    ids: &'a mut Links,
    key: &IdKey,
    rows: &R,
) -> Result<&'a mut KnownId, R::Error> {
    ids.get_or_load(key, || {
        Ok(KnownId {
            links: rows.links(key.0, &key.1)?,
            opted_out: rows.opted_out(rows.opt_out_mark(key.0, &key.1))?,
        })
    })
}

impl Core {
    /// The device of the first id that is linked to one.
    pub(super) fn resolve<R: Rows>(
        &mut self,
        moment: Moment,
        event: &Event,
        rows: &R,
    ) -> Result<Option<DeviceUuid>, R::Error> {
        for declared in &event.ids {
            let key = (declared.data_source, declared.id.clone());
            let links = &mut known_id(&mut self.links, &key, rows)?.links;
            if let Some(uuid) = newest(
                moment,
                &self.catalog.compiled,
                links,
                &mut self.profiles,
                rows,
            )? {
                return Ok(Some(uuid));
            }
        }
        Ok(None)
    }

    /// Links the event's ids to the device. An id that is linked to too many loses the oldest link.
    pub(super) fn link<R: Rows>(
        &mut self,
        moment: Moment,
        event: &Event,
        uuid: &DeviceUuid,
        rows: &R,
        changes: &mut impl Changes,
    ) -> Result<(), R::Error> {
        let at = event.time.unwrap_or(moment.now).min(moment.now);
        for declared in &event.ids {
            let key = (declared.data_source, declared.id.clone());
            let links = &mut known_id(&mut self.links, &key, rows)?.links;
            if let Some(newest) = links.last_mut().filter(|link| may_be_newer(link, uuid, at)) {
                let profile = &load(&mut self.profiles, &newest.uuid, rows)?.profile;
                let mut ids = profile.ids.iter();
                let linked = ids.find(|id| id.data_source == key.0 && id.id == key.1);
                newest.at = linked.map_or(newest.at, |id| newest.at.max(id.linked_at));
            }
            if !add(links, uuid, at) {
                continue;
            }
            let pushed_out = overflow(links, uuid);
            changes.put_links(key.0, &key.1, links);
            if let Some(other) = pushed_out {
                let catalog = Arc::clone(&self.catalog);
                let cached = load(&mut self.profiles, &other.uuid, rows)?;
                let (profile, in_flight) =
                    (&mut cached.profile, in_flight(&self.flights, &other.uuid));
                batch::confirm_marks(moment, &self.batches_ended, profile);
                let (compiled, engine) = (&catalog.compiled, &mut self.engine);
                engine.unlink(moment, compiled, profile, key.0, &key.1, in_flight);
                mark_dirty(&mut self.dirty, cached, &other.uuid);
            }
        }
        Ok(())
    }

    /// Ends the links that the device lost in the change under way and did not get back.
    pub(super) fn unlink<R: Rows>(
        &mut self,
        uuid: &DeviceUuid,
        rows: &R,
        changes: &mut impl Changes,
    ) -> Result<(), R::Error> {
        for key in std::mem::take(&mut self.unlinked) {
            let profile = &load(&mut self.profiles, uuid, rows)?.profile;
            let is_linked = profile
                .ids
                .iter()
                .any(|id| id.linked && id.data_source == key.0 && id.id == key.1);
            if is_linked {
                continue;
            }
            let links = &mut known_id(&mut self.links, &key, rows)?.links;
            let before = links.len();
            links.retain(|link| link.uuid != *uuid);
            if links.len() != before {
                changes.put_links(key.0, &key.1, links);
            }
        }
        Ok(())
    }
}

/// The device that an id leads to: the newest link, but for devices that were unseen for too long,
/// which are forgotten when they are touched next.
pub(super) fn newest<R: Rows>(
    moment: Moment,
    catalog: &CompiledCatalog,
    links: &[Link],
    profiles: &mut Cache<DeviceUuid, Box<Cached>>,
    rows: &R,
) -> Result<Option<DeviceUuid>, R::Error> {
    for link in links.iter().rev() {
        let profile = &load(profiles, &link.uuid, rows)?.profile;
        if !profile.has_run_out(catalog, moment.now) {
            return Ok(Some(link.uuid.clone()));
        }
    }
    Ok(None)
}

/// Whether the newest link may have been made again after `at`, when another device made one: its time is
/// that of the first on its day, see [`add`].
fn may_be_newer(newest: &Link, uuid: &DeviceUuid, at: Timestamp) -> bool {
    newest.uuid != *uuid && newest.at <= at && newest.at.day() == at.day()
}

/// Adds a link, or makes it newer; true if that is to be written.
fn add(links: &mut Vec<Link>, uuid: &DeviceUuid, at: Timestamp) -> bool {
    if let Some(place) = links.iter().position(|link| link.uuid == *uuid)
        && let Some(link) = links.get(place)
    {
        let is_newest = place + 1 == links.len();
        // The time of a link only decides between devices; one write a day keeps that of the newest
        // fresh.
        let write = if is_newest {
            link.at.day() < at.day()
        } else {
            link.at <= at
        };
        if !write {
            return false;
        }
        links.remove(place);
    }
    let place = links.partition_point(|link| link.at <= at);
    let link = Link {
        uuid: uuid.clone(),
        at,
    };
    links.insert(place, link);
    true
}

/// Takes out the oldest link, other than that of `uuid`, if there is one too many.
fn overflow(links: &mut Vec<Link>, uuid: &DeviceUuid) -> Option<Link> {
    if links.len() <= limits::DEVICES_PER_ID_MAX {
        return None;
    }
    let oldest = links.iter().position(|link| link.uuid != *uuid)?;
    Some(links.remove(oldest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(number: usize) -> DeviceUuid {
        number.to_string().parse().unwrap()
    }

    /// Adds links, each `DEVICE@TIME`, and says which were written, and in which order they are.
    #[track_caller]
    fn check(added: &str, written: &str, expected: &str) {
        let mut links = Vec::new();
        let mut writes = String::new();
        for link in added.split_whitespace() {
            let (uuid, at) = link.split_once('@').unwrap();
            let at = Timestamp(at.parse::<i64>().unwrap());
            writes.push(if add(&mut links, &uuid.parse().unwrap(), at) {
                'w'
            } else {
                '-'
            });
        }
        let shown: Vec<_> = links
            .iter()
            .map(|link| format!("{}@{}", link.uuid, link.at.0))
            .collect();
        assert_eq!(
            (writes.as_str(), shown.join(" ").as_str()),
            (written, expected)
        );
    }

    #[test]
    fn the_newest_link_comes_last() {
        check("1@10 2@20 3@15", "www", "1@10 3@15 2@20");
        check("1@10 2@10", "ww", "1@10 2@10");
        check("1@10 2@10 1@10", "www", "2@10 1@10");
        check("1@10 2@20 1@30", "www", "2@20 1@30");
        check("1@10 2@20 1@5", "ww-", "1@10 2@20");
    }

    #[test]
    fn the_newest_link_is_written_again_once_a_day() {
        check("1@10 1@20 1@86399 1@86400 1@86401", "w--w-", "1@86400");
    }

    #[test]
    fn the_oldest_link_gives_way_but_not_the_new_one() {
        let mut links = Vec::new();
        for number in 0..limits::DEVICES_PER_ID_MAX {
            add(&mut links, &device(number), Timestamp(100));
            assert_eq!(overflow(&mut links, &device(number)), None);
        }
        // It happened before all others.
        add(&mut links, &device(500), Timestamp(1));
        let gone = overflow(&mut links, &device(500)).unwrap();
        assert_eq!(gone.uuid, device(0));
        assert_eq!(links.len(), limits::DEVICES_PER_ID_MAX);
        assert_eq!(links[0].uuid, device(500));
    }
}
