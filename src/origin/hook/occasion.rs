//! What a hook is told of the incident, in its arguments and in its environment.

use std::path::Path;

use crate::origin::incident::{Incident, Step, Summary};

/// The facts, each by its name in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occasion([(&'static str, String); 6]);

impl Occasion {
    /// An incident at one step; `file` is where it is, unless it could not be written.
    pub fn of(incident: &Incident, file: Option<&Path>, step: Step) -> Self {
        let file = file.map(|file| file.display().to_string());
        let pid = incident.pid.map(|pid| pid.to_string());
        Self([
            ("id", sound(&incident.id)),
            ("file", sound(&file.unwrap_or_default())),
            ("verdict", incident.judgement.verdict.word().to_owned()),
            ("sentence", sound(&incident.sentence)),
            ("pid", pid.unwrap_or_default()),
            ("step", step.word().to_owned()),
        ])
    }

    /// What happened beside the incidents, at this step and in these words; `last` is the one before it.
    pub fn beside(
        last: Option<&Summary>,
        file: Option<&Path>,
        pid: &str,
        (step, sentence): (&str, &str),
    ) -> Self {
        let of_last = |fact: fn(&Summary) -> &str| sound(last.map_or("", fact));
        let file = file.map(|file| file.display().to_string());
        Self([
            ("id", of_last(|last| &last.id)),
            ("file", sound(&file.unwrap_or_default())),
            ("verdict", of_last(|last| &last.verdict)),
            ("sentence", sound(sentence)),
            ("pid", pid.to_owned()),
            ("step", step.to_owned()),
        ])
    }

    /// `text` with each placeholder replaced once: what is filled in is not looked at again.
    pub fn fill(&self, text: &str) -> String {
        let mut pieces = text.split('{');
        let mut filled = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            let found = piece
                .split_once('}')
                .and_then(|(name, rest)| Some((self.fact(name)?, rest)));
            match found {
                Some((fact, rest)) => filled.extend([fact, rest]),
                None => filled.extend(["{", piece]),
            }
        }
        filled
    }

    /// The same facts as variables, like `LEEWARD_ID`.
    pub fn environment(&self) -> impl Iterator<Item = (String, &str)> {
        let variable = |name: &str| format!("LEEWARD_{}", name.to_ascii_uppercase());
        let facts = self.0.iter();
        facts.map(move |(name, fact)| (variable(name), fact.as_str()))
    }

    /// What it is about, for the log.
    pub fn fact(&self, name: &str) -> Option<&str> {
        let known = self.0.iter().find(|(known, _)| *known == name);
        known.map(|(_, fact)| fact.as_str())
    }
}

/// Without what no argument can hold, and what would write to the terminal of whoever reads it.
fn sound(text: &str) -> String {
    let harmless = |letter: char| match letter.is_control() {
        true => ' ',
        false => letter,
    };
    text.chars().map(harmless).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_filled_in_is_not_looked_at_again() {
        let facts = [
            ("id", "1"),
            ("file", "/f"),
            ("verdict", "exited"),
            ("sentence", "it said {file} and {"),
            ("pid", "7"),
            ("step", "opened"),
        ];
        let occasion = Occasion(facts.map(|(name, fact)| (name, fact.to_owned())));
        for (text, filled) in [
            ("", ""),
            ("{id}", "1"),
            ("a{sentence}b{pid}", "ait said {file} and {b7"),
            ("{none} {id {} }{", "{none} {id {} }{"),
            ("{{id}}", "{1}"),
        ] {
            assert_eq!(occasion.fill(text), filled);
        }
        let variables: Vec<_> = occasion.environment().collect();
        assert_eq!(variables[0], ("LEEWARD_ID".to_owned(), "1"));
        assert_eq!(variables.len(), 6);
    }
}
