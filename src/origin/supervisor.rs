//! Keeps an origin of ours alive: one owner of its process, one loop, one order at a time.

mod end;
mod start;
mod wishes;
mod wound;

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::cgroup::Domain;
use super::gate::{Ender, Generation};
use super::lifecycle::{Event, Lifecycle, Order, Phase, Then};
use super::probe::Reading;
use super::process::{Change, Process};
use super::renewal::{Life, Renewal};
use super::roster::Roster;
use super::senses::Senses;
use super::verdict::{Evidence, Judgement, Verdict};
use super::view::State;
use super::will::Stance;
use super::{Watch, Wish, concurrency, hook, orphans};
use crate::ground::deadline;
use crate::ground::drain::Drain;
use start::Means;
use wound::{Scar, Wound};

struct Supervisor {
    watch: Watch,
    means: Means,
    domain: Option<Domain>,
    life: Lifecycle,
    current: Option<Current>,
    wound: Option<Wound>,
    scar: Option<Scar>,
    start_took: Duration,
}

/// The generation there is, from its spawn to its burial.
struct Current {
    process: Process,
    senses: Senses,
    open: Option<(Arc<Generation>, Ender)>,
    spawned: Instant,
    last: Option<(Judgement, Evidence)>,
    renewal: Renewal,
    never_answered: bool,
}

/// What comes next.
enum Next {
    Event(Event),
    Wish(Wish),
    /// Of the process.
    Change(Change),
    /// What the operator wanted was for a time, and that is over.
    StanceOver,
}

/// Between two looks whether anything is under way still.
const DRAINED: Duration = Duration::from_millis(20);
/// What a start is guessed to take before one was measured.
const USUAL_START: Duration = Duration::from_secs(1);

/// Supervises until the drain begins, ends the origin, and returns.
pub async fn run(mut watch: Watch, mut drain: Drain) {
    let means = Means::of(&watch.process, &watch.board.view.address);
    if !watch.process.is_foreign() {
        orphans::take_in();
    }
    watch.told = hook::Queue::open(&watch.settings.hooks.on_incident);
    let now = deadline::now();
    let mut supervisor = Supervisor {
        life: Lifecycle::new(watch.settings.restart.clone(), now),
        domain: match watch.process.is_foreign() {
            true => None,
            false => Domain::claim(),
        },
        watch,
        means,
        current: None,
        wound: None,
        scar: None,
        start_took: USUAL_START,
    };
    loop {
        match supervisor.next(&mut drain).await {
            Next::Event(event) => supervisor.take(event).await,
            Next::Wish(wish) => supervisor.grant(wish).await,
            Next::Change(Change::Exited) => supervisor.take(Event::Exited).await,
            Next::Change(Change::Ended) => supervisor.part().await,
            Next::Change(Change::Known) => supervisor.recognise(),
            Next::Change(Change::Rests) => supervisor.rest(),
            Next::StanceOver => supervisor.resume(),
        }
        supervisor.watch.release_due(deadline::now());
        supervisor.settle(deadline::now()).await;
        if supervisor.life.phase() == Phase::Over {
            break;
        }
    }
    if let Some(queue) = supervisor.watch.told.take() {
        queue.close().await;
    }
}

impl Supervisor {
    /// Waits for what happens next.
    async fn next(&mut self, drain: &mut Drain) -> Next {
        let phase = self.life.phase();
        let is_final = self.is_final();
        let over = self.watch.board.view.stance.until();
        let Some(current) = &mut self.current else {
            let Phase::Waiting { until } = phase else {
                return Next::Event(Event::Gone);
            };
            return tokio::select! {
                () = tokio::time::sleep_until(until.into()) => Next::Event(Event::Tick),
                _ = drain.begun() => Next::Event(Event::Shutdown),
                Some(wish) = self.watch.wishes.recv() => Next::Wish(wish),
                () = deadline::reached(over) => Next::StanceOver,
                () = self.means.come_back() => Next::Event(Event::Renew(Verdict::Requested)),
            };
        };
        let generation = current.open.as_ref().map(|(it, _)| it.clone());
        let is_draining = matches!(phase, Phase::Draining { .. });
        if is_draining && is_idle(generation.as_deref(), &self.watch.roster) {
            return Next::Event(Event::Idle);
        }
        let noticed = current
            .senses
            .notice(generation.as_ref(), &mut self.watch.nudges);
        let reading = tokio::select! {
            biased;
            _ = drain.begun(), if !is_final => return Next::Event(Event::Shutdown),
            change = current.process.changed() => return Next::Change(change),
            reading = noticed => reading,
            Some(wish) = self.watch.wishes.recv() => return Next::Wish(wish),
            () = deadline::reached(over) => return Next::StanceOver,
            () = tokio::time::sleep(DRAINED), if is_draining => return Next::Event(Event::Tick),
        };
        Next::Event(self.take_in(reading))
    }

