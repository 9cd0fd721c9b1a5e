//! Whose signal ended a process. Pure.

use serde::Serialize;

use super::group::SIGNALLED;
use super::oom::Since;

/// The signal that ended a process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Signalled {
    /// Its number.
    pub number: i32,
    /// Its name, for those that servers are ended by.
    pub name: Option<&'static str>,
    /// Who sent it.
    pub from: Sender,
    /// The same in words, with what that rests on.
    pub told: String,
}

/// Who sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Sender {
    /// Leeward did.
    Leeward,
    /// The process brought it on itself: it crashed.
    Itself,
    /// The kernel, for want of memory, as its counters prove.
    OomKiller,
    /// Neither; perhaps the kernel for want of memory, where that could not be ruled out.
    SomebodyElse,
}

const NAMES: [(i32, &str); 12] = [
    (1, "SIGHUP"),
    (2, "SIGINT"),
    (3, "SIGQUIT"),
    (4, "SIGILL"),
    (6, "SIGABRT"),
    (KILL, "SIGKILL"),
    (7, "SIGBUS"),
    (8, "SIGFPE"),
    (11, "SIGSEGV"),
    (13, "SIGPIPE"),
    (14, "SIGALRM"),
    (TERM, "SIGTERM"),
];
/// What a process gets for its own fault, unless somebody plays that.
const CRASHES: [i32; 5] = [4, 6, 7, 8, 11];
/// SIGABRT, SIGKILL and SIGTERM are those of our ladder.
pub const ABRT: i32 = 6;
/// See [`ABRT`].
pub const KILL: i32 = 9;
/// See [`ABRT`].
pub const TERM: i32 = 15;

impl Signalled {
    /// What an obituary tells of a signal, if it tells of one. `ours` are the signals that Leeward sent while the process
    /// was still there, `killed` is how often the kernel has killed for want of memory since its start.
    pub fn of(obituary: &str, ours: &[i32], killed: Since) -> Option<Self> {
        let (_, rest) = obituary.split_once(SIGNALLED)?;
        let digits = rest.find(|letter: char| !letter.is_ascii_digit());
        let number: i32 = rest[..digits.unwrap_or(rest.len())].parse().ok()?;
        let name = NAMES.iter().find(|(known, _)| *known == number);
        let (from, told) = told(number, ours, killed);
        Some(Self {
            number,
            name: name.map(|(_, name)| *name),
            from,
            told,
        })
    }
}

fn told(number: i32, ours: &[i32], killed: Since) -> (Sender, String) {
    const NOT_OURS: &str = "not by Leeward";
    const SOMEBODY: &str = "somebody or something else on this machine sent it";
    if ours.contains(&number) {
        return (Sender::Leeward, "by Leeward".to_owned());
    }
    if CRASHES.contains(&number) {
        let told = format!("{NOT_OURS}: it crashed, unless somebody sent it that");
        return (Sender::Itself, told);
    }
    match (number, killed.group, killed.machine) {
        (KILL, Some(1..), _) => (
            Sender::OomKiller,
            "by the kernel's OOM killer, for want of memory: its control group counts it"
                .to_owned(),
        ),
        (KILL, _, Some(0)) => (
            Sender::SomebodyElse,
            format!(
                "{NOT_OURS}, nor by the kernel's OOM killer, which killed nobody meanwhile: {SOMEBODY}"
            ),
        ),
        (KILL, _, Some(times @ 1..)) => (
            Sender::SomebodyElse,
            format!(
                "{NOT_OURS}; perhaps by the kernel's OOM killer, which killed {times} on this machine meanwhile (the \
                 kernel log says whom), or {SOMEBODY}"
            ),
        ),
        (KILL, _, None) => (
            Sender::SomebodyElse,
            format!("{NOT_OURS}; {SOMEBODY} (the kernel's OOM killer would be in the kernel log)"),
        ),
        _ => (Sender::SomebodyElse, format!("{NOT_OURS}; {SOMEBODY}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(obituary: &str, ours: &[i32], group: Option<u64>, machine: Option<u64>) -> Signalled {
        Signalled::of(obituary, ours, Since { group, machine }).expect("it tells of a signal")
    }

    #[test]
    fn what_leeward_sent_is_told_from_what_others_did() {
        let ended = "was ended by signal 9";
        assert_eq!(of(ended, &[KILL], None, None).from, Sender::Leeward);
        let other = of(ended, &[TERM], None, Some(0));
        assert_eq!(other.from, Sender::SomebodyElse);
        assert_eq!(other.name, Some("SIGKILL"));
        let wanted = "not by Leeward, nor by the kernel's OOM killer";
        assert!(other.told.starts_with(wanted), "{}", other.told);
        let unit = of(
            "was ended by signal 15; the unit is failed",
            &[],
            None,
            None,
        );
        assert_eq!((unit.number, unit.from), (TERM, Sender::SomebodyElse));
        assert_eq!(of("was ended by signal 64", &[], None, None).name, None);
        assert_eq!(Signalled::of("exited with 9", &[], Since::default()), None);
    }

    #[test]
    fn the_oom_killer_is_named_where_the_kernel_counts_it_and_only_suspected_elsewhere() {
        let ended = "was ended by signal 9";
        assert_eq!(of(ended, &[], Some(1), Some(1)).from, Sender::OomKiller);
        let machine = of(ended, &[], Some(0), Some(2));
        assert_eq!(machine.from, Sender::SomebodyElse);
        assert!(
            machine
                .told
                .contains("perhaps by the kernel's OOM killer, which killed 2")
        );
        assert!(of(ended, &[], None, None).told.contains("kernel log"));
        // It sends no other signal.
        let term = of("was ended by signal 15", &[], Some(1), Some(1));
        assert_eq!(
            term.told,
            "not by Leeward; somebody or something else on this machine sent it"
        );
    }

    #[test]
    fn a_crash_is_its_own_unless_an_abort_was_asked_for() {
        let crash = "was ended by signal 6, core dumped";
        assert_eq!(of(crash, &[], None, None).from, Sender::Itself);
        assert_eq!(of(crash, &[ABRT, KILL], None, None).from, Sender::Leeward);
    }
}
