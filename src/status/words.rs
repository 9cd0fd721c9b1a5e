//! States and numbers as people read them, alike on the page and in the terminal.

use super::snapshot::Fate;
use crate::origin::{Care, State};

/// What a state means, and what it means for requests. `opens_in` is the wait for a shut gate in seconds, as far as
/// anyone can tell; `None` while the gate is open.
pub(super) fn about(
    state: State,
    care: Care,
    requests: Option<Fate>,
    opens_in: Option<f64>,
) -> String {
    let meaning = meaning(state, care);
    let left = opens_in.filter(|left| *left > 0.0).map(length);
    match (requests, left) {
        (None, _) => meaning.to_owned(),
        (Some(Fate::Reach), _) => format!("{meaning} Requests reach it."),
        (Some(Fate::Go), _) => format!("{meaning} Requests still go to it, and may have to wait."),
        (Some(Fate::Held), Some(left)) => {
            format!("{meaning} Requests are held, perhaps for another {left}.")
        }
        (Some(Fate::Held), None) => format!("{meaning} Requests are held."),
        (Some(Fate::Refused), left) => {
            let left = left.unwrap_or_else(|| "a while".to_owned());
            format!("{meaning} Requests are answered 503, perhaps for another {left}.")
        }
    }
}

/// Why requests were lost, by the word that counts them.
pub(super) fn loss(word: &str) -> &str {
    match word {
        "wait" => "no origin in time",
        "full" => "too many waited",
        "died" => "the origin died with it",
        "timed_out" => "the origin was too slow",
        "bad_answer" => "no good answer",
        "spool" => "the answer was too large",
        "closed" => "taken out of service",
        "quarantined" => "in quarantine",
        unknown => unknown,
    }
}

/// A request that is kept from the origin, with what brought it there and for how much longer.
pub(super) fn quarantined(request: &str, hangs: u64, seconds: f64) -> String {
    let hangs = counted(hangs, "hang");
    format!("{request} after {hangs}, for another {}", length(seconds))
}

fn meaning(state: State, care: Care) -> &'static str {
    match (state, care) {
        (State::Starting, Care::Owned) => "The origin was started and has not answered yet.",
        (State::Starting, Care::Tended) => "The origin is not there yet.",
        (State::Starting, Care::Observed) => "Nobody answers where the origin should be.",
        (State::Ready, _) => "The origin answers.",
        (State::Suspect, Care::Observed) => {
            "The origin keeps silent, or looks ill. Leeward asks more often, and tells when it is sure."
        }
        (State::Suspect, Care::Owned | Care::Tended) => {
            "The origin keeps silent, or looks ill. Leeward asks more often, and acts when it is sure."
        }
        (State::Hung, Care::Owned | Care::Tended) => {
            "The origin serves nobody. The evidence is taken, then it is replaced."
        }
        (State::Hung, Care::Observed) => {
            "The origin serves nobody. Leeward does not own it and leaves it alone: somebody has to restart it."
        }
        (State::Stopping, _) => "The origin is being ended.",
        (State::Maintenance, _) => {
            "The origin is in maintenance: Leeward leaves it alone until `leeward resume`."
        }
        (State::Backoff, _) => "The origin has no process. It is about to be started again.",
        (State::Degraded, _) => {
            "Restarting the origin does not help. Leeward tries again slowly, for ever; somebody has to look."
        }
    }
}

/// A length of time, two units at most: `340 ms`, `12.3 s`, `3 min 20 s`, `4 d 2 h`.
pub(super) fn length(seconds: f64) -> String {
    let milliseconds = seconds * 1000.0;
    // Beyond a minute the fraction is noise, and cut off: a minute is over when it is over.
    let whole = seconds as u64;
    let (days, hours, minutes) = (whole / 86_400, whole / 3600 % 24, whole / 60 % 60);
    match seconds {
        _ if seconds <= 0.0 => "0 s".to_owned(),
        _ if milliseconds < 0.9995 => format!("{:.0} µs", (milliseconds * 1000.0).max(1.0)),
        _ if milliseconds < 9.95 => format!("{milliseconds:.1} ms"),
        _ if milliseconds < 999.5 => format!("{milliseconds:.0} ms"),
        _ if seconds < 59.95 => format!("{seconds:.1} s"),
        _ if whole < 3600 => format!("{} min {} s", whole.max(60) / 60, whole.max(60) % 60),
        _ if whole < 86_400 => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

/// An amount of bytes: `512 B`, `1.5 KiB`.
pub(super) fn bytes(amount: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if amount < 1024 {
        return format!("{amount} B");
    }
    let mut scaled = amount as f64 / 1024.0;
    let mut unit = UNITS[0];
    for next in &UNITS[1..] {
        // What would be rounded to 1024.0 belongs to the next unit.
        if scaled < 1023.95 {
            break;
        }
        scaled /= 1024.0;
        unit = next;
    }
    format!("{scaled:.1} {unit}")
}

/// A number with its thousands apart: `1,234,567`.
pub(super) fn number(amount: u64) -> String {
    let digits = amount.to_string();
    let mut told = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            told.push(',');
        }
        told.push(digit);
    }
    told
}

