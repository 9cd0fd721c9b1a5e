//! The whole picture of an origin at one moment: its processes, their threads, its door.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::descriptor::{Link, links};
use super::seen::{self, Seen, text};
use super::sockets::{AcceptQueue, ByState, Listening, Table, TcpRow, accept_queue};
use super::stat::{self, Pressure};
use super::thread::{Sample, Thread, sample, tids};
use super::vital::{Vital, parsed, vital};
use crate::origin::pid::Pid;

/// What was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Findings {
    /// The process asked about, or why nobody knows which it is.
    pub root: Seen<Pid>,
    /// It and its descendants, it first. A server that forks is hung in a child.
    pub processes: Vec<Process>,
    /// Its door.
    pub door: Door,
    /// How much the whole host waits for processors.
    pub pressure: Seen<Pressure>,
    /// The time between the two samples.
    #[serde(rename = "gap_seconds", serialize_with = "seen::seconds")]
    pub gap: Duration,
    /// What was left out, and why; `None` where nothing was.
    pub truncated: Option<String>,
}

/// One process of the origin.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Process {
    /// Its number.
    pub pid: Pid,
    /// How it was, in the second sample where there is one.
    pub vital: Vital,
    /// Processor time all its threads used between the samples, in steps of 10 ms.
    #[serde(rename = "cpu_between_seconds", serialize_with = "seen::seen_seconds")]
    pub cpu_between: Seen<Duration>,
    /// Its threads; the first thread first.
    pub threads: Vec<Thread>,
    /// Its TCP sockets by state.
    pub sockets: Seen<ByState>,
}

/// What happens where the origin takes its connections. Readable even where the process itself is not.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Door {
    /// Where it is.
    pub at: Listening,
    /// Who waits to be accepted; `None` where nobody listens.
    pub queue: Seen<Option<AcceptQueue>>,
    /// The connections through it by state, accepted or not. Empty for a unix socket.
    pub by_state: Seen<ByState>,
    /// Those with most bytes lying about, unsent or unread: at most 16.
    pub fullest: Seen<Vec<TcpRow>>,
}

impl Findings {
    /// Whether the origin has provably not begun with what the peer at this address sent: it can't be what holds it.
    pub fn untouched(&self, peer: SocketAddr) -> bool {
        let rows = self.door.fullest.known().into_iter().flatten();
        rows.filter(|row| row.peer == peer)
            .any(|row| row.untouched() == Some(true))
    }
}

/// Looks at everything twice, about 100 ms apart, and is done soon after `deadline` whatever it meets: past it, no
/// further thread, process or table is begun, and the findings say what is missing.
///
/// Where the process is not known, its door is looked at all the same.
///
/// At most 1,000 threads and 64 processes are told of. Beyond the gap it costs some 2 ms, 20 ms with a hundred threads.
pub fn examine(root: &Seen<Pid>, at: &Listening, deadline: Instant) -> Findings {
    let mut short = Shortfall::default();
    let before: Vec<Glance> = {
        let mut threads_left = MOST_THREADS;
        let root = root.known().map(|&pid| family(pid, deadline, &mut short));
        root.into_iter()
            .flatten()
            .map(|pid| glance(pid, &mut threads_left, deadline, &mut short))
            .collect()
    };
    let first_done = Instant::now();
    // A third of what is left: the second sample and the tables need their share.
    std::thread::sleep(GAP.min(deadline.saturating_duration_since(first_done) / 3));
    let gap = first_done.elapsed();

    let mut processes: Vec<Process> = before
        .into_iter()
        .map(|first| second_look(first, deadline, &mut short))
        .collect();
    let table = if Instant::now() < deadline {
        Table::read()
    } else {
        short.add("the socket tables");
        Seen::Hidden("time ran out".to_owned())
    };
    for process in &mut processes {
        resolve(process, &table, deadline, &mut short);
    }
    Findings {
        root: root.clone(),
        processes,
        door: door(at, &table),
        pressure: parsed("/proc/pressure/cpu", stat::pressure),
        gap,
        truncated: short.told(),
    }
}

/// The threads of one process, looked at twice like those of [`examine`]; for a look at ourselves.
pub fn threads(pid: Pid, deadline: Instant) -> Vec<Thread> {
    let mut short = Shortfall::default();
    let first = glance(pid, &mut MOST_THREADS.clone(), deadline, &mut short);
    std::thread::sleep(GAP.min(deadline.saturating_duration_since(Instant::now()) / 3));
    second_look(first, deadline, &mut short).threads
}

/// A process and its descendants, itself first, at most 64 and as far as the kernel tells.
pub fn descendants(root: Pid, deadline: Instant) -> Vec<Pid> {
    family(root, deadline, &mut Shortfall::default())
}

/// Counts the TCP sockets of one process by state: a heap of CLOSE_WAIT is a leak. Reads every descriptor's link and
/// the whole socket table: for every half minute, not for every second.
pub fn by_state(pid: Pid) -> Seen<ByState> {
    count(pid, &Table::read())
}

