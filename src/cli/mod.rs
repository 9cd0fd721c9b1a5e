//! The command line: one thin file a command.

mod ask;
mod check;
mod completions;
mod drill;
mod incidents;
mod launch;
pub mod log;
mod man;
mod origin;
mod reload;
mod run;
mod status;
mod terminal;
mod verbs;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use verbs::Verb;

/// Good for nothing else was meant: everything went well.
const FINE: u8 = 0;
/// It failed.
const FAILED: u8 = 1;
/// The command line is at fault, as clap has it.
const BAD_USAGE: u8 = 2;
/// The configuration is at fault (sysexits.h).
const BAD_CONFIG: u8 = 78;

/// A reverse-proxy watchdog sidecar: keeps a web server that hangs in the lee of the network.
///
/// Without a command it runs, and without a configuration it serves a welcome page of its own.
#[derive(Debug, Parser)]
#[command(name = "leeward", version, max_term_width = 100)]
struct Line {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Stand in front of the origin: the main job.
    Run {
        /// The configuration; without it, everything is at its default.
        #[arg(long, short, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Judge a configuration: every fault at once, and exit with 78 if there is one. Without a fault, tell what follows
    /// from it: the longest waits, the worst cases, and what is at odds.
    Check {
        /// The configuration.
        file: PathBuf,
        /// Print the whole resulting configuration instead, each default set.
        #[arg(long, conflicts_with = "json")]
        effective: bool,
        /// Print what follows from it as JSON, for programs.
        #[arg(long)]
        json: bool,
    },
    /// Be the bundled origin: an ordinary web server for a directory of files, and one of CGI scripts.
    Origin(Box<origin::Line>),
    /// Print what the status page of a running Leeward shows.
    Status(status::Status),
    /// Rehearse a failure on the running system, and report what it cost. Only with --yes.
    Drill(drill::Drill),
    /// Tell what happened: the last incidents, or the whole story of one; while Leeward is down, too.
    Incidents(incidents::Incidents),
    /// Replace the origin in peace: what is under way is finished, requests wait meanwhile, none is lost.
    Restart(verbs::Where),
    /// Hold all requests, for a deployment.
    Pause {
        /// For so long at the most, like 90s or 10m; five minutes if nobody says.
        #[arg(long = "for", value_name = "LENGTH")]
        length: Option<String>,
        #[command(flatten)]
        place: verbs::Where,
    },
    /// Take this server out of service: new requests are refused, what is under way is finished.
    Drain(verbs::Where),
    /// Refuse all requests with a word of maintenance, and leave the origin alone.
    Maintenance {
        /// For so long; until `leeward resume` if nobody says.
        #[arg(long = "for", value_name = "LENGTH")]
        length: Option<String>,
        #[command(flatten)]
        place: verbs::Where,
    },
    /// Back to normal after `pause`, `drain` or `maintenance`.
    Resume(verbs::Where),
    /// Read the configuration and the certificates again, all or nothing; say what was taken, or every fault (exit code 78).
    Reload(verbs::Where),
    /// Write down what the origin does now, as for an incident, and disturb nothing.
    Capture(verbs::Where),
    /// Let requests out of quarantine, where they are because they have hung the origin repeatedly; or end the generation that
    /// is kept frozen.
    Release {
        /// Which: a request as `leeward status` tells it, like "GET /page", or its path; all if nobody says. `frozen` is the
        /// generation that is kept for a debugger.
        #[arg(value_name = "REQUEST|all|frozen")]
        request: Option<String>,
        #[command(flatten)]
        place: verbs::Where,
    },
    /// Print the completions of this command line for a shell.
    Completions {
        /// For which.
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write all of them, one for each command.
    Man {
        /// Where to write them: `leeward.1`, `leeward-status.1` and so on.
        #[arg(value_name = "DIR")]
        directory: Option<PathBuf>,
    },
    /// Become the origin's command, in the way its supervisor wants it.
    #[command(hide = true)]
    Launch(launch::Launch),
}

/// Prints a result. A reader that has read enough, like `head`, is no failure.
fn say(told: &str) {
    let _ = writeln!(std::io::stdout(), "{told}");
}

/// Carries out the command line. Faulty usage ends the process with 2.
pub fn main() -> ExitCode {
    let line = Line::parse();
    let code = match line.command.unwrap_or(Command::Run { config: None }) {
        Command::Run { config } => run::run(config),
        Command::Drill(line) => drill::drill(&line),
        Command::Check {
            file,
            effective,
            json,
        } => check::check(&file, check::Form::of(effective, json)),
        Command::Origin(line) => origin::origin(*line),
        Command::Status(asked) => status::status(&asked),
        Command::Incidents(asked) => incidents::incidents(&asked),
        Command::Restart(place) => verbs::carry_out(Verb::Restart, None, &place),
        Command::Pause { length, place } => {
            verbs::carry_out(Verb::Pause, length.as_deref(), &place)
        }
        Command::Drain(place) => verbs::carry_out(Verb::Drain, None, &place),
        Command::Maintenance { length, place } => {
            verbs::carry_out(Verb::Maintenance, length.as_deref(), &place)
        }
        Command::Resume(place) => verbs::carry_out(Verb::Resume, None, &place),
        Command::Reload(place) => reload::reload(&place),
        Command::Capture(place) => verbs::carry_out(Verb::Capture, None, &place),
        Command::Release { request, place } => {
            verbs::carry_out(Verb::Release, request.as_deref(), &place)
        }
        Command::Completions { shell } => completions::completions(shell),
        Command::Man { directory } => man::man(directory.as_deref()),
        Command::Launch(launch) => launch.launch(),
    };
    ExitCode::from(code)
}
