//! What went wrong with an exchange or a connection: whose fault, in which phase, why.

use std::fmt;
use std::time::Duration;

/// Whose fault it is. Decides the class of the answer, and whether the origin is suspected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Party {
    /// The client sent something wrong, too slowly, or went away.
    Client,
    /// The origin did not answer, or not as it should.
    Origin,
    /// Our own limits.
    Edge,
}

/// Where in the walk of a request it happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// The TLS handshake.
    Handshake,
    /// Receiving the request's head.
    Head,
    /// Receiving the request's body.
    Body,
    /// Waiting for a slot at the origin.
    Queue,
    /// Waiting for the gate, while the origin is replaced.
    Hold,
    /// Connecting to the origin.
    Connect,
    /// Sending the request to the origin.
    Send,
    /// Waiting for the head of the origin's answer.
    FirstByte,
    /// Taking the body of the origin's answer.
    Answer,
    /// Giving the answer to the client.
    Respond,
    /// Between two requests of one connection.
    KeepAlive,
    /// Finishing by the drain's deadline.
    Drain,
}

/// Why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// It took longer than the limit, set by the configuration key named.
    TimedOut {
        /// The limit that was broken.
        limit: Duration,
        /// The key that sets it.
        key: &'static str,
    },
    /// Fewer bytes a second than the pace asks for.
    TooSlow {
        /// Bytes a second that were asked for.
        pace: u64,
        /// The key that sets it.
        key: &'static str,
    },
    /// More bytes, or more of something, than the limit.
    TooLarge {
        /// The limit, in the unit of the key.
        limit: u64,
        /// The key that sets it.
        key: &'static str,
    },
    /// A place that is full.
    Full {
        /// How many there are.
        limit: u64,
        /// The key that sets it.
        key: &'static str,
    },
    /// Memory that is set aside for others.
    NoRoom {
        /// How much there is in all, in bytes.
        limit: u64,
        /// The key that sets it.
        key: &'static str,
    },
    /// Against the rules of HTTP, or against ours; the sentence says which.
    Malformed(&'static str),
    /// Good HTTP that we do not do; the sentence says what.
    Unsupported(&'static str),
    /// The disk does not take or give what it should; the sentence names the limit or the fault.
    Disk(String),
    /// The operator has taken it out of service, and why.
    Closed(&'static str),
    /// It is in quarantine, for it has hung the origin repeatedly.
    Quarantined {
        /// For how much longer.
        left: Duration,
    },
    /// It will not be there in time.
    NotReady,
    /// Nobody listens there.
    Refused,
    /// Ended in the middle.
    Truncated,
    /// The process died, or was ended, before it had answered.
    Died,
    /// The process was found hung while it was at this very request.
    Suspect,
    /// The connection broke; the word of the system or the library.
    Broken(String),
}

/// One failure: party, phase, cause. The party comes first because it decides the most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Whose fault.
    pub party: Party,
    /// Where.
    pub phase: Phase,
    /// Why.
    pub cause: Cause,
}

impl Failure {
    /// The client's fault.
    pub fn client(phase: Phase, cause: Cause) -> Self {
        let party = Party::Client;
        Self {
            party,
            phase,
            cause,
        }
    }

    /// The origin's fault.
    pub fn origin(phase: Phase, cause: Cause) -> Self {
        let party = Party::Origin;
        Self {
            party,
            phase,
            cause,
        }
    }

    /// Our own limit.
    pub fn edge(phase: Phase, cause: Cause) -> Self {
        let party = Party::Edge;
        Self {
            party,
            phase,
            cause,
        }
    }
}

impl std::error::Error for Failure {}

impl Party {
    /// One lower-case word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Origin => "origin",
            Self::Edge => "edge",
        }
    }
}

impl Phase {
    /// All of them, in the order of the walk.
    pub const ALL: [Self; 12] = [
        Self::Handshake,
        Self::Head,
        Self::Body,
        Self::Queue,
        Self::Hold,
        Self::Connect,
        Self::Send,
        Self::FirstByte,
        Self::Answer,
        Self::Respond,
        Self::KeepAlive,
        Self::Drain,
    ];

    /// One lower-case word, the same in log, metrics and page.
    pub fn word(self) -> &'static str {
        match self {
            Self::Handshake => "handshake",
            Self::Head => "head",
            Self::Body => "body",
            Self::Queue => "queue",
            Self::Hold => "hold",
            Self::Connect => "connect",
            Self::Send => "send",
            Self::FirstByte => "first_byte",
            Self::Answer => "answer",
            Self::Respond => "respond",
            Self::KeepAlive => "keep_alive",
            Self::Drain => "drain",
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            party,
            phase,
            cause,
        } = self;
        write!(f, "{}, {}: {cause}", party.word(), phase.word())
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut { limit, key } => write!(f, "not done within {limit:?} ({key})"),
            Self::TooSlow { pace, key } => write!(f, "slower than {pace} bytes a second ({key})"),
            Self::TooLarge { limit, key } => write!(f, "more than the limit of {limit} ({key})"),
            Self::Full { limit, key } => write!(f, "all {limit} places are taken ({key})"),
            Self::NoRoom { limit, key } => {
                write!(
                    f,
                    "all {} MiB are set aside for others ({key})",
                    limit >> 20
                )
            }
            Self::Malformed(what) | Self::Unsupported(what) => f.write_str(what),
            Self::Disk(how) => f.write_str(how),
            Self::Closed(why) => f.write_str(why),
            Self::Quarantined { left } => write!(
                f,
                "quarantine: this page has hung the server repeatedly; it is tried again in {} s",
                left.as_secs_f64().ceil()
            ),
            Self::NotReady => f.write_str("it will not be ready in time"),
            Self::Refused => f.write_str("nobody listens there"),
            Self::Truncated => f.write_str("ended in the middle"),
            Self::Died => f.write_str("the process ended before it had answered"),
            Self::Suspect => f.write_str("the process hung while it was at this request"),
            Self::Broken(how) => write!(f, "the connection broke: {how}"),
        }
    }
}
