//! What is printed in the end: a page for people, or one JSON object, and whether all went well.

use super::{
    figures::{Figures, PartnerFigures},
    reconcile::Reconciled,
    text::{bytes, grouped, latency, seconds},
    watch::Latency,
};
use crate::failure::Failure;
use serde_json::{Value, json};
use std::{
    io::{self, Write},
    time::Duration,
};

/// Everything the summary tells.
#[derive(Clone, Debug)]
pub(crate) struct Summary {
    pub(crate) seed: u64,
    /// For how long visitors came.
    pub(crate) visited: Duration,
    pub(crate) figures: Figures,
    pub(crate) reconciled: Reconciled,
    /// Requests that partners found wrong: no message, or not properly signed or authorised.
    pub(crate) refused_by_partners: u64,
}

impl Summary {
    /// Everything that went wrong: events not taken, messages given up, requests that partners
    /// refused, and states that a partner knows otherwise than they are. Devices that are still owed
    /// show up among those states, as a rule, so the larger of both numbers counts.
    pub(crate) fn failures(&self) -> u64 {
        let given_up = sum(&self.figures, |partner| partner.failed);
        let Reconciled {
            differences, owed, ..
        } = self.reconciled;
        self.figures.events_failed + given_up + self.refused_by_partners + differences.max(owed)
    }

    /// Whether somebody was told and nothing went wrong.
    ///
    /// # Errors
    /// [`Failure::Faults`] when something went wrong, which the summary tells; in words when there
    /// was nothing that could have.
    pub(crate) fn verdict(&self) -> Result<(), Failure> {
        if self.failures() > 0 {
            return Err(Failure::Faults);
        }
        if sum(&self.figures, |partner| partner.users_told) == 0 {
            return Err(Failure::Work(anyhow::anyhow!(
                "no partner was told anything; let visitors come for longer, as with --duration 20s"
            )));
        }
        Ok(())
    }

    /// Writes the page. Its last line is for programs:
    /// `events: N, messages: N, users told: N, failures: N`.
    ///
    /// # Errors
    /// When `out` cannot be written to.
    pub(crate) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let Self {
            figures,
            reconciled,
            ..
        } = self;
        let devices = grouped(figures.devices);
        writeln!(
            out,
            "{} of visits to a made-up shop: {devices} devices, seed {}\n",
            seconds(self.visited),
            self.seed
        )?;
        let events = grouped(figures.events.total);
        let waits = match figures.waits {
            0 => String::new(),
            waits => format!(", {} requests had to wait for their turn", grouped(waits)),
        };
        let lost = grouped(figures.events_failed);
        writeln!(out, "Events      {events} taken, {lost} lost{waits}")?;
        let (entered, left) = (figures.entered.total, figures.left.total);
        let (entered, left) = (grouped(entered), grouped(left));
        writeln!(out, "Segments    {entered} entered, {left} left")?;
        writeln!(out, "\n{}", row(HEAD))?;
        for partner in &figures.partners {
            write_partner(out, partner)?;
        }
        writeln!(
            out,
            "Latency from an event being sent to the partner having read the news.\n"
        )?;
        if self.refused_by_partners > 0 {
            let refused = grouped(self.refused_by_partners);
            writeln!(out, "Refused     by the partners: {refused}")?;
        }
        writeln!(out, "Reconciled  {}", told(reconciled))?;
        writeln!(out, "Stored      {}\n", stored(reconciled))?;
        writeln!(
            out,
            "events: {}, messages: {}, users told: {}, failures: {}",
            figures.events.total,
            sum(figures, |partner| partner.messages),
            sum(figures, |partner| partner.users_told),
            self.failures()
        )
    }

    /// The same as one JSON object; times are in milliseconds.
    pub(crate) fn to_json(&self) -> Value {
        let Self {
            figures,
            reconciled,
            ..
        } = self;
        json!({
            "seed": self.seed,
            "seconds": self.visited.as_secs_f64(),
            "devices": figures.devices,
            "events": figures.events.total,
            "events_lost": figures.events_failed,
            "segments_entered": figures.entered.total,
            "segments_left": figures.left.total,
            "messages": sum(figures, |partner| partner.messages),
            "users_told": sum(figures, |partner| partner.users_told),
            "refused_by_partners": self.refused_by_partners,
            "failures": self.failures(),
            "partners": figures.partners.iter().map(partner_json).collect::<Vec<_>>(),
            "reconciled": {
                "states": reconciled.states,
                "differences": reconciled.differences,
                "owed": reconciled.owed,
            },
            "stored": {
                "profiles": reconciled.profiles,
                "profile_bytes": reconciled.profile_bytes,
                "disk_bytes": reconciled.disk_bytes,
            },
        })
    }
}

fn sum(figures: &Figures, of: impl Fn(&PartnerFigures) -> u64) -> u64 {
    figures.partners.iter().map(of).sum()
}

const HEAD: [&str; 7] = [
    "Partner",
    "users told",
    "messages",
    "p50",
    "p99",
    "max",
    "failed",
];

fn row(cells: [&str; 7]) -> String {
    let [name, told, messages, p50, p99, max, failed] = cells;
    format!("{name:<24}{told:>11}{messages:>10}{p50:>9}{p99:>9}{max:>9}{failed:>8}")
}