const GAP: Duration = Duration::from_millis(100);
const MOST_THREADS: usize = 1_000;
const MOST_PROCESSES: usize = 64;
const MOST_FULL: usize = 16;

/// What a look had to leave out.
#[derive(Default)]
struct Shortfall(Vec<&'static str>);

impl Shortfall {
    fn add(&mut self, what: &'static str) {
        if !self.0.contains(&what) {
            self.0.push(what);
        }
    }

    fn told(self) -> Option<String> {
        (!self.0.is_empty())
            .then(|| format!("left out for lack of time or room: {}", self.0.join(", ")))
    }
}

/// A process seen once.
struct Glance {
    pid: Pid,
    vital: Vital,
    threads: Vec<Sample>,
}

fn family(root: Pid, deadline: Instant, short: &mut Shortfall) -> Vec<Pid> {
    let mut found = vec![root];
    let mut next = 0;
    while let Some(&pid) = found.get(next) {
        next += 1;
        // A child belongs to the thread that forked it.
        for tid in tids(pid, MOST_THREADS).known().into_iter().flatten() {
            if Instant::now() >= deadline {
                short.add("some child processes");
                return found;
            }
            let children = text(&format!("/proc/{pid}/task/{tid}/children"));
            let children = children
                .known()
                .map_or("", String::as_str)
                .split_ascii_whitespace();
            for child in children.filter_map(|number| Pid::new(number.parse().ok()?)) {
                if found.len() >= MOST_PROCESSES {
                    short.add("some child processes");
                    return found;
                }
                // Between two reads a child may have been given to another parent.
                if !found.contains(&child) {
                    found.push(child);
                }
            }
        }
    }
    found
}

fn glance(pid: Pid, threads_left: &mut usize, deadline: Instant, short: &mut Shortfall) -> Glance {
    let vital = vital(pid);
    let mut threads = Vec::new();
    // A list that cannot be read is told by `vital`, whose files lie in the same place.
    for &tid in tids(pid, MOST_THREADS + 1).known().into_iter().flatten() {
        // The first thread is looked at even when late: without it there is nothing to tell.
        let late = Instant::now() >= deadline && !threads.is_empty();
        if *threads_left == 0 || late {
            short.add("some threads");
            break;
        }
        *threads_left -= 1;
        threads.push(sample(pid, tid));
    }
    // Numbers come round again: the first thread need not have the lowest.
    threads.sort_by_key(|sample| (sample.tid != pid, sample.tid));
    Glance {
        pid,
        vital,
        threads,
    }
}

fn second_look(first: Glance, deadline: Instant, short: &mut Shortfall) -> Process {
    let mut again = |tid| {
        if Instant::now() >= deadline {
            short.add("the second sample of some threads");
            return None;
        }
        Some(sample(first.pid, tid))
    };
    let threads = first.threads.into_iter().map(|sample| {
        let second = again(sample.tid);
        Thread::from_samples(sample, second)
    });
    let threads = threads.collect();
    let last = vital(first.pid);
    Process {
        pid: first.pid,
        cpu_between: first
            .vital
            .cpu
            .and_then(|before| last.cpu.part(|after| after.saturating_sub(before))),
        vital: last,
        threads,
        sockets: Seen::Hidden("not looked at".to_owned()),
    }
}

fn resolve(process: &mut Process, table: &Seen<Table>, deadline: Instant, short: &mut Shortfall) {
    for thread in &mut process.threads {
        if Instant::now() >= deadline {
            short.add("the descriptors of some threads");
            break;
        }
        thread.resolve(process.pid, table);
    }
    process.sockets = if Instant::now() < deadline {
        count(process.pid, table)
    } else {
        short.add("the sockets of some processes");
        Seen::Hidden("time ran out".to_owned())
    };
}

fn count(pid: Pid, table: &Seen<Table>) -> Seen<ByState> {
    links(pid).and_then(|links| {
        let inodes = links.into_iter().filter_map(|(_, link)| match link {
            Link::Socket { inode } => Some(inode),
            _ => None,
        });
        table.part(|table| table.by_state(inodes))
    })
}

fn door(at: &Listening, table: &Seen<Table>) -> Door {
    let rows = table.part(|table| match at {
        Listening::Tcp(addr) => table.on_port(addr.port()).cloned().collect(),
        Listening::Unix(_) => Vec::new(),
    });
    let mut by_state = ByState::new();
    for row in rows.known().into_iter().flatten() {
        *by_state.entry(row.state).or_default() += 1;
    }
    let bytes = |row: &TcpRow| row.unsent.max(row.unread);
    Door {
        at: at.clone(),
        queue: accept_queue(at),
        by_state: rows.part(|_| by_state),
        fullest: rows.map(|mut rows: Vec<TcpRow>| {
            rows.retain(|row| bytes(row) > 0);
            rows.sort_by_key(|row| std::cmp::Reverse(bytes(row)));
            rows.truncate(MOST_FULL);
            rows
        }),
    }
}
