//! How far long work has come: one line on standard error, about once a second, and only for people.

use std::{
    io::{self, IsTerminal as _, Write as _},
    time::{Duration, Instant},
};

const EVERY: Duration = Duration::from_secs(1);

/// A line that is written over itself; nothing where standard error is not a terminal.
pub(crate) struct Progress {
    next: Option<Instant>,
    shown: bool,
}

impl Progress {
    pub(crate) fn on_terminal() -> Self {
        Self::new(io::stderr().is_terminal().then(|| Instant::now() + EVERY))
    }

    const fn new(next: Option<Instant>) -> Self {
        let shown = false;
        Self { next, shown }
    }

    /// Shows the text, if it is time to.
    pub(crate) fn tell(&mut self, text: impl FnOnce() -> String) {
        let Some(next) = self.next.filter(|next| *next <= Instant::now()) else {
            return;
        };
        self.next = Some(next + EVERY);
        self.shown = true;
        self.write(&format!("\r{}\x1b[K", text()));
    }

    fn write(&self, text: &str) {
        let mut err = io::stderr().lock();
        // Whoever cannot be shown how far the work is still wants its result.
        drop(err.write_all(text.as_bytes()).and_then(|()| err.flush()));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            self.write("\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_comes_when_it_is_time_and_for_people_only() {
        let mut told = 0;
        let mut tell = |progress: &mut Progress| {
            progress.tell(|| {
                told += 1;
                String::new()
            });
        };
        tell(&mut Progress::new(None));
        let mut due = Progress::new(Some(Instant::now()));
        tell(&mut due);
        tell(&mut due);
        assert_eq!(told, 1);
    }
}
