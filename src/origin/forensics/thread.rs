//! One thread, seen twice: what it waits for, and whether it moved meanwhile.

use std::fs;
use std::time::Duration;

use serde::Serialize;

use super::descriptor::{self, Descriptor};
use super::seen::{self, Seen, text};
use super::sockets::{SocketRow, Table, TcpRow};
use super::stat::{self, RunState, SchedStat, Stat};
use super::syscall::{self, Arch, Call, Syscall};
use super::vital::parsed;
use crate::origin::pid::Pid;

/// What is known of one thread.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Thread {
    /// Its number; the first thread has the number of its process.
    pub tid: Pid,
    /// Its short name.
    pub comm: Seen<String>,
    /// What it was doing, in the second sample where there is one.
    pub state: Seen<RunState>,
    /// Where it was.
    pub call: Seen<Call>,
    /// The kernel's function it slept in; `None` where it did not sleep.
    pub wait_channel: Seen<Option<String>>,
    /// The descriptor its system call is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub descriptor: Option<Descriptor>,
    /// How the two samples compare.
    pub movement: Movement,
    /// How often it was given a processor in its life, where that could be read.
    pub turns: Option<u64>,
    /// Processor time it used between them.
    #[serde(rename = "cpu_between_seconds", serialize_with = "seen::seen_seconds")]
    pub cpu_between: Seen<Duration>,
}

/// How two samples of a thread compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Movement {
    /// The same call with the same arguments, and it never woke in between.
    Still,
    /// It ran in between.
    Moved,
    /// It was seen once only, or too little of it could be read.
    Unknown,
}

/// One look at a thread.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    pub(super) tid: Pid,
    stat: Seen<Stat>,
    sched: Seen<SchedStat>,
    call: Seen<Call>,
    wait_channel: Seen<Option<String>>,
}

/// Looks at a thread once. Four small reads, none of which waits.
pub(super) fn sample(pid: Pid, tid: Pid) -> Sample {
    let file = |name: &str| format!("/proc/{pid}/task/{tid}/{name}");
    let call = parsed(&file("syscall"), |text| syscall::call(text, Arch::host()));
    let stat = parsed(&file("stat"), stat::stat);
    let sleeps = stat
        .known()
        .is_some_and(|stat| stat.state != RunState::Running);
    let wait_channel = text(&file("wchan")).and_then(|name| match (name.trim(), call.hidden()) {
        // What the kernel tells a stranger, as if it ran.
        ("0", Some(why)) if sleeps => Seen::Hidden(why.replace("/syscall:", "/wchan:")),
        ("0" | "", _) => Seen::Known(None),
        (name, _) => Seen::Known(Some(name.to_owned())),
    });
    Sample {
        tid,
        stat,
        sched: parsed(&file("schedstat"), stat::sched_stat),
        call,
        wait_channel,
    }
}

/// The threads of a process, at most `most`.
pub(super) fn tids(pid: Pid, most: usize) -> Seen<Vec<Pid>> {
    let path = format!("/proc/{pid}/task");
    Seen::from_io(fs::read_dir(&path), &path).map(|entries| {
        let numbered = |entry: fs::DirEntry| Pid::new(entry.file_name().to_str()?.parse().ok()?);
        entries.flatten().filter_map(numbered).take(most).collect()
    })
}

impl Thread {
    /// Joins two samples of a thread; `second` is missing where time ran out.
    pub(super) fn from_samples(first: Sample, second: Option<Sample>) -> Self {
        let (movement, cpu_between) = match &second {
            Some(second) => (movement(&first, second), cpu_between(&first, second)),
            None => (
                Movement::Unknown,
                Seen::Hidden("seen once only: time ran out".to_owned()),
            ),
        };
        let last = second.unwrap_or(first);
        Self {
            tid: last.tid,
            comm: last.stat.part(|stat| stat.comm.clone()),
            state: last.stat.part(|stat| stat.state),
            call: last.call,
            wait_channel: last.wait_channel,
            descriptor: None,
            movement,
            turns: last.sched.known().map(|sched| sched.turns),
            cpu_between,
        }
    }

    /// The system call it sits in, where it sits in one.
    pub fn syscall(&self) -> Option<&Syscall> {
        match self.call.known()? {
            Call::Inside(syscall) => Some(syscall),
            Call::Running | Call::Outside => None,
        }
    }

    /// The TCP socket its call is about.
    pub fn tcp(&self) -> Option<&TcpRow> {
        match self.descriptor.as_ref()?.socket.as_ref()?.known()? {
            SocketRow::Tcp(row) => Some(row),
            SocketRow::Unix(_) => None,
        }
    }

