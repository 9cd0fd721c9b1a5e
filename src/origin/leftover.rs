//! What a Leeward that was killed left behind: a daemon of its origin's, which nobody was there to end, and which holds
//! the port. All that an origin starts inherits a mark that says whose it is.
//!
//! The mark is a claim and no proof of descent, so it is believed only where all of this holds: the Leeward it names is
//! no more, and the process is in our namespace of process numbers, where that can be known.

use std::fs;
use std::process::Command;

use rustix::process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal, test_kill_process};

use super::forensics::{RunState, vital};
use super::pid::Pid;

/// `NUMBER-BORN` of the Leeward that started it.
const MARK: &str = "LEEWARD_WATCH";

/// Marks the origin, and all that it starts, as started by this Leeward.
pub fn mark(origin: &mut Command) {
    if let Some(born) = Pid::own().and_then(born) {
        origin.env(MARK, format!("{}-{born}", std::process::id()));
    }
}

/// Whether a process, or what started it, was started by this very Leeward, and has kept its mark. Reads its environment,
/// which may take as long as the kernel holds the process.
pub fn is_marked_by_us(pid: Pid) -> bool {
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let ours = Pid::own().and_then(|own| Some((own, born(own)?)));
    ours.is_some() && marked_by(&environment) == ours
}

/// Kills a process if a Leeward that is no more left it behind; whether it did. Reads its environment, which may take
/// as long as the kernel holds the process.
pub fn end(pid: Pid) -> bool {
    let raw = pid.raw();
    // Opened before the look: what is signalled is what was looked at, whoever has its number by then.
    let Some(Ok(process)) = raw.map(|raw| pidfd_open(raw, PidfdFlags::empty())) else {
        return false;
    };
    is_left_over(pid) && pidfd_send_signal(process, Signal::KILL).is_ok()
}

fn is_left_over(pid: Pid) -> bool {
    let numbers = |of: &str| fs::read_link(format!("/proc/{of}/ns/pid")).ok();
    let ours = numbers("self");
    if ours.is_none() || numbers(&pid.to_string()) != ours {
        return false;
    }
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    marked_by(&environment).is_some_and(|(leeward, then)| is_no_more(leeward, then))
}

/// The Leeward that is named in an environment, and when it was born.
fn marked_by(environment: &[u8]) -> Option<(Pid, u64)> {
    environment.split(|byte| *byte == 0).find_map(|variable| {
        let text = std::str::from_utf8(variable).ok()?;
        let (number, born) = text
            .strip_prefix(MARK)?
            .strip_prefix('=')?
            .split_once('-')?;
        Some((Pid::new(number.parse().ok()?)?, born.parse().ok()?))
    })
}

/// One that may not be seen may live.
fn is_no_more(leeward: Pid, then: u64) -> bool {
    let raw = leeward.raw();
    let is_free = raw.is_some_and(|raw| test_kill_process(raw) == Err(rustix::io::Errno::SRCH));
    let seen = vital(leeward);
    let has_exited = matches!(seen.state.known(), Some(RunState::Zombie | RunState::Dead));
    is_free || has_exited || seen.born.known().is_some_and(|born| *born != then)
}

fn born(pid: Pid) -> Option<u64> {
    vital(pid).born.known().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_where_it_is_whole() {
        let of = |text: &str| marked_by(text.as_bytes()).map(|(pid, born)| (pid.number(), born));
        assert_eq!(of("PATH=/bin\0LEEWARD_WATCH=12-345\0"), Some((12, 345)));
        for other in [
            "",
            "PATH=12-3",
            "LEEWARD_WATCH=12",
            "LEEWARD_WATCHES=1-2",
            "LEEWARD_WATCH=0-1",
        ] {
            assert_eq!(of(other), None, "{other}");
        }
    }

    #[test]
    fn what_has_no_mark_is_nobodys() {
        assert!(!end(Pid::own().expect("a number")));
    }
}
