//! `leeward check`: judges a configuration without running it.

use std::path::Path;

use super::{BAD_CONFIG, FINE, say};
use crate::config::{self, settings::Process};
use crate::edge::tls;

/// Prints every fault, or that there is none.
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
    // Perhaps it is judged elsewhere than it will run.
    for obstacle in config::obstacles(&settings) {
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
        Process::Daemon(daemon) => {
            let program = &daemon.command.program;
            format!("{program}, started by Leeward, a daemon")
        }
        Process::Unit(unit) => format!("{unit}, started by systemd, restarted by Leeward"),
        Process::Hooked(hooked) => match hooked.up().first() {
            Some(program) => {
                format!("started by somebody else, restarted by Leeward with {program}")
            }
            None => "started by somebody else, who is to start again what Leeward ends".to_owned(),
        },
        Process::Observed => "started by somebody else, observed".to_owned(),
    };
    say(&format!(
        "{}: good: clients on {}, origin {} ({origin})",
        file.display(),
        listen.join(", "),
        settings.origin.address
    ));
    FINE
}
