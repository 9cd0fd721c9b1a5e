//! Keeps an origin of ours alive: one owner of its process, one loop, one order at a time.

mod end;
mod plight;
mod wishes;
mod wound;

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::cgroup::Domain;
use super::gate::{Ender, Generation};
use super::herald::Herald;
use super::lifecycle::{Event, Lifecycle, Order, Phase, Then};
use super::probe::Reading;
use super::process::Process;
use super::renewal::{Life, Renewal};
use super::roster::Roster;
use super::senses::Senses;
use super::verdict::{Evidence, Judgement, Verdict};
use super::view::State;
use super::will::Stance;
use super::{Watch, Wish, concurrency, evidence, hook, orphans, port};
use crate::config::{obstacle, settings};
use crate::ground::deadline;
use crate::ground::drain::Drain;
use wound::{Scar, Wound};

struct Supervisor {
    watch: Watch,
    command: settings::Command,
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
    /// What the operator wanted was for a time, and that is over.
    StanceOver,
}

/// Between two looks whether anything is under way still.
const DRAINED: Duration = Duration::from_millis(20);
/// For a look at what a command needs.
const LOOKING: Duration = Duration::from_millis(200);
/// What a start is guessed to take before one was measured.
const USUAL_START: Duration = Duration::from_secs(1);

/// Supervises until the drain begins, ends the origin, and returns.
pub async fn run(mut watch: Watch, mut drain: Drain) {
    let Some(command) = watch.command.take() else {
        return;
    };
    orphans::take_in();
    let hooks = &watch.settings.hooks;
    watch.told = hook::Queue::open("hooks.on_incident", &hooks.on_incident);
    watch.called = hook::Queue::open("hooks.on_degraded", &hooks.on_degraded);
    let now = deadline::now();
    let mut supervisor = Supervisor {
        life: Lifecycle::new(watch.settings.restart.clone(), now),
        watch,
        command,
        domain: Domain::claim(),
        current: None,
        wound: None,
        scar: None,
        start_took: USUAL_START,
    };
    supervisor.announce();
    loop {
        match supervisor.next(&mut drain).await {
            Next::Event(event) => supervisor.take(event).await,
            Next::Wish(wish) => supervisor.grant(wish).await,
            Next::StanceOver => supervisor.resume(),
        }
        supervisor.watch.release_due(deadline::now());
        supervisor.settle(deadline::now()).await;
        supervisor.weigh(deadline::now());
        if supervisor.life.phase() == Phase::Over {
            break;
        }
    }
    let closing = |queue: Option<hook::Queue>| async {
        if let Some(queue) = queue {
            queue.close().await;
        }
    };
    let watch = &mut supervisor.watch;
    tokio::join!(closing(watch.told.take()), closing(watch.called.take()));
}

impl Supervisor {
    /// Waits for what happens next.
    async fn next(&mut self, drain: &mut Drain) -> Next {
        let phase = self.life.phase();
        let is_final = self.is_final();
        let over = self.watch.board.view.stance.until();
        let plight = self.plight_due();
        let Some(current) = &mut self.current else {
            let Phase::Waiting { until } = phase else {
                return Next::Event(Event::Gone);
            };
            return tokio::select! {
                () = tokio::time::sleep_until(until.into()) => Next::Event(Event::Tick),
                _ = drain.begun() => Next::Event(Event::Shutdown),
                Some(wish) = self.watch.wishes.recv() => Next::Wish(wish),
                () = deadline::reached(over) => Next::StanceOver,
                () = deadline::reached(plight) => Next::Event(Event::Tick),
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
            () = current.process.exited() => return Next::Event(Event::Exited),
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
        let event = match judgement.act && !stance.lets_be() {
            true => Event::Condemned(judgement.verdict),
            false if answered => Event::Answered,
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

    async fn spawn(&mut self) -> Option<Event> {
        if let Some(trouble) = port::trouble(&self.watch.board.view.address).await {
            return self.fail_start(trouble);
        }
        let view = &mut self.watch.board.view;
        let leaf = self
            .domain
            .as_ref()
            .and_then(|it| it.leaf(view.generation + 1));
        let restart = &self.watch.settings.restart;
        let process = match Process::spawn(&self.command, &view.address, restart, leaf) {
            Ok(process) => process,
            Err(error) => {
                let trouble = self.obstacle().await;
                let trouble = trouble.unwrap_or_else(|| error.to_string());
                return self.fail_start(format!("it cannot be started: {trouble}"));
            }
        };
        // What the visits met that were with the generation before says nothing of this one.
        while self.watch.nudges.try_recv().is_ok() {}
        let now = deadline::now();
        self.watch.herald = Herald::new();
        view.generation += 1;
        view.started = Some(now);
        view.pid = Some(process.pid());
        view.judgement = None;
        tracing::info!(generation = view.generation, pid = %process.pid(), command = view.command, "origin started");
        let senses = Senses::new(
            &self.watch.settings,
            view.address.clone(),
            Some(process.pid()),
            self.watch.roster.clone(),
            now,
        );
        self.current = Some(Current {
            process,
            senses,
            open: None,
            spawned: now,
            last: None,
            renewal: Renewal::default(),
            never_answered: true,
        });
        None
    }

    /// What is missing on this machine for the command, looked for aside: a dead disk must not hold us up.
    async fn obstacle(&self) -> Option<String> {
        let command = self.command.clone();
        evidence::aside(LOOKING, move || obstacle(&command))
            .await
            .flatten()
    }

    fn fail_start(&mut self, trouble: String) -> Option<Event> {
        tracing::error!(trouble, "the origin cannot be started");
        self.watch.board.view.trouble = Some(trouble);
        Some(Event::SpawnFailed)
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
        let pid = Some(current.process.pid());
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
