//! Reads the kernel's short texts on a task: `stat`, `status`, `schedstat`, and the host's pressure. Pure.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::origin::pid::Pid;

/// What a task is doing, as the scheduler sees it (the letter in `/proc/PID/stat`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// `R`: on a processor, or waiting for one.
    Running,
    /// `S`: asleep until something happens; signals wake it.
    Sleeping,
    /// `D`: asleep in the kernel, on a disk or a network file system; only that can wake it.
    DiskWait,
    /// `T`: stopped by a signal.
    Stopped,
    /// `t`: stopped by a debugger.
    Traced,
    /// `Z`: exited, not yet reaped.
    Zombie,
    /// `X`: on its way out.
    Dead,
    /// `I`: an idle thread of the kernel.
    Idle,
    /// `P`: parked.
    Parked,
    /// A letter newer than this program.
    Other(char),
}

impl RunState {
    /// The kernel's letter for it.
    pub fn letter(self) -> char {
        match self {
            Self::Running => 'R',
            Self::Sleeping => 'S',
            Self::DiskWait => 'D',
            Self::Stopped => 'T',
            Self::Traced => 't',
            Self::Zombie => 'Z',
            Self::Dead => 'X',
            Self::Idle => 'I',
            Self::Parked => 'P',
            Self::Other(letter) => letter,
        }
    }

    fn from_letter(letter: char) -> Self {
        match letter {
            'R' => Self::Running,
            'S' => Self::Sleeping,
            'D' => Self::DiskWait,
            'T' => Self::Stopped,
            't' => Self::Traced,
            'Z' => Self::Zombie,
            'X' | 'x' => Self::Dead,
            'I' => Self::Idle,
            'P' => Self::Parked,
            other => Self::Other(other),
        }
    }
}

impl fmt::Display for RunState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self {
            Self::Running => "running",
            Self::Sleeping => "asleep",
            Self::DiskWait => "in an uninterruptible wait",
            Self::Stopped => "stopped",
            Self::Traced => "stopped by a debugger",
            Self::Zombie => "exited, not yet reaped",
            Self::Dead => "dead",
            Self::Idle => "idle",
            Self::Parked => "parked",
            Self::Other(_) => "in an unknown state",
        };
        write!(f, "{word} (state {})", self.letter())
    }
}

/// The fields of `/proc/PID/stat` that matter here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stat {
    /// The short name, at most 15 bytes; may hold spaces and parentheses.
    pub comm: String,
    /// What the task (for a process: its first thread) is doing.
    pub state: RunState,
    /// The process that started it, or took it in.
    pub parent: Option<Pid>,
    /// Processor time used so far, user and system together, in steps of 10 ms.
    pub cpu: Duration,
    /// How many threads its process has.
    pub threads: u32,
    /// When it started, in clock ticks since boot: with the number, the identity of a process.
    pub born: u64,
}

/// The fields of `/proc/PID/status` that matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// The user it acts as.
    pub uid: Option<u32>,
    /// The debugger, where there is one.
    pub tracer: Option<Pid>,
    /// Resident memory in bytes; `None` for a process that has none (exited, or a kernel thread).
    pub resident_bytes: Option<u64>,
}

/// The three numbers of `/proc/PID/task/TID/schedstat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SchedStat {
    /// Time on a processor.
    pub ran: Duration,
    /// Time runnable, but waiting for a processor.
    pub queued: Duration,
    /// How many times it was given one. Unchanged between two samples: it never woke.
    pub turns: u64,
}

/// How much the whole host waits for something: the `some` line of `/proc/pressure/cpu` and its siblings.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Pressure {
    /// Share of the last 10 s in which some task waited for a processor, in percent, 0 to 100.
    pub avg10: f64,
    /// The same over 60 s.
    pub avg60: f64,
    /// Total time some task waited, since boot.
    #[serde(rename = "total_seconds", serialize_with = "super::seen::seconds")]
    pub total: Duration,
}

