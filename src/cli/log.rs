//! The log, on standard error, written by a thread of its own: a reader that hangs must not hang us.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, reload};

use crate::config::settings::{self, LogFormat, LogLevel};

/// Keeps the log going; dropping it waits a moment for the last lines.
#[must_use]
pub struct Log {
    lines: SyncSender<Vec<u8>>,
    idle: Arc<AtomicU64>,
}

/// So many lines may wait for the reader; what comes beyond is dropped and counted.
const LINES: usize = 4096;
/// For the last lines, at the end.
const LAST: Duration = Duration::from_millis(500);

/// Begins to log as `settings` say.
pub fn begin(settings: &settings::Log) -> (Log, Level) {
    let (lines, waiting) = sync_channel(LINES);
    let pending = Arc::new(AtomicU64::new(0));
    let lost = Arc::new(AtomicU64::new(0));
    let lines = Lines {
        lines,
        pending: pending.clone(),
        lost: lost.clone(),
    };
    let log = Log {
        lines: lines.lines.clone(),
        idle: pending.clone(),
    };
    let writing = thread::Builder::new()
        .name("log".to_owned())
        .spawn(move || write(&waiting, &pending, &lost));
    if let Err(error) = writing {
        eprintln!("leeward: there will be no log: {error}");
    }
    let (filter, handle) = reload::Layer::new(level(settings.level));
    let registry = tracing_subscriber::registry().with(filter);
    let layer = fmt::layer()
        .with_ansi(io::stderr().is_terminal())
        .with_writer(lines);
    match settings.format {
        LogFormat::Text => registry.with(layer).init(),
        LogFormat::Json => registry.with(layer.json().flatten_event(true)).init(),
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

impl Drop for Log {
    fn drop(&mut self) {
        let by = Instant::now() + LAST;
        let _ = self.lines.try_send(Vec::new());
        while self.idle.load(Ordering::Relaxed) > 0 && Instant::now() < by {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

#[derive(Debug, Clone)]
struct Lines {
    lines: SyncSender<Vec<u8>>,
    pending: Arc<AtomicU64>,
    lost: Arc<AtomicU64>,
}

/// One line, sent off when it is dropped.
struct Line<'a> {
    text: Vec<u8>,
    lines: &'a Lines,
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        let text = Vec::with_capacity(256);
        Line { text, lines: self }
    }
}

impl Write for Line<'_> {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(part);
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        self.lines.pending.fetch_add(1, Ordering::Relaxed);
        let line = std::mem::take(&mut self.text);
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) =
            self.lines.lines.try_send(line)
        {
            self.lines.pending.fetch_sub(1, Ordering::Relaxed);
            self.lines.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn write(waiting: &Receiver<Vec<u8>>, pending: &AtomicU64, lost: &AtomicU64) {
    let mut out = io::stderr();
    while let Ok(line) = waiting.recv() {
        // Nobody is left to tell, should standard error be gone.
        let _ = out.write_all(&line);
        if !line.is_empty() {
            pending.fetch_sub(1, Ordering::Relaxed);
        }
        let lost = lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let _ = writeln!(
                out,
                "leeward: {lost} lines of the log were lost: its reader is too slow"
            );
        }
    }
}

fn level(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    }
}
