//! `leeward check`: judges a configuration without running it.

use std::path::Path;

use super::{BAD_CONFIG, FINE, say};
use crate::config;
use crate::config::settings::{Process, Settings};
use crate::edge::tls;
use crate::origin::promptness;

/// Prints every fault, or that there is none, and how soon a hang would be noticed.
pub fn check(file: &Path) -> u8 {
    let settings = match config::load(file) {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("{error}");
            return BAD_CONFIG;
        }
    };
    if let Err(error) = tls::server(&settings.edge.tls) {
        eprintln!("{}: {error}", file.display());
        return BAD_CONFIG;
    }
    if let Process::Command(command) = &settings.origin.process
        && let Some(obstacle) = config::obstacle(command)
    {
        // Perhaps it is judged elsewhere than it will run.
        eprintln!("{}: on this machine, {obstacle}", file.display());
    }
    for obstacle in config::obstacles(&settings.hooks) {
        eprintln!("{}: on this machine, {obstacle}", file.display());
    }
    let listen: Vec<String> = settings
        .edge
        .listen
        .iter()
        .map(ToString::to_string)
        .collect();
    let origin = match &settings.origin.process {
        Process::Bundled => "the bundled origin".to_owned(),
        Process::Command(command) => format!("{}, started by Leeward", command.program),
        Process::Observed => "started by somebody else, observed".to_owned(),
    };
    say(&format!(
        "{}: good: clients on {}, origin {} ({origin})",
        file.display(),
        listen.join(", "),
        settings.origin.address
    ));
    say(&format!(
        "{}: a hang is noticed within {}",
        file.display(),
        noticed(&settings)
    ));
    FINE
}

fn noticed(settings: &Settings) -> String {
    let told = promptness::noticed(settings)
        .map(|it| format!("{:.1} s where {}", it.within.as_secs_f64(), it.what));
    told.join(", ")
}
