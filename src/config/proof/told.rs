//! The proof as people read it, and as programs do.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Amount, Bound, Gravity, Note, Part, Proof};
use crate::config::value;

/// Letters of a line.
const WIDTH: usize = 108;
/// The version of the shape for programs.
const SCHEMA: u32 = 1;

impl Proof {
    /// For people: each bound with its sum, then what is at odds.
    pub fn for_people(&self) -> String {
        let sections = [
            (
                "How long a client waits, from its last byte sent to the first byte of an answer or error",
                &self.waits,
            ),
            (
                "From the moment the origin falls ill to the verdict",
                &self.detection,
            ),
            (
                "From the verdict to the next request that is served, and a shutdown",
                &self.recovery,
            ),
            ("Memory and disk", &self.room),
        ];
        let mut text = "In the worst case, by these settings:\n".to_owned();
        for (title, bounds) in sections {
            text.push_str(&format!("\n{title}\n"));
            for bound in bounds {
                text.push_str(&bound.for_people());
            }
        }
        if !self.notes.is_empty() {
            text.push('\n');
        }
        for note in &self.notes {
            text.push_str(&note.for_people());
        }
        text
    }

    /// For programs; times are in seconds.
    pub fn for_programs(&self) -> Value {
        let bounds = |bounds: &[Bound]| bounds.iter().map(Bound::for_programs).collect::<Vec<_>>();
        let notes = self.notes.iter().map(|note| {
            json!({
                "gravity": note.gravity.word(),
                "keys": note.keys,
                "message": note.message,
                "remedy": note.remedy,
            })
        });
        json!({
            "schema": SCHEMA,
            "waits": bounds(&self.waits),
            "detection": bounds(&self.detection),
            "recovery": bounds(&self.recovery),
            "room": bounds(&self.room),
            "notes": notes.collect::<Vec<_>>(),
        })
    }
}

impl Bound {
    fn for_people(&self) -> String {
        let mut text = format!("{:>10}  {}\n", self.total().told(), self.told);
        let indent = " ".repeat(12);
        let mut line = String::new();
        for (nth, part) in self.parts.iter().enumerate() {
            let piece = part.told();
            let piece = if nth == 0 {
                format!("= {piece}")
            } else {
                format!("+ {piece}")
            };
            if !line.is_empty() && indent.len() + line.len() + 1 + piece.len() > WIDTH {
                text.push_str(&format!("{indent}{line}\n"));
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(&piece);
        }
        text.push_str(&format!("{indent}{line}\n"));
        text
    }

    fn for_programs(&self) -> Value {
        let parts = self.parts.iter().map(|part| {
            let mut told = part.amount.for_programs();
            told["what"] = part.what.into();
            if !part.key.is_empty() {
                told["key"] = part.key.into();
            }
            told
        });
        let mut told = self.total().for_programs();
        told["name"] = self.name.into();
        told["told"] = self.told.into();
        told["parts"] = parts.collect();
        told
    }
}

impl Part {
    fn told(&self) -> String {
        let amount = self.amount.told();
        match self.key {
            "" => format!("{amount} ({})", self.what),
            key => format!("{amount} {key} ({})", self.what),
        }
    }
}

impl Note {
    fn for_people(&self) -> String {
        let keys = self.keys.join(", ");
        let word = self.gravity.word();
        format!(
            "{word}: {keys}: {}\n{}  {}\n",
            self.message,
            " ".repeat(word.len()),
            self.remedy
        )
    }
}

impl Gravity {
    fn word(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Hint => "note",
        }
    }
}

impl Amount {
    fn told(self) -> String {
        match self {
            Self::Time(length) => time(length),
            Self::Bytes(bytes) => size(bytes),
            Self::Endless => "no bound".to_owned(),
        }
    }

    fn for_programs(self) -> Value {
        match self {
            Self::Time(length) => json!({ "seconds": length.as_secs_f64() }),
            Self::Bytes(bytes) => json!({ "bytes": bytes }),
            Self::Endless => json!({ "endless": true }),
        }
    }
}

/// A time as people say it, to a hundredth.
pub(super) fn time(length: Duration) -> String {
    let millis = length.as_millis();
    match millis {
        0 => "0 s".to_owned(),
        1..1000 => format!("{millis} ms"),
        1000..300_000 => {
            let text = format!("{:.2}", length.as_secs_f64());
            format!("{} s", text.trim_end_matches('0').trim_end_matches('.'))
        }
        _ => {
            let seconds = length.as_secs();
            let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
            let parts = [(hours, "h"), (minutes, "min"), (seconds, "s")];
            let told = parts.iter().filter(|(count, _)| *count > 0);
            let told: Vec<_> = told
                .map(|(count, unit)| format!("{count} {unit}"))
                .collect();
            told.join(" ")
        }
    }
}

/// A size, exact where it can be said in a unit and rounded where not.
fn size(bytes: u64) -> String {
    let exact = value::told(bytes);
    if exact.len() <= 8 {
        return exact;
    }
    const MIB: u64 = 1 << 20;
    format!("{}MiB", bytes.div_ceil(MIB))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_as_people_say_them() {
        for (millis, told) in [
            (0, "0 s"),
            (300, "300 ms"),
            (1500, "1.5 s"),
            (2850, "2.85 s"),
            (60_000, "60 s"),
            (600_000, "10 min"),
            (3_661_000, "1 h 1 min 1 s"),
        ] {
            assert_eq!(time(Duration::from_millis(millis)), told);
        }
        assert_eq!(size(1 << 30), "1GiB");
        assert_eq!(size((1 << 30) + 1), "1025MiB");
    }

    #[test]
    fn a_quick_route_that_gives_up_first_makes_a_hang_later_and_a_slow_one_does_not() {
        let silent = |routes: &str| {
            let settings = crate::config::parse("t", routes).unwrap();
            match Proof::of(&settings).bound("silent").unwrap().total() {
                Amount::Time(length) => length.as_secs(),
                other => panic!("{other:?}"),
            }
        };
        let quick = "[[route]]\npath = \"/quick\"\nfirst_byte = \"4s\"\n";
        let slow = "[[route]]\npath = \"/slow\"\nfirst_byte = \"5m\"\n";
        assert_eq!([silent(""), silent(slow)], [12, 12]);
        assert_eq!([silent(quick), silent(&format!("{slow}{quick}"))], [16, 16]);
    }

    #[test]
    fn a_total_is_the_sum_of_its_parts_and_without_an_end_where_one_of_them_is() {
        let settings = crate::config::Settings::default();
        let proof = Proof::of(&settings);
        let stopped = proof.bound("stopped").unwrap();
        assert_eq!(
            stopped.total(),
            Amount::Time(Duration::from_millis(500 + 1500 + 100 + 250))
        );
        let mut endless = settings;
        endless.edge.limits.memory = None;
        let memory = Proof::of(&endless);
        let memory = memory.bound("memory").unwrap();
        assert_eq!(memory.total(), Amount::Endless);
        assert!(memory.for_people().contains("no bound edge.limits.memory"));
    }
}
