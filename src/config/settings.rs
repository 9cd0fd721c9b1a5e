//! What is so: every setting, typed and within its bounds. `config/leeward.toml` gives the reasons.

mod bundled;
mod defaults;
mod hooks;
mod log;
mod longest;
mod manners;
mod pages;
mod process;
mod quarantine;
mod recovery;
mod route;
mod tls;
mod trace;
mod waits;

use std::path::PathBuf;
use std::time::Duration;

pub use bundled::{Bundled, Links};
pub use hooks::{Hook, Hooks};
pub use log::{Access, Log, LogFormat, LogLevel};
pub use longest::Longest;
pub use manners::{Manners, OriginVersion, Profile};
pub use pages::Pages;
pub use process::{Command, Daemon, Hooked, OnExit, Process, Socket};
pub use quarantine::Quarantine;
pub use recovery::{Hang, Hold, Replay, Restart, Standby};
pub use route::{QUIET, Route, Total};
pub use tls::{Clients, Identity, Pair, Tls, TlsVersion, UnknownName};
pub use trace::{RequestId, Trace};
pub use waits::Bound;

use crate::ground::addr::{EdgeAddr, Net, OriginAddr};

/// Everything a run of Leeward needs to know.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Settings {
    /// `[edge]`
    pub edge: Edge,
    /// `[spool]`
    pub spool: Spool,
    /// `[origin]`
    pub origin: Origin,
    /// `[[route]]`, in the order of the file.
    pub routes: Vec<Route>,
    /// `[hang]`
    pub hang: Hang,
    /// `[restart]`
    pub restart: Restart,
    /// `[standby]`
    pub standby: Standby,
    /// `[quarantine]`
    pub quarantine: Quarantine,
    /// `[hold]`
    pub hold: Hold,
    /// `[replay]`
    pub replay: Replay,
    /// `[pages]`
    pub pages: Pages,
    /// `[incidents]`
    pub incidents: Incidents,
    /// `[hooks]`
    pub hooks: Hooks,
    /// `[status]`
    pub status: Status,
    /// `[log]`
    pub log: Log,
    /// `[trace]`
    pub trace: Trace,
}

/// `[edge]`: the side that faces clients.
#[derive(Debug, Clone, PartialEq)]
pub struct Edge {
    /// Where clients connect.
    pub listen: Vec<EdgeAddr>,
    /// Where plain HTTP clients are sent to HTTPS; empty is nowhere.
    pub redirect: Vec<EdgeAddr>,
    /// Balancers that tell who the client is, by the PROXY protocol. They must.
    pub proxy_protocol: Vec<Net>,
    /// Whether a client that has said it sends no more is still answered, over HTTP/1.
    pub half_close: bool,
    /// Edge threads; `None` is one a core, at most 4.
    pub threads: Option<usize>,
    /// `[edge.tls]`
    pub tls: Tls,
    /// `[edge.deadlines]`
    pub deadlines: EdgeDeadlines,
    /// `[edge.limits]`
    pub limits: EdgeLimits,
}

/// `[edge.deadlines]`: how long a client may take. `None` is off.
#[derive(Debug, Clone, PartialEq)]
pub struct EdgeDeadlines {
    /// TLS, from accept to the end of the handshake.
    pub handshake: Duration,
    /// The whole head, from its first byte (or from the handshake's end for the first).
    pub head: Duration,
    /// No byte of a request's body for this long.
    pub body_stall: Duration,
    /// The least pace of a request's body.
    pub body_pace: Option<Pace>,
    /// The whole body of a request, from its head on; not of one that is passed on as it comes.
    pub body_total: Option<Duration>,
    /// The client takes no byte of its answer for this long.
    pub response_stall: Duration,
    /// The least pace at which a client takes its answer.
    pub response_pace: Option<Pace>,
    /// Nothing asked for this long on an open connection.
    pub keep_alive: Duration,
    /// The same where the client has said that it sends no more.
    pub half_close: Duration,
    /// How old a connection becomes, 10 % more or less.
    pub age: Option<Duration>,
    /// The drain at a shutdown.
    pub drain: Duration,
}

/// So many bytes a second, on the average, once `after` has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Bytes a second.
    pub rate: u64,
    /// Free of judgement at first.
    pub after: Duration,
}

