//! How many rows are read in one go where a table is read in pages.
//!
//! A server has those of [`Pages::default`]. Simulations make them small, so that few devices are
//! enough for what happens between two pages.

/// Rows per page, each at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pages {
    /// Timers that are handled in one step.
    pub timers: usize,
    /// Profiles that a sweep brings up to the catalog in one step.
    pub swept: usize,
    /// Pairs of a destination that is gone that are removed in one step.
    pub forgotten: usize,
    /// Rows of the pending set.
    pub pending: usize,
    /// Rows of the set of changes of a batch: their profiles are read as well.
    pub batch: usize,
}

impl Pages {
    /// Those of a server.
    pub const SERVER: Self = Self {
        timers: 500,
        swept: 200,
        forgotten: 200,
        pending: 500,
        batch: 200,
    };
}

impl Default for Pages {
    fn default() -> Self {
        Self::SERVER
    }
}
