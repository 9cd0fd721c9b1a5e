//! The last step of starting an origin: a process of its own, single-threaded, that makes itself ready and
//! becomes the origin's command. Safe calls only, which a threaded process can't make between fork and exec.

use std::os::unix::process::{CommandExt, parent_id};
use std::process::Command;

use rustix::process::{Signal, set_parent_process_death_signal};

/// What to become.
#[derive(Debug, clap::Args)]
pub struct Launch {
    /// Who started us; if it is gone already, so are we.
    #[arg(long)]
    parent: u32,
    /// The program.
    program: String,
    /// Its arguments.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// What a shell says of a command that cannot be executed (POSIX, section 2.8.2).
const CANNOT_EXECUTE: u8 = 127;

impl Launch {
    /// Becomes the command; returns only if that fails.
    pub fn launch(self) -> u8 {
        // Should Leeward be killed, its origin must not live on with the port in its hands.
        if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
            eprintln!("leeward: cannot bind the origin's life to ours: {error}");
        }
        if parent_id() != self.parent {
            return CANNOT_EXECUTE;
        }
        let error = Command::new(&self.program).args(&self.arguments).exec();
        eprintln!("leeward: cannot execute `{}`: {error}", self.program);
        CANNOT_EXECUTE
    }
}
