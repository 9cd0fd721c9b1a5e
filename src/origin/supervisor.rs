//! Keeps an origin of ours alive: one owner of its process, one loop, one order at a time.

mod end;

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::gate::{Ender, Generation};
use super::incident::{Incident, Step};
use super::lifecycle::{Event, Lifecycle, Order, Phase, Then};
use super::probe::Reading;
use super::process::Process;
use super::senses::Senses;
use super::verdict::{Evidence, Judgement, Verdict};
use super::view::State;
use super::{Watch, concurrency, evidence, hook, port};
use crate::config::{obstacle, settings};
use crate::ground::deadline;
use crate::ground::drain::Drain;

struct Supervisor {
    watch: Watch,
    command: settings::Command,
    life: Lifecycle,
    current: Option<Current>,
    /// The incident of the generation before, until the next one answers.
    wound: Option<Wound>,
    start_took: Duration,
}

/// The generation there is, from its spawn to its burial.
struct Current {
    process: Process,
    senses: Senses,
    open: Option<(Arc<Generation>, Ender)>,
    spawned: Instant,
    last: Option<(Judgement, Evidence)>,
    never_answered: bool,
}

struct Wound {
    incident: Option<Incident>,
    shut: Instant,
    told: Instant,
}

/// For a look at what a command needs.
const LOOKING: Duration = Duration::from_millis(200);
/// What a start is guessed to take before one was measured.
const USUAL_START: Duration = Duration::from_secs(1);

/// Supervises until the drain begins, ends the origin, and returns.
pub async fn run(mut watch: Watch, mut drain: Drain) {
    let Some(command) = watch.command.take() else {
        return;
    };
    watch.told = hook::Queue::open(&watch.settings.hooks.on_incident);
    let now = deadline::now();
    let mut supervisor = Supervisor {
        life: Lifecycle::new(watch.settings.restart.clone(), now),
        watch,
        command,
        current: None,
        wound: None,
        start_took: USUAL_START,
    };
    loop {
        let event = supervisor.next(&mut drain).await;
        supervisor.take(event).await;
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
    async fn next(&mut self, drain: &mut Drain) -> Event {
        let is_over = matches!(
            self.life.phase(),
            Phase::Stopping {
                then: Then::Nothing,
                ..
            }
        );
        let Some(current) = &mut self.current else {
            let Phase::Waiting { until } = self.life.phase() else {
                return Event::Gone;
            };
            return tokio::select! {
                () = tokio::time::sleep_until(until.into()) => Event::Tick,
                _ = drain.begun() => Event::Shutdown,
            };
        };
        let generation = current
            .open
            .as_ref()
            .map(|(generation, _)| generation.clone());
        let noticed = current
            .senses
            .notice(generation.as_ref(), &mut self.watch.nudges);
        let reading = tokio::select! {
            biased;
            _ = drain.begun(), if !is_over => return Event::Shutdown,
            () = current.process.exited() => return Event::Exited,
            reading = noticed => reading,
        };
        self.take_in(reading)
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
        current.senses.describe(view, judgement.clone(), &evidence);
        let event = match judgement.act {
            true => Event::Condemned(judgement.verdict),
            false if answered => Event::Answered,
            false => Event::Tick,
        };
        current.last = Some((judgement, evidence));
        event
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
        let process =
            match Process::spawn(&self.command, &view.address, &self.watch.settings.restart) {
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
        self.watch.board.open(generation);
        self.heal(now).await;
        None
    }

    /// Closes the incident of the generation before: now its cost is known.
    async fn heal(&mut self, now: Instant) {
        let Some(wound) = self.wound.take() else {
            return;
        };
        let downtime = now - wound.shut;
        tracing::info!(?downtime, "requests reach the origin again");
        let Some(mut incident) = wound.incident else {
            return;
        };
        if let Some(ending) = &mut incident.ending {
            ending.downtime_seconds = Some(downtime.as_secs_f64());
        }
        evidence::record(&mut self.watch, &incident, Step::Closed).await;
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
        let state = State::of(&self.life, verdict);
        if let Phase::Waiting { until } = self.life.phase() {
            board.expect(until + self.start_took);
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
        board.view.enter(state, deadline::now());
        board.publish();
    }
}

/// A number from 0 to 1 that nobody needs to be able to guess or not to guess.
fn dice() -> f64 {
    use std::hash::{BuildHasher, Hasher};
    let drawn = std::hash::RandomState::new().build_hasher().finish();
    drawn as f64 / u64::MAX as f64
}
