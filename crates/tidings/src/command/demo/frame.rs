//! The live view as lines of styled text, and the same figures as one plain line. Pure.
//!
//! Styles only underline what words and numbers say already. Every line fits the width; when there
//! are more lines than rows, the last ones go.

use super::{
    figures::{Counted, Figures, PartnerFigures},
    text::{cut, grouped, latency, short_device},
    watch::Happening,
};
use std::time::Duration;

/// How a piece of text looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    Title,
    /// Captions and hints.
    Faint,
    /// Numbers of failures that are not zero.
    Bad,
}

/// A line: pieces of text one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Line(pub(crate) Vec<(Style, String)>);

/// Width from which the partners' figures stand in columns.
const TABLE_WIDTH: usize = 80;
/// Characters of what happened that must be readable before `…`; else it gets a line of its own.
const CHANGES_MIN: usize = 20;
/// Wider than this, lines are hard to follow.
const WIDTH_MAX: usize = 110;

/// The live view for `width` by `height` characters. `tail` is what happened last, newest first.
pub(crate) fn frame<'a>(
    figures: &Figures,
    tail: impl IntoIterator<Item = &'a Happening>,
    width: usize,
    height: usize,
) -> Vec<Line> {
    let (width, height) = (width.clamp(1, WIDTH_MAX), height.max(1));
    let mut lines = vec![title(figures, width), Line::default()];
    lines.extend(counts(figures));
    lines.push(Line::default());
    if width >= TABLE_WIDTH {
        lines.extend(table(&figures.partners));
    } else {
        lines.extend(figures.partners.iter().flat_map(block));
    }
    let caption = " p50, p99: event sent → partner has read the news";
    lines.push(Line::of(Style::Faint, caption));
    lines.push(Line::default());
    lines.push(Line::of(Style::Title, " Just now"));
    let sentences = tail.into_iter().flat_map(|happening| {
        let sentence = sentence(happening, width - 1);
        sentence.into_iter().map(|text| format!(" {text}"))
    });
    let rows_left = height.saturating_sub(lines.len());
    let sentences = sentences.take(rows_left);
    lines.extend(sentences.map(|text| Line::of(Style::Plain, text)));
    lines.truncate(height);
    lines.into_iter().map(|line| line.cut(width)).collect()
}

/// What happened, in a sentence of one line, or two where one is too short.
fn sentence(happening: &Happening, width: usize) -> Vec<String> {
    let Happening {
        device,
        entered,
        left,
        partner,
        id,
        latency: took,
    } = happening;
    let changes: Vec<_> = [("entered", entered), ("left", left)]
        .iter()
        .filter(|(_, segments)| !segments.is_empty())
        .map(|(verb, segments)| format!("{verb} {}", segments.join(", ")))
        .collect();
    let changes = changes.join(", ");
    let head = format!("device {} ", short_device(device));
    let (id, took) = (cut(id, 10), latency(*took));
    let told = format!("→ told {partner} as {id} in {took}");
    let room = width.saturating_sub(head.chars().count() + 1 + told.chars().count());
    if room >= CHANGES_MIN.min(changes.chars().count()) {
        vec![format!("{head}{} {told}", cut(&changes, room))]
    } else {
        // What matters most goes first: the end of it may be cut.
        let told = format!("  → told {partner} in {took}, as {id}");
        vec![format!("{head}{changes}"), told]
    }
}

/// The figures in one line, for a log.
pub(crate) fn plain_line(figures: &Figures) -> String {
    let count = |name: &str, counted: Counted| {
        let (total, rate) = (grouped(counted.total), grouped(counted.per_second));
        format!("{name} {total} ({rate}/s)")
    };
    let mut parts = vec![
        format!("{:>3} s", figures.elapsed.as_secs()),
        count("events", figures.events),
        format!("devices {}", grouped(figures.devices)),
        count("entered", figures.entered),
        count("left", figures.left),
    ];
    for partner in &figures.partners {
        let (p50, p99) = quantiles(partner);
        let told = grouped(partner.users_told);
        let (name, failed) = (&partner.name, grouped(partner.failed));
        parts.push(format!(
            "{name}: {told} told, p50 {p50}, p99 {p99}, {failed} failed"
        ));
    }
    if figures.is_ending {
        parts.push("delivering what is owed".to_owned());
    }
    parts.join(" | ")
}

