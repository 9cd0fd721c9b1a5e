//! Writes the log on a thread of its own. What its reader is too slow for is dropped and counted.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use tracing_subscriber::fmt::MakeWriter;

use super::entry::Entry;
use super::journal::Door;
use super::repeats::Repeats;
use crate::ground::ledger::{Count, Tally};

/// Keeps the log going; dropping it waits a moment for the last lines.
#[must_use]
pub struct Log {
    lines: Lines,
    repeats: Repeats,
}

/// Where lines are sent to; never waits.
#[derive(Debug, Clone)]
pub struct Lines {
    parcels: SyncSender<Parcel>,
    pending: Arc<AtomicU64>,
    /// Lost since that was told last.
    lost: Arc<AtomicU64>,
    tally: Arc<Tally>,
}

/// What is written at once.
#[derive(Debug)]
pub enum Parcel {
    /// A line, as it goes to standard error.
    Line(Vec<u8>),
    /// An entry for the journal.
    Entry(Entry),
}

/// One line, sent off when it is dropped.
pub struct Line<'a> {
    text: Vec<u8>,
    lines: &'a Lines,
}

/// So many lines may wait for the reader; what comes beyond is dropped and counted.
const LINES: usize = 4096;
/// For the last lines, at the end.
const LAST: Duration = Duration::from_millis(500);
/// How often it is looked whether there is something to tell of what was repeated.
const LOOK: Duration = Duration::from_secs(1);

/// Begins to write; what was repeated is told of, too. What is lost is counted in `tally`.
pub fn begin(repeats: Repeats, tally: Arc<Tally>) -> (Lines, Log) {
    let (parcels, waiting) = sync_channel(LINES);
    let lines = Lines {
        parcels,
        pending: Arc::default(),
        lost: Arc::default(),
        tally,
    };
    let log = Log {
        lines: lines.clone(),
        repeats: repeats.clone(),
    };
    let counts = (lines.pending.clone(), lines.lost.clone());
    let writing = thread::Builder::new()
        .name("log".to_owned())
        .spawn(move || write(&waiting, counts, &repeats));
    if let Err(error) = writing {
        eprintln!("leeward: there will be no log: {error}");
    }
    (lines, log)
}

impl Drop for Log {
    fn drop(&mut self) {
        self.repeats.settle_all();
        let by = Instant::now() + LAST;
        while self.lines.pending.load(Ordering::Relaxed) > 0 && Instant::now() < by {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Lines {
    /// Sends a parcel off, or counts it as lost.
    pub fn send(&self, parcel: Parcel) {
        self.pending.fetch_add(1, Ordering::Relaxed);
        if self.parcels.try_send(parcel).is_err() {
            self.pending.fetch_sub(1, Ordering::Relaxed);
            self.lost.fetch_add(1, Ordering::Relaxed);
            self.tally.count(Count::LinesLost);
        }
    }
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
        let text = std::mem::take(&mut self.text);
        self.lines.send(Parcel::Line(text));
    }
}

fn write(
    waiting: &Receiver<Parcel>,
    (pending, lost): (Arc<AtomicU64>, Arc<AtomicU64>),
    repeats: &Repeats,
) {
    let mut door = Door::default();
    let mut looked = Instant::now();
    loop {
        match waiting.recv_timeout(LOOK) {
            Ok(parcel) => {
                let lost = lost.swap(0, Ordering::Relaxed);
                put(&mut door, parcel, lost);
                pending.fetch_sub(1, Ordering::Relaxed);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if looked.elapsed() >= LOOK {
            looked = Instant::now();
            repeats.settle(looked);
        }
    }
}

/// Nobody is left to tell, should standard error be gone.
fn put(door: &mut Door, parcel: Parcel, lost: u64) {
    let told = format!("{lost} lines of the log were lost: its reader is too slow");
    match parcel {
        Parcel::Line(line) => {
            let mut out = io::stderr();
            let _ = out.write_all(&line);
            if lost > 0 {
                let _ = writeln!(out, "leeward: {told}");
            }
        }
        Parcel::Entry(entry) => {
            door.put(&entry);
            if lost > 0 {
                door.put(&Entry::warning(told));
            }
        }
    }
}
