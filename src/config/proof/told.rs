//! The proof as people read it.

use std::time::Duration;

use super::{Amount, Bound, Gravity, Note, Part, Proof};
use crate::config::value;
use crate::ground::ink::{Ink, Tone};

/// Letters of a line.
const WIDTH: usize = 108;
/// What most of an outage is made of.
const STARTUP: &str = "restart.startup";

impl Proof {
    /// For people: what is at odds, the two sums that matter most, then what they are made of.
    pub fn for_people(&self, ink: Ink) -> String {
        let mut text = String::new();
        for note in &self.notes {
            text.push_str(&note.for_people(ink));
        }
        if !self.notes.is_empty() {
            text.push('\n');
        }
        text.push_str(
            "The worst cases that follow from these settings; usually it is much less.\n",
        );
        let all = |bounds: &[Bound]| bounds.iter().map(Bound::for_people).collect::<String>();
        let is_shutdown = |bound: &&Bound| bound.name == "shutdown";
        let (shutdown, replaced): (Vec<_>, Vec<_>) = self.recovery.iter().partition(is_shutdown);
        let noticed = self.detection.iter();
        let noticed = noticed.map(|bound| bound.for_people_of(&[bound.name]));
        let replaced = replaced.into_iter();
        let replaced = replaced.map(|bound| bound.for_people_of(&self.illnesses(bound)));
        let sections = [
            (
                "How long a client waits, from its last byte sent to the first byte of an answer or an error",
                all(&self.waits),
            ),
            (
                "How long nobody is served, from the origin's falling ill to the first answer of the next one",
                self.outages_for_people(ink),
            ),
            (
                "Noticed: from the origin's falling ill to the verdict",
                noticed.collect(),
            ),
            (
                "Replaced: from the verdict to the first answer of the next one",
                replaced.collect(),
            ),
            (
                "How long a shutdown takes",
                shutdown.into_iter().map(Bound::for_people).collect(),
            ),
            ("How much memory and disk are used", all(&self.room)),
        ];
        for (title, told) in sections.iter().filter(|(_, told)| !told.is_empty()) {
            text.push_str(&format!("\n{}\n{told}", ink.tell(Tone::Bold, title)));
        }
        text
    }

    /// The illnesses that a recovery follows.
    fn illnesses(&self, recovery: &Bound) -> Vec<&'static str> {
        let theirs = self.outages.iter();
        let theirs = theirs.filter(|outage| outage.recovery == recovery.name);
        theirs.map(|outage| outage.name).collect()
    }

    /// The longest, a line for each illness, and what else there is to know of an outage.
    fn outages_for_people(&self, ink: Ink) -> String {
        let Some(longest) = self.outages.iter().max_by_key(|outage| outage.total()) else {
            return String::new();
        };
        let mut text = format!(
            "{:>10}  at the longest ({}), where the next start succeeds\n",
            longest.total().told(),
            longest.name
        );
        let head = format!("{:>10}{:>13}{:>12}", "noticed", "replaced", "outage");
        text.push_str(&format!("{}\n", ink.tell(Tone::Faint, &head)));
        for outage in &self.outages {
            let [noticed, replaced, total] =
                [outage.noticed, outage.replaced, outage.total()].map(Amount::told);
            text.push_str(&format!(
                "{:>10} + {replaced:>10} = {total:>9}  {}: {}\n",
                noticed, outage.name, outage.told
            ));
        }
        let waits = ["between-starts", "between-starts-degraded"];
        let waits = waits.iter().filter_map(|name| self.bound(name));
        let again = waits.map(Bound::total).max();
        let start = self.bound(longest.recovery);
        let start = start.and_then(|bound| bound.parts.iter().find(|part| part.key == STARTUP));
        let (Some(again), Some(start)) = (again, start) else {
            return text;
        };
        let indent = " ".repeat(12);
        text.push_str(&format!(
            "{indent}{} of each is {STARTUP}, in which it must answer: take off what yours starts faster.\n\
             {indent}Where it was restarted shortly before, add {} at the most.\n\
             {indent}Where each start fails, another follows, for ever, and requests are answered 503.\n",
            start.amount.told(),
            again.told()
        ));
        text
    }
}

impl Bound {
    fn for_people(&self) -> String {
        self.for_people_of(&[])
    }

    /// The same, of these illnesses.
    fn for_people_of(&self, illnesses: &[&str]) -> String {
        let told = match illnesses {
            [] => self.told.to_owned(),
            some => format!("{}: {}", some.join(", "), self.told),
        };
        let mut text = format!("{:>10}  {told}\n", self.total().told());
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
    fn for_people(&self, ink: Ink) -> String {
        let keys = self.keys.join(", ");
        let word = self.gravity.word();
        let (tone, indent) = (self.gravity.tone(), " ".repeat(word.len()));
        format!(
            "{}: {keys}: {}\n{indent}  {}\n",
            ink.tell(tone, word),
            self.message,
            self.remedy
        )
    }
}

impl Gravity {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Hint => "note",
        }
    }

    fn tone(self) -> Tone {
        match self {
            Self::Warning => Tone::Doubtful,
            Self::Hint => Tone::Bold,
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
    fn every_illness_ends_in_a_replacement_and_an_outage_is_the_sum_of_the_two() {
        let settings = crate::config::parse("t", "[restart]\ngrace = \"5s\"\n").unwrap();
        let proof = Proof::of(&settings);
        assert_eq!(proof.outages.len(), proof.detection.len());
        for (outage, noticed) in proof.outages.iter().zip(&proof.detection) {
            let replaced = proof.bound(outage.recovery).unwrap();
            let sum = noticed.total().plus(replaced.total());
            assert_eq!((outage.name, outage.total()), (noticed.name, sum));
        }
        let said = proof.for_people(Ink::Plain);
        for line in [
            "  149.95 s  at the longest (spinning), where the next start succeeds\n",
            "   62.35 s +     87.6 s =  149.95 s  spinning: ",
            "    87.6 s  silent, spinning: ",
        ] {
            assert!(said.contains(line), "{line}\n{said}");
        }
        assert!(!said.contains('\x1b'));
        let coloured = proof.for_people(Ink::Coloured);
        assert!(coloured.contains("\x1b[1mnote\x1b[0m: "), "{coloured}");
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
