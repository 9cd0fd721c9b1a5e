//! Phase × event → phase and order: where the process is, and what is to be done next. Pure: `now` and the dice come in.
//!
//! ```text
//! Waiting ──Due──▶ Starting ──Answered──▶ Ready
//!    ▲               │  │                   │ └──Renew──▶ Draining
//!    │       SpawnFailed│ Judged, Exited    │                │
//!    │               ▼  ▼                   ▼                │
//!    └─────────────Gone── Stopping ◀────────┴──────Idle──────┘ ──(shutdown)──▶ Over
//! ```
//!
//! Where a standby is at hand (`Spare`), it is the next start; and a renewal is a `Swap` that leaves `Ready` at no time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::verdict::Verdict;
use crate::config::fixed::SPREAD_PERCENT;
use crate::config::settings;

/// Where the process is. Each holds only what is true in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// There is no process; the next start is due at `until`.
    Waiting {
        /// When.
        until: Instant,
    },
    /// It was started and has not answered yet.
    Starting {
        /// When it was started.
        since: Instant,
    },
    /// It has answered.
    Ready {
        /// When it first did.
        since: Instant,
    },
    /// It is to be replaced in peace, when what is under way is done.
    Draining {
        /// Why.
        verdict: Verdict,
        /// What is under way then is cut off.
        until: Instant,
    },
    /// It is being ended, or its remains are cleared away.
    Stopping {
        /// Why.
        verdict: Verdict,
        /// What comes then.
        then: Then,
    },
    /// There is no process, and none is wanted.
    Over,
}

/// What comes after a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Another generation.
    Again,
    /// Nothing more.
    Nothing,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Time went on.
    Tick,
    /// The process could not be started.
    SpawnFailed,
    /// It answered a probe.
    Answered,
    /// The verdict asks for its end.
    Condemned(Verdict),
    /// It ended by itself.
    Exited,
    /// Its whole group is gone and reaped.
    Gone,
    /// Another generation is wanted for this reason, though this one serves.
    Renew(Verdict),
    /// Nothing is under way any more.
    Idle,
    /// A standby is there, and was proven.
    Spare,
    /// The standby is to go on instead of this one, which serves, for this reason.
    Swap(Verdict),
    /// It does.
    Swapped,
    /// Leeward itself is about to end.
    Shutdown,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Start the next generation.
    Spawn,
    /// Let the standby be the next generation.
    Promote,
    /// The same, while the present one still has work: say [`Event::Swapped`], or why not.
    Swap(Verdict),
    /// Let requests through to it.
    Welcome,
    /// Shut the gate, and say [`Event::Idle`] when nothing is under way any more.
    Drain,
    /// Shut the gate, write the incident, end the whole group, reap it, and say [`Event::Gone`].
    End(Verdict),
}

/// The phase, and the memory of restarts.
#[derive(Debug)]
pub struct Lifecycle {
    phase: Phase,
    restarts: Restarts,
}

/// How often it had to be restarted, and what follows from that.
#[derive(Debug)]
struct Restarts {
    policy: settings::Restart,
    /// Restarts since it was last healthy for `forget`.
    streak: u32,
    recent: VecDeque<Instant>,
    degraded: bool,
}

impl Lifecycle {
    /// By this policy from now on; a wait that has begun is not shortened.
    pub fn adopt(&mut self, policy: settings::Restart) {
        self.restarts.policy = policy;
    }

    /// The first start is due at `now`.
    pub fn new(policy: settings::Restart, now: Instant) -> Self {
        Self {
            phase: Phase::Waiting { until: now },
            restarts: Restarts {
                policy,
                streak: 0,
                recent: VecDeque::new(),
                degraded: false,
            },
        }
    }

    /// Where the process is.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Whether restarting has not helped, and is tried only slowly.
    pub fn is_degraded(&self) -> bool {
        self.restarts.degraded
    }

