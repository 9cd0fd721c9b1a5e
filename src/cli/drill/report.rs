//! What a drill came to. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Kind;
use super::witness::Seen;
use crate::ground::ink::{Ink, Tone};

/// The outcome of a drill.
#[derive(Debug)]
pub struct Report {
    kind: Kind,
    /// What Leeward made of it; nothing where it noticed nothing.
    incident: Option<Incident>,
    held: u64,
    replayed: u64,
    lost: u64,
    asked: usize,
    good: usize,
    /// What the others got instead, and how often.
    bad: BTreeMap<String, usize>,
    longest: Duration,
}

#[derive(Debug)]
struct Incident {
    id: String,
    verdict: String,
    sentence: String,
    detection: Option<f64>,
    downtime: Option<f64>,
}

/// The incident that the failure led to: the first that was not there before.
pub fn incident<'a>(before: &Value, after: &'a Value) -> Option<&'a Value> {
    let list = |snapshot: &'a Value| snapshot["incidents"].as_array();
    let known = before["incidents"][0]["id"].as_str();
    let is_new = |told: &&Value| told["id"].as_str() != known;
    list(after)?.iter().take_while(is_new).last()
}

/// Whether it is over.
pub fn is_closed(incident: &Value) -> bool {
    incident["downtime_seconds"].is_number()
}

impl Report {
    /// From the system before and after a failure that began at `began`, and what the witnesses saw.
    pub fn of(
        kind: Kind,
        before: &Value,
        after: &Value,
        began: Timestamp,
        seen: Vec<Seen>,
    ) -> Self {
        let grown = |at: &dyn Fn(&Value) -> u64| at(after).saturating_sub(at(before));
        let exchanges = |name: &'static str| {
            move |snapshot: &Value| snapshot["traffic"]["exchanges"][name].as_u64().unwrap_or(0)
        };
        let lost = |snapshot: &Value| {
            let reasons = snapshot["traffic"]["lost"].as_object();
            let all = reasons.map(|it| it.values().filter_map(Value::as_u64).sum());
            all.unwrap_or(0)
        };
        let is_good = |seen: &&Seen| matches!(seen.answer, Ok(200..400));
        let mut bad = BTreeMap::new();
        for seen in seen.iter().filter(|it| !is_good(it)) {
            let what = match &seen.answer {
                Ok(status) => status.to_string(),
                Err(error) => error.clone(),
            };
            *bad.entry(what).or_default() += 1;
        }
        Self {
            kind,
            incident: incident(before, after).map(|told| Incident::of(told, began)),
            held: grown(&exchanges("held")),
            replayed: grown(&exchanges("replayed")),
            lost: grown(&lost),
            asked: seen.len(),
            good: seen.iter().filter(is_good).count(),
            bad,
            longest: seen.iter().map(|it| it.took).max().unwrap_or_default(),
        }
    }

    /// Whether every witness was served.
    pub fn is_good(&self) -> bool {
        self.bad.is_empty() && self.asked > 0
    }

    /// For people.
    pub fn text(&self, ink: Ink) -> String {
        let seconds = |length: Option<f64>| {
            length.map_or("not known".to_owned(), |length| format!("{length:.2} s"))
        };
        let mut rows = match &self.incident {
            None => vec![(
                "verdict",
                "none: the origin was not touched by it".to_owned(),
            )],
            Some(incident) => vec![
                (
                    "verdict",
                    ink.tell(Tone::Bold, &printable(&incident.verdict)),
                ),
                ("", printable(&incident.sentence)),
                ("incident", printable(&incident.id)),
                ("detection", seconds(incident.detection)),
                ("downtime", seconds(incident.downtime)),
            ],
        };
        let [held, replayed, lost] = [self.held, self.replayed, self.lost];
        rows.push((
            "requests",
            format!("{held} held, {replayed} replayed, {lost} lost"),
        ));
        let tone = match self.is_good() {
            true => Tone::Good,
            false => Tone::Bad,
        };
        let served = format!("{} asked, {} served", self.asked, self.good);
        let slowest = self.longest.as_secs_f64();
        let served = ink.tell(tone, &served);
        rows.push((
            "witnesses",
            format!("{served}, the slowest in {slowest:.2} s"),
        ));
        for (what, times) in &self.bad {
            rows.push(("", format!("{times} × {}", printable(what))));
        }
        let line = |(label, told): &(&str, String)| {
            let label = ink.tell(Tone::Faint, &format!("{label:<11}"));
            format!("{label}{told}")
        };
        rows.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    /// For programs.
    pub fn json(&self) -> String {
        let incident = self.incident.as_ref().map(|incident| {
            json!({
                "id": incident.id,
                "verdict": incident.verdict,
                "sentence": incident.sentence,
                "detection_seconds": incident.detection,
                "downtime_seconds": incident.downtime,
            })
        });
        let report = json!({
            "drill": format!("{:?}", self.kind).to_lowercase(),
            "incident": incident,
            "held": self.held,
            "replayed": self.replayed,
            "lost": self.lost,
            "witnesses": {
                "asked": self.asked,
                "served": self.good,
                "slowest_seconds": self.longest.as_secs_f64(),
                "instead": self.bad,
            },
        });
        format!("{report:#}")
    }
}

