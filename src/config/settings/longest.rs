//! The longest that anything may take by all deadlines together. It is set by nobody and never reached: it is the outer
//! bound of tasks, for the case that a deadline of ours is not kept.

use std::time::Duration;

use super::route::QUIET;
use super::{Settings, Total};

/// Outer bounds of what an edge thread has under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Longest {
    /// No byte either way on a connection with a request under way.
    pub quiet: Duration,
    /// A stream of HTTP/2 that waits for us, the receiving of its request included; `None` where that has no end.
    pub stream: Option<Duration>,
}

/// For what happens between two deadlines.
const MARGIN: Duration = Duration::from_secs(60);
/// A request is sent to the origin twice at the most.
const VISITS: u32 = 2;

impl Settings {
    /// The longest by these settings.
    pub fn longest(&self) -> Longest {
        let (client, origin) = (&self.edge.deadlines, &self.origin.deadlines);
        let longest = |usual: Duration, own: &dyn Fn(&super::Route) -> Option<Duration>| {
            self.routes
                .iter()
                .filter_map(own)
                .fold(usual, Duration::max)
        };
        let first_byte = longest(origin.first_byte, &|route| route.first_byte);
        let idle = longest(origin.idle.max(QUIET), &|route| route.idle);
        let total = longest(origin.total, &|route| match route.total {
            Total::Within(total) => Some(total),
            Total::Usual | Total::Off => None,
        });
        let visit = [origin.connect, first_byte, idle, total].into_iter();
        let visits = visit.fold(Duration::ZERO, Duration::saturating_add) * VISITS;
        // Each visit is waited for anew where the second one is for the rest of an answer.
        let leave = origin.queue.saturating_add(self.hold.timeout) * VISITS;
        let waits = [client.body_stall, client.response_stall, leave];
        let quiet = waits
            .into_iter()
            .chain([visits, MARGIN])
            .fold(Duration::ZERO, Duration::saturating_add);
        Longest {
            quiet,
            stream: self.intake().map(|intake| intake.saturating_add(quiet)),
        }
    }

    /// The longest that a request's body may take to come.
    fn intake(&self) -> Option<Duration> {
        if self.routes.iter().any(|route| route.stream) {
            return None;
        }
        let deadlines = &self.edge.deadlines;
        let size = self.routes.iter().filter_map(|route| route.body);
        let size = size.fold(self.edge.limits.body, u64::max);
        let by_pace = deadlines.body_pace.map(|pace| {
            let earned = Duration::from_secs(size / pace.rate + 1);
            pace.after.saturating_add(earned)
        });
        match (deadlines.body_total, by_pace) {
            (Some(total), Some(pace)) => Some(total.min(pace)),
            (total, pace) => total.or(pace),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Route;
    use super::*;

    #[test]
    fn it_is_longer_than_every_deadline_and_has_an_end() {
        let mut settings = Settings::default();
        let usual = settings.longest();
        let hours = |length: Duration| length.as_secs() / 3600;
        assert_eq!((hours(usual.quiet), usual.stream.map(hours)), (2, Some(11)));
        settings.edge.deadlines.body_total = Some(Duration::from_secs(1));
        let short = settings.longest().stream.unwrap();
        assert_eq!(short - usual.quiet, Duration::from_secs(1));
        let day = Duration::from_secs(24 * 3600);
        settings.routes.push(Route {
            idle: Some(day),
            ..Route::default()
        });
        assert!(settings.longest().quiet > day * 2);
    }

    #[test]
    fn a_body_without_an_end_gives_its_stream_none() {
        let mut settings = Settings::default();
        settings.edge.deadlines.body_pace = None;
        assert_eq!(settings.longest().stream, None);
        settings.edge.deadlines.body_total = Some(Duration::from_secs(1));
        assert!(settings.longest().stream.is_some());
        settings.routes.push(Route {
            stream: true,
            ..Route::default()
        });
        assert_eq!(settings.longest().stream, None);
    }
}
