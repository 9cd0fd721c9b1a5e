//! The command line, parsed by hand: ten lines of it would not earn a library.

use std::path::PathBuf;
use std::time::Duration;

/// What the caller asked for.
pub struct Options {
    /// Where to listen.
    pub listen: String,
    /// How many accept loops share the listener.
    pub threads: usize,
    /// How long to dawdle before listening.
    pub start_delay: Duration,
    /// Exit with this code where it would have begun to listen.
    pub exit_on_start: Option<u8>,
    /// Take SIGTERM and do nothing about it.
    pub ignore_term: bool,
    /// Whose manners it has.
    pub manners: Manners,
    /// Where each processed request leaves a line.
    pub ledger: Option<PathBuf>,
    /// Said on standard output at start.
    pub banner: Option<String>,
}

/// The manners of an origin, where real ones differ.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Manners {
    /// Nobody's in particular.
    Plain,
    /// GoAhead's.
    GoAhead,
}

impl Options {
    /// Reads the arguments; the error is a sentence for the user.
    pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
        let mut options = Options {
            listen: String::new(),
            threads: 1,
            start_delay: Duration::ZERO,
            exit_on_start: None,
            ignore_term: false,
            manners: Manners::Plain,
            ledger: None,
            banner: None,
        };
        while let Some(name) = arguments.next() {
            if name == "--ignore-term" {
                options.ignore_term = true;
                continue;
            }
            let value = arguments.next().ok_or(format!("{name} needs a value"))?;
            match name.as_str() {
                "--listen" => options.listen = value,
                "--threads" => options.threads = number(&name, &value)?,
                "--start-delay-ms" => {
                    options.start_delay = Duration::from_millis(number(&name, &value)?)
                }
                "--exit-on-start" => options.exit_on_start = Some(number(&name, &value)?),
                "--manners" if value == "goahead" => options.manners = Manners::GoAhead,
                "--ledger" => options.ledger = Some(PathBuf::from(value)),
                "--banner" => options.banner = Some(value),
                _ => return Err(format!("unknown option {name}")),
            }
        }
        if options.listen.is_empty() {
            return Err("--listen ADDR is needed".to_owned());
        }
        Ok(options)
    }
}

fn number<T: std::str::FromStr>(name: &str, value: &str) -> Result<T, String> {
    value
        .parse()
        .map_err(|_| format!("{name}: '{value}' is not such a number"))
}
