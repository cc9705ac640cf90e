//! The terminal while the live view is on it: an alternate screen without a cursor.
//!
//! Invariant: the terminal is as it was once the [`Screen`] is dropped, on whatever way that comes,
//! a panic included. Nothing here decides what is shown.

use super::frame::{Line, Style};
use crossterm::{
    cursor, queue,
    style::{Attribute, Print, SetAttribute},
    terminal,
};
use std::io::{self, Write};

/// Whether text is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colours {
    On,
    Off,
}

/// The alternate screen of the terminal on standard output.
#[derive(Debug)]
pub(crate) struct Screen {
    colours: Colours,
}

impl Screen {
    /// Switches to the alternate screen.
    ///
    /// # Errors
    /// When standard output cannot be written to.
    pub(crate) fn open(colours: Colours) -> io::Result<Self> {
        let screen = Self { colours };
        let mut out = io::stdout().lock();
        queue!(out, terminal::EnterAlternateScreen, cursor::Hide)?;
        out.flush()?;
        Ok(screen)
    }

    /// Room for a frame in characters, width and height; the usual size when the terminal does not
    /// tell. The last row stays empty: the cursor has to rest somewhere.
    pub(crate) fn size() -> (usize, usize) {
        let (width, height) = terminal::size().unwrap_or((80, 24));
        (usize::from(width), usize::from(height).saturating_sub(1))
    }

    /// Shows a frame in place of the one before.
    ///
    /// # Errors
    /// When standard output cannot be written to.
    pub(crate) fn show(&self, lines: &[Line]) -> io::Result<()> {
        // One write, so that the terminal never shows half a frame.
        let mut frame = Vec::with_capacity(4096);
        paint(&mut frame, lines, self.colours)?;
        let mut out = io::stdout().lock();
        out.write_all(&frame)?;
        out.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let mut out = io::stdout().lock();
        // A terminal that is gone needs no restoring.
        drop(queue!(out, cursor::Show, terminal::LeaveAlternateScreen).and_then(|()| out.flush()));
    }
}

fn paint(out: &mut impl Write, lines: &[Line], colours: Colours) -> io::Result<()> {
    queue!(out, terminal::BeginSynchronizedUpdate)?;
    for (row, line) in (0u16..).zip(lines) {
        queue!(out, cursor::MoveTo(0, row))?;
        for (style, text) in &line.0 {
            match style {
                Style::Plain => {}
                Style::Title => queue!(out, SetAttribute(Attribute::Bold))?,
                Style::Faint => queue!(out, SetAttribute(Attribute::Dim))?,
                // Written out, since the library looks for NO_COLOR by itself; that is decided here.
                Style::Bad if colours == Colours::On => queue!(out, Print("\x1b[31m"))?,
                Style::Bad => queue!(out, SetAttribute(Attribute::Bold))?,
            }
            queue!(out, Print(text), SetAttribute(Attribute::Reset))?;
        }
        queue!(out, terminal::Clear(terminal::ClearType::UntilNewLine))?;
    }
    queue!(
        out,
        cursor::MoveToNextLine(1),
        terminal::Clear(terminal::ClearType::FromCursorDown),
        terminal::EndSynchronizedUpdate
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(colours: Colours, expected: &str) {
        let line = Line(vec![
            (Style::Title, "a".to_owned()),
            (Style::Plain, "b".to_owned()),
            (Style::Bad, "c".to_owned()),
        ]);
        let mut out = Vec::new();
        paint(&mut out, &[line], colours).unwrap();
        let text = String::from_utf8(out).unwrap().replace('\x1b', "^");
        assert_eq!(text, expected);
    }

    #[test]
    fn colours_are_only_used_when_wanted() {
        check(
            Colours::On,
            "^[?2026h^[1;1H^[1ma^[0mb^[0m^[31mc^[0m^[K^[1E^[J^[?2026l",
        );
        check(
            Colours::Off,
            "^[?2026h^[1;1H^[1ma^[0mb^[0m^[1mc^[0m^[K^[1E^[J^[?2026l",
        );
    }
}
