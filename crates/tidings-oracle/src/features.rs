//! The parts of the protocol that can be switched off, so that an implementation that does not have
//! them all can be judged by those it has.

/// Which parts of the protocol are at work, and which happen at all in a generated case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// Events that tell of the past.
    pub late: bool,
    /// What time alone changes (time-to-live, recency) is told without the device being seen.
    pub by_time: bool,
    /// Folders of traits.
    pub folders: bool,
    /// Destinations that are not told at once of what time changes.
    pub unsegment: bool,
    /// R3: a changed mapping is told when the device is seen next.
    pub remapped: bool,
    /// R5: a device that is seen after three days of silence is told in full.
    pub refresh: bool,
    /// A device that was not seen for 120 days leaves everything.
    pub idle: bool,
    /// Devices opt out.
    pub opt_out: bool,
    /// Devices are deleted.
    pub delete: bool,
    /// The ids of a device that was deleted, or idle for 120 days, do not lead to it any more.
    pub links_end: bool,
    /// The catalog is replaced.
    pub catalog: bool,
    /// A changed rule may look back over days that no rule looked at before.
    pub new_windows: bool,
    /// A zero that cannot be sent when the device leaves, since the mapping is not at work, stays
    /// owed until it can be.
    pub kept_zeros: bool,
    /// Daily batches.
    pub batches: bool,
    /// A segment mapped to one destination for two stretches of time.
    pub stretches: bool,
    /// Export controls and labels, which begin and end to block by changes of the catalog.
    pub exports: bool,
    /// Destinations that take no zeros.
    pub refused_zeros: bool,
    /// The process is ended and started again.
    pub restarts: bool,
}

impl Features {
    /// Everything.
    pub const ALL: Self = Self {
        late: true,
        by_time: true,
        folders: true,
        unsegment: true,
        remapped: true,
        refresh: true,
        idle: true,
        opt_out: true,
        delete: true,
        links_end: true,
        catalog: true,
        new_windows: true,
        kept_zeros: true,
        batches: true,
        stretches: true,
        exports: true,
        refused_zeros: true,
        restarts: true,
    };

    /// Only what an event makes happen at once: R1, R2 and first links.
    pub const EVENTS: Self = Self {
        late: true,
        by_time: false,
        folders: false,
        unsegment: false,
        remapped: false,
        refresh: false,
        idle: false,
        opt_out: false,
        delete: false,
        links_end: false,
        catalog: false,
        new_windows: false,
        kept_zeros: false,
        batches: false,
        stretches: false,
        exports: false,
        refused_zeros: false,
        restarts: false,
    };

    /// Whether anything happens at midnight by itself.
    pub(crate) const fn at_midnight(self) -> bool {
        self.by_time || self.remapped || self.idle
    }
}
