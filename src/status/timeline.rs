//! The course of an incident in words, alike on the page and in the terminal: what happened when, and for how long nobody
//! was served. Of its JSON; what that lacks is left out, for it may come from another version of Leeward.

use serde_json::Value;

use super::terminal::{list, word};
use super::words::length;

/// One moment of it.
pub(super) struct Line {
    /// When: RFC 3339.
    pub(super) at: String,
    /// The time of that day, to the millisecond, UTC.
    pub(super) clock: String,
    /// How long after it fell ill.
    pub(super) offset: String,
    /// What happened.
    pub(super) told: String,
}

/// What happened, in the order of its happening.
pub(super) fn lines(incident: &Value) -> Vec<Line> {
    let moments = list(&incident["timeline"]).iter();
    moments
        .filter_map(|moment| line(incident, moment))
        .collect()
}

/// For how long nobody was served, from when to when, and what that was made of; `None` where nothing is told of that.
pub(super) fn outage(incident: &Value) -> Option<String> {
    if let Some(outage) = word(&incident["part_of"]) {
        return Some(format!(
            "A start that failed in the outage that began with {outage}; what that cost is told there."
        ));
    }
    let ending = &incident["ending"];
    let ill = clock_of(incident, "ill");
    let number = |key: &str| ending[key].as_f64();
    // An earlier version told the parts alone.
    let sum = || Some(number("detection_seconds")? + number("downtime_seconds")?);
    let Some(lasted) = number("unserved_seconds").or_else(sum) else {
        let since = ill.map_or_else(String::new, |ill| format!(" since {ill} UTC"));
        let is_open = ending["downtime_seconds"].is_null() && incident["opened"].is_string();
        return is_open.then(|| format!("Nobody is served{since}; it is not over yet."));
    };
    if lasted == 0.0 {
        return Some("Nobody had to wait for it.".to_owned());
    }
    let again = clock_of(incident, "reached");
    let span = match (ill, again) {
        (Some(ill), Some(again)) => format!(", from {ill} to {again} UTC"),
        _ => String::new(),
    };
    let lasted = length(lasted);
    let (noticed, served) = (
        number("detection_seconds").unwrap_or_default(),
        number("downtime_seconds").unwrap_or_default(),
    );
    let serving = length(served);
    Some(if noticed > 0.0 {
        let noticed = length(noticed);
        format!(
            "Nobody was served for {lasted}{span}: {noticed} until it was noticed and proven, {serving} until it served again."
        )
    } else if clock_of(incident, "held").is_some() {
        format!(
            "New requests were held for {lasted}{span}, while what was under way was finished and it was replaced."
        )
    } else {
        format!(
            "Nobody was served for {lasted}{span}: it was noticed at once, and served again after {serving}."
        )
    })
}

/// When it was over, to the second: RFC 3339.
pub(super) fn over(incident: &Value) -> Option<String> {
    let moments = list(&incident["timeline"]).iter();
    let mut reached = moments.filter(|it| it["what"] == "reached");
    word(&reached.next()?["at"])
}

fn clock_of(incident: &Value, what: &str) -> Option<String> {
    let moments = list(&incident["timeline"]).iter();
    let mut found = moments.filter(|it| it["what"] == what);
    clock(&word(&found.next()?["at"])?)
}

fn line(incident: &Value, moment: &Value) -> Option<Line> {
    let at = word(&moment["at"])?;
    let after = moment["after_seconds"].as_f64()?;
    let note = word(&moment["note"]);
    Some(Line {
        clock: clock(&at)?,
        offset: match after {
            _ if after.abs() >= 60.0 => {
                let sign = if after < 0.0 { '−' } else { '+' };
                format!("{sign}{}", length(after.abs()))
            }
            _ if after < 0.0 => format!("−{:.3} s", -after),
            _ if after > 0.0 => format!("+{after:.3} s"),
            _ => "0 s".to_owned(),
        },
        told: told(incident, &word(&moment["what"])?, note),
        at,
    })
}

