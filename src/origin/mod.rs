//! Knows the origin: its process, its gate, its health. Other rooms hold only the [`Origin`] handle.
//!
//! The walk of an incident: [`senses`] asks and looks, [`attention`] lays it out as evidence, [`verdict`]
//! judges, [`lifecycle`] decides, [`supervisor`] carries it out, [`incident`] is written before the first signal.

pub mod attention;
mod barrier;
mod board;
pub mod cgroup;
mod concurrency;
pub mod cost;
pub mod course;
pub mod dial;
mod ending;
mod evidence;
pub mod forensics;
mod gate;
mod group;
pub mod growth;
mod held;
mod herald;
mod hook;
pub mod incident;
pub mod journal;
mod leftover;
mod legacy;
pub mod lifecycle;
mod observer;
mod oom;
mod orphans;
mod output;
pub mod pid;
mod plight;
mod port;
mod probe;
mod process;
pub mod quarantine;
mod readying;
pub mod records;
mod renewal;
mod roster;
mod sender;
mod senses;
mod stop;
mod stranger;
mod supervisor;
mod unread;
pub mod verdict;
pub mod view;
mod widening;
pub mod will;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};

use crate::config::settings::{self, Settings};
use crate::ground::addr::OriginAddr;
use crate::ground::deadline::{self, Deadline};
use crate::ground::drain::Drain;
use crate::ground::ledger::Ledger;
use crate::ground::redact;
use barrier::Barrier;
use board::Board;
use cost::Cost;
use herald::Herald;
use plight::Plight;
use quarantine::Record;
use verdict::Judgement;
use will::Reply;

pub use ending::Ending;
pub use gate::{Ender, Gate, Generation, NoSlot, OriginSlot, Shut, Why};
pub use held::HeldSocket;
pub use journal::{Journal, Retention};
pub use legacy::{Legacy, is_part};
pub use probe::Reading;
pub use quarantine::Barred;
pub use roster::{Page, Pulse, Visit, VisitId};
pub use view::{Care, State, View};
pub use will::{Stance, Verb};

/// What the other rooms may know of the origin, and ask of it.
#[derive(Debug, Clone)]
pub struct Origin {
    gate: watch::Receiver<Gate>,
    view: watch::Receiver<Arc<View>>,
    roster: roster::Roster,
    barrier: Barrier,
    nudges: mpsc::Sender<Reading>,
    wishes: mpsc::Sender<Wish>,
}

/// The side that watches; it is run on the watch thread.
pub struct Watch {
    settings: Arc<Settings>,
    /// Settings to take, once there are others.
    renewed: watch::Receiver<Arc<Settings>>,
    process: settings::Process,
    /// The origin's listening socket, where we hold it.
    held: Option<HeldSocket>,
    /// The origin of the Leeward before us, until it is taken over or ended.
    legacy: Option<Legacy>,
    journal: Option<Journal>,
    board: Board,
    roster: roster::Roster,
    ledger: Ledger,
    herald: Herald,
    /// What clients had paid when nothing was wrong last.
    paid: Cost,
    quarantine: Record,
    barrier: Barrier,
    nudges: mpsc::Receiver<Reading>,
    wishes: mpsc::Receiver<Wish>,
    /// Those who are told of incidents, while it runs.
    told: Option<hook::Queue>,
    plight: Plight,
    /// Those who are told when restarting does not help.
    called: Option<hook::Queue>,
}

/// A verb on its way to the watch, and the way back.
struct Wish {
    verb: Verb,
    reply: oneshot::Sender<Reply>,
}

/// The data plane never waits for the watch: what does not fit is dropped.
const NUDGES: usize = 64;
/// So many operators may wait at once; no real crowd of them is expected.
const WISHES: usize = 8;

impl Origin {
    /// The origin at `address`, not watched yet; `ledger` tells what its incidents cost. `process` says who starts it: the
    /// bundled one is told by its command.
    pub fn open(
        settings: Arc<Settings>,
        address: OriginAddr,
        process: settings::Process,
        journal: Option<Journal>,
        ledger: Ledger,
        now: Instant,
    ) -> (Self, Watch) {
        let care = Care::of(&process);
        let mut view = View::blank(care, address, now);
        view.command = told(&process, &view.address);
        let shut = Shut {
            since: now,
            // It is asked at once.
            expected: now + settings.origin.probe.timeout,
            why: Why::Down,
        };
        let (board, gate_seen, view_seen) = Board::new(shut, view);
        let (nudge, nudges) = mpsc::channel(NUDGES);
        let (wish, wishes) = mpsc::channel(WISHES);
        let roster = roster::Roster::new(now);
        let barrier = Barrier::default();
        let origin = Self {
            gate: gate_seen,
            view: view_seen,
            roster: roster.clone(),
            barrier: barrier.clone(),
            nudges: nudge,
            wishes: wish,
        };
        let watch = Watch {
            quarantine: Record::new(settings.quarantine.clone()),
            barrier,
            renewed: watch::channel(settings.clone()).1,
            settings,
            process,
            held: None,
            legacy: None,
            journal,
            board,
            roster,
            ledger,
            herald: Herald::new(),
            paid: Cost::default(),
            nudges,
            wishes,
            told: None,
            plight: Plight::default(),
            called: None,
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

    /// For how long this request, as the roster would tell it, is kept from the origin because it has hung it
    /// repeatedly; `None` where it may go. Cheap while nothing is.
    pub fn quarantined(&self, request: &str, now: Instant) -> Option<Duration> {
        self.barrier.left(request, now)
    }

    /// The requests under way, `most` at the most, the oldest first.
    pub fn visits(&self, now: Instant, most: usize) -> Vec<roster::VisitSeen> {
        self.roster.visits(now, most)
    }

    /// Tells the watch what a visit met. Never waits.
    pub fn report(&self, reading: Reading) {
        let _ = self.nudges.try_send(reading);
    }

    /// Has the watch carry out what an operator wants, by `deadline`: later it may still come to pass.
    ///
    /// # Errors
    /// Why it was not done, in a sentence.
    pub async fn wish(&self, verb: Verb, deadline: Deadline) -> Reply {
        let (reply, told) = oneshot::channel();
        let wish = Wish { verb, reply };
        if self.wishes.try_send(wish).is_err() {
            return Err("too many such orders wait already; try again".to_owned());
        }
        match deadline.bound(told).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(_)) => Err("Leeward is about to end".to_owned()),
            Err(_) => Ok("the origin is being replaced just now; this follows".to_owned()),
        }
    }
}

