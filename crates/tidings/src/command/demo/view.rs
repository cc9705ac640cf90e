//! Where figures are shown while the demo runs: on a terminal, or as a line per second.

use super::{
    figures::Figures,
    frame,
    screen::{Colours, Screen},
    watch::{Happening, Watch},
};
use std::{
    collections::VecDeque,
    env,
    io::{self, IsTerminal as _, Write as _},
    time::{Duration, Instant},
};

/// How often something that happened is added to the live view: slow enough to be read.
const TELL_EVERY: Duration = Duration::from_millis(600);
/// Things that happened, as far as the live view goes back.
const TAIL_MAX: usize = 50;

/// Where figures are shown.
#[derive(Debug)]
pub(crate) enum View {
    /// A terminal: a frame in place of the one before.
    Live {
        screen: Screen,
        /// What happened, newest first.
        tail: VecDeque<Happening>,
        told: Option<Instant>,
    },
    /// Anything else: a line per second.
    Lines {
        to: Lines,
        /// The second of the last line.
        second: u64,
    },
}

/// Where lines go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lines {
    Stdout,
    /// Standard output is for data.
    Stderr,
}

impl View {
    /// The live view if standard output is a terminal that can show it, else lines there.
    ///
    /// # Errors
    /// When the terminal cannot be written to.
    pub(crate) fn open() -> io::Result<Self> {
        let is_dumb = env::var_os("TERM").is_none_or(|terminal| terminal == "dumb");
        if is_dumb || !io::stdout().is_terminal() {
            return Ok(Self::lines(Lines::Stdout));
        }
        let colours = match env::var_os("NO_COLOR") {
            Some(wish) if !wish.is_empty() => Colours::Off,
            _ => Colours::On,
        };
        Ok(Self::Live {
            screen: Screen::open(colours)?,
            tail: VecDeque::new(),
            told: None,
        })
    }

    /// A line per second.
    pub(crate) const fn lines(to: Lines) -> Self {
        Self::Lines { to, second: 0 }
    }

    /// Shows the figures, if it is time for that.
    ///
    /// # Errors
    /// When there is nobody to show them to any more.
    pub(crate) fn show(&mut self, figures: &Figures, watch: &Watch) -> io::Result<()> {
        match self {
            Self::Live { screen, tail, told } => {
                if told.is_none_or(|told| told.elapsed() >= TELL_EVERY)
                    && let Some(happening) = watch.take_latest()
                {
                    *told = Some(Instant::now());
                    tail.push_front(happening);
                    tail.truncate(TAIL_MAX);
                }
                let (width, height) = Screen::size();
                screen.show(&frame::frame(figures, &*tail, width, height))
            }
            Self::Lines { second, .. } if figures.elapsed.as_secs() <= *second => Ok(()),
            Self::Lines { to, second } => {
                *second = figures.elapsed.as_secs();
                let line = frame::plain_line(figures);
                match to {
                    Lines::Stdout => writeln!(io::stdout(), "{line}"),
                    Lines::Stderr => writeln!(io::stderr(), "{line}"),
                }
            }
        }
    }
}
