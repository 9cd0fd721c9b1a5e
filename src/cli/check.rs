//! `leeward check`: judges a configuration without running it.

use std::path::Path;
use std::time::SystemTime;

use super::{BAD_CONFIG, FINE, say, terminal};
use crate::config::proof::Proof;
use crate::config::{self, Settings, settings::Process};
use crate::edge::tls::Keyring;

/// What is printed of a configuration without a fault.
#[derive(Debug, Clone, Copy)]
pub enum Form {
    /// What follows from it, for people.
    People,
    /// The same for programs.
    Programs,
    /// All of it.
    Effective,
}

impl Form {
    /// The form these options ask for.
    pub fn of(effective: bool, json: bool) -> Self {
        match (effective, json) {
            (true, _) => Self::Effective,
            (_, true) => Self::Programs,
            _ => Self::People,
        }
    }
}

/// Prints every fault, or what follows where there is none.
pub fn check(file: &Path, form: Form) -> u8 {
    let settings = match config::load(file) {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("{error}");
            return BAD_CONFIG;
        }
    };
    let keyring = match Keyring::open(&settings.edge.tls) {
        Ok(keyring) => keyring,
        Err(faults) => {
            for fault in faults.0 {
                eprintln!("{}: {fault}", file.display());
            }
            return BAD_CONFIG;
        }
    };
    if let Err(faults) = config::pages::read(&settings.pages) {
        for fault in faults.0 {
            eprintln!("{}: {fault}", file.display());
        }
        return BAD_CONFIG;
    }
    for doubt in keyring.doubts(SystemTime::now()) {
        eprintln!("{}: warning: {doubt}", file.display());
    }
    // Perhaps it is judged elsewhere than it will run.
    for obstacle in config::obstacles(&settings) {
        eprintln!("{}: on this machine, {obstacle}", file.display());
    }
    match form {
        Form::People => {
            say(&good(file, &settings));
            let proof = Proof::of(&settings).for_people(terminal::ink());
            say(&format!("\n{}", proof.trim_end()));
        }
        Form::Programs => say(&format!("{:#}", Proof::of(&settings).for_programs())),
        Form::Effective => say(config::effective(&settings).trim_end()),
    }
    FINE
}

fn good(file: &Path, settings: &Settings) -> String {
    let listen: Vec<String> = settings
        .edge
        .listen
        .iter()
        .map(ToString::to_string)
        .collect();
    let origin = match &settings.origin.process {
        Process::Bundled(bundled) => match &bundled.root {
            Some(root) => format!("the bundled origin, serving {}", root.display()),
            None => "the bundled origin".to_owned(),
        },
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
    format!(
        "{}: good: clients on {}, origin {} ({origin})",
        file.display(),
        listen.join(", "),
        settings.origin.address
    )
}
