//! Knows the origin: its process, its gate, its health. Other rooms hold only the [`Origin`] handle.
//!
//! The walk of an incident: [`senses`] asks and looks, [`attention`] lays it out as evidence, [`verdict`]
//! judges, [`lifecycle`] decides, [`supervisor`] carries it out, [`incident`] is written before the first signal.

pub mod attention;
mod concurrency;
pub mod cost;
pub mod dial;
mod ending;
mod evidence;
pub mod forensics;
mod gate;
mod group;
mod herald;
mod hook;
pub mod incident;
pub mod journal;
pub mod lifecycle;
mod observer;
mod output;
pub mod pid;
mod port;
mod probe;
mod process;
pub mod records;
mod roster;
mod senses;
mod stop;
mod supervisor;
mod unread;
pub mod verdict;
pub mod view;
mod widening;

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{mpsc, watch};

use crate::config::settings::{self, Settings};
use crate::ground::addr::OriginAddr;
use crate::ground::drain::Drain;
use crate::ground::ledger::Ledger;
use crate::ground::redact;
use herald::Herald;

pub use ending::Ending;
pub use gate::{Gate, Generation, NoSlot, OriginSlot, Shut};
pub use journal::{Journal, Retention};
pub use probe::Reading;
pub use roster::{Page, Pulse, Visit, VisitId};
pub use view::{Care, State, View};

/// What the other rooms may know of the origin, and ask of it.
#[derive(Debug, Clone)]
pub struct Origin {
    gate: watch::Receiver<Gate>,
    view: watch::Receiver<Arc<View>>,
    roster: roster::Roster,
    nudges: mpsc::Sender<Reading>,
}

/// The side that watches; it is run on the watch thread.
pub struct Watch {
    settings: Arc<Settings>,
    command: Option<settings::Command>,
    journal: Option<Journal>,
    board: Board,
    roster: roster::Roster,
    ledger: Ledger,
    herald: Herald,
    nudges: mpsc::Receiver<Reading>,
    /// Those who are told of incidents, while it runs.
    told: Option<hook::Queue>,
}

/// Where the watch tells what it knows: the gate and the view.
struct Board {
    gate: watch::Sender<Gate>,
    published: watch::Sender<Arc<View>>,
    view: View,
}

/// The data plane never waits for the watch: what does not fit is dropped.
const NUDGES: usize = 64;

impl Origin {
    /// The origin at `address`, not watched yet; `ledger` tells what its incidents cost. With a `command`, Leeward owns its process; without, it observes.
    pub fn open(
        settings: Arc<Settings>,
        address: OriginAddr,
        command: Option<settings::Command>,
        journal: Option<Journal>,
        ledger: Ledger,
        now: Instant,
    ) -> (Self, Watch) {
        let care = match command {
            Some(_) => Care::Owned,
            None => Care::Observed,
        };
        let mut view = View::blank(care, address, now);
        view.command = command.as_ref().map(|it| told(it, &view.address));
        let shut = Shut {
            since: now,
            // It is asked at once.
            expected: now + settings.origin.probe.timeout,
        };
        let (gate, gate_seen) = watch::channel(Gate::Shut(shut));
        let (published, view_seen) = watch::channel(Arc::new(view.clone()));
        let (nudge, nudges) = mpsc::channel(NUDGES);
        let roster = roster::Roster::new(now);
        let origin = Self {
            gate: gate_seen,
            view: view_seen,
            roster: roster.clone(),
            nudges: nudge,
        };
        let board = Board {
            gate,
            published,
            view,
        };
        let watch = Watch {
            settings,
            command,
            journal,
            board,
            roster,
            ledger,
            herald: Herald::new(),
            nudges,
            told: None,
        };
        (origin, watch)
    }

    /// The gate, to look at and to wait for.
    pub fn gate(&self) -> watch::Receiver<Gate> {
        self.gate.clone()
    }

    /// What is known of the origin now.
    pub fn view(&self) -> Arc<View> {
        self.view.borrow().clone()
    }

    /// The view, to wait for its changes.
    pub fn views(&self) -> watch::Receiver<Arc<View>> {
        self.view.clone()
    }

    /// A page of the roster for one thread.
    pub fn page(&self) -> Page {
        self.roster.open()
    }

    /// The requests under way, `most` at the most, the oldest first.
    pub fn visits(&self, now: Instant, most: usize) -> Vec<roster::VisitSeen> {
        self.roster.visits(now, most)
    }

    /// Tells the watch what a visit met. Never waits.
    pub fn report(&self, reading: Reading) {
        let _ = self.nudges.try_send(reading);
    }
}

impl Watch {
    /// Watches until the drain begins, then ends the origin if it is ours. Ends when that is done.
    pub async fn run(self, drain: Drain) {
        if let Some(journal) = self.journal.clone() {
            tokio::spawn(journal.sweep());
        }
        match self.command {
            Some(_) => supervisor::run(self, drain).await,
            None => observer::run(self, drain).await,
        }
    }
}

impl Board {
    fn open(&mut self, generation: Arc<Generation>) {
        self.gate.send_replace(Gate::Open(generation));
    }

    fn shut(&mut self, shut: Shut) {
        self.gate.send_replace(Gate::Shut(shut));
    }

    /// The gate will open no sooner than this; those who can't wait for it are told at once.
    fn expect(&mut self, opens: Instant) {
        self.gate.send_if_modified(|gate| match gate {
            Gate::Shut(shut) if shut.expected != opens => {
                shut.expected = opens;
                true
            }
            _ => false,
        });
    }

    fn publish(&mut self) {
        self.published.send_replace(Arc::new(self.view.clone()));
    }
}

/// The command as a person may see it: what looks like a secret is masked.
fn told(command: &settings::Command, address: &OriginAddr) -> String {
    let mut words = vec![command.program.clone()];
    words.extend(
        command
            .arguments
            .iter()
            .map(|text| process::fill(text, address)),
    );
    redact::words(words.iter().map(String::as_str)).join(" ")
}
