//! The journal of systemd: whether it reads what we say, and its own way in, by which it learns the severity and the
//! fields of each entry.

use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;

use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::entry::Entry;
use super::writer::{Lines, Parcel};

/// Makes an entry of each event.
#[derive(Debug)]
pub struct Journal(pub Lines);

/// The way in, from the thread that writes: the journal may be slow, or away.
#[derive(Debug, Default)]
pub struct Door(Option<UnixDatagram>);

/// Where the journal takes entries (systemd-journald.service(8)).
const SOCKET: &str = "/run/systemd/journal/socket";

/// Whether standard error is a stream of the journal's: the service manager says so, by device and inode, in
/// `JOURNAL_STREAM` (systemd.exec(5)). Whoever was started with a standard error of its own inherits the word but not
/// the stream.
pub fn reads_stderr() -> bool {
    let said = std::env::var("JOURNAL_STREAM").unwrap_or_default();
    let stat = rustix::fs::fstat(io::stderr());
    stat.is_ok_and(|stat| said == format!("{}:{}", stat.st_dev, stat.st_ino))
}

impl<S: Subscriber> Layer<S> for Journal {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        self.0.send(Parcel::Entry(Entry::of(event)));
    }
}

impl Door {
    /// Puts an entry into the journal; onto standard error where there is none. Waits as long as the journal does.
    pub fn put(&mut self, entry: &Entry) {
        if self.0.is_none() {
            self.0 = UnixDatagram::unbound().ok();
        }
        // By its name each time: a journal that was started anew listens anew.
        let sent = self
            .0
            .as_ref()
            .is_some_and(|door| door.send_to(&entry.datagram(), SOCKET).is_ok());
        if !sent {
            let _ = io::stderr().write_all(entry.line().as_bytes());
        }
    }
}
