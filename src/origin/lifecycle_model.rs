//! The lifecycle against a model of the world: random events, by the thousand, and what must hold whatever comes.

use super::*;
use crate::ground::random::Random;

/// Random runs; each by its own seed, which is told when it fails.
const RUNS: u64 = 2000;
const EVENTS: usize = 200;

/// The world as it is outside of the lifecycle, and what it has been told to do.
struct World {
    life: Lifecycle,
    now: Instant,
    /// There is a process, and it is not frozen.
    runs: bool,
    /// A standby has answered.
    spare: bool,
    /// One was frozen and is not ended yet. It does no work, and is never let go on.
    frozen: bool,
    /// One still works off what it has; it is asked nothing any more.
    retires: bool,
    /// Requests reach it.
    open: bool,
    /// The wait before the last start in this row of failures, where it was not degraded.
    waited: Duration,
    random: Random,
}

impl World {
    fn begin(seed: u64) -> Self {
        let now = Instant::now();
        Self {
            life: Lifecycle::new(settings::Restart::default(), now),
            now,
            runs: false,
            spare: false,
            frozen: false,
            retires: false,
            open: false,
            waited: Duration::ZERO,
            random: Random(seed),
        }
    }

    /// Something that can happen in this phase; and now and then something that is late or makes no sense.
    fn event(&mut self) -> Event {
        let worse = Event::Condemned(self.random.of(&Verdict::ENDINGS));
        let renew = Event::Renew(self.random.of(&[
            Verdict::Requested,
            Verdict::Leaking,
            Verdict::Scheduled,
        ]));
        let swap = Event::Swap(Verdict::Requested);
        let tick = Event::Tick;
        let likely: &[Event] = match self.life.phase() {
            Phase::Waiting { .. } if self.spare => &[Event::Spare, Event::Spare, tick, renew],
            Phase::Waiting { .. } => &[tick, tick, tick, renew],
            Phase::Ready { .. } if self.spare => &[tick, swap, swap, Event::Exited, worse, renew],
            Phase::Starting { .. } => &[Event::Answered, Event::Exited, worse, renew, tick],
            Phase::Ready { .. } => &[tick, tick, Event::Answered, Event::Exited, worse, renew],
            Phase::Draining { .. } => &[Event::Idle, tick, Event::Exited, worse, renew],
            Phase::Stopping { .. } => &[Event::Gone, tick, Event::Answered, renew],
            Phase::Over => &[tick, renew, Event::Answered],
        };
        match self.random.below(200) {
            0 => Event::Shutdown,
            _ => self.random.of(likely),
        }
    }

    fn happens(&mut self, event: Event) {
        let before = self.life.phase();
        let dice = self.random.below(1001) as f64 / 1000.0;
        let order = self.life.on(event, self.now, dice);
        if let (Phase::Stopping { verdict, .. }, Event::Gone) = (before, event) {
            // With a standby at hand, the condemned is only frozen.
            self.frozen |= self.spare && self.runs && !verdict.is_renewal();
            self.runs = false;
        }
        // A standby comes when it has proven itself, and may go at any time.
        self.spare = match self.random.below(8) {
            0 => false,
            1 => matches!(before, Phase::Ready { .. }) && !self.retires && !self.frozen,
            _ => self.spare,
        };
        self.retires &= self.random.below(4) != 0;
        match order {
            Some(Order::Spawn) => {
                assert!(!self.runs, "a second one is started beside the first");
                self.frozen = false;
                match self.random.below(10) {
                    0 => self.happens(Event::SpawnFailed),
                    _ => self.runs = true,
                }
            }
            Some(Order::Promote) => {
                assert!(!self.runs, "the standby works beside another");
                match std::mem::take(&mut self.spare) {
                    true => {
                        self.runs = true;
                        self.happens(Event::Answered);
                    }
                    // It was not well when it was asked once more.
                    false => self.happens(Event::SpawnFailed),
                }
            }
            Some(Order::Swap(verdict)) => {
                assert!(self.open && !self.retires, "two would retire at once");
                match std::mem::take(&mut self.spare) {
                    true => {
                        self.retires = true;
                        self.happens(Event::Swapped);
                    }
                    false => self.happens(Event::Renew(verdict)),
                }
            }
            Some(Order::Welcome) => {
                assert!(self.runs, "the gate opens to nobody");
                self.open = true;
                // What was kept from work until now can go.
                self.frozen = false;
            }
            Some(Order::Drain) => {
                assert!(self.open, "nothing is under way that could be waited for");
                self.open = false;
            }
            Some(Order::End(_)) => {
                assert!(self.runs, "there is nothing to end");
                assert!(!self.frozen, "one frozen before is still there");
                self.open = false;
            }
            None => {}
        }
        self.holds(before);
    }

