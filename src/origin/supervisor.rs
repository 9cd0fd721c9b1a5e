//! Keeps an origin of ours alive: one owner of its process, one loop, one order at a time.

mod attend;
mod end;
mod inherit;
mod plight;
mod relief;
mod standby;
mod start;
mod tale;
mod wishes;
mod wound;

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::cgroup::Domain;
use super::gate::{Ender, Generation};
use super::lifecycle::{Event, Lifecycle, Order, Phase, Then};
use super::oom::Kills;
use super::orphans::Living;
use super::probe::Reading;
use super::process::{Change, Process};
use super::renewal::{Life, Renewal};
use super::roster::Roster;
use super::senses::Senses;
use super::stop::Ladder;
use super::verdict::{Evidence, Judgement, Verdict};
use super::view::State;
use super::will::Stance;
use super::{Watch, Wish, concurrency, hook, orphans};
use crate::ground::deadline;
use crate::ground::drain::Drain;
use standby::{Noticed, Standby};
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
    /// Since when requests are held for its end, while what is under way is finished.
    held: Option<Instant>,
    start_took: Duration,
    /// Of the generations so far, the last one's.
    numbers: u64,
    standby: Option<Standby>,
}

/// The generation there is, from its spawn to its burial.
struct Current {
    process: Process,
    senses: Senses,
    open: Option<(Arc<Generation>, Ender)>,
    spawned: Instant,
    /// From then to its first answer, where that was long ago.
    took: Option<Duration>,
    /// It was not there for a time, and that was not for us to change.
    rested: bool,
    /// What it starts is nobody else's orphan.
    living: Option<Living>,
    last: Option<(Judgement, Evidence)>,
    /// When that was.
    judged: Option<Instant>,
    /// Since when it has been suspected.
    suspected: Option<Instant>,
    /// How it was told to end, if it was.
    asked: Option<Ladder>,
    /// How often the kernel had killed for want of memory when it began.
    kills: Kills,
    renewal: Renewal,
    never_answered: bool,
}

/// What comes next.
enum Next {
    Event(Event),
    Wish(Wish),
    /// Of the process.
    Change(Change),
    Standby(Noticed),
    /// What the operator wanted was for a time, and that is over.
    StanceOver,
    /// There are other settings.
    Settings,
}

/// Between two looks whether anything is under way still.
const DRAINED: Duration = Duration::from_millis(20);
/// Beyond the longest hold, until one may ask again for an origin that somebody stopped. Renewed with each look at it.
const RETRY: Duration = Duration::from_secs(30);
/// What a start is guessed to take before one was measured.
const USUAL_START: Duration = Duration::from_secs(1);

