//! Which deadline of a client's has passed, and when to look again. Pure.

use std::time::{Duration, Instant};

use crate::config::settings::EdgeDeadlines;
use crate::ground::failure::Phase;

/// A deadline of the client's that has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overdue {
    /// Which.
    pub phase: Phase,
    /// The limit it broke.
    pub limit: Duration,
    /// The key that sets it.
    pub key: &'static str,
}

/// A connection at one instant.
#[derive(Debug, Clone, Copy, Default)]
pub struct Glance {
    /// For how long a head has been under way.
    pub head: Option<Duration>,
    /// For how long nothing has been asked.
    pub idle: Option<Duration>,
    /// For how long the client has taken nothing of what was ready for it.
    pub stalled: Option<Duration>,
    /// For how long, in all, it kept us waiting to write.
    pub blocked: Duration,
    /// Bytes its kernel took.
    pub written: u64,
    /// How often bytes came.
    pub reads: u64,
    /// Whether something was asked and is not yet answered.
    pub is_in_flight: bool,
}

/// On which footing a connection is, beside what the settings say.
#[derive(Debug, Clone, Copy)]
pub struct Footing {
    /// How long it may be idle.
    pub keep_alive: Duration,
    /// How long ago it was told to end, if it was.
    pub told: Option<Duration>,
    /// Whether its client has said that it sends no more.
    pub is_half_closed: bool,
}

/// A connection that was told to end and has nothing under way is given this long to take note: a round trip, and a
/// packet lost. What is under way then is half a head at the most, which nobody has acted on.
pub const NOTICE: Duration = Duration::from_secs(2);
/// Never look again sooner than this: a timer's own grain.
pub const MOMENT: Duration = Duration::from_millis(10);
/// Look at least this often; the pace is judged then.
pub const EACH: Duration = Duration::from_secs(5);

/// When bytes last moved on a connection with a request under way, as far as looking now and then tells: the outer
/// bound, which knows nothing of what the bytes mean.
#[derive(Debug, Clone, Copy)]
pub struct Quiet {
    moved: (u64, u64),
    since: Instant,
}

impl Quiet {
    /// Nothing has moved yet.
    pub fn from(now: Instant) -> Self {
        let moved = (0, 0);
        Self { moved, since: now }
    }

    /// For how long nothing has moved at `now`; zero where nothing is under way.
    pub fn look(&mut self, glance: &Glance, now: Instant) -> Duration {
        let moved = (glance.reads, glance.written);
        if moved != self.moved || !glance.is_in_flight {
            self.moved = moved;
            self.since = now;
        }
        now.saturating_duration_since(self.since)
    }
}

impl Footing {
    /// How long it may be idle, and by which key.
    fn idle(&self, limits: &EdgeDeadlines) -> (Duration, &'static str) {
        match self.is_half_closed && limits.half_close < self.keep_alive {
            true => (limits.half_close, "edge.deadlines.half_close"),
            false => (self.keep_alive, "edge.deadlines.keep_alive"),
        }
    }
}

impl Glance {
    /// The deadline that has passed, if one has.
    pub fn overdue(&self, limits: &EdgeDeadlines, footing: Footing) -> Option<Overdue> {
        let overdue = |phase, limit, key| Some(Overdue { phase, limit, key });
        let stall = limits.response_stall;
        if self.stalled.is_some_and(|length| length >= stall) {
            return overdue(Phase::Respond, stall, "edge.deadlines.response_stall");
        }
        if let Some(pace) = limits.response_pace {
            let earned = Duration::from_secs_f64(self.written as f64 / pace.rate as f64);
            if self.blocked > pace.after.saturating_add(earned) {
                return overdue(Phase::Respond, pace.after, "edge.deadlines.response_pace");
            }
        }
        if self
            .unnoticed(footing)
            .is_some_and(|length| length >= NOTICE)
        {
            return overdue(Phase::Drain, NOTICE, "edge.deadlines.drain");
        }
        if self.head.is_some_and(|length| length >= limits.head) {
            return overdue(Phase::Head, limits.head, "edge.deadlines.head");
        }
        let (idle, key) = footing.idle(limits);
        if self.idle.is_some_and(|length| length >= idle) {
            return overdue(Phase::KeepAlive, idle, key);
        }
        None
    }