/// Reads the soft limit of open descriptors from `/proc/PID/limits`: `Some(None)` is no limit.
pub fn descriptor_limit(text: &str) -> Option<Option<u64>> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_ascii_whitespace().next()? {
        "unlimited" => Some(None),
        number => Some(Some(number.parse().ok()?)),
    }
}

/// Reads `/proc/PID/stat`; `None` where it has not the kernel's shape.
pub fn stat(text: &str) -> Option<Stat> {
    // The name stands in parentheses and may hold any byte, `)` too: it ends at the last one.
    let (head, tail) = text.trim_end().rsplit_once(')')?;
    let (_, comm) = head.split_once('(')?;
    let fields: Vec<&str> = tail.split_ascii_whitespace().collect();
    // proc(5) counts fields from 1, and the state is number 3.
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    Some(Stat {
        comm: comm.to_owned(),
        state: RunState::from_letter(fields.first()?.chars().next()?),
        parent: Pid::new(u32::try_from(number(4)?).ok()?),
        cpu: TICK.saturating_mul(u32::try_from(number(14)?.checked_add(number(15)?)?).ok()?),
        threads: u32::try_from(number(20)?).ok()?,
        born: number(22)?,
    })
}

/// Whether a process is on its way out, from `/proc/PID/stat`. The kernel marks it so before it closes what the process
/// had open, and says that it has exited only after.
pub fn is_exiting(text: &str) -> Option<bool> {
    /// `PF_EXITING` of the kernel's `task_struct`, in field 9.
    const EXITING: u32 = 0x4;
    let (_, tail) = text.rsplit_once(')')?;
    let flags: u32 = tail.split_ascii_whitespace().nth(9 - 3)?.parse().ok()?;
    Some(flags & EXITING != 0)
}

/// Reads `/proc/PID/status`; `None` where the line on the tracer is missing.
pub fn status(text: &str) -> Option<Status> {
    let line = |key: &str| {
        text.lines().find_map(|line| {
            line.strip_prefix(key)?
                .split_ascii_whitespace()
                .next()?
                .parse::<u64>()
                .ok()
        })
    };
    let uids = text.lines().find_map(|line| line.strip_prefix("Uid:"));
    Some(Status {
        // The real one comes before it, the saved one and that for files after.
        uid: uids.and_then(|uids| uids.split_ascii_whitespace().nth(1)?.parse().ok()),
        tracer: Pid::new(u32::try_from(line("TracerPid:")?).ok()?),
        resident_bytes: line("VmRSS:").map(|kib| kib.saturating_mul(1024)),
    })
}

/// Reads `schedstat`: nanoseconds run, nanoseconds queued, turns.
pub fn sched_stat(text: &str) -> Option<SchedStat> {
    let mut fields = text.split_ascii_whitespace().map(str::parse::<u64>);
    let mut next = || fields.next()?.ok();
    Some(SchedStat {
        ran: Duration::from_nanos(next()?),
        queued: Duration::from_nanos(next()?),
        turns: next()?,
    })
}

/// Reads the `some` line of `/proc/pressure/cpu`.
pub fn pressure(text: &str) -> Option<Pressure> {
    let some = text.lines().find_map(|line| line.strip_prefix("some "))?;
    let value = |key: &str| {
        some.split_ascii_whitespace()
            .find_map(|field| field.strip_prefix(key)?.strip_prefix('='))
    };
    Some(Pressure {
        avg10: value("avg10")?.parse().ok()?,
        avg60: value("avg60")?.parse().ok()?,
        total: Duration::from_micros(value("total")?.parse().ok()?),
    })
}