impl Incident {
    fn of(told: &Value, began: Timestamp) -> Self {
        let text = |name: &str| told[name].as_str().unwrap_or_default().to_owned();
        let opened: Option<Timestamp> = text("opened").parse().ok();
        let passed = |opened: Timestamp| opened.duration_since(began).as_secs_f64().max(0.0);
        Self {
            id: text("id"),
            verdict: text("verdict"),
            sentence: text("sentence"),
            detection: opened.map(passed),
            downtime: told["downtime_seconds"].as_f64(),
        }
    }
}

/// The origin writes parts of a sentence; a terminal must not obey them.
fn printable(text: &str) -> String {
    let shown = |letter: char| match letter.is_control() {
        true => char::REPLACEMENT_CHARACTER,
        false => letter,
    };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(incidents: Value, held: u64, died: u64) -> Value {
        json!({
            "incidents": incidents,
            "traffic": { "exchanges": { "held": held, "replayed": 0 }, "lost": { "died": died, "wait": 1 } },
        })
    }

    fn seen(answer: Result<u16, &str>, seconds: u64) -> Seen {
        Seen {
            answer: answer.map_err(str::to_owned),
            took: Duration::from_secs(seconds),
        }
    }

    #[test]
    fn a_report_tells_what_the_failure_cost() {
        let before = snapshot(json!([]), 3, 0);
        let incident = json!([{
            "id": "i", "verdict": "stopped", "sentence": "it is \u{1b}[2Jstopped",
            "opened": "2026-01-01T00:00:02.000Z", "downtime_seconds": 0.5,
        }]);
        let after = snapshot(incident, 10, 2);
        let began = "2026-01-01T00:00:00.500Z".parse().unwrap();
        let witnesses = vec![seen(Ok(200), 2), seen(Ok(503), 1), seen(Ok(503), 0)];
        let report = Report::of(Kind::Freeze, &before, &after, began, witnesses);
        let text = report.text(Ink::Plain);
        for part in [
            "detection  1.50 s",
            "downtime   0.50 s",
            "7 held, 0 replayed, 2 lost",
            "3 asked, 1 served, the slowest in 2.00 s",
            "2 × 503",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains('\u{1b}') && !report.is_good());
        let mut bare = report.text(Ink::Coloured);
        assert!(
            bare.contains("\x1b[1;31m3 asked, 1 served\x1b[0m"),
            "{bare}"
        );
        for colour in ["\x1b[1;31m", "\x1b[1m", "\x1b[2m", "\x1b[0m"] {
            bare = bare.replace(colour, "");
        }
        assert_eq!(bare, text);
        let json: Value = serde_json::from_str(&report.json()).unwrap();
        assert_eq!(json["incident"]["verdict"], "stopped");
    }

    #[test]
    fn the_incident_is_the_first_after_the_failure() {
        let before = snapshot(json!([{ "id": "old" }]), 0, 0);
        let after = snapshot(
            json!([{ "id": "later" }, { "id": "its" }, { "id": "old" }]),
            0,
            0,
        );
        assert_eq!(incident(&before, &after).unwrap()["id"], "its");
        assert!(incident(&after, &after).is_none());
    }

    #[test]
    fn a_failure_that_nobody_notices_is_no_incident() {
        let same = snapshot(json!([{ "id": "old", "downtime_seconds": 1.0 }]), 0, 0);
        let began = Timestamp::UNIX_EPOCH;
        let report = Report::of(Kind::Client, &same, &same, began, vec![seen(Ok(200), 0)]);
        assert!(report.is_good() && report.text(Ink::Plain).contains("not touched"));
    }
}