/// `[edge.limits]`
#[derive(Debug, Clone, PartialEq)]
pub struct EdgeLimits {
    /// Client connections at once.
    pub connections: usize,
    /// Client connections of one address at once; `None` is off.
    pub connections_per_address: Option<usize>,
    /// TLS handshakes at once; further ones wait. `None` is off.
    pub handshakes: Option<usize>,
    /// Bytes of memory set aside for clients: connections, requests under way, bodies at rest. `None` is off.
    pub memory: Option<usize>,
    /// Header fields of a request.
    pub headers: usize,
    /// Bytes of a request's head.
    pub head: usize,
    /// Bytes of a request's target.
    pub uri: usize,
    /// Bytes of a request's body.
    pub body: u64,
    /// Open streams of one HTTP/2 connection.
    pub streams: u32,
    /// Streams one HTTP/2 connection may give up in 10 s.
    pub resets: u32,
    /// Frames that carry nothing, at once, of one HTTP/2 connection.
    pub control_frames: u32,
}

/// `[spool]`: where bodies rest.
#[derive(Debug, Clone, PartialEq)]
pub struct Spool {
    /// Bytes each exchange may hold without asking the shared budget.
    pub exchange: usize,
    /// The shared budget.
    pub memory: usize,
    /// Where bodies go that do not fit; `None` is the cache directory of the system or the user.
    pub directory: Option<PathBuf>,
    /// Bytes of disk one body may take.
    pub file: u64,
    /// Bytes of disk all bodies may take together; 0 is off.
    pub disk: u64,
    /// Bytes that stay free on that disk.
    pub floor: u64,
}

/// `[origin]`
#[derive(Debug, Clone, PartialEq)]
pub struct Origin {
    /// Where it listens.
    pub address: OriginAddr,
    /// How many requests it works on at once; `None` is measured.
    pub concurrency: Option<usize>,
    /// Streams and tunnels that may be open at once; `None` is half of the slots, and none of a single one.
    pub streams: Option<usize>,
    /// Requests that may wait for a slot.
    pub queue: usize,
    /// How long a connection to a concurrent origin is kept for the next request; `None` is never.
    pub keep_alive: Option<Duration>,
    /// What it needs to be told, and what is mended in its answers.
    pub manners: Manners,
    /// Who starts it.
    pub process: Process,
    /// `[origin.deadlines]`
    pub deadlines: OriginDeadlines,
    /// `[origin.probe]`
    pub probe: Probe,
    /// `[origin.limits]`
    pub limits: OriginLimits,
}

/// `[origin.deadlines]`: how long the origin may take.
#[derive(Debug, Clone, PartialEq)]
pub struct OriginDeadlines {
    /// Waiting for a slot.
    pub queue: Duration,
    /// Connecting.
    pub connect: Duration,
    /// From the connect to the head of the answer.
    pub first_byte: Duration,
    /// No byte of the answer's body for this long.
    pub idle: Duration,
    /// The whole visit.
    pub total: Duration,
}

/// `[origin.probe]`
#[derive(Debug, Clone, PartialEq)]
pub struct Probe {
    /// What is asked for.
    pub path: String,
    /// The `Host` of the question; `None` is the origin's address.
    pub host: Option<String>,
    /// Whether it is asked by HTTP/2, by prior knowledge.
    pub http2: bool,
    /// From one probe to the next.
    pub every: Duration,
    /// The same while something is wrong, and during a start.
    pub suspect_every: Duration,
    /// No answer for this long is silence.
    pub timeout: Duration,
}

/// `[origin.limits]`: beyond these, its process is believed to leak. `None` is no limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginLimits {
    /// Resident memory, in bytes.
    pub memory: Option<u64>,
    /// Open descriptors.
    pub descriptors: Option<u64>,
    /// Connections whose clients have ended them, and that it keeps all the same.
    pub close_wait: Option<u64>,
}

/// `[incidents]`
#[derive(Debug, Clone, PartialEq)]
pub struct Incidents {
    /// Where they are written; `None` is the state directory of the system or the user.
    pub directory: Option<PathBuf>,
    /// How many are kept; the oldest go first.
    pub keep: usize,
    /// How old they become; `None` is off.
    pub max_age: Option<Duration>,
}

/// `[status]`
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// Where the status page listens; `None` is nowhere.
    pub listen: Option<EdgeAddr>,
    /// Where verbs are taken from the owner of the socket.
    pub socket: Place,
    /// The file with the token that lets verbs in over `listen`; `None` is nobody.
    pub token_file: Option<PathBuf>,
}

/// Where a file of ours is.
#[derive(Debug, Clone, PartialEq)]
pub enum Place {
    /// Where the system or the user has such files.
    Usual,
    /// There.
    At(PathBuf),
    /// There is none.
    Nowhere,
}