fn title(figures: &Figures, width: usize) -> Line {
    let title = " tidings demo";
    let elapsed = figures.elapsed.as_secs();
    let right = match figures.duration {
        _ if figures.is_ending => "delivering what is owed …".to_owned(),
        Some(duration) if duration >= Duration::from_secs(1) => {
            format!("{elapsed} s of {} s, Ctrl-C ends it", duration.as_secs())
        }
        _ => format!("{elapsed} s, Ctrl-C ends it"),
    };
    let used = title.len() + right.chars().count();
    let gap = " ".repeat(width.saturating_sub(used + 1).max(1));
    Line(vec![
        (Style::Title, title.to_owned()),
        (Style::Faint, format!("{gap}{right}")),
    ])
}

fn counts(figures: &Figures) -> Vec<Line> {
    let line = |name: &str, counted: Counted, rest: String| {
        let total = grouped(counted.total);
        let rate = format!("{}/s", grouped(counted.per_second));
        let rest = if rest.is_empty() {
            rest
        } else {
            format!("   {rest}")
        };
        let text = format!(" {name:<17}{total:>10}{rate:>10}{rest}");
        Line::of(Style::Plain, text)
    };
    let devices = format!("from {} devices", grouped(figures.devices));
    let mut lines = vec![
        line("Events in", figures.events, devices),
        line("Segments entered", figures.entered, String::new()),
        line("Segments left", figures.left, String::new()),
    ];
    if figures.events_failed > 0 {
        let failed = grouped(figures.events_failed);
        let text = format!(" Events lost      {failed:>10}");
        lines.push(Line::of(Style::Bad, text));
    }
    lines
}

/// The figures of all partners in columns.
fn table(partners: &[PartnerFigures]) -> Vec<Line> {
    let head = row(&[
        "Partner",
        "users told",
        "messages",
        "p50",
        "p99",
        "in flight",
        "failed",
    ]);
    let mut lines = vec![Line::of(Style::Faint, head)];
    for partner in partners {
        let (p50, p99) = quantiles(partner);
        let text = row(&[
            &cut(&named(partner), 26),
            &grouped(partner.users_told),
            &grouped(partner.messages),
            &p50,
            &p99,
            &grouped(partner.in_flight),
            &grouped(partner.failed),
        ]);
        lines.push(Line::of(style(partner), text));
    }
    lines
}

fn row(cells: &[&str; 7]) -> String {
    let [name, told, messages, p50, p99, in_flight, failed] = cells;
    format!(" {name:<26}{told:>11}{messages:>9}{p50:>8}{p99:>8}{in_flight:>10}{failed:>7}")
}

/// The figures of one partner, for narrow terminals.
fn block(partner: &PartnerFigures) -> [Line; 3] {
    let (p50, p99) = quantiles(partner);
    let (told, messages) = (grouped(partner.users_told), grouped(partner.messages));
    let failed = grouped(partner.failed);
    [
        Line::of(Style::Title, format!(" {}", named(partner))),
        Line::of(
            Style::Plain,
            format!("   {told} users in {messages} messages"),
        ),
        Line::of(
            style(partner),
            format!("   p50 {p50}, p99 {p99}, {failed} failed"),
        ),
    ]
}

/// The partner's name, with a word about its health if that is not good.
fn named(partner: &PartnerFigures) -> String {
    match partner.health {
        "healthy" | "starting" => partner.name.clone(),
        health => format!("{}, {health}", partner.name),
    }
}

fn quantiles(partner: &PartnerFigures) -> (String, String) {
    partner.latency.map_or_else(
        || ("-".to_owned(), "-".to_owned()),
        |measured| (latency(measured.p50), latency(measured.p99)),
    )
}

const fn style(partner: &PartnerFigures) -> Style {
    if partner.failed > 0 {
        Style::Bad
    } else {
        Style::Plain
    }
}

impl Line {
    fn of(style: Style, text: impl Into<String>) -> Self {
        Self(vec![(style, text.into())])
    }