    /// Turns what was noticed into an event.
    fn take_in(&mut self, reading: Option<Reading>) -> Event {
        let Some(current) = &mut self.current else {
            return Event::Tick;
        };
        let answered = matches!(reading, Some(Reading::Answered { .. }));
        if let Some(reading) = reading {
            self.watch.board.view.probes.count(&reading);
            self.watch.board.view.last_probe = Some((reading, deadline::now()));
        }
        let (judgement, evidence) = current.senses.judge();
        let view = &mut self.watch.board.view;
        let stance = view.stance;
        current.senses.describe(view, judgement.clone(), &evidence);
        self.watch.hear(&judgement);
        let is_known = current.process.is_known();
        let event = match judgement.act && is_known && !stance.lets_be() {
            true => Event::Condemned(judgement.verdict),
            false if answered && is_known => Event::Answered,
            false => Event::Tick,
        };
        let renewed = match (event, self.life.phase(), stance) {
            (Event::Answered | Event::Tick, Phase::Ready { .. }, Stance::Serving) => {
                let life = Life {
                    verdict: judgement.verdict,
                    age: evidence.age,
                    idle: idle(&self.watch.roster),
                };
                current
                    .renewal
                    .due(life, &self.watch.settings.restart, deadline::now())
            }
            _ => None,
        };
        current.last = Some((judgement, evidence));
        renewed.map_or(event, Event::Renew)
    }

    /// Takes one event and carries out what it orders, and what comes of that.
    async fn take(&mut self, event: Event) {
        let mut event = Some(event);
        while let Some(happened) = event.take() {
            let order = self.life.on(happened, deadline::now(), dice());
            self.tell();
            event = match order {
                Some(Order::Spawn) => self.spawn().await,
                Some(Order::Welcome) => self.welcome().await,
                Some(Order::Drain) => self.drain(),
                Some(Order::End(verdict)) => self.end(verdict).await,
                None if self.is_late() => self.bury().await,
                None => None,
            };
        }
        self.tell();
    }

    /// An ending that had to be left unfinished can be finished now: the process has exited at last.
    fn is_late(&self) -> bool {
        let stopping = matches!(self.life.phase(), Phase::Stopping { .. });
        let exited = |current: &Current| current.process.has_exited();
        stopping && self.current.as_ref().is_some_and(exited)
    }

    /// It answers: measure how many it serves at once, unless that is known, and let requests through.
    async fn welcome(&mut self) -> Option<Event> {
        let current = self.current.as_mut()?;
        let settings = &self.watch.settings.origin;
        let view = &mut self.watch.board.view;
        let slots = concurrency::settle(view, settings).await;
        let now = deadline::now();
        self.start_took = now - current.spawned;
        view.start_took = Some(self.start_took);
        view.trouble = None;
        let pid = current.process.pid();
        let (number, address) = (view.generation, view.address.clone());
        let (generation, ender) = Generation::begin_of(pid, number, address, slots);
        current.open = Some((generation.clone(), ender));
        current.never_answered = false;
        tracing::info!(generation = view.generation, took = ?self.start_took, slots, "origin ready");
        self.watch.board.open(generation, now);
        self.heal(now).await;
        None
    }

    fn is_final(&self) -> bool {
        matches!(
            self.life.phase(),
            Phase::Stopping {
                then: Then::Nothing,
                ..
            }
        )
    }

    /// Publishes the view as it is now.
    fn tell(&mut self) {
        let board = &mut self.watch.board;
        let judgement = board.view.judgement.as_ref();
        let verdict = match self.life.phase() {
            Phase::Stopping { verdict, .. } => Some(verdict),
            _ => judgement.map(|judgement| judgement.verdict),
        };
        let state = State::of(&self.life, verdict, board.view.stance);
        let now = deadline::now();
        if let Phase::Waiting { until } = self.life.phase() {
            board.expect(until + self.start_took, now);
        }
        let before = board.view.state;
        if state != before {
            tracing::info!(
                from = before.word(),
                to = state.word(),
                verdict = verdict.map(Verdict::word),
                "origin state"
            );
        }
        board.view.enter(state, now);
        board.publish();
    }
}

/// Whether nobody is at work with this generation. Streams and tunnels may last for days and are not waited for.
fn is_idle(generation: Option<&Generation>, roster: &Roster) -> bool {
    const TOLD: usize = 4096;
    let visits = roster.visits(deadline::now(), TOLD);
    let lasting = visits.iter().filter(|visit| visit.is_lasting).count();
    let busy = generation.map_or(0, Generation::busy);
    busy <= lasting && visits.len() == lasting
}

/// For how long nothing has been under way, if nothing is.
fn idle(roster: &Roster) -> Option<Duration> {
    let now = deadline::now();
    let quiet = || {
        roster
            .last_life()
            .map_or(Duration::MAX, |last| now.saturating_duration_since(last))
    };
    roster.visits(now, 1).is_empty().then(quiet)
}

/// A number from 0 to 1 that nobody needs to be able to guess or not to guess.
fn dice() -> f64 {
    use std::hash::{BuildHasher, Hasher};
    let drawn = std::hash::RandomState::new().build_hasher().finish();
    drawn as f64 / u64::MAX as f64
}
