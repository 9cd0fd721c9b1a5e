//! The number of a process or thread: positive by construction.

use std::fmt;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

/// A process or thread number as the kernel gives it out: at least 1, at most `i32::MAX`.
///
/// Zero and negative numbers mean "my group" or "everybody" to `kill(2)`; a value of this type never does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "u32")]
pub struct Pid(NonZeroU32);

impl Pid {
    /// The process numbered `raw`, or `None` where no process can have that number.
    pub fn new(raw: u32) -> Option<Self> {
        i32::try_from(raw).ok()?;
        NonZeroU32::new(raw).map(Self)
    }

    /// This very process.
    pub fn own() -> Option<Self> {
        Self::new(std::process::id())
    }

    /// The same for a system call; `None` never comes of a number that the kernel gave out.
    pub fn raw(self) -> Option<rustix::process::Pid> {
        rustix::process::Pid::from_raw(i32::try_from(self.number()).ok()?)
    }

    /// The bare number.
    pub fn number(self) -> u32 {
        self.0.get()
    }
}

impl Serialize for Pid {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(to)
    }
}

impl TryFrom<u32> for Pid {
    type Error = &'static str;

    fn try_from(raw: u32) -> Result<Self, Self::Error> {
        Self::new(raw).ok_or("no number of a process")
    }
}

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::Pid;

    #[test]
    fn a_number_kill_would_take_for_a_crowd_is_no_pid() {
        assert_eq!(Pid::new(0), None);
        assert_eq!(Pid::new(u32::MAX), None);
        assert_eq!(Pid::new(1 << 31), None);
        assert_eq!(
            Pid::new(7401).map(|pid| pid.to_string()).as_deref(),
            Some("7401")
        );
        assert_eq!(Pid::own().map(Pid::number), Some(std::process::id()));
    }
}