    /// The line without what lies beyond `width`.
    fn cut(self, width: usize) -> Self {
        let mut left = width;
        let mut pieces = Vec::with_capacity(self.0.len());
        for (style, text) in self.0 {
            let text = cut(&text, left);
            left -= text.chars().count();
            pieces.push((style, text));
        }
        Self(pieces)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::demo::watch::Latency;

    fn figures() -> Figures {
        let counted = |total, per_second| Counted { total, per_second };
        let millis = Duration::from_millis;
        Figures {
            elapsed: millis(12_345),
            duration: Some(millis(20_000)),
            is_ending: false,
            devices: 3_214,
            events: counted(12_034, 1_003),
            entered: counted(3_410, 212),
            left: counted(1_210, 90),
            events_failed: 0,
            waits: 0,
            partners: vec![
                PartnerFigures {
                    name: "Example DSP".to_owned(),
                    health: "healthy",
                    messages: 1_204,
                    users_told: 8_311,
                    latency: Some(Latency {
                        p50: millis(62),
                        p99: millis(320),
                        max: millis(411),
                    }),
                    waiting: 7,
                    in_flight: 1,
                    failed: 0,
                    bytes: 812_000,
                },
                PartnerFigures {
                    name: "Example Apps".to_owned(),
                    health: "failing",
                    messages: 0,
                    users_told: 0,
                    latency: None,
                    waiting: 1_234,
                    in_flight: 0,
                    failed: 3,
                    bytes: 0,
                },
            ],
        }
    }

    fn happening() -> Happening {
        Happening {
            device: "07955261652886032950143702505894272138".to_owned(),
            entered: vec!["Big spenders".into(), "Open cart".into()],
            left: vec!["Just looking".into()],
            partner: "Example DSP".into(),
            id: "uid-008831".to_owned(),
            latency: Duration::from_millis(312),
        }
    }

    fn left() -> Happening {
        Happening {
            entered: Vec::new(),
            left: vec!["Keen readers".into()],
            id: "01234567-89ab-cdef-0011-223344556677".to_owned(),
            partner: "Example Apps".into(),
            ..happening()
        }
    }

    fn shown(figures: &Figures, width: usize, height: usize) -> String {
        let tail = [happening(), left()];
        let mut text = String::new();
        for line in frame(figures, &tail, width, height) {
            let line: String = line.0.into_iter().map(|(_, piece)| piece).collect();
            assert!(line.chars().count() <= width, "{line}");
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    #[test]
    fn a_frame_of_the_usual_size() {
        insta::assert_snapshot!(shown(&figures(), 80, 24), @r"
        tidings demo                                      12 s of 20 s, Ctrl-C ends it

        Events in            12,034   1,003/s   from 3,214 devices
        Segments entered      3,410     212/s
        Segments left         1,210      90/s

        Partner                    users told messages     p50     p99 in flight failed
        Example DSP                     8,311    1,204   62 ms  320 ms         1      0
        Example Apps, failing               0        0       -       -         0      3
        p50, p99: event sent → partner has read the news

        Just now
        device 0795… entered Big spenders, … → told Example DSP as uid-008831 in 312 ms
        device 0795… left Keen readers → told Example Apps as 01234567-… in 312 ms
        ");
    }

    #[test]
    fn a_narrow_and_low_frame() {
        let figures = Figures {
            events_failed: 2,
            is_ending: true,
            ..figures()
        };
        insta::assert_snapshot!(shown(&figures, 40, 20), @r"
        tidings demo delivering what is owed …

        Events in            12,034   1,003/s …
        Segments entered      3,410     212/s
        Segments left         1,210      90/s
        Events lost               2

        Example DSP
          8,311 users in 1,204 messages
          p50 62 ms, p99 320 ms, 0 failed
        Example Apps, failing
          0 users in 0 messages
          p50 -, p99 -, 3 failed
        p50, p99: event sent → partner has rea…

        Just now
        device 0795… entered Big spenders, Ope…
          → told Example DSP in 312 ms, as uid…
        device 0795… left Keen readers
          → told Example Apps in 312 ms, as 01…
        ");
    }

    #[test]
    fn no_size_is_too_small() {
        for (width, height) in [(0, 0), (1, 1), (7, 3), (500, 200)] {
            let lines = frame(&figures(), &[happening()], width, height);
            assert!(!lines.is_empty() && lines.len() <= height.max(1));
        }
    }

    #[test]
    fn a_line_for_a_log() {
        insta::assert_snapshot!(plain_line(&figures()), @" 12 s | events 12,034 (1,003/s) | devices 3,214 | entered 3,410 (212/s) | left 1,210 (90/s) | Example DSP: 8,311 told, p50 62 ms, p99 320 ms, 0 failed | Example Apps: 0 told, p50 -, p99 -, 3 failed");
    }
}
