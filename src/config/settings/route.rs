//! `[[route]]`: limits of their own for a part of the paths.

use std::time::Duration;

/// What is so for the paths below one. What it leaves open is as everywhere else.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Route {
    /// Begins with a slash, and ends with none unless it is the only one.
    pub path: String,
    /// Bytes of a request's body.
    pub body: Option<u64>,
    /// From the connect to the head of the answer; of a streamed request, from its last byte.
    pub first_byte: Option<Duration>,
    /// No byte of the answer's body for this long; of a tunnel, no byte either way.
    pub idle: Option<Duration>,
    /// The whole visit.
    pub total: Total,
    /// Whether bodies pass through as they come, so that the client's pace reaches the origin.
    pub stream: bool,
    /// Whether the origin speaks HTTP/2 here, by prior knowledge; only a stream may.
    pub http2: bool,
    /// Whether a client may turn its request into a WebSocket.
    pub upgrade: bool,
}

/// Quiet is what streams mostly are: an hour of it, unless the route says otherwise.
pub const QUIET: Duration = Duration::from_secs(3600);

/// How long a whole visit may last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Total {
    /// As everywhere else; for a stream, without an end.
    #[default]
    Usual,
    /// Without an end; only a stream has that.
    Off,
    /// This long.
    Within(Duration),
}

impl Route {
    /// Whether what passes here may last.
    pub fn is_lasting(&self) -> bool {
        self.stream || self.upgrade
    }
}
