//! `leeward completions`: what a shell needs to know of the command line.

use std::io::Write;

use clap::CommandFactory;
use clap_complete::Shell;

use super::{FINE, Line};

/// Prints the completions for `shell`.
pub fn completions(shell: Shell) -> u8 {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Line::command(), "leeward", &mut script);
    // A reader that has read enough is no failure.
    let _ = std::io::stdout().write_all(&script);
    FINE
}