    /// How soon to look again: no deadline passes unnoticed before then, one that is yet to begin included.
    pub fn next_look(&self, limits: &EdgeDeadlines, footing: Footing) -> Duration {
        let left = |limit: Duration, spent: Option<Duration>| {
            limit.saturating_sub(spent.unwrap_or_default())
        };
        let (idle, _) = footing.idle(limits);
        let notice = match footing.told {
            None => EACH,
            Some(_) => left(NOTICE, self.unnoticed(footing)),
        };
        left(limits.head, self.head)
            .min(left(idle, self.idle))
            .min(left(limits.response_stall, self.stalled))
            .min(notice)
            .clamp(MOMENT, EACH)
    }

    /// For how long it has had nothing to do but end. Who is still taking an answer has something to do.
    fn unnoticed(&self, footing: Footing) -> Option<Duration> {
        let told = footing.told?;
        let is_quiet = !self.is_in_flight && self.stalled.is_none();
        is_quiet.then(|| self.idle.map_or(told, |idle| idle.min(told)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEADY: Footing = Footing {
        keep_alive: Duration::from_secs(60),
        told: None,
        is_half_closed: false,
    };

    fn seconds(seconds: u64) -> Option<Duration> {
        Some(Duration::from_secs(seconds))
    }

    fn phase(glance: Glance, footing: Footing) -> Option<Phase> {
        let limits = EdgeDeadlines::default();
        let look = glance.next_look(&limits, footing);
        assert!((MOMENT..=EACH).contains(&look), "{look:?}");
        glance.overdue(&limits, footing).map(|it| it.phase)
    }

    #[test]
    fn who_was_told_to_end_and_has_nothing_to_do_is_not_waited_for() {
        let told = |told| Footing {
            told: seconds(told),
            ..STEADY
        };
        let half_a_head = Glance {
            head: seconds(3),
            ..Glance::default()
        };
        assert_eq!(phase(half_a_head, STEADY), None);
        assert_eq!(phase(half_a_head, told(1)), None);
        assert_eq!(phase(half_a_head, told(2)), Some(Phase::Drain));
        // Idle for long before it was told, and for a moment after its last answer.
        for (idle, notice, is_over) in [(50, 1, false), (50, 2, true), (1, 20, false)] {
            let idle = Glance {
                idle: seconds(idle),
                ..Glance::default()
            };
            let expected = is_over.then_some(Phase::Drain);
            assert_eq!(phase(idle, told(notice)), expected, "{idle:?}");
        }
    }

    #[test]
    fn who_was_told_to_end_may_finish_what_is_under_way() {
        let told = Footing {
            told: seconds(25),
            ..STEADY
        };
        let asked = Glance {
            is_in_flight: true,
            ..Glance::default()
        };
        assert_eq!(phase(asked, told), None);
        let taking = Glance {
            idle: seconds(20),
            stalled: seconds(1),
            ..Glance::default()
        };
        assert_eq!(phase(taking, told), None);
    }

    #[test]
    fn it_is_quiet_only_while_something_is_under_way_and_nothing_moves() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut quiet = Quiet::from(begun);
        let asked = Glance {
            is_in_flight: true,
            reads: 1,
            ..Glance::default()
        };
        let answers = Glance {
            written: 9,
            ..asked
        };
        let idle = Glance {
            is_in_flight: false,
            ..answers
        };
        let looks = [(asked, 5), (asked, 65), (answers, 70), (answers, 75)];
        let looks = looks.into_iter().chain([(idle, 80), (asked, 85)]);
        let told: Vec<_> = looks
            .map(|(glance, now)| quiet.look(&glance, at(now)).as_secs())
            .collect();
        assert_eq!(told, [0, 60, 0, 5, 0, 0]);
    }

    #[test]
    fn who_sends_no_more_and_has_nothing_to_take_lives_no_longer() {
        let half_closed = Footing {
            is_half_closed: true,
            ..STEADY
        };
        let idle = |idle| Glance {
            idle: seconds(idle),
            ..Glance::default()
        };
        assert_eq!(phase(idle(5), STEADY), None);
        assert_eq!(phase(idle(4), half_closed), None);
        assert_eq!(phase(idle(5), half_closed), Some(Phase::KeepAlive));
        let crowded = Footing {
            keep_alive: Duration::from_secs(1),
            ..half_closed
        };
        assert_eq!(phase(idle(1), crowded), Some(Phase::KeepAlive));
        let asked = Glance {
            is_in_flight: true,
            ..Glance::default()
        };
        assert_eq!(phase(asked, half_closed), None);
    }
}
