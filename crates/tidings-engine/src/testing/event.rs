//! Events as text.

use super::parse_time;
use tidings_model::{AuthState, DataSourceId, DeclaredId, Event, RegionId, TraitId};

/// Words: `7` realises a trait, `-7` removes it, `5=x` links an id, `r9` is the region, `#e` the
/// event's id, `@d0+10:00` its time, `page` a signal with the value 1.
pub(crate) fn parse<'a>(words: impl Iterator<Item = &'a str>) -> Event {
    let mut event = Event::default();
    for word in words {
        if let Some((namespace, id)) = word.split_once('=') {
            event.ids.push(DeclaredId {
                data_source: DataSourceId(namespace.parse().expect(word)),
                id: id.into(),
                state: AuthState::Authenticated,
            });
        } else if let Some(id) = word.strip_prefix('-') {
            event.remove_traits.push(TraitId(id.parse().expect(word)));
        } else if let Some(id) = word.strip_prefix('#') {
            event.event_id = Some(id.into());
        } else if let Some(time) = word.strip_prefix('@') {
            event.time = Some(parse_time(time).expect(word));
        } else if let Ok(id) = word.parse() {
            event.traits.push(TraitId(id));
        } else if let Some(region) = word.strip_prefix('r').and_then(|r| r.parse().ok()) {
            event.region = Some(RegionId(region));
        } else {
            assert!(event.signals.push(word, "1"));
        }
    }
    event
}
