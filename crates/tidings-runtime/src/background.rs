//! What the writer does when nobody asks: it wakes profiles whose timer is due, and brings
//! unseen profiles up to a changed catalog. Both in pages, so that events never wait long, and both
//! from where the disk says, so that a restart goes on with them.

use crate::{
    core::{Change, Changes, Core, DestinationHint, Scans},
    forget::Forgetting,
    pages::Pages,
};
use std::{collections::BTreeSet, time::Duration};
use tidings_engine::Moment;
use tidings_model::{DestinationId, DeviceUuid, Millis, Timestamp, planted};
use tokio::sync::oneshot;

/// Pause between pages of a sweep and of what is to be forgotten, however much else there is to do: at
/// most 4,000 rows a second of each, a small part of a core.
const PAGE_EVERY: Duration = Duration::from_millis(50);
/// How often the clock is looked at when nothing else happens.
const TICK: Duration = Duration::from_secs(1);
/// Timers are kept by the hour.
const HOUR: i64 = 3600;

/// Background work and where it stands.
#[derive(Debug, Default)]
pub struct Background {
    pages: Pages,
    /// Every timer of an hour before this one has been handled.
    timers_from: Timestamp,
    /// The last timer of a full page: where the next page begins.
    timers_after: Option<(Timestamp, DeviceUuid)>,
    /// Timers that are due and may not be on disk yet: set after their time, or to a later time that
    /// has come as well.
    due: BTreeSet<(Timestamp, DeviceUuid)>,
    /// Who waits until nothing is due any more.
    catching_up: Vec<oneshot::Sender<()>>,
    sweep: Option<Sweep>,
    forgetting: Forgetting,
    /// They begin in the step under way.
    beginning: bool,
    /// The step in which these began: a row that it wrote is to be on disk before they read there.
    /// Rows of later steps know the catalog in use.
    begun: Option<u64>,
    /// When their next pages are due.
    next_pages: Millis,
}

#[derive(Debug)]
struct Sweep {
    after: Option<DeviceUuid>,
    /// Told when every profile has been looked at.
    done: oneshot::Sender<()>,
}

impl Background {
    /// Nothing to do yet; rows are read in these pages.
    #[must_use]
    pub fn new(pages: Pages) -> Self {
        let forgetting = Forgetting::new(pages.forgotten);
        Self {
            pages,
            forgetting,
            ..Self::default()
        }
    }

    /// Answers once nothing is due any more.
    pub fn catch_up(&mut self, reply: oneshot::Sender<()>) {
        self.catching_up.push(reply);
    }

    /// Brings every profile up to the catalog, from the first; a sweep under way begins anew.
    pub fn sweep(&mut self, done: oneshot::Sender<()>) {
        self.sweep = Some(Sweep { after: None, done });
        self.beginning = true;
    }

    /// Begins to remove what is left of destinations, which are to be those that are gone.
    pub fn forget(&mut self, destinations: impl IntoIterator<Item = DestinationId>) {
        for destination in destinations {
            self.forgetting.add(destination);
            self.beginning = true;
        }
    }

    /// Brings a page of profiles up to the catalog, and removes a page of what is left of destinations
    /// that are gone, if it is time for that. To be called in every step, after requests; `durable` is
    /// the last step known to be on disk. Whoever asked for the sweep is returned at its end.
    ///
    /// # Errors
    /// When a row cannot be read.
    #[expect(clippy::too_many_arguments, reason = "as for `wake`, and the pace")]
    pub fn read_pages<R: Scans>(
        &mut self,
        now: Millis,
        moment: Moment,
        durable: u64,
        core: &mut Core,
        store: &R,
        batch: &mut impl Changes,
        hint: &mut impl FnMut(DestinationHint),
    ) -> Result<Option<oneshot::Sender<()>>, R::Error> {
        if now < self.next_pages || self.sweep.is_none() && self.forgetting.is_empty() {
            return Ok(None);
        }
        if std::mem::take(&mut self.beginning) {
            self.begun = None;
            return Ok(None);
        }
        let handed_over = moment.seq.saturating_sub(1);
        let begun = *self.begun.get_or_insert(handed_over);
        if durable < begun {
            return Ok(None);
        }
        self.next_pages = now.plus(PAGE_EVERY);
        self.forgetting.step(moment, core, store, batch)?;
        self.sweep_step(moment, core, store, batch, hint)
    }

