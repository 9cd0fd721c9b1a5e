//! `[log]`: what is written for whoever runs this, and in which form.

use std::time::Duration;

/// `[log]`
#[derive(Debug, Clone, PartialEq)]
pub struct Log {
    /// The form of its lines.
    pub format: LogFormat,
    /// The least severe level that is written.
    pub level: LogLevel,
    /// Which exchanges get a line.
    pub access: Access,
    /// An exchange that took so long gets a line where only errors do; `None` is never.
    pub slow: Option<Duration>,
    /// Whether the queries of targets are told, there and in incidents.
    pub queries: bool,
    /// Whether the origin's own output is passed on.
    pub origin: bool,
    /// So many times a minute the same message is told; `None` is without a bound.
    pub repeats: Option<u32>,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For the journal where that reads our standard error, else for people.
    Auto,
    /// For people.
    Text,
    /// For machines.
    Json,
    /// For systemd's journal, with fields of ours.
    Journal,
}

/// How severe a line must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Something failed for good.
    Error,
    /// Something is wrong and dealt with.
    Warn,
    /// What an operator wants to see.
    Info,
    /// What a developer wants to see.
    Debug,
}

/// Which exchanges get a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Each of them.
    All,
    /// Those that went wrong, or had to be held, sent again or continued.
    Errors,
    /// None.
    Off,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            format: LogFormat::Auto,
            level: LogLevel::Info,
            access: Access::All,
            slow: None,
            queries: false,
            origin: true,
            repeats: Some(20),
        }
    }
}