// The kernel counts processor time for programs in hundredths of a second (USER_HZ) on every
// architecture we build for, whatever its own clock runs at.
const TICK: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    const SLEEP: &str = "8329 (sleep) S 8327 8327 6426 0 -1 4194304 72 0 1 0 3 4 0 0 20 0 1 0 44987 2449408 33 \
        18446744073709551615 94816837320704 94816837338633 140732787568384 0 0 0 0 6 0 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0\n";

    #[test]
    fn the_limit_of_descriptors_is_the_soft_one() {
        let text = "Limit                     Soft Limit           Hard Limit           Units     \n\
            Max processes             93980                93980                processes \n\
            Max open files            1024                 524288               files     \n";
        assert_eq!(descriptor_limit(text), Some(Some(1024)));
        let none = text.replace("1024 ", "unlimited ");
        assert_eq!(descriptor_limit(&none), Some(None));
        assert_eq!(descriptor_limit("Max processes 1 1"), None);
    }

    #[test]
    fn a_process_on_its_way_out_is_told_by_its_flags() {
        let line = |flags: u32| format!("7401 (a) b) R 1 7401 7401 0 -1 {flags} 100 0 0 0");
        assert_eq!(is_exiting(&line(0x40_0000)), Some(false));
        assert_eq!(is_exiting(&line(0x40_0004)), Some(true));
        assert_eq!(is_exiting("7401 (a) R 1"), None);
    }

    #[test]
    fn a_plain_stat_line_is_read() {
        let stat = stat(SLEEP).expect("a real line");
        assert_eq!(
            (stat.comm.as_str(), stat.state, stat.threads, stat.born),
            ("sleep", RunState::Sleeping, 1, 44987)
        );
        assert_eq!(stat.cpu, Duration::from_millis(70));
    }

    #[test]
    fn a_name_full_of_parentheses_and_spaces_cannot_shift_the_fields() {
        let stat = stat(&SLEEP.replace("(sleep)", "(a) R 1 (b c)")).expect("still a line");
        assert_eq!(
            (stat.comm.as_str(), stat.state, stat.born),
            ("a) R 1 (b c", RunState::Sleeping, 44987)
        );
    }

    #[test]
    fn every_letter_comes_back_as_itself() {
        for letter in "RSDTtZXIPW".chars() {
            assert_eq!(RunState::from_letter(letter).letter(), letter);
        }
    }

    #[test]
    fn torn_lines_are_refused_not_guessed() {
        for cut in 0..SLEEP.find("44987").expect("the start time is there") {
            assert_eq!(stat(&SLEEP[..cut]), None, "cut after {cut} bytes");
        }
        assert_eq!(stat(""), None);
        assert_eq!(stat(")("), None);
    }

    #[test]
    fn status_tells_the_tracer_and_the_memory() {
        let text = "Name:\tcat\nState:\tt (tracing stop)\nTracerPid:\t4711\nVmHWM:\t    1796 kB\nVmRSS:\t    1788 kB\n";
        let status = status(text).expect("a real text");
        assert_eq!(status.tracer, Pid::new(4711));
        assert_eq!(status.resident_bytes, Some(1788 * 1024));
    }

    #[test]
    fn a_zombie_has_no_memory_and_no_tracer() {
        let status = status("Name:\tcat\nState:\tZ (zombie)\nTracerPid:\t0\nThreads:\t1\n")
            .expect("a real text");
        assert_eq!((status.tracer, status.resident_bytes), (None, None));
    }

    #[test]
    fn schedstat_counts_nanoseconds_and_turns() {
        let read = sched_stat("1546139 20000000 3\n").expect("a real line");
        assert_eq!(
            (read.ran, read.queued, read.turns),
            (
                Duration::from_nanos(1_546_139),
                Duration::from_millis(20),
                3
            )
        );
        assert_eq!(sched_stat("1546139 2"), None);
    }

    #[test]
    fn pressure_is_the_some_line_wherever_it_stands() {
        let text = "full avg10=9.00 avg60=9.00 avg300=9.00 total=9\n\
            some avg10=0.41 avg60=12.59 avg300=1.08 total=9016040\n";
        let read = pressure(text).expect("a real text");
        assert_eq!(
            (read.avg10, read.avg60, read.total),
            (0.41, 12.59, Duration::from_micros(9_016_040))
        );
        assert_eq!(pressure("full avg10=0.00\n"), None);
    }
}