impl Watch {
    /// The same, with the listening socket that each generation is passed.
    pub fn holding(mut self, held: Option<HeldSocket>) -> Self {
        self.held = held;
        self
    }

    /// The same, with the origin that a Leeward before us left.
    pub fn inheriting(mut self, legacy: Option<Legacy>) -> Self {
        self.legacy = legacy;
        self
    }

    /// The same, with settings that may change.
    pub fn following(mut self, settings: watch::Receiver<Arc<Settings>>) -> Self {
        self.renewed = settings;
        self
    }

    /// Watches until the drain begins, then ends the origin if it is ours. Ends when that is done.
    pub async fn run(self, drain: Drain) {
        if let Some(journal) = self.journal.clone() {
            tokio::spawn(journal.sweep());
        }
        match self.board.view.care {
            Care::Owned | Care::Tended => supervisor::run(self, drain).await,
            Care::Observed => observer::run(self, drain).await,
        }
    }
}

impl Watch {
    /// Goes by the settings that were published, as far as they are its own; a command is for the next start.
    fn adopt(&mut self) -> Arc<Settings> {
        let next = self.renewed.borrow_and_update().clone();
        let (old, hooks) = (&self.settings.hooks, &next.hooks);
        if old.on_incident != hooks.on_incident {
            self.told = hook::Queue::open("hooks.on_incident", &hooks.on_incident);
        }
        if old.on_degraded != hooks.on_degraded && self.board.view.care != Care::Observed {
            self.called = hook::Queue::open("hooks.on_degraded", &hooks.on_degraded);
        }
        self.quarantine.adopt(next.quarantine.clone());
        let process = &next.origin.process;
        if *process != self.settings.origin.process && process.command().is_some() {
            self.process = process.clone();
            self.board.view.command = told(process, &self.board.view.address);
        }
        self.settings = next.clone();
        next
    }

    /// A judgement was passed: tells of it if it is news, and remembers what clients had paid while nothing was wrong.
    fn hear(&mut self, judgement: &Judgement) {
        if !judgement.verdict.is_suspect() {
            self.paid = Cost::so_far(&self.ledger);
        }
        self.herald.hear(judgement, deadline::now());
    }

    /// Stands as the operator wants it, and says how that is.
    fn stand(&mut self, verb: Verb) -> Reply {
        let now = deadline::now();
        let before = self.board.view.stance;
        let stance = before.after(&verb, now);
        self.board.take(stance, now);
        let told = match stance {
            Stance::Serving if before == stance => "it was serving already",
            Stance::Serving => "requests reach the origin again, as it can take them",
            Stance::Paused { .. } => "requests are held",
            Stance::Draining => "new requests are refused; what is under way is finished",
            Stance::Maintenance { .. } => "requests are refused, and the origin is left alone",
        };
        tracing::warn!(stance = stance.word(), "the operator wants it so: {told}");
        Ok(told.to_owned())
    }
}

/// What starts it, as a person may see it: what looks like a secret is masked.
fn told(process: &settings::Process, address: &OriginAddr) -> Option<String> {
    let of_words = |words: Vec<String>| {
        let words: Vec<String> = words.iter().map(|it| process::fill(it, address)).collect();
        redact::words(words.iter().map(String::as_str)).join(" ")
    };
    match process {
        settings::Process::Unit(unit) => Some(unit.clone()),
        settings::Process::Hooked(hooked) if !hooked.up().is_empty() => {
            Some(of_words(hooked.up().to_vec()))
        }
        _ => process.command().map(|command| {
            let mut words = vec![command.program.clone()];
            words.extend(command.arguments.iter().cloned());
            of_words(words)
        }),
    }
}

/// The hand of a test that plays the watch.
#[cfg(test)]
impl Watch {
    /// Requests may reach this generation from now on.
    pub fn opens(&mut self, generation: Arc<Generation>) {
        self.board.open(generation, deadline::now());
    }

    /// They may not, for so long.
    pub fn shuts(&mut self, why: Why, expected: Duration) {
        let since = deadline::now();
        let expected = since + expected;
        self.board.shut(Shut {
            since,
            expected,
            why,
        });
    }
}