/// Supervises until the drain begins, ends the origin, and returns.
pub async fn run(mut watch: Watch, mut drain: Drain) {
    let means = Means::of(&watch.process, &watch.board.view.address);
    if !watch.process.is_foreign() {
        orphans::take_in();
    }
    let hooks = &watch.settings.hooks;
    watch.told = hook::Queue::open("hooks.on_incident", &hooks.on_incident);
    watch.called = hook::Queue::open("hooks.on_degraded", &hooks.on_degraded);
    let now = deadline::now();
    let home = &watch.board.view.address;
    let mut supervisor = Supervisor {
        standby: Standby::wanted(&watch.settings, home, now),
        numbers: 0,
        life: Lifecycle::new(watch.settings.restart.clone(), now),
        domain: match watch.process.is_foreign() {
            true => None,
            false => {
                let legacy = watch.legacy.as_ref();
                Domain::claim(legacy.and_then(|it| it.record.cgroup.as_deref()))
            }
        },
        watch,
        means,
        current: None,
        wound: None,
        scar: None,
        held: None,
        start_took: USUAL_START,
    };
    supervisor.announce();
    loop {
        match supervisor.next(&mut drain).await {
            Next::Event(event) => supervisor.take(event).await,
            Next::Wish(wish) => supervisor.grant(wish).await,
            Next::Change(Change::Exited) => supervisor.take(Event::Exited).await,
            Next::Change(Change::Ended) => supervisor.part().await,
            Next::Change(Change::Known) => supervisor.recognise(),
            Next::Change(Change::Seen) => supervisor.see(),
            Next::Change(Change::Rests) => supervisor.rest(),
            Next::Standby(noticed) => supervisor.attend(noticed).await,
            Next::StanceOver => supervisor.resume(),
            Next::Settings => supervisor.adopt(),
        }
        supervisor.watch.release_due(deadline::now());
        supervisor.settle(deadline::now()).await;
        supervisor.weigh(deadline::now());
        if supervisor.life.phase() == Phase::Over {
            break;
        }
    }
    if let Some(standby) = &mut supervisor.standby {
        standby
            .gone(supervisor.watch.settings.restart.grace_drain)
            .await;
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
        if self.current.is_none() && self.has_spare() && matches!(phase, Phase::Waiting { .. }) {
            return Next::Event(Event::Spare);
        }
        let plight = self.plight_due();
        let Some(current) = &mut self.current else {
            let Phase::Waiting { until } = phase else {
                return Next::Event(Event::Gone);
            };
            return tokio::select! {
                noticed = attention(&mut self.standby, false) => Next::Standby(noticed),
                () = tokio::time::sleep_until(until.into()) => Next::Event(Event::Tick),
                _ = drain.begun() => Next::Event(Event::Shutdown),
                Some(wish) = self.watch.wishes.recv() => Next::Wish(wish),
                () = deadline::reached(over) => Next::StanceOver,
                Ok(()) = self.watch.renewed.changed() => Next::Settings,
                () = self.means.come_back() => Next::Event(Event::Renew(Verdict::Requested)),
                () = deadline::reached(plight) => Next::Event(Event::Tick),
            };
        };
        let generation = current.open.as_ref().map(|(it, _)| it.clone());
        let is_draining = matches!(phase, Phase::Draining { .. });
        let is_ready = matches!(phase, Phase::Ready { .. });
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
            noticed = attention(&mut self.standby, is_ready) => return Next::Standby(noticed),
            () = deadline::reached(over) => return Next::StanceOver,
            Ok(()) = self.watch.renewed.changed() => return Next::Settings,
            () = tokio::time::sleep(DRAINED), if is_draining => return Next::Event(Event::Tick),
        };
        Next::Event(self.take_in(reading))
    }

    /// Goes by other settings.
    fn adopt(&mut self) {
        let next = self.watch.adopt();
        self.life.adopt(next.restart.clone());
        if let Some(current) = &mut self.current {
            current.senses.adopt(&next);
        }
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
        current.hear(&judgement, deadline::now());
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
        renewed.map_or(event, |verdict| self.renewal(verdict))
    }

    /// Takes one event and carries out what it orders, and what comes of that.
    async fn take(&mut self, event: Event) {
        if event == Event::Shutdown
            && let Some(standby) = &mut self.standby
        {
            standby.dismiss(self.watch.settings.restart.grace_drain);
        }
        let mut event = Some(event);
        while let Some(happened) = event.take() {
            let order = self.life.on(happened, deadline::now(), dice());
            self.tell();
            event = match order {
                Some(Order::Spawn) => self.spawn().await,
                Some(Order::Promote) => self.promote().await,
                Some(Order::Swap(verdict)) => self.swap(verdict).await,
                Some(Order::Welcome) => self.welcome().await,
                Some(Order::Drain) => self.drain(),
                Some(Order::End(verdict)) => self.end(verdict).await,
                None if self.is_late() => self.bury().await,
                None => None,
            };
        }
        self.tell();
    }

    /// It answers: measure how many it serves at once, unless that is known, and let requests through.
    async fn welcome(&mut self) -> Option<Event> {
        let answered = deadline::now();
        self.admit().await;
        let now = deadline::now();
        self.heal(answered, now).await;
        self.relieved(now);
        None
    }

    /// Lets requests through to the current generation.
    async fn admit(&mut self) {
        let Some(current) = self.current.as_mut() else {
            return;
        };
        let settings = &self.watch.settings.origin;
        let view = &mut self.watch.board.view;
        let slots = concurrency::settle(view, settings).await;
        let now = deadline::now();
        self.start_took = current.took.unwrap_or(now - current.spawned);
        view.start_took = Some(self.start_took);
        view.trouble = None;
        let pid = current.process.pid();
        let (number, address) = (view.generation, view.address.clone());
        let (generation, ender) = Generation::begin_of(pid, number, address, slots);
        if let Some(bequest) = current.process.bequest() {
            bequest.note(self.start_took, slots);
        }
        current.open = Some((generation.clone(), ender));
        current.never_answered = false;
        tracing::info!(generation = view.generation, took = ?self.start_took, slots, "origin ready");
        self.watch.roster.awaits_answer();
        self.watch.board.open(generation, now);
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
        if self
            .current
            .as_ref()
            .is_some_and(|it| it.process.was_stopped())
        {
            // Whoever stopped it knows when it comes back: nobody is held for that in vain.
            board.expect(now + self.watch.settings.hold.timeout + RETRY, now);
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
        board.view.standby = self.standby.as_ref().map(Standby::seen);
        board.view.frozen = self.standby.as_ref().and_then(Standby::kept);
        board.publish();
    }
}

/// The next thing to look after of the standby; never where there is none.
async fn attention(standby: &mut Option<Standby>, may_start: bool) -> Noticed {
    match standby {
        Some(standby) => standby.notice(may_start).await,
        None => std::future::pending().await,
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
