//! The keys of `[hooks]`.

use std::time::Duration;

use toml::de::DeValue;

use super::origin::texts;
use crate::config::raw::Section;
use crate::config::settings::Hooks;
use crate::config::value::{Judged, Wrong, bytes, span};

/// Shells that take a script as the argument after `-c`.
const SHELLS: [&str; 6] = ["sh", "bash", "dash", "ash", "ksh", "zsh"];

/// `[hooks]`, of which those around a kill are for an origin that is `observed` a mistake.
pub fn hooks(mut section: Section<'_, '_, '_>, observed: bool) -> Hooks {
    let mut it = Hooks::default();
    let limit = || span(Duration::from_millis(100), Duration::from_secs(600));
    section.set("before_kill", &mut it.before_kill.words, words);
    section.set("before_kill_timeout", &mut it.before_kill.timeout, limit());
    let size = bytes(1 << 10, 1 << 20);
    section.set("before_kill_output", &mut it.before_kill.output, size);
    section.set("on_incident", &mut it.on_incident.words, words);
    section.set("on_incident_timeout", &mut it.on_incident.timeout, limit());
    section.set("on_degraded", &mut it.on_degraded.words, words);
    section.set("on_degraded_timeout", &mut it.on_degraded.timeout, limit());
    for (key, never) in [("before_kill", "kills"), ("on_degraded", "restarts")] {
        if observed && section.says(key) && !section.has_faults() {
            section.complain(
                key,
                Wrong::new(
                    format!("without [origin.process] Leeward {never} nothing, so that it would never run"),
                    "add [origin.process], or use on_incident, which runs in any case",
                ),
            );
        }
    }
    section.finish();
    it
}

fn words(value: &DeValue<'_>) -> Judged<Vec<String>> {
    let words = texts(value)?;
    if words.first().is_none_or(String::is_empty) {
        return Err(Wrong::new(
            "the command is empty",
            "write it like [\"/usr/local/bin/tell\", \"{id}\"], or take the key out",
        ));
    }
    match runs_what_it_is_told(&words) {
        true => Err(Wrong::new(
            "{sentence} within a shell's script: it quotes requests and the origin, and would be run",
            "write \"$LEEWARD_SENTENCE\" there instead, in its quotes",
        )),
        false => Ok(words),
    }
}

/// Whether a sentence that anybody can write a part of would become a part of a script.
fn runs_what_it_is_told(words: &[String]) -> bool {
    let name = words[0].rsplit('/').next().unwrap_or_default();
    // `-c`, or a bundle of options like `-ec`.
    let takes =
        |word: &&str| !word.starts_with("--") && word.starts_with('-') && word.contains('c');
    let script = words.iter().position(|word| takes(&word.as_str()));
    let script = script.and_then(|at| words.get(at + 1));
    SHELLS.contains(&name) && script.is_some_and(|script| script.contains("{sentence}"))
}
