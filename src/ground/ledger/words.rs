//! The words by which numbers are told apart: each from a fixed set.

/// The class of a status code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// 100 to 199.
    Informational,
    /// 200 to 299.
    Success,
    /// 300 to 399.
    Redirection,
    /// 400 to 499.
    ClientError,
    /// 500 and above.
    ServerError,
}

/// Why a request was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// The wait for the gate or a slot ended without leave.
    Wait,
    /// Too many were waiting already.
    Full,
    /// The origin died or was ended, and sending it again was not safe.
    Died,
    /// The origin missed one of its own deadlines.
    TimedOut,
    /// The origin's answer was no good HTTP, or ended in the middle.
    BadAnswer,
    /// The answer did not fit into the spool.
    Spool,
    /// The operator had taken it out of service.
    Closed,
    /// It was in quarantine, for it had hung the origin repeatedly.
    Quarantined,
}

/// A span of an exchange whose length is kept in a histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// From the head to the whole request.
    Intake,
    /// Waiting for the gate and a slot.
    Wait,
    /// From the connect to the origin's whole answer.
    Origin,
    /// From the head to the end of the exchange.
    Total,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Informational,
        Self::Success,
        Self::Redirection,
        Self::ClientError,
        Self::ServerError,
    ];

    /// The class of a status code.
    pub fn of(status: u16) -> Self {
        match status {
            0..=199 => Self::Informational,
            200..=299 => Self::Success,
            300..=399 => Self::Redirection,
            400..=499 => Self::ClientError,
            500.. => Self::ServerError,
        }
    }

    /// `1xx` to `5xx`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Informational => "1xx",
            Self::Success => "2xx",
            Self::Redirection => "3xx",
            Self::ClientError => "4xx",
            Self::ServerError => "5xx",
        }
    }
}

impl Loss {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Wait,
        Self::Full,
        Self::Died,
        Self::TimedOut,
        Self::BadAnswer,
        Self::Spool,
        Self::Closed,
        Self::Quarantined,
    ];

    /// One lower-case word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::Full => "full",
            Self::Died => "died",
            Self::TimedOut => "timed_out",
            Self::BadAnswer => "bad_answer",
            Self::Spool => "spool",
            Self::Closed => "closed",
            Self::Quarantined => "quarantined",
        }
    }
}

impl Span {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Intake, Self::Wait, Self::Origin, Self::Total];

    /// One lower-case word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Intake => "intake",
            Self::Wait => "wait",
            Self::Origin => "origin",
            Self::Total => "total",
        }
    }
}