    /// Resolves the descriptor its call is about.
    pub(super) fn resolve(&mut self, pid: Pid, table: &Seen<Table>) {
        let number = self.syscall().and_then(|syscall| syscall.descriptor);
        self.descriptor = number.map(|number| descriptor::descriptor(pid, self.tid, number, table));
    }
}

fn movement(first: &Sample, second: &Sample) -> Movement {
    let turns = |sample: &Sample| sample.sched.known().map(|sched| sched.turns);
    // A loop around one call shows the same call each time; the count of its turns on a processor gives it away.
    let woke = turns(first)
        .zip(turns(second))
        .is_some_and(|(before, after)| before != after);
    match (first.call.known(), second.call.known()) {
        _ if woke => Movement::Moved,
        (Some(Call::Running), _) | (_, Some(Call::Running)) => Movement::Moved,
        (Some(before), Some(after)) if before == after => Movement::Still,
        (Some(_), Some(_)) => Movement::Moved,
        // Its call is hidden, but its turns are not.
        _ if turns(first).is_some() && turns(second).is_some() && asleep(second) => Movement::Still,
        _ => Movement::Unknown,
    }
}

fn asleep(sample: &Sample) -> bool {
    sample
        .stat
        .known()
        .is_some_and(|stat| stat.state != RunState::Running)
}

fn cpu_between(first: &Sample, second: &Sample) -> Seen<Duration> {
    let fine = |sample: &Sample| sample.sched.part(|sched| sched.ran);
    let coarse = |sample: &Sample| sample.stat.part(|stat| stat.cpu);
    let between = |read: &dyn Fn(&Sample) -> Seen<Duration>| {
        read(first).and_then(|before| read(second).map(|after| after.saturating_sub(before)))
    };
    match between(&fine) {
        Seen::Hidden(_) => between(&coarse),
        known => known,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(call: &str, turns: u64) -> Sample {
        let millis = |ms| Duration::from_millis(ms);
        Sample {
            tid: Pid::new(7).expect("positive"),
            stat: Seen::Known(Stat {
                comm: "w".into(),
                state: RunState::Sleeping,
                parent: None,
                cpu: millis(turns * 10),
                threads: 1,
                born: 1,
            }),
            sched: Seen::Known(SchedStat {
                ran: millis(turns),
                queued: millis(0),
                turns,
            }),
            call: Seen::from_option(syscall::call(call, Arch::X86_64), || "denied".into()),
            wait_channel: Seen::Known(None),
        }
    }

    const READ: &str = "0 0x4 0x7f0000000000 0x1000 0x0 0x0 0x0 0x7ffc25fcfc78 0x7f74f8fab2ad";

    #[test]
    fn the_same_call_without_a_turn_is_still() {
        assert_eq!(movement(&seen(READ, 3), &seen(READ, 3)), Movement::Still);
    }

    #[test]
    fn a_loop_around_one_call_is_not_taken_for_a_wait() {
        assert_eq!(movement(&seen(READ, 3), &seen(READ, 4)), Movement::Moved);
    }

    #[test]
    fn another_buffer_is_another_call() {
        let other = READ.replace("0x1000", "0x2000");
        assert_eq!(movement(&seen(READ, 3), &seen(&other, 3)), Movement::Moved);
    }

    #[test]
    fn a_running_thread_moves_even_if_it_never_gives_up_its_processor() {
        assert_eq!(
            movement(&seen("running", 3), &seen("running", 3)),
            Movement::Moved
        );
    }

    #[test]
    fn a_hidden_call_leaves_the_turns_to_tell() {
        assert_eq!(movement(&seen("?", 3), &seen("?", 3)), Movement::Still);
        assert_eq!(movement(&seen("?", 3), &seen("?", 4)), Movement::Moved);
        let blind = |mut sample: Sample| {
            sample.sched = Seen::Hidden("denied".into());
            sample
        };
        assert_eq!(
            movement(&blind(seen("?", 3)), &blind(seen("?", 3))),
            Movement::Unknown
        );
    }

    #[test]
    fn processor_time_is_taken_fine_and_else_coarse() {
        let (first, mut second) = (seen(READ, 3), seen(READ, 5));
        assert_eq!(
            cpu_between(&first, &second),
            Seen::Known(Duration::from_millis(2))
        );
        second.sched = Seen::Hidden("denied".into());
        assert_eq!(
            cpu_between(&first, &second),
            Seen::Known(Duration::from_millis(20))
        );
    }

    #[test]
    fn one_sample_proves_nothing_about_movement() {
        assert_eq!(
            Thread::from_samples(seen(READ, 3), None).movement,
            Movement::Unknown
        );
    }
}