    /// Takes one event, at `now`. `dice` (0 to 1) spreads the backoff.
    pub fn on(&mut self, event: Event, now: Instant, dice: f64) -> Option<Order> {
        let (phase, order) = match (self.phase, event) {
            (Phase::Waiting { until }, Event::Tick) if now >= until => {
                (Phase::Starting { since: now }, Some(Order::Spawn))
            }
            // It has started and answered already, so that nothing spins; how soon there is another one is its own matter.
            (Phase::Waiting { .. }, Event::Spare) => {
                (Phase::Starting { since: now }, Some(Order::Promote))
            }
            (Phase::Waiting { .. }, Event::Renew(_)) => (Phase::Waiting { until: now }, None),
            (Phase::Waiting { .. }, Event::Shutdown) => (Phase::Over, None),
            (Phase::Starting { .. }, Event::SpawnFailed) => (self.wait(now, dice), None),
            (Phase::Starting { .. }, Event::Answered) => {
                self.restarts.degraded = false;
                (Phase::Ready { since: now }, Some(Order::Welcome))
            }
            (Phase::Ready { since }, Event::Tick) => {
                self.restarts.forget(since, now);
                (self.phase, None)
            }
            (Phase::Ready { .. }, Event::Swap(verdict)) => (self.phase, Some(Order::Swap(verdict))),
            (Phase::Ready { .. }, Event::Swapped) => (Phase::Ready { since: now }, None),
            (Phase::Ready { .. }, Event::Renew(verdict)) => {
                let until = now + self.restarts.policy.drain;
                (Phase::Draining { verdict, until }, Some(Order::Drain))
            }
            (Phase::Draining { verdict, .. }, Event::Idle) => stop(verdict, Then::Again),
            (Phase::Draining { verdict, until }, Event::Tick | Event::Answered) if now >= until => {
                stop(verdict, Then::Again)
            }
            (Phase::Starting { .. } | Phase::Ready { .. } | Phase::Draining { .. }, event) => {
                match event {
                    Event::Condemned(verdict) => stop(verdict, Then::Again),
                    Event::Exited => stop(Verdict::Exited, Then::Again),
                    Event::Renew(verdict) if self.is_starting() => stop(verdict, Then::Again),
                    Event::Shutdown => stop(Verdict::Requested, Then::Nothing),
                    _ => (self.phase, None),
                }
            }
            (Phase::Stopping { verdict, then }, Event::Gone) => match then {
                Then::Nothing => (Phase::Over, None),
                Then::Again if verdict.is_renewal() => (Phase::Waiting { until: now }, None),
                Then::Again => (self.wait(now, dice), None),
            },
            (Phase::Stopping { verdict, .. }, Event::Shutdown) => {
                let then = Then::Nothing;
                (Phase::Stopping { verdict, then }, None)
            }
            (Phase::Waiting { .. } | Phase::Stopping { .. } | Phase::Over, _) => (self.phase, None),
        };
        self.phase = phase;
        order
    }

    fn is_starting(&self) -> bool {
        matches!(self.phase, Phase::Starting { .. })
    }

    fn wait(&mut self, now: Instant, dice: f64) -> Phase {
        let wait = self.restarts.count(now, dice);
        Phase::Waiting { until: now + wait }
    }
}

impl Restarts {
    /// Counts one more, and says how long to wait before the next start.
    fn count(&mut self, now: Instant, dice: f64) -> Duration {
        let policy = &self.policy;
        self.recent.push_back(now);
        while let Some(first) = self.recent.front() {
            if now.saturating_duration_since(*first) <= policy.degraded_within {
                break;
            }
            self.recent.pop_front();
        }
        self.degraded |= self.recent.len() >= policy.degraded_after;
        let wait = match self.streak {
            _ if self.degraded => policy.degraded_every,
            0 => Duration::ZERO,
            n => {
                let factor = 1_u32.checked_shl(n - 1).unwrap_or(u32::MAX);
                policy.backoff.saturating_mul(factor)
            }
        };
        self.streak = self.streak.saturating_add(1);
        let most = f64::from(SPREAD_PERCENT) / 100.0;
        let spread = 1.0 - most + 2.0 * most * dice.clamp(0.0, 1.0);
        wait.min(policy.backoff_most.max(policy.degraded_every))
            .min(if self.degraded {
                wait
            } else {
                policy.backoff_most
            })
            .mul_f64(spread)
    }

    fn forget(&mut self, healthy_since: Instant, now: Instant) {
        if now.saturating_duration_since(healthy_since) >= self.policy.forget {
            self.streak = 0;
            self.recent.clear();
        }
    }
}