fn write_partner(out: &mut impl Write, partner: &PartnerFigures) -> io::Result<()> {
    let shown = |of: fn(Latency) -> Duration| {
        let latency = partner.latency.map(|measured| latency(of(measured)));
        latency.unwrap_or_else(|| "-".to_owned())
    };
    let cells = [
        &partner.name,
        &grouped(partner.users_told),
        &grouped(partner.messages),
        &shown(|latency| latency.p50),
        &shown(|latency| latency.p99),
        &shown(|latency| latency.max),
        &grouped(partner.failed),
    ];
    writeln!(out, "{}", row(cells.map(String::as_str)))
}

fn told(reconciled: &Reconciled) -> String {
    let states = grouped(reconciled.states);
    let owed = match reconciled.owed {
        0 => String::new(),
        owed => format!("; {} devices are still to be told about", grouped(owed)),
    };
    let example = match &reconciled.example {
        None => String::new(),
        Some(example) => format!("; one: {example}"),
    };
    match reconciled.differences {
        0 => format!("partners' view equals ours: {states} states checked, 0 differences{owed}"),
        differences => {
            let differences = grouped(differences);
            format!("{states} states checked, {differences} differences{owed}{example}")
        }
    }
}

fn stored(reconciled: &Reconciled) -> String {
    let Reconciled {
        profiles,
        profile_bytes,
        disk_bytes,
        ..
    } = *reconciled;
    let each = profile_bytes.checked_div(profiles).unwrap_or(0);
    let (profiles, disk) = (grouped(profiles), bytes(disk_bytes));
    format!("{profiles} profiles, {each} bytes each on average; {disk} on disk")
}

fn partner_json(partner: &PartnerFigures) -> Value {
    let millis = |of: fn(Latency) -> Duration| {
        let latency = partner.latency.map(of);
        latency.map(|latency| latency.as_secs_f64() * 1000.0)
    };
    json!({
        "name": partner.name,
        "messages": partner.messages,
        "users_told": partner.users_told,
        "failed": partner.failed,
        "bytes": partner.bytes,
        "latency_ms": {
            "p50": millis(|latency| latency.p50),
            "p99": millis(|latency| latency.p99),
            "max": millis(|latency| latency.max),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::demo::figures::Counted;

    fn summary() -> Summary {
        let counted = |total| Counted {
            total,
            per_second: 0,
        };
        let millis = Duration::from_millis;
        Summary {
            seed: 7,
            visited: millis(20_004),
            figures: Figures {
                devices: 3_214,
                events: counted(16_034),
                entered: counted(3_410),
                left: counted(1_210),
                partners: vec![PartnerFigures {
                    name: "Example DSP".to_owned(),
                    health: "healthy",
                    messages: 1_204,
                    users_told: 8_311,
                    latency: Some(Latency {
                        p50: millis(62),
                        p99: millis(320),
                        max: millis(411),
                    }),
                    waiting: 0,
                    in_flight: 0,
                    failed: 0,
                    bytes: 812_345,
                }],
                ..Figures::default()
            },
            reconciled: Reconciled {
                states: 9_876,
                profiles: 3_214,
                profile_bytes: 3_214 * 183,
                disk_bytes: 14_260_000,
                ..Reconciled::default()
            },
            refused_by_partners: 0,
        }
    }

    fn page(summary: &Summary) -> String {
        let mut out = Vec::new();
        summary.write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_good_end() {
        assert!(summary().verdict().is_ok());
        insta::assert_snapshot!(page(&summary()), @r"
        20.0 s of visits to a made-up shop: 3,214 devices, seed 7

        Events      16,034 taken, 0 lost
        Segments    3,410 entered, 1,210 left

        Partner                  users told  messages      p50      p99      max  failed
        Example DSP                   8,311     1,204    62 ms   320 ms   411 ms       0
        Latency from an event being sent to the partner having read the news.

        Reconciled  partners' view equals ours: 9,876 states checked, 0 differences
        Stored      3,214 profiles, 183 bytes each on average; 14.2 MB on disk

        events: 16034, messages: 1204, users told: 8311, failures: 0
        ");
    }

    #[test]
    fn a_bad_end() {
        let mut summary = summary();
        summary.figures.events_failed = 50;
        summary.figures.partners[0].failed = 2;
        summary.reconciled.differences = 3;
        summary.reconciled.owed = 4;
        summary.reconciled.example = Some("somebody: told in, is out".to_owned());
        summary.refused_by_partners = 1;
        assert!(matches!(summary.verdict(), Err(Failure::Faults)));
        assert_eq!(summary.failures(), 50 + 2 + 4 + 1);
        insta::assert_snapshot!(page(&summary), @r"
        20.0 s of visits to a made-up shop: 3,214 devices, seed 7

        Events      16,034 taken, 50 lost
        Segments    3,410 entered, 1,210 left

        Partner                  users told  messages      p50      p99      max  failed
        Example DSP                   8,311     1,204    62 ms   320 ms   411 ms       2
        Latency from an event being sent to the partner having read the news.

        Refused     by the partners: 1
        Reconciled  9,876 states checked, 3 differences; 4 devices are still to be told about; one: somebody: told in, is out
        Stored      3,214 profiles, 183 bytes each on average; 14.2 MB on disk

        events: 16034, messages: 1204, users told: 8311, failures: 57
        ");
    }

    #[test]
    fn nobody_told_is_no_success() {
        let mut summary = summary();
        summary.figures.partners[0].users_told = 0;
        assert_eq!(summary.failures(), 0);
        assert!(matches!(summary.verdict(), Err(Failure::Work(_))));
    }

    #[test]
    fn json_tells_the_same() {
        let json = summary().to_json();
        assert_eq!(json["users_told"], 8_311);
        assert_eq!(json["failures"], 0);
        assert_eq!(json["partners"][0]["latency_ms"]["p50"], 62.0);
    }
}
