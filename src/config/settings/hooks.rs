//! `[hooks]`: programs of the operator's that are run around an incident and when restarting does not help.

use std::time::Duration;

/// The hooks there are.
#[derive(Debug, Clone, PartialEq)]
pub struct Hooks {
    /// Once the incident is on the disk, before the first signal; the ladder waits for it.
    pub before_kill: Hook,
    /// At each incident that opens or closes; nobody waits for it.
    pub on_incident: Hook,
    /// When restarting is said not to help, and when it has helped at last; nobody waits for it.
    pub on_degraded: Hook,
}

/// A program and what it may take.
#[derive(Debug, Clone, PartialEq)]
pub struct Hook {
    /// The program and its arguments, with placeholders; empty is none.
    pub words: Vec<String>,
    /// From its start to its end.
    pub timeout: Duration,
    /// Bytes that are kept of what it writes.
    pub output: usize,
}

/// What is kept of the output of a hook that is only logged, in bytes.
const LOGGED: usize = 4 << 10;

impl Default for Hooks {
    fn default() -> Self {
        let hook = |seconds, output| Hook {
            words: Vec::new(),
            timeout: Duration::from_secs(seconds),
            output,
        };
        Self {
            before_kill: hook(5, 64 << 10),
            on_incident: hook(30, LOGGED),
            on_degraded: hook(30, LOGGED),
        }
    }
}