    /// What must hold whatever happened.
    fn holds(&mut self, before: Phase) {
        let phase = self.life.phase();
        assert!(
            !self.open || matches!(phase, Phase::Ready { .. }),
            "open while {phase:?}"
        );
        let has_none = matches!(phase, Phase::Waiting { .. } | Phase::Over);
        assert!(!has_none || !self.runs, "one was left behind: {phase:?}");
        let is_new = !matches!(before, Phase::Waiting { .. });
        if let Phase::Waiting { until } = phase
            && is_new
        {
            let wait = until.saturating_duration_since(self.now);
            let most = self.life.restarts.policy.degraded_every.mul_f64(1.1);
            assert!(wait <= most, "a wait of {wait:?} is to give up");
            self.grows(wait);
        }
        if before == Phase::Over {
            assert_eq!(phase, Phase::Over, "it is over");
        }
    }

    /// Each wait in a row of failures is as long as the one before, but for its spread, unless that was a renewal's.
    fn grows(&mut self, wait: Duration) {
        if wait.is_zero() || self.life.is_degraded() {
            self.waited = Duration::ZERO;
            return;
        }
        let least = self.waited.mul_f64(0.9 / 1.1);
        assert!(wait >= least, "{wait:?} after {:?}", self.waited);
        self.waited = wait;
    }

    fn time_passes(&mut self) {
        let milliseconds = self.random.of(&[0, 1, 50, 1000, 20_000]);
        self.now += Duration::from_millis(milliseconds);
    }

    /// Lets everything go well from here on.
    fn calms_down(&mut self) {
        for _ in 0..8 {
            match self.life.phase() {
                Phase::Waiting { until } => {
                    self.now = self.now.max(until);
                    let order = self.life.on(Event::Tick, self.now, 0.5);
                    assert_eq!(order, Some(Order::Spawn));
                    (self.runs, self.frozen) = (true, false);
                }
                Phase::Starting { .. } => self.happens(Event::Answered),
                Phase::Draining { .. } => self.happens(Event::Idle),
                Phase::Stopping { .. } => self.happens(Event::Gone),
                Phase::Ready { .. } | Phase::Over => return,
            }
        }
        panic!("it does not come to rest: {:?}", self.life.phase());
    }
}

/// Runs one world to its end; the seed is told if it breaks.
fn run(seed: u64, course: impl Fn(&mut World) + std::panic::RefUnwindSafe) {
    let result = std::panic::catch_unwind(|| course(&mut World::begin(seed)));
    if let Err(cause) = result {
        eprintln!("the seed was {seed}");
        std::panic::resume_unwind(cause);
    }
}

#[test]
fn whatever_happens_there_is_one_process_at_most_and_it_serves_again() {
    let mut served = 0;
    for seed in 0..RUNS {
        run(seed, |world| {
            for _ in 0..EVENTS {
                let event = world.event();
                world.happens(event);
                world.time_passes();
            }
            world.calms_down();
        });
        served += 1;
    }
    assert_eq!(served, RUNS);
}

#[test]
fn what_always_fails_is_degraded_and_tried_for_ever() {
    for seed in 0..RUNS {
        run(seed, |world| {
            for _ in 0..EVENTS {
                let event = world.event();
                world.happens(event);
                world.time_passes();
            }
            let mut starts = 0;
            for _ in 0..100 {
                match world.life.phase() {
                    Phase::Waiting { until } => {
                        world.now = world.now.max(until);
                        world.life.on(Event::Tick, world.now, 0.5);
                        (world.runs, world.frozen) = (true, false);
                        starts += 1;
                    }
                    Phase::Stopping { .. } => world.happens(Event::Gone),
                    _ => world.happens(Event::Exited),
                }
            }
            if world.life.phase() == Phase::Over {
                return;
            }
            assert!(world.life.is_degraded() && starts >= 30, "{starts} starts");
        });
    }
}