/// A moment in RFC 3339 as a person reads it: `2026-01-31 08:15:00 UTC`. What has another form stays as it is.
pub(super) fn moment(rfc3339: &str) -> String {
    match (rfc3339.get(..10), rfc3339.get(10..11), rfc3339.get(11..19)) {
        (Some(day), Some("T"), Some(time)) if rfc3339.ends_with('Z') => format!("{day} {time} UTC"),
        _ => rfc3339.to_owned(),
    }
}

/// How an amount has grown: `12 at its start, 96 more an hour, at its limit in 2 h 6 min`. `told` says an amount, with
/// its unit where it has one.
pub(super) fn grown(
    start: u64,
    per_hour: Option<f64>,
    limit_in: Option<f64>,
    told: fn(u64) -> String,
) -> String {
    let mut course = format!("{} at its start", told(start));
    if let Some(rate) = per_hour
        .map(|rate| rate.round())
        .filter(|rate| *rate != 0.0)
    {
        let way = if rate > 0.0 { "more" } else { "less" };
        let rate = told(rate.abs() as u64);
        course = format!("{course}, {rate} {way} an hour");
    }
    match limit_in {
        Some(left) => format!("{course}, at its limit in {}", length(left)),
        None => course,
    }
}

/// `1 request`, `2 requests`.
pub(super) fn counted(amount: u64, noun: &str) -> String {
    let plural = if amount == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", number(amount))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_whether_requests_reach_the_origin_are_held_or_wait_at_it() {
        let about =
            |state, requests, opens_in| about(state, Care::Observed, Some(requests), opens_in);
        for (told, end) in [
            (
                about(State::Ready, Fate::Reach, None),
                "answers. Requests reach it.",
            ),
            (
                about(State::Hung, Fate::Go, None),
                "restart it. Requests still go to it, and may have to wait.",
            ),
            (
                about(State::Starting, Fate::Held, Some(0.0)),
                "be. Requests are held.",
            ),
            (
                about(State::Starting, Fate::Held, Some(2.0)),
                "held, perhaps for another 2.0 s.",
            ),
            (
                about(State::Degraded, Fate::Refused, Some(50.0)),
                "answered 503, perhaps for another 50.0 s.",
            ),
        ] {
            assert!(told.ends_with(end), "{told}");
        }
    }

    #[test]
    fn lengths_keep_to_two_units() {
        for (seconds, told) in [
            (0.0, "0 s"),
            (0.0000001, "1 µs"),
            (0.0004, "400 µs"),
            (0.00234, "2.3 ms"),
            (0.34, "340 ms"),
            (0.9999, "1.0 s"),
            (12.34, "12.3 s"),
            (59.97, "1 min 0 s"),
            (200.9, "3 min 20 s"),
            (3600.0, "1 h 0 min"),
            (86_399.0, "23 h 59 min"),
            (356_400.0, "4 d 3 h"),
        ] {
            assert_eq!(length(seconds), told);
        }
    }

    #[test]
    fn bytes_and_numbers_never_need_counting_of_digits() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes((1 << 20) - 1), "1.0 MiB");
        assert_eq!(bytes(u64::MAX), "16384.0 PiB");
        assert_eq!(number(7), "7");
        assert_eq!(number(123_456), "123,456");
        assert_eq!(number(1_234_567), "1,234,567");
        assert_eq!(counted(1, "request"), "1 request");
        assert_eq!(counted(2000, "request"), "2,000 requests");
    }

    #[test]
    fn growth_is_told_as_far_as_it_is_known() {
        let told = |rate, left| grown(1200, rate, left, number);
        assert_eq!(told(None, None), "1,200 at its start");
        assert_eq!(told(Some(0.2), None), "1,200 at its start");
        assert_eq!(
            told(Some(-30.0), None),
            "1,200 at its start, 30 less an hour"
        );
        assert_eq!(
            grown(2048, Some(1024.0), Some(7560.0), bytes),
            "2.0 KiB at its start, 1.0 KiB more an hour, at its limit in 2 h 6 min"
        );
    }

    #[test]
    fn a_moment_is_told_to_the_second() {
        assert_eq!(
            moment("2026-01-31T08:15:00.123Z"),
            "2026-01-31 08:15:00 UTC"
        );
        assert_eq!(moment("yesterday"), "yesterday");
        assert_eq!(moment("été 2026 toujours Z"), "été 2026 toujours Z");
    }
}
