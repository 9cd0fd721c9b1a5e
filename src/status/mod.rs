//! Tells what is known of the origin and its traffic, to people and to machines, and passes on what operators want.
//!
//! A [`Snapshot`] is every fact at one instant, and `history` remembers the last hour. `/status.json` is the snapshot
//! itself; `metrics` and `page` are functions of it, and `terminal` of the JSON. `events` sends what changed on the page. `routes` chooses between them, `server` bounds who may ask and for how
//! long, `host` turns away pages that came in under a foreign name, `shelf` reads incidents, `verbs` judges who may
//! have what carried out, `socket` is the door for those who may, and `story` tells one in a terminal.

mod events;
mod history;
mod host;
mod html;
mod metrics;
mod page;
mod routes;
mod server;
mod shelf;
pub mod snapshot;
pub mod socket;
pub mod story;
pub mod terminal;
#[cfg(test)]
mod tests;
mod timeline;
pub mod verbs;
mod words;

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;
use serde::Serialize;
use tokio::net::{TcpListener, UnixListener};

use crate::config::settings::{Bound, Hang};
use crate::ground::deadline;
use crate::ground::ledger::Ledger;
use crate::ground::published::Published;
use crate::origin::{Journal, Origin};
use history::{History, Point, Totals};

pub use snapshot::Snapshot;

/// What changes with the configuration alone.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The version of Leeward.
    pub version: &'static str,
    /// Where clients connect: the real addresses, no port 0.
    pub edge: Vec<SocketAddr>,
    /// Where this room listens.
    pub status: Option<SocketAddr>,
    /// When we started, on the clock that only goes forward.
    pub started: Instant,
    /// The same moment on the calendar. All times told are reckoned from this pair, so that one moment is told alike
    /// every time; a calendar set anew while we run moves none of them.
    pub started_at: Timestamp,
    /// The bytes all spools together may hold in memory.
    pub spool_budget: usize,
    /// The bytes all spools together may have on disk; absent where they never go there.
    pub spool_disk_limit: Option<u64>,
    /// The requests that may wait for a slot.
    pub queue_limit: usize,
    /// The requests that may wait for the gate.
    pub hold_limit: usize,
    /// The client connections that may be open at once.
    pub connections_limit: usize,
    /// The bytes of memory that may be set aside for clients, unless that is without a limit.
    pub memory_limit: Option<u64>,
    /// How long a request waits for a shut gate; one that would have to wait longer is refused at once.
    pub patience: Duration,
    /// How long silence lasts before it is a hang.
    pub hang: Hang,
    /// Every wait that has a limit.
    pub waits: Vec<Bound>,
    /// Where that is from.
    pub configuration: Configuration,
}

/// Where the settings are from, and what became of the last reload.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// The file; `None` where all is by default.
    pub file: Option<String>,
    /// When it was taken last.
    pub taken: Instant,
    /// Why what is in it now was not taken.
    pub fault: Option<String>,
    /// What has changed in it and waits for a restart of Leeward, by key.
    pub waits: Vec<String>,
}

/// Has the configuration read again: what was taken, or every fault.
pub type Reload =
    Box<dyn Fn() -> Pin<Box<dyn Future<Output = Result<String, String>> + Send>> + Send + Sync>;

/// What other rooms hold, read at the moment of the snapshot.
#[derive(Debug, Clone, Default)]
pub struct Gauges {
    /// Requests that wait for a slot.
    pub queued: usize,
    /// Requests that wait for the gate.
    pub held: usize,
    /// Bytes of the shared spool budget in use.
    pub spool_used: usize,
    /// Bytes of bodies on disk.
    pub spool_on_disk: u64,
    /// Bytes of memory set aside for clients.
    pub memory_reserved: u64,
    /// What is shown to clients, the default first.
    pub certificates: Vec<Certificate>,
    /// Whose certificates clients may show, where they are asked for one.
    pub trust: Option<ClientTrust>,
}