fn stop(verdict: Verdict, then: Then) -> (Phase, Option<Order>) {
    (Phase::Stopping { verdict, then }, Some(Order::End(verdict)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIDDLE: f64 = 0.5;

    fn ready(now: Instant) -> Lifecycle {
        let mut life = Lifecycle::new(settings::Restart::default(), now);
        assert_eq!(life.on(Event::Tick, now, MIDDLE), Some(Order::Spawn));
        assert_eq!(life.on(Event::Answered, now, MIDDLE), Some(Order::Welcome));
        life
    }

    /// One crash and the start after it; returns the wait before the start.
    fn crash(life: &mut Lifecycle, now: Instant) -> Duration {
        assert_eq!(
            life.on(Event::Exited, now, MIDDLE),
            Some(Order::End(Verdict::Exited))
        );
        assert_eq!(life.on(Event::Gone, now, MIDDLE), None);
        let Phase::Waiting { until } = life.phase() else {
            panic!("waiting is expected, not {:?}", life.phase());
        };
        if until > now {
            assert_eq!(life.on(Event::Tick, now, MIDDLE), None);
        }
        assert_eq!(life.on(Event::Tick, until, MIDDLE), Some(Order::Spawn));
        life.on(Event::Answered, until, MIDDLE);
        until - now
    }

    #[test]
    fn the_first_restart_is_at_once_and_each_further_one_waits_longer() {
        let now = Instant::now();
        let mut life = ready(now);
        let waits: Vec<_> = (0..4).map(|_| crash(&mut life, now).as_secs()).collect();
        assert_eq!(waits, [0, 1, 2, 4]);
        assert!(!life.is_degraded());
    }

    #[test]
    fn a_crash_loop_is_degraded_and_retried_for_ever() {
        let now = Instant::now();
        let mut life = ready(now);
        for _ in 0..4 {
            crash(&mut life, now);
        }
        for _ in 0..10 {
            assert_eq!(crash(&mut life, now).as_secs(), 60);
        }
    }

    #[test]
    fn ten_healthy_minutes_are_forgiveness() {
        let now = Instant::now();
        let mut life = ready(now);
        crash(&mut life, now);
        crash(&mut life, now);
        let later = now + Duration::from_secs(700);
        assert_eq!(life.on(Event::Tick, later, MIDDLE), None);
        assert_eq!(crash(&mut life, later), Duration::ZERO);
    }

    #[test]
    fn a_restart_on_request_waits_for_what_is_under_way_and_counts_nothing() {
        let now = Instant::now();
        let renewed = Event::Renew(Verdict::Requested);
        let mut life = ready(now);
        for _ in 0..20 {
            assert_eq!(life.on(renewed, now, MIDDLE), Some(Order::Drain));
            assert_eq!(life.on(Event::Tick, now, MIDDLE), None);
            let done = life.on(Event::Idle, now, MIDDLE);
            assert_eq!(done, Some(Order::End(Verdict::Requested)));
            life.on(Event::Gone, now, MIDDLE);
            assert_eq!(life.on(Event::Tick, now, MIDDLE), Some(Order::Spawn));
            life.on(Event::Answered, now, MIDDLE);
        }
        assert!(!life.is_degraded());
    }

    #[test]
    fn a_drain_ends_by_its_deadline_and_by_anything_worse() {
        let now = Instant::now();
        let draining = || {
            let mut life = ready(now);
            life.on(Event::Renew(Verdict::Requested), now, MIDDLE);
            life
        };
        let late = now + settings::Restart::default().drain;
        let ended = draining().on(Event::Answered, late, MIDDLE);
        assert_eq!(ended, Some(Order::End(Verdict::Requested)));
        for (event, verdict) in [
            (Event::Exited, Verdict::Exited),
            (Event::Condemned(Verdict::HungBlocked), Verdict::HungBlocked),
        ] {
            let ended = draining().on(event, now, MIDDLE);
            assert_eq!(ended, Some(Order::End(verdict)));
        }
        let mut again = draining();
        let twice = again.on(Event::Renew(Verdict::Requested), now, MIDDLE);
        assert_eq!(twice, None);
    }

    #[test]
    fn after_a_shutdown_nothing_is_started_any_more() {
        let now = Instant::now();
        let mut life = ready(now);
        life.on(Event::Condemned(Verdict::HungBlocked), now, MIDDLE);
        assert_eq!(life.on(Event::Shutdown, now, MIDDLE), None);
        life.on(Event::Gone, now, MIDDLE);
        assert_eq!(life.phase(), Phase::Over);
        assert_eq!(life.on(Event::Tick, now, MIDDLE), None);
        assert_eq!(life.on(Event::Renew(Verdict::Requested), now, MIDDLE), None);
    }

    #[test]
    fn a_spawn_that_fails_backs_off_like_a_crash() {
        let now = Instant::now();
        let mut life = Lifecycle::new(settings::Restart::default(), now);
        let mut at = now;
        for wanted in [0, 1, 2] {
            assert_eq!(life.on(Event::Tick, at, MIDDLE), Some(Order::Spawn));
            life.on(Event::SpawnFailed, at, MIDDLE);
            let Phase::Waiting { until } = life.phase() else {
                panic!("waiting is expected");
            };
            assert_eq!((until - at).as_secs(), wanted);
            at = until;
        }
    }
}

#[cfg(test)]
#[path = "lifecycle_model.rs"]
mod model;
