//! The cheap sample, taken every second or so while all is well.

use std::fs;
use std::time::Duration;

use serde::Serialize;

use super::seen::{self, Seen, exists, text};
use super::stat::{self, RunState, SchedStat};
use super::thread::tids;
use crate::origin::pid::Pid;

/// What one process looks like at one instant. Counters only rise while the process lives, but see `queued`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Vital {
    /// Its short name.
    pub comm: Seen<String>,
    /// What its first thread is doing. A stop, and an exit, show here for the whole process.
    pub state: Seen<RunState>,
    /// Processor time of all its threads, user and system, in steps of 10 ms.
    #[serde(rename = "cpu_seconds", serialize_with = "seen::seen_seconds")]
    pub cpu: Seen<Duration>,
    /// Time its threads were runnable but had no processor, summed over the threads alive now: it may fall when a
    /// thread exits. Of a process with more than 256 threads, only that many are summed.
    #[serde(rename = "queued_seconds", serialize_with = "seen::seen_seconds")]
    pub queued: Seen<Duration>,
    /// How often those threads were given a processor, with the same reservations. Whoever is stopped never is.
    pub turns: Seen<u64>,
    /// How many threads it has.
    pub threads: Seen<u32>,
    /// Resident memory in bytes; 0 after its exit.
    pub resident_bytes: Seen<u64>,
    /// How many descriptors are open.
    pub descriptors: Seen<u64>,
    /// The debugger that holds it, where there is one.
    pub tracer: Seen<Option<Pid>>,
    /// When it started, in clock ticks since boot. Another value under the same number is another process.
    pub born: Seen<u64>,
}

/// Takes the sample. Measured at 40 to 50 µs, and 0.7 ms with a hundred threads. Never waits, and reads nothing that takes the process's memory lock (`cmdline` and `maps` do,
/// and can hang the reader with the process).
pub fn vital(pid: Pid) -> Vital {
    let stat = parsed(&format!("/proc/{pid}/stat"), stat::stat);
    let status = parsed(&format!("/proc/{pid}/status"), stat::status);
    let sched = sched(pid, stat.known().map_or(1, |stat| stat.threads));
    Vital {
        comm: stat.part(|stat| stat.comm.clone()),
        state: stat.part(|stat| stat.state),
        cpu: stat.part(|stat| stat.cpu),
        queued: sched.part(|sched| sched.queued),
        turns: sched.part(|sched| sched.turns),
        threads: stat.part(|stat| stat.threads),
        resident_bytes: status.part(|status| status.resident_bytes.unwrap_or(0)),
        descriptors: descriptors(pid),
        tracer: status.part(|status| status.tracer),
        born: stat.part(|stat| stat.born),
    }
}

/// Whose child a process is; nobody's when it is over, or cannot be seen. Never waits.
pub fn parent(pid: Pid) -> Option<Pid> {
    let stat = parsed(&format!("/proc/{pid}/stat"), stat::stat);
    let stat = stat.known()?;
    match stat.state {
        RunState::Zombie | RunState::Dead => None,
        _ => stat.parent,
    }
}

/// How many descriptors the system lets a process have at once; `None` is no limit.
pub fn descriptor_limit(pid: Pid) -> Seen<Option<u64>> {
    parsed(&format!("/proc/{pid}/limits"), stat::descriptor_limit)
}

/// Whether a process is gone or on its way out; `false` where that cannot be known. Measured at 10 µs; never waits.
pub fn is_dying(pid: Pid) -> bool {
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(text) => stat::is_exiting(&text).unwrap_or(false),
        Err(error) => error.kind() == std::io::ErrorKind::NotFound && !exists(pid),
    }
}

/// Whether every thread of a process is stopped by a signal, or over: then none of them runs a step before it is continued,
/// by a signal that is. `false` where that cannot be known.
pub fn is_stopped(pid: Pid) -> bool {
    let stopped = |tid: &Pid| {
        let stat = parsed(&format!("/proc/{pid}/task/{tid}/stat"), stat::stat);
        let state = stat.known().map(|stat| stat.state);
        matches!(
            state,
            Some(RunState::Stopped | RunState::Zombie | RunState::Dead)
        )
    };
    let tids = tids(pid, usize::MAX);
    tids.known()
        .is_some_and(|tids| !tids.is_empty() && tids.iter().all(stopped))
}

/// Reads a small file and parses it; a text of another shape is hidden as such.
pub(super) fn parsed<T>(path: &str, parse: impl FnOnce(&str) -> Option<T>) -> Seen<T> {
    text(path).and_then(|text| {
        Seen::from_option(parse(&text), || {
            format!("{path}: not in the kernel's usual shape")
        })
    })
}

const MOST_SUMMED: usize = 256;

fn sched(pid: Pid, threads: u32) -> Seen<SchedStat> {
    let of_task = |path: &str| parsed(path, stat::sched_stat);
    if threads <= 1 {
        return of_task(&format!("/proc/{pid}/schedstat"));
    }
    let tasks = format!("/proc/{pid}/task");
    Seen::from_io(fs::read_dir(&tasks), &tasks).and_then(|entries| {
        let mut sum: Option<SchedStat> = None;
        let mut why = format!("{tasks}: no thread could be read");
        for entry in entries.flatten().take(MOST_SUMMED) {
            match of_task(&format!(
                "{tasks}/{}/schedstat",
                entry.file_name().to_string_lossy()
            )) {
                Seen::Known(one) => {
                    sum = Some(sum.map_or(one, |sum| SchedStat {
                        ran: sum.ran + one.ran,
                        queued: sum.queued + one.queued,
                        turns: sum.turns + one.turns,
                    }))
                }
                Seen::Hidden(reason) => why = reason,
            }
        }
        Seen::from_option(sum, || why)
    })
}

fn descriptors(pid: Pid) -> Seen<u64> {
    let path = format!("/proc/{pid}/fd");
    // Since Linux 6.2 the directory's size is the count, for any reader; before, it is 0 and they are counted.
    match fs::metadata(&path) {
        Ok(directory) if directory.len() > 0 => Seen::Known(directory.len()),
        _ => Seen::from_io(fs::read_dir(&path), &path).map(|entries| entries.count() as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_our_own_process_is_seen() {
        let own = vital(Pid::own().expect("a process has a number"));
        assert_eq!(own.tracer, Seen::Known(None));
        assert!(
            own.cpu.known().is_some() && own.queued.known().is_some() && own.born.known().is_some(),
            "{own:?}"
        );
        assert!(
            own.threads.known().is_some_and(|&n| n >= 2),
            "the test runner has threads: {own:?}"
        );
        assert!(
            own.resident_bytes.known().is_some_and(|&n| n > 100_000),
            "{own:?}"
        );
        assert!(own.descriptors.known().is_some_and(|&n| n >= 3), "{own:?}");
    }

    #[test]
    fn of_a_process_that_never_was_each_field_says_why() {
        // Above the largest number Linux gives out (4,194,304).
        let none = vital(Pid::new(2_000_000_000).expect("positive"));
        for why in [
            none.state.hidden(),
            none.cpu.hidden(),
            none.tracer.hidden(),
            none.descriptors.hidden(),
        ] {
            assert!(
                why.is_some_and(|why| why.ends_with("no longer there")),
                "{none:?}"
            );
        }
    }

    #[test]
    fn the_sample_serialises_flat_and_in_seconds() {
        let json = serde_json::to_value(vital(Pid::own().expect("a number"))).expect("plain data");
        assert!(
            json["cpu_seconds"].is_f64() && json["threads"].is_u64(),
            "{json}"
        );
    }
}