/// Whose certificates clients may show.
#[derive(Debug, Clone, Serialize)]
pub struct ClientTrust {
    /// The file of the authorities.
    pub authorities: String,
    /// The files of what was revoked.
    pub lists: Vec<String>,
    /// Whether each client must show one.
    pub required: bool,
    /// Why what is in these files now was not taken.
    pub fault: Option<String>,
}

/// A certificate that is shown to clients.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// Where it is named in the configuration.
    pub section: String,
    /// Its file, unless it is self-signed.
    pub file: Option<String>,
    /// The names it is for.
    pub names: Vec<String>,
    /// Who it says has signed it.
    pub issuer: String,
    /// From when on it is good.
    pub from: SystemTime,
    /// Until when.
    pub until: SystemTime,
    /// The word for how it stands with that.
    pub state: &'static str,
    /// Why what is in its files now was not taken.
    pub fault: Option<String>,
}

/// Where the facts come from.
pub struct Source {
    /// The origin's handle.
    pub origin: Origin,
    /// Every number of the edge and the exchanges.
    pub ledger: Ledger,
    /// What changes with the configuration alone.
    pub facts: Published<Facts>,
    /// Has that read again; `None` where nobody can.
    pub reload: Option<Reload>,
    /// Reads what changes and is in no ledger. It is called on the watch thread and must not block.
    pub gauges: Box<dyn Fn() -> Gauges + Send + Sync>,
    history: Mutex<History>,
}

impl Source {
    /// The facts of these; what is told of the last hour begins with `now`.
    pub fn new(
        origin: Origin,
        ledger: Ledger,
        facts: Published<Facts>,
        gauges: Box<dyn Fn() -> Gauges + Send + Sync>,
        now: Instant,
    ) -> Self {
        let history = History::new(Totals::of(&ledger, now));
        Self {
            origin,
            ledger,
            facts,
            reload: None,
            gauges,
            history: Mutex::new(history),
        }
    }

    /// The same, with a way to have the configuration read again.
    pub fn reloading(mut self, reload: Reload) -> Self {
        self.reload = Some(reload);
        self
    }

    /// Exchanges a second, lately.
    fn rate(&self) -> Option<f64> {
        self.history().last().map(|it| it.requests_per_second)
    }

    /// The points of the last hour.
    fn hour(&self, now: Instant) -> Vec<Point> {
        self.history().points(now)
    }

    /// Notes a point of the hour each time one is due, for ever.
    async fn remember(&self) {
        loop {
            let due = self.history().due();
            tokio::time::sleep_until(due.into()).await;
            let totals = Totals::of(&self.ledger, deadline::now());
            self.history().note(totals);
        }
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where this room can be asked.
#[derive(Debug, Default)]
pub struct Doors {
    /// Over the network, by anybody who reaches it.
    pub network: Option<TcpListener>,
    /// By the owner of this socket, who may have verbs carried out.
    pub socket: Option<UnixListener>,
    /// With this, they are carried out over the network, too.
    pub token: Option<Arc<str>>,
}

/// Answers at all doors for ever; its owner aborts it at the very end, so that the page can be read during a drain.
///
/// Belongs on the watch thread, and costs it little: 32 connections at most at each door, each 15 s at most.
pub async fn serve(doors: Doors, source: Arc<Source>, journal: Option<Journal>) {
    let remembering = source.clone();
    let routes = Arc::new(routes::Routes::new(source, journal, doors.token));
    let network = async {
        if let Some(listener) = doors.network {
            server::run(listener, routes.clone()).await;
        }
    };
    let socket = async {
        if let Some(listener) = doors.socket {
            server::run(listener, routes.clone()).await;
        }
    };
    tokio::join!(network, socket, remembering.remember());
}

impl Facts {
    /// A moment on the calendar: RFC 3339, UTC, to the millisecond.
    fn time(&self, at: Instant) -> String {
        let later = at.saturating_duration_since(self.started);
        let earlier = self.started.saturating_duration_since(at);
        let told = self
            .started_at
            .checked_add(later)
            .and_then(|told| told.checked_sub(earlier))
            .unwrap_or(self.started_at);
        format!("{told:.3}")
    }
}
