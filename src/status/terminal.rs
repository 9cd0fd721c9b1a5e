//! `leeward status`: the JSON of `/status.json` as text for a terminal, coloured only where that is asked for.

use std::fmt::Write;

use serde_json::Value;

use super::snapshot::Fate;
use super::words::{about, bytes, counted, grown, length, loss, moment, number, quarantined};
use crate::ground::ink::{Ink, Tone};
use crate::origin::{Care, State};

/// The text, its last line ended. What the JSON lacks is left out: it may come from another version of Leeward.
pub fn render(json: &Value, ink: Ink) -> String {
    let mut text = String::new();
    head(&mut text, json, ink);
    let mut rows = Rows(Vec::new());
    origin(&mut rows, &json["origin"]);
    traffic(&mut rows, json);
    rows.write_in(&mut text, ink);
    visits(&mut text, &json["origin"]["visits"]);
    incidents(&mut text, &json["incidents"]);
    text
}

/// Labels and what is known under them.
pub(super) struct Rows(pub(super) Vec<(&'static str, String)>);

/// Incidents told; the rest is only counted.
const INCIDENTS: usize = 5;

fn head(text: &mut String, json: &Value, ink: Ink) {
    let origin = &json["origin"];
    let word = plain(origin["state"].as_str().unwrap_or("unknown"));
    let state = State::ALL.into_iter().find(|state| state.word() == word);
    let (begin, end) = ink.around(state.map_or(Tone::Bold, tone));
    let _ = write!(text, "{begin}{}{end}", word.to_uppercase());
    if let Some(lasted) = origin["for_seconds"].as_f64() {
        let _ = write!(text, " for {}", length(lasted));
    }
    if let Some(since) = origin["since"].as_str() {
        let _ = write!(text, ", since {}", plain(&moment(since)));
    }
    text.push('\n');
    let care = match origin["care"].as_str() {
        Some("observed") => Care::Observed,
        Some("tended") => Care::Tended,
        _ => Care::Owned,
    };
    if let Some(state) = state {
        let fate = origin["requests"].as_str().unwrap_or_default();
        let requests = Fate::ALL.into_iter().find(|one| one.word() == fate);
        let opens_in = origin["opens_in_seconds"].as_f64();
        let _ = writeln!(text, "{}", about(state, care, requests, opens_in));
    }
    if let Some(trouble) = origin["trouble"].as_str() {
        let _ = writeln!(text, "{}", plain(trouble));
    }
    text.push('\n');
}

fn origin(rows: &mut Rows, origin: &Value) {
    let pid = origin["pid"].as_u64().map(|pid| format!("pid {pid}"));
    let life = origin["generation"]
        .as_u64()
        .map(|number| format!("generation {number}"));
    let up = origin["uptime_seconds"]
        .as_f64()
        .map(|lasted| format!("up {}", length(lasted)));
    rows.several("origin", [word(&origin["address"]), pid, life, up]);
    rows.several("command", [word(&origin["command"])]);
    let standby = &origin["standby"];
    let pid = standby["pid"].as_u64().map(|pid| format!("pid {pid}"));
    let ago = standby["answered_ago_seconds"].as_f64();
    let ago = ago.map(|ago| format!("answered {} ago", length(ago)));
    let trouble = word(&standby["trouble"]);
    rows.several(
        "standby",
        [
            word(&standby["readiness"]),
            word(&standby["address"]),
            pid,
            ago,
            trouble,
        ],
    );
    let frozen = &origin["frozen"];
    let pid = frozen["pid"].as_u64().map(|pid| format!("pid {pid}"));
    let left = frozen["for_seconds"].as_f64();
    let left = left.map(|left| format!("for another {}", length(left)));
    rows.several("kept frozen", [pid, left]);
    let stance = word(&origin["stance"]).filter(|stance| stance != "serving");
    let left = origin["stance_ends_in_seconds"].as_f64();
    let left = left.map(|left| format!("for another {}", length(left)));
    rows.several("operator", [stance, left]);
    let surely = word(&origin["confidence"]);
    rows.several("verdict", [word(&origin["verdict"]), surely]);
    for fact in list(&origin["evidence_for"]) {
        rows.several("  for it", [word(fact)]);
    }
    for fact in list(&origin["evidence_against"]) {
        rows.several("  against", [word(fact)]);
    }
    let probe = &origin["last_probe"];
    let status = probe["status"].as_u64().map(|status| status.to_string());
    let took = probe["took_seconds"].as_f64();
    let took = took.map(|took| format!("within {}", length(took)));
    let ago = probe["ago_seconds"].as_f64();
    let ago = ago.map(|ago| format!("{} ago", length(ago)));
    let reason = word(&probe["reason"]);
    rows.several(
        "last probe",
        [word(&probe["result"]), status, took, reason, ago],
    );
    let memory = origin["memory_bytes"].as_u64();
    let memory = memory.map(|amount| format!("{} of memory", bytes(amount)));
    let share = origin["processor_share"].as_f64();
    let share = share.map(|share| format!("{:.0} % of a processor", share * 100.0));
    let threads = origin["threads"].as_u64();
    let threads = threads.map(|amount| counted(amount, "thread"));
    let open = origin["descriptors"].as_u64();
    let open = open.map(|amount| counted(amount, "descriptor"));
    rows.several("process", [memory, share, threads, open]);
    growth(rows, &origin["growth"], |it| it["steady"] == true);
    rows.several("restarts", [by_word(&origin["restarts"])]);
}

/// How what the origin holds has grown, of each thing that is `worth` a row.
pub(super) fn growth(rows: &mut Rows, growth: &Value, worth: fn(&Value) -> bool) {
    for (key, name) in [
        ("memory_bytes", "of memory"),
        ("descriptors", "descriptors"),
        ("threads", "threads"),
        ("close_wait", "connections in CLOSE_WAIT"),
    ] {
        let told = if key == "memory_bytes" { bytes } else { number };
        let it = &growth[key];
        let (Some(start), Some(now)) = (it["start"].as_u64(), it["now"].as_u64()) else {
            continue;
        };
        if worth(it) {
            let left = it["limit_reached_in_seconds"].as_f64();
            let course = grown(start, it["per_hour"].as_f64(), left, told);
            rows.several(
                "  it held",
                [Some(format!("{} {name}", told(now))), Some(course)],
            );
        }
    }
}

fn traffic(rows: &mut Rows, json: &Value) {
    let traffic = &json["traffic"];
    let amount = |of: &Value, what: &str| Some(format!("{} {what}", number(of.as_u64()?)));
    let connections = &traffic["connections"];
    let open = amount(&connections["open"], "open");
    let accepted = amount(&connections["accepted"], "accepted");
    let shed = by_word(&connections["shed"]).filter(|told| told != NONE);
    let shed = shed.map(|told| format!("shed: {told}"));
    rows.several("connections", [open, accepted, shed]);
    let exchanges = &traffic["exchanges"];
    let in_flight = amount(&exchanges["in_flight"], "in flight");
    let begun = amount(&exchanges["begun"], "begun");
    let replayed = amount(&exchanges["replayed"], "replayed");
    let continued = amount(&exchanges["continued"], "continued");
    rows.several("exchanges", [in_flight, begun, replayed, continued]);
    let queued = amount(&json["waiting"]["queued"], "for a slot");
    let held = amount(&json["waiting"]["held"], "for the gate");
    rows.several("waiting", [queued, held]);
    rows.several("answers", [by_word(&traffic["answered"])]);
    rows.several("lost", [by_word_as(&traffic["lost"], loss)]);
    for it in list(&json["quarantine"]) {
        let hangs = it["hangs"].as_u64().unwrap_or_default();
        let left = it["ends_in_seconds"].as_f64().unwrap_or_default();
        let told = word(&it["request"]).map(|request| quarantined(&request, hangs, left));
        rows.several("quarantine", [told]);
    }
    let took = &traffic["spans"]["total"];
    let part = |key: &str, share: &str| Some(format!("{share} {}", length(took[key].as_f64()?)));
    rows.several(
        "they took",
        [
            part("p50_seconds", "50 %"),
            part("p90_seconds", "90 %"),
            part("p99_seconds", "99 %"),
            part("longest_seconds", "longest"),
        ],
    );
}

fn visits(text: &mut String, visits: &Value) {
    let visits = list(visits);
    if visits.is_empty() {
        return;
    }
    text.push_str("\nrequests at the origin\n");
    for visit in visits {
        let told = |key: &str| visit[key].as_f64().map(length).unwrap_or_default();
        let (age, quiet) = (told("age_seconds"), told("quiet_seconds"));
        let request = word(&visit["request"]).unwrap_or_default();
        let _ = writeln!(text, "  {age:>12}, quiet for {quiet:<12}  {request}");
    }
}

fn incidents(text: &mut String, incidents: &Value) {
    let incidents = list(incidents);
    if incidents.is_empty() {
        return;
    }
    text.push_str("\nincidents, the newest first\n");
    for incident in incidents.iter().take(INCIDENTS) {
        let told = |key: &str| word(&incident[key]).unwrap_or_default();
        let _ = writeln!(text, "  {}\n    {}", told("id"), told("sentence"));
    }
    if incidents.len() > INCIDENTS {
        let more = incidents.len() - INCIDENTS;
        let _ = writeln!(text, "  and {more} more; `leeward incidents` lists them");
    }
}

impl Rows {
    /// A row of what is known of `parts`; none if nothing is.
    pub(super) fn several<const N: usize>(
        &mut self,
        label: &'static str,
        parts: [Option<String>; N],
    ) {
        let known: Vec<String> = parts.into_iter().flatten().collect();
        if !known.is_empty() {
            self.0.push((label, known.join(", ")));
        }
    }

    pub(super) fn write(&self, text: &mut String) {
        self.write_in(text, Ink::Plain);
    }

    fn write_in(&self, text: &mut String, ink: Ink) {
        let width = self.0.iter().map(|(label, _)| label.len()).max();
        let width = width.unwrap_or_default();
        let (begin, end) = ink.around(Tone::Faint);
        for (label, value) in &self.0 {
            let _ = writeln!(text, "{begin}{label:<width$}{end}  {value}");
        }
    }
}

/// The tone of a state, as on the page.
fn tone(state: State) -> Tone {
    match state {
        State::Ready => Tone::Good,
        State::Starting | State::Stopping | State::Backoff => Tone::Passing,
        State::Suspect | State::Maintenance => Tone::Doubtful,
        State::Hung | State::Degraded => Tone::Bad,
    }
}

const NONE: &str = "none";

/// Those that are not 0, or [`NONE`].
fn by_word(values: &Value) -> Option<String> {
    by_word_as(values, |word| word)
}

/// The same, each word said as `told` has it.
fn by_word_as(values: &Value, told: fn(&str) -> &str) -> Option<String> {
    let some: Vec<_> = values
        .as_object()?
        .iter()
        .filter_map(|(word, amount)| Some((word, amount.as_u64().filter(|amount| *amount > 0)?)))
        .map(|(word, amount)| format!("{} {}", number(amount), plain(told(word))))
        .collect();
    Some(match some.is_empty() {
        true => NONE.to_owned(),
        false => some.join(", "),
    })
}

pub(super) fn list(values: &Value) -> &[Value] {
    values.as_array().map_or(&[], Vec::as_slice)
}

pub(super) fn word(value: &Value) -> Option<String> {
    value.as_str().map(plain)
}

/// Without what a terminal would take for a command: requests and processes choose their words themselves.
pub(super) fn plain(text: &str) -> String {
    let harmless = |letter: char| match letter.is_control() || turns(letter) {
        true => char::REPLACEMENT_CHARACTER,
        false => letter,
    };
    text.chars().map(harmless).collect()
}

/// Whether it only turns the direction or the lines of what stands around it, and so can make it look like something
/// else.
fn turns(letter: char) -> bool {
    matches!(letter, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::super::tests::hung;
    use super::*;

    #[test]
    fn a_person_sees_the_state_first_and_the_reasons_below() {
        let told = render(&serde_json::to_value(hung()).unwrap(), Ink::Plain);
        for line in [
            "HUNG for 1.5 s, since 2026-01-31 08:15:58 UTC",
            "origin       127.0.0.1:8080, pid 4711, generation 3, up 40.0 s",
            "verdict      hung-blocked, conclusive",
            "  for it     asleep for 1.6 s",
            "last probe   silent, 500 ms ago",
            "process      17.5 MiB of memory, 0 % of a processor, 1 thread, 14 descriptors",
            "restarts     1 exited, 2 hung-blocked",
            "answers      1,200 2xx, 3 5xx",
            "lost         2 the origin died with it",
        ] {
            assert!(told.lines().any(|said| said == line), "{line}\n{told}");
        }
        assert!(told.contains("Requests are held"), "{told}");
        assert!(told.contains("POST /reports/<script>"), "{told}");
        assert!(told.ends_with('\n'));
    }

    #[test]
    fn colours_are_added_and_nothing_else() {
        let json = serde_json::to_value(hung()).unwrap();
        let coloured = render(&json, Ink::Coloured);
        assert!(
            coloured.starts_with("\x1b[1;31mHUNG\x1b[0m for 1.5 s"),
            "{coloured}"
        );
        let mut bare = coloured;
        for colour in ["\x1b[1;31m", "\x1b[2m", "\x1b[0m"] {
            bare = bare.replace(colour, "");
        }
        assert_eq!(bare, render(&json, Ink::Plain));
    }

    #[test]
    fn an_empty_or_foreign_json_is_no_reason_to_fail() {
        assert_eq!(render(&Value::Null, Ink::Plain), "UNKNOWN\n\n");
        let foreign = serde_json::json!({"origin": {"state": "dreaming", "visits": 7}});
        assert_eq!(render(&foreign, Ink::Plain), "DREAMING\n\n");
    }

    #[test]
    fn a_request_cannot_write_to_the_terminal() {
        let json = serde_json::json!({"origin": {"visits": [{"request": "GET /\u{1b}[2J"}]}});
        assert!(!render(&json, Ink::Plain).contains('\u{1b}'));
    }
}