    /// Whether nothing is under way.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.timers_after.is_none() && self.sweep.is_none() && self.forgetting.is_empty()
    }

    /// How long the engine thread may wait for something to arrive.
    pub fn patience(&self) -> Duration {
        if self.timers_after.is_some() {
            Duration::ZERO
        } else if self.sweep.is_some() || !self.forgetting.is_empty() {
            PAGE_EVERY
        } else {
            TICK
        }
    }

    /// Wakes profiles whose timer is due, one page of them, in order of their hours. Whoever waited
    /// for that is returned when there are no more.
    ///
    /// Under a virtual clock each is woken at its own hour, as if time had passed step by step.
    ///
    /// # Errors
    /// When a row cannot be read.
    pub fn wake<R: Scans>(
        &mut self,
        moment: Moment,
        is_virtual: bool,
        core: &mut Core,
        store: &R,
        batch: &mut impl Changes,
        hint: &mut impl FnMut(DestinationHint),
    ) -> Result<Vec<oneshot::Sender<()>>, R::Error> {
        let clock = moment.now;
        self.due.extend(core.take_due());
        let page = self.next_page(clock, store)?;
        // In order of their times, those among them that a wake-up makes due.
        while let Some(timer) = self.due.pop_first() {
            if page.as_ref().is_some_and(|last| timer > *last) {
                self.due.insert(timer);
                break;
            }
            let now = if is_virtual { timer.0 } else { clock };
            let at = Moment { now, ..moment };
            core.wake(at, clock, &timer, store, batch, &mut *hint)?;
            self.due.extend(core.take_due());
        }
        self.timers_after = page;
        if self.timers_after.is_some() {
            return Ok(Vec::new());
        }
        Ok(std::mem::take(&mut self.catching_up))
    }

    /// Reads a page of timers that have come into those that are due. Returns the last one of a full
    /// page: later ones that are due wait for the pages after it.
    fn next_page<R: Scans>(
        &mut self,
        clock: Timestamp,
        store: &R,
    ) -> Result<Option<(Timestamp, DeviceUuid)>, R::Error> {
        let hour = Timestamp(clock.0.div_euclid(HOUR) * HOUR);
        let next_hour = hour.plus_seconds(HOUR);
        let timers = match &self.timers_after {
            Some(last) => store.timers_after(last, next_hour, self.pages.timers)?,
            None if hour < self.timers_from => return Ok(None),
            None => store.timers(self.timers_from, next_hour, self.pages.timers)?,
        };
        let last = if timers.len() == self.pages.timers {
            timers.last().cloned()
        } else {
            self.timers_from = next_hour;
            None
        };
        self.due.extend(timers);
        Ok(last)
    }

    fn sweep_step<R: Scans>(
        &mut self,
        moment: Moment,
        core: &mut Core,
        store: &R,
        batch: &mut impl Changes,
        hint: &mut impl FnMut(DestinationHint),
    ) -> Result<Option<oneshot::Sender<()>>, R::Error> {
        let Some(mut sweep) = self.sweep.take() else {
            return Ok(None);
        };
        let generation = core.catalog().compiled.generation();
        let profiles = store.generations(sweep.after.as_ref(), self.pages.swept)?;
        for (uuid, evaluated_with) in &profiles {
            if *evaluated_with != generation {
                core.change(moment, Change::Wake, uuid, store, batch, &mut *hint)?;
            }
        }
        let is_last = profiles.len() < self.pages.swept;
        if planted!(SweepEndsEarly, true, is_last) {
            return Ok(Some(sweep.done));
        }
        sweep.after = profiles.last().map(|(uuid, _)| uuid.clone());
        self.sweep = Some(sweep);
        Ok(None)
    }
}

#[cfg(test)]
mod tests;