fn told(incident: &Value, what: &str, note: Option<String>) -> String {
    let with = |told: &str, note: Option<String>| match note {
        Some(note) => format!("{told}: {note}"),
        None => told.to_owned(),
    };
    match what {
        "last_life" => "its last sign of life: an answer, or a byte that moved".to_owned(),
        "ill" if incident["judgement"]["verdict"] == "leaking" => {
            with("to be replaced from here on", note)
        }
        "ill" => with("ill from here on, as far as could be seen", note),
        "noticed" => "noticed: suspected, and looked at more often".to_owned(),
        "held" => "new requests are held, so that what is under way can be finished".to_owned(),
        "verdict" => {
            let surely = word(&incident["judgement"]["confidence"]);
            let surely = surely.map_or_else(String::new, |surely| format!(", {surely}"));
            format!("the verdict: {}{surely}", note.unwrap_or_default())
        }
        "written" => "the evidence is on the disk".to_owned(),
        "frozen" => "frozen, so that it begins with nothing any more".to_owned(),
        "signalled" => with("told to end", note),
        "ended" => with(
            "ended",
            note.map(|note| note.trim_start_matches("ended, ").to_owned()),
        ),
        "started" => with("the next one began", note),
        "ready" => "the next one answered".to_owned(),
        "reached" => with("requests reach the origin again: over", note),
        "served" => "the first client had its whole answer".to_owned(),
        unknown => with(unknown, note),
    }
}

/// The time of the day in RFC 3339.
fn clock(rfc3339: &str) -> Option<String> {
    let (_, time) = rfc3339.split_once('T')?;
    Some(time.trim_end_matches('Z').to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn frozen() -> Value {
        json!({
            "opened": "2026-01-31T08:15:30.010Z",
            "judgement": {"verdict": "stopped", "confidence": "conclusive"},
            "timeline": [
                {"what": "last_life", "at": "2026-01-31T08:15:28.100Z", "after_seconds": -0.3},
                {"what": "ill", "at": "2026-01-31T08:15:28.400Z", "after_seconds": 0.0, "note": "it was first seen stopped"},
                {"what": "verdict", "at": "2026-01-31T08:15:30.000Z", "after_seconds": 1.6, "note": "stopped"},
                {"what": "signalled", "at": "2026-01-31T08:15:30.025Z", "after_seconds": 1.625, "note": "SIGKILL, by Leeward"},
                {"what": "reached", "at": "2026-01-31T08:15:30.400Z", "after_seconds": 2.0},
                {"what": "new_word", "at": "2026-01-31T08:15:31.000Z", "after_seconds": 2.6},
                {"what": "no time"},
            ],
            "ending": {"detection_seconds": 1.6, "downtime_seconds": 0.4, "unserved_seconds": 2.0},
        })
    }

    #[test]
    fn each_moment_has_its_clock_its_offset_and_what_it_was() {
        let told: Vec<_> = lines(&frozen())
            .into_iter()
            .map(|it| format!("{} {} {}", it.clock, it.offset, it.told))
            .collect();
        assert_eq!(
            told,
            [
                "08:15:28.100 −0.300 s its last sign of life: an answer, or a byte that moved",
                "08:15:28.400 0 s ill from here on, as far as could be seen: it was first seen stopped",
                "08:15:30.000 +1.600 s the verdict: stopped, conclusive",
                "08:15:30.025 +1.625 s told to end: SIGKILL, by Leeward",
                "08:15:30.400 +2.000 s requests reach the origin again: over",
                "08:15:31.000 +2.600 s new_word",
            ]
        );
    }

    #[test]
    fn the_outage_is_a_sum_from_when_it_fell_ill_to_when_it_served() {
        let mut it = frozen();
        assert_eq!(
            outage(&it).as_deref(),
            Some(
                "Nobody was served for 2.0 s, from 08:15:28.400 to 08:15:30.400 UTC: 1.6 s until it was noticed and \
                 proven, 400 ms until it served again."
            )
        );
        assert_eq!(over(&it).as_deref(), Some("2026-01-31T08:15:30.400Z"));
        it["ending"] = Value::Null;
        let open = outage(&it);
        let wanted = "Nobody is served since 08:15:28.400 UTC; it is not over yet.";
        assert_eq!(open.as_deref(), Some(wanted));
        it["part_of"] = "first".into();
        assert!(outage(&it).is_some_and(|told| told.contains("the outage that began with first")));
        assert_eq!(outage(&Value::Null), None);
        assert!(lines(&Value::Null).is_empty());
    }

    #[test]
    fn what_was_noticed_at_once_and_what_was_planned_are_no_hangs() {
        let mut it = frozen();
        it["ending"]["detection_seconds"] = 0.0.into();
        assert!(outage(&it).is_some_and(|told| told.contains("it was noticed at once")));
        it["timeline"][0]["what"] = "held".into();
        assert!(
            outage(&it)
                .is_some_and(|told| told.starts_with("New requests were held for 2.0 s, from"))
        );
        it["ending"]["unserved_seconds"] = 0.0.into();
        assert_eq!(outage(&it).as_deref(), Some("Nobody had to wait for it."));
    }
}
