//! The log: text, JSON, or the journal's own protocol, written by a thread of its own ([`writer`]), because a reader
//! that hangs must not hang us. What repeats is told a bounded number of times and counted from then on ([`repeats`]).

mod entry;
mod journal;
mod repeats;
mod writer;

use std::io::{self, IsTerminal};
use std::sync::Arc;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, reload};

use crate::config::settings::{self, LogFormat, LogLevel};
use crate::ground::ledger::Tally;
use repeats::Repeats;
use writer::Lines;

pub use writer::Log;

/// Begins to log as `settings` say. What is not written is counted in `tally`.
pub fn begin(settings: &settings::Log, tally: Arc<Tally>) -> (Log, Level) {
    let repeats = Repeats::new(settings.repeats, tally.clone());
    let is_journal = match settings.format {
        LogFormat::Journal => true,
        LogFormat::Auto => journal::reads_stderr(),
        LogFormat::Text | LogFormat::Json => false,
    };
    let (lines, log) = writer::begin(repeats.clone(), tally);
    let (filter, handle) = reload::Layer::new(level(settings.level));
    let subscriber = tracing_subscriber::registry().with(filter).with(repeats);
    match settings.format {
        _ if is_journal => subscriber.with(journal::Journal(lines)).init(),
        LogFormat::Json => subscriber.with(json(lines)).init(),
        _ => {
            let is_terminal = io::stderr().is_terminal();
            let text = tracing_subscriber::fmt::layer().with_ansi(is_terminal);
            subscriber.with(text.with_writer(lines)).init();
        }
    }
    (log, Level(handle))
}

/// The least severe level that is written, to be changed.
pub struct Level(reload::Handle<LevelFilter, Registry>);

impl Level {
    /// As these settings say, from now on.
    pub fn take(&self, settings: &settings::Log) {
        // It only fails when there is no log any more.
        let _ = self.0.reload(level(settings.level));
    }
}

fn json<S>(lines: Lines) -> impl tracing_subscriber::Layer<S>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_writer(lines)
}

fn level(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    }
}
