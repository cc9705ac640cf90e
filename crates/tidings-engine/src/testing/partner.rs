//! What partners know, and what they may know.

use super::world::Message;
use std::collections::{BTreeMap, BTreeSet};
use tidings_model::{DataSourceId, DestinationId};

/// A segment under an id at a destination: namespace, id, the text it goes by.
pub(crate) type State = (DestinationId, DataSourceId, String, String);

/// All partners together. A message whose outcome is not known may have arrived.
#[derive(Clone, Debug, Default)]
pub(crate) struct Partners {
    /// States that are surely, or may be, 1.
    pub(crate) active: BTreeSet<State>,
    /// The last status that surely arrived.
    pub(crate) known: BTreeMap<State, bool>,
    /// Segments that some message told with Status 1, whatever became of it.
    pub(crate) ever_sent: BTreeSet<(DestinationId, String)>,
    /// Segments that some message told with Status 0.
    pub(crate) zeros: BTreeSet<(DestinationId, String)>,
}

impl Partners {
    /// One user object arrived, and its states hold from now on.
    pub(crate) fn has(
        &mut self,
        destination: DestinationId,
        namespace: DataSourceId,
        (id, segments): &(String, Vec<(String, bool)>),
    ) {
        for (text, active) in segments {
            let state = (destination, namespace, id.clone(), text.clone());
            if *active {
                self.active.insert(state.clone());
            } else {
                self.active.remove(&state);
            }
            self.known.insert(state, *active);
        }
    }

    /// These user objects may have arrived.
    pub(crate) fn may_have(
        &mut self,
        destination: DestinationId,
        namespace: DataSourceId,
        message: &[(String, Vec<(String, bool)>)],
    ) {
        for (id, segments) in message {
            for (text, active) in segments {
                let state = (destination, namespace, id.clone(), text.clone());
                if *active {
                    self.active.insert(state.clone());
                }
                self.known.remove(&state);
            }
        }
    }

    /// A message was handed to the network, whatever becomes of it.
    pub(crate) fn note_sent(
        &mut self,
        destination: DestinationId,
        _namespace: DataSourceId,
        message: &Message,
    ) {
        for (_, segments) in message {
            for (text, active) in segments {
                let set = if *active {
                    &mut self.ever_sent
                } else {
                    &mut self.zeros
                };
                set.insert((destination, text.clone()));
            }
        }
    }
}
