//! On which terms a request is served: the route its path belongs to, and what that says of limits. Pure.

use std::time::{Duration, Instant};

use crate::config::settings::{QUIET, Route, Settings, Total};
use crate::ground::deadline::Deadline;
use crate::ground::failure::Cause;

/// A limit, and the key that sets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit<T> {
    /// The limit.
    pub is: T,
    /// The key.
    pub key: &'static str,
}

/// How long a visit may take from the head of its answer on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// No byte for this long.
    pub idle: Limit<Duration>,
    /// The whole visit; [`Duration::MAX`] is without an end.
    pub total: Limit<Duration>,
}

/// The terms of one exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// Bytes of the request's body.
    pub body: Limit<u64>,
    /// Connecting to the origin.
    pub connect: Limit<Duration>,
    /// To the head of the answer.
    pub first_byte: Limit<Duration>,
    /// Of an ordinary visit.
    pub usual: Times,
    /// Of a stream or a tunnel.
    pub lasting: Times,
    /// How long a client may take nothing of a stream.
    pub stall: Limit<Duration>,
    /// How long it may send nothing of a streamed body.
    pub upload_stall: Limit<Duration>,
    /// Whether it is declared a stream.
    pub stream: bool,
    /// Whether the origin speaks HTTP/2 here.
    pub http2: bool,
    /// Whether it may become a tunnel.
    pub upgrade: bool,
}

impl Terms {
    /// The terms for a request with this path.
    pub fn of(settings: &Settings, path: &str) -> Self {
        let general = Route::default();
        let route = find(&settings.routes, path).unwrap_or(&general);
        let deadlines = &settings.origin.deadlines;
        let or = |own: Option<Duration>, own_key, usual, key| match own {
            Some(is) => Limit { is, key: own_key },
            None => Limit { is: usual, key },
        };
        let body = (settings.edge.limits.body, "edge.limits.body");
        let body = route.body.map_or(body, |own| (own, "route.body"));
        let (first_byte, idle) = ("origin.deadlines.first_byte", "origin.deadlines.idle");
        let own_total = match route.total {
            Total::Within(total) => Some(total),
            Total::Usual | Total::Off => None,
        };
        let total = |usual, key| or(own_total, "route.total", usual, key);
        Self {
            body: Limit {
                is: body.0,
                key: body.1,
            },
            connect: Limit {
                is: deadlines.connect,
                key: "origin.deadlines.connect",
            },
            first_byte: or(
                route.first_byte,
                "route.first_byte",
                deadlines.first_byte,
                first_byte,
            ),
            usual: Times {
                idle: or(route.idle, "route.idle", deadlines.idle, idle),
                total: total(deadlines.total, "origin.deadlines.total"),
            },
            lasting: Times {
                idle: or(route.idle, "route.idle", QUIET, "route.idle"),
                total: total(Duration::MAX, "route.total"),
            },
            stall: Limit {
                is: settings.edge.deadlines.response_stall,
                key: "edge.deadlines.response_stall",
            },
            upload_stall: Limit {
                is: settings.edge.deadlines.body_stall,
                key: "edge.deadlines.body_stall",
            },
            stream: route.stream,
            http2: route.http2,
            upgrade: route.upgrade,
        }
    }
}

impl Terms {
    /// How long a visit may take, as far as is known before it is answered.
    pub fn times(&self) -> &Times {
        match self.stream {
            true => &self.lasting,
            false => &self.usual,
        }
    }
}

impl Times {
    /// Why nothing came in time: `total` had passed at `now`, or else it was this `limit`.
    pub fn missed(&self, total: Deadline, limit: Limit<Duration>, now: Instant) -> Cause {
        match total.is_past(now) {
            true => self.total.missed(),
            false => limit.missed(),
        }
    }
}

impl Limit<Duration> {
    /// The deadline of what begins now.
    pub fn deadline(self) -> Deadline {
        Deadline::within(self.is)
    }

    /// Why something failed that took longer.
    pub fn missed(self) -> Cause {
        Cause::TimedOut {
            limit: self.is,
            key: self.key,
        }
    }
}

/// The route whose path is the longest that `path` lies below, segment by segment.
fn find<'r>(routes: &'r [Route], path: &str) -> Option<&'r Route> {
    if routes.is_empty() || path.split('/').any(is_dots) {
        return None;
    }
    routes
        .iter()
        .filter(|route| is_below(&route.path, path))
        .max_by_key(|route| route.path.len())
}

fn is_below(prefix: &str, path: &str) -> bool {
    path.strip_prefix(prefix.trim_end_matches('/'))
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Such a segment leads elsewhere than it seems, and whoever sends it does not get another route's limits for it.
fn is_dots(segment: &str) -> bool {
    if !segment.starts_with(['.', '%']) {
        return false;
    }
    let plain = segment.to_ascii_lowercase().replace("%2e", ".");
    plain == "." || plain == ".."
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found<'r>(routes: &'r [Route], path: &str) -> &'r str {
        find(routes, path).map_or("", |route| &route.path)
    }

    fn routes(paths: &[&str]) -> Vec<Route> {
        let route = |path: &&str| Route {
            path: (*path).to_owned(),
            ..Route::default()
        };
        paths.iter().map(route).collect()
    }

    #[test]
    fn a_route_is_for_whole_segments_and_the_longest_wins() {
        let some = routes(&["/api", "/api/upload", "/x"]);
        for (path, wanted) in [
            ("/api", "/api"),
            ("/api/", "/api"),
            ("/api/x", "/api"),
            ("/api/upload/1", "/api/upload"),
            ("/api/uploads", "/api"),
            ("/apix", ""),
            ("/", ""),
            ("*", ""),
        ] {
            assert_eq!(found(&some, path), wanted, "{path}");
        }
        let root = routes(&["/", "/api"]);
        assert_eq!(found(&root, "/elsewhere"), "/");
        assert_eq!(found(&root, "/api/x"), "/api");
    }

    #[test]
    fn a_path_that_leads_elsewhere_belongs_to_no_route() {
        let some = routes(&["/api"]);
        for path in ["/api/../x", "/api/%2e%2E/x", "/api/.%2e", "/api/./x"] {
            assert_eq!(found(&some, path), "", "{path}");
        }
        assert_eq!(found(&some, "/api/.hidden/..x"), "/api");
    }

    #[test]
    fn a_route_overrides_what_it_names_and_nothing_else() {
        let mut settings = Settings {
            routes: routes(&["/a"]),
            ..Settings::default()
        };
        settings.routes[0].first_byte = Some(Duration::from_secs(1));
        settings.routes[0].total = Total::Off;
        let usual = Terms::of(&settings, "/b");
        let own = Terms::of(&settings, "/a");
        assert_eq!(own.first_byte.key, "route.first_byte");
        assert_eq!(own.first_byte.is.as_secs(), 1);
        assert_eq!(own.usual, usual.usual, "no end is for what lasts");
        assert_eq!(own.lasting.total.is, Duration::MAX);
        assert_eq!((own.body, own.connect), (usual.body, usual.connect));
        assert_eq!(usual.lasting.idle.is, QUIET);
    }
}
