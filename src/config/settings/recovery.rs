//! What is done about an origin that fails, and about those who ask it meanwhile.

use std::time::Duration;

use crate::ground::addr::OriginAddr;

/// `[hang]`: how long silence lasts before it is a hang.
#[derive(Debug, Clone, PartialEq)]
pub struct Hang {
    /// Where the evidence is conclusive.
    pub certain: Duration,
    /// Where it is not.
    pub silent: Duration,
}

/// `[restart]`
#[derive(Debug, Clone, PartialEq)]
pub struct Restart {
    /// From the spawn to the first answer.
    pub startup: Duration,
    /// From TERM to KILL where the verdict is conclusive.
    pub grace_certain: Duration,
    /// From TERM to KILL where it is not.
    pub grace: Duration,
    /// From TERM to KILL at a shutdown.
    pub grace_drain: Duration,
    /// Whether it is replaced when it leaks, in a quiet moment.
    pub leaking: bool,
    /// It is replaced, in a quiet moment, when it has run for this long; `None` is off.
    pub every: Option<Duration>,
    /// A quiet moment is waited for no longer than this.
    pub quiet: Duration,
    /// For what is under way when it is replaced in peace.
    pub drain: Duration,
    /// Whether an origin that is condemned gets ABRT instead of TERM, so that it leaves a core.
    pub core: bool,
    /// The second start in a row waits this long, the first none, each further twice as long.
    pub backoff: Duration,
    /// No wait is longer.
    pub backoff_most: Duration,
    /// Healthy for this long, and the count begins anew.
    pub forget: Duration,
    /// So many restarts within `degraded_within` mean that restarting does not help.
    pub degraded_after: usize,
    /// See `degraded_after`.
    pub degraded_within: Duration,
    /// The wait between starts from then on.
    pub degraded_every: Duration,
    /// After so long, the service manager is told that we cannot help; `None` is never.
    pub degraded_watchdog: Option<Duration>,
}

/// `[standby]`: a spare generation that runs beside the one that serves.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Standby {
    /// Where it listens, of the same kind as `origin.address`; `None` is no standby. Port 0 is any free port, each time.
    pub address: Option<OriginAddr>,
    /// For how long a hung generation that it has relieved is kept frozen; `None` is not at all.
    pub keep: Option<Duration>,
}

/// `[hold]`
#[derive(Debug, Clone, PartialEq)]
pub struct Hold {
    /// How long a request waits for a shut gate.
    pub timeout: Duration,
    /// Requests held at once.
    pub requests: usize,
}

/// `[replay]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replay {
    /// Whether an answer that is cut in the middle is continued from the next generation, where that is safe.
    pub continue_answers: bool,
    /// Whether an `Idempotency-Key` makes a POST or a PATCH one that may be sent again.
    pub idempotency_key: bool,
}
