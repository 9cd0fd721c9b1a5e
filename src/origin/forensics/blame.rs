//! Which thread holds everybody up. Pure.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;

use super::descriptor::Link;
use super::findings::{Door, Findings, Process};
use super::seen::Seen;
use super::sockets::{Listening, SocketRow, TcpRow};
use super::stat::RunState;
use super::syscall::{Call, WaitKind};
use super::thread::{Movement, Thread};

/// The one to blame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Blame<'a> {
    /// Its process.
    pub process: &'a Process,
    /// The thread; `None` where the fault is the whole process's, or no thread could be seen.
    pub thread: Option<&'a Thread>,
    /// What is wrong with it.
    pub why: Why,
}

/// What is wrong with the one to blame, worst first: of several threads the lowest is blamed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// There is no such process, or /proc is mounted so that it hides strangers (`hidepid`).
    Gone,
    /// It has exited, and waits to be reaped.
    Exited,
    /// A signal stopped it.
    Stopped,
    /// A debugger holds it.
    Traced,
    /// Its control group is frozen, as by `docker pause`.
    Frozen,
    /// It is in the kernel, on a disk or a network file system; not even KILL reaches it there.
    DiskWait,
    /// It writes to a socket or pipe whose other end does not read.
    Writing,
    /// It computes without end: more than half a processor between the samples.
    Spinning,
    /// It waits for a connection of its own to be answered.
    Connecting,
    /// It reads from a socket whose other end does not send.
    Reading,
    /// It reads from a pipe whose other end does not send.
    ReadingPipe,
    /// It waits for a file.
    File,
    /// It waits for a lock.
    Locked,
    /// It sleeps by its own will, or waits in a way we have no word for.
    Asleep,
    /// Its call could not be read.
    Unseen,
    /// It computes, or waits for a processor.
    Running,
    /// It waits for a child process.
    Child,
    /// It waits for events, as an idle server does.
    Idle,
}

impl Blame<'_> {
    /// Whether this alone proves that patience will not help: it is stopped, or exited, or it never woke from a read or
    /// write of a connection through its own door, whose peer is a client that may have vanished. A lock, a database
    /// and a disk may still answer.
    pub fn is_conclusive(&self, door: &Door) -> bool {
        match self.why {
            Why::Exited | Why::Stopped => true,
            Why::Writing | Why::Reading => self
                .thread
                .is_some_and(|thread| thread.movement == Movement::Still && door.leads_to(thread)),
            _ => false,
        }
    }

    /// The connection through the door that its call is about, if it is about one.
    pub fn through(&self, door: &Door) -> Option<&TcpRow> {
        let thread = self.thread?;
        thread.tcp().filter(|_| door.leads_to(thread))
    }
}

impl Door {
    /// Whether the connection this thread's call is about came through the door.
    pub(super) fn leads_to(&self, thread: &Thread) -> bool {
        let socket = thread
            .descriptor
            .as_ref()
            .and_then(|descriptor| descriptor.socket.as_ref());
        match (&self.at, socket.and_then(Seen::known)) {
            (Listening::Tcp(addr), Some(SocketRow::Tcp(row))) => row.local.port() == addr.port(),
            // An accepted unix socket bears the path of its listener.
            (Listening::Unix(path), Some(SocketRow::Unix(row))) => row.path.as_ref() == Some(path),
            _ => false,
        }
    }
}

/// Names the one to blame. `story` tells what the origin is doing for the peer at an address, where that is known: of
/// two threads alike, the one that serves a known request is blamed. `None` only where there are no processes.
pub fn blame<'a>(
    findings: &'a Findings,
    story: &dyn Fn(SocketAddr) -> Option<String>,
) -> Option<Blame<'a>> {
    let whole = findings.processes.iter().filter_map(|process| {
        let why = of_process(process)?;
        // A worker that was reaped meanwhile is no fault of its parent.
        (why > Why::Exited || Some(&process.pid) == findings.root.known()).then_some(Blame {
            process,
            thread: None,
            why,
        })
    });
    let threads = findings.processes.iter().flat_map(|process| {
        process.threads.iter().map(move |thread| Blame {
            process,
            thread: Some(thread),
            why: of_thread(thread, findings.gap),
        })
    });
    let fallback = findings.processes.first().map(|process| Blame {
        process,
        thread: None,
        why: Why::Unseen,
    });
    whole
        .min_by_key(|blame| blame.why)
        .or_else(|| threads.min_by_key(|blame| rank(blame, story)))
        .or(fallback)
}

fn rank(
    blame: &Blame<'_>,
    story: &dyn Fn(SocketAddr) -> Option<String>,
) -> (Why, bool, bool, bool) {
    let known = blame
        .thread
        .and_then(Thread::tcp)
        .is_some_and(|row| story(row.peer).is_some());
    let moved = blame
        .thread
        .is_none_or(|thread| thread.movement == Movement::Moved);
    let first = blame
        .thread
        .is_some_and(|thread| thread.tid == blame.process.pid);
    (blame.why, !known, moved, !first)
}

fn of_process(process: &Process) -> Option<Why> {
    match process.vital.state.known() {
        None if process.vital.state.is_gone() => Some(Why::Gone),
        Some(RunState::Stopped) => Some(Why::Stopped),
        Some(RunState::Traced) => Some(Why::Traced),
        // With threads left, only the first one has ended.
        Some(RunState::Zombie | RunState::Dead) if process.threads.len() <= 1 => Some(Why::Exited),
        _ if is_frozen(process) => Some(Why::Frozen),
        _ => None,
    }
}

/// Where frozen threads wait, by the kernel's function or, where that one was inlined, by its caller; asleep as here, no
/// other thread is ever there. The first two are of `cgroup.freeze`, the others of the freezer of version 1.
const FREEZER: [&str; 4] = [
    "do_freezer_trap",
    "get_signal",
    "__refrigerator",
    "do_syscall_64",
];

/// Such a process looks asleep, in whatever call it was when the group was frozen.
fn is_frozen(process: &Process) -> bool {
    let trapped = |thread: &Thread| {
        let function = thread.wait_channel.known().and_then(Option::as_deref);
        function.is_some_and(|function| FREEZER.contains(&function))
    };
    !process.threads.is_empty() && process.threads.iter().all(trapped)
}

fn of_thread(thread: &Thread, gap: Duration) -> Why {
    match thread.state.known() {
        Some(RunState::DiskWait) => return Why::DiskWait,
        Some(RunState::Running) if busy(thread, gap) => return Why::Spinning,
        Some(RunState::Running) => return Why::Running,
        Some(RunState::Zombie | RunState::Dead) => return Why::Idle,
        _ => {}
    }
    let Some(call) = thread.call.known() else {
        return Why::Unseen;
    };
    let waits_for = match call {
        Call::Running if busy(thread, gap) => return Why::Spinning,
        Call::Running => return Why::Running,
        Call::Outside => return Why::File,
        Call::Inside(syscall) => syscall.waits_for,
    };
    let link = thread
        .descriptor
        .as_ref()
        .and_then(|descriptor| descriptor.link.known());
    match (waits_for, link) {
        // An eventfd or a timerfd: the idle place of somebody's loop.
        (WaitKind::Read, Some(Link::Anon { .. })) => Why::Idle,
        (WaitKind::Read | WaitKind::Write, Some(Link::File { .. })) => Why::File,
        (WaitKind::Read, Some(Link::Pipe { .. })) => Why::ReadingPipe,
        (WaitKind::Read, _) => Why::Reading,
        (WaitKind::Write, _) => Why::Writing,
        (WaitKind::Connect, _) => Why::Connecting,
        (WaitKind::Disk, _) => Why::File,
        (WaitKind::Lock, _) => Why::Locked,
        (WaitKind::Sleep | WaitKind::Other, _) => Why::Asleep,
        (WaitKind::Child, _) => Why::Child,
        (WaitKind::Accept | WaitKind::Poll | WaitKind::Signal, _) => Why::Idle,
    }
}

fn busy(thread: &Thread, gap: Duration) -> bool {
    thread
        .cpu_between
        .known()
        .is_some_and(|&used| !gap.is_zero() && used >= gap / 2)
}

#[cfg(test)]
mod tests {
    use super::super::scene::{self, call, thread};
    use super::*;

    fn blamed(threads: Vec<Thread>) -> (u32, Why) {
        let findings = scene::findings(threads);
        let blame = blame(&findings, &|_| None).expect("there is a process");
        (
            blame.thread.map_or(0, |thread| thread.tid.number()),
            blame.why,
        )
    }

    #[test]
    fn a_blocked_writer_goes_before_idle_workers_and_locks() {
        let threads = vec![
            thread(100, call("epoll_wait", 3)),
            thread(101, call("futex", 0)),
            scene::on_socket(thread(102, call("write", 7)), scene::client()),
            thread(103, call("accept4", 3)),
        ];
        assert_eq!(blamed(threads), (102, Why::Writing));
    }

    #[test]
    fn a_lock_goes_before_idle_workers() {
        let threads = vec![
            thread(100, call("epoll_wait", 3)),
            thread(101, call("futex", 0)),
            thread(102, call("accept4", 3)),
        ];
        assert_eq!(blamed(threads), (101, Why::Locked));
    }

    #[test]
    fn where_all_are_idle_the_first_thread_speaks_for_them() {
        let threads = vec![
            thread(101, call("accept4", 3)),
            thread(100, call("epoll_wait", 3)),
        ];
        assert_eq!(blamed(threads), (100, Why::Idle));
    }

    #[test]
    fn a_thread_that_burns_a_core_goes_before_idle_readers() {
        let threads = vec![
            scene::on_socket(thread(100, call("read", 5)), scene::client()),
            scene::spinning(101),
        ];
        assert_eq!(blamed(threads), (101, Why::Spinning));
    }

    #[test]
    fn reading_an_eventfd_is_idleness_and_reading_a_file_is_a_disk() {
        let linked = |link| {
            let mut one = thread(100, call("read", 5));
            one.descriptor = Some(scene::descriptor(5, link));
            blamed(vec![one]).1
        };
        assert_eq!(
            linked(Link::Anon {
                name: "eventfd".into()
            }),
            Why::Idle
        );
        assert_eq!(
            linked(Link::File {
                path: "/nfs/x".into()
            }),
            Why::File
        );
        assert_eq!(linked(Link::Pipe { inode: 1 }), Why::ReadingPipe);
    }

    #[test]
    fn of_two_readers_the_one_serving_a_known_request_is_blamed() {
        let mut other = scene::client();
        other.peer.set_port(9);
        let threads = vec![
            scene::on_socket(thread(100, call("read", 5)), scene::client()),
            scene::on_socket(thread(101, call("read", 6)), other),
        ];
        let findings = scene::findings(threads);
        let story = |peer: SocketAddr| (peer.port() == 9).then(|| "it serves".to_owned());
        assert_eq!(
            blame(&findings, &story)
                .and_then(|blame| blame.thread)
                .map(|thread| thread.tid.number()),
            Some(101)
        );
    }

    #[test]
    fn a_stop_is_the_whole_process_s_whatever_its_threads_show() {
        let mut findings = scene::findings(vec![thread(100, call("read", 5))]);
        findings.processes[0].vital.state = Seen::Known(RunState::Stopped);
        let blame = blame(&findings, &|_| None).expect("there is a process");
        assert_eq!((blame.why, blame.thread), (Why::Stopped, None));
        assert!(blame.is_conclusive(&findings.door));
    }

    #[test]
    fn a_freeze_is_the_whole_process_s_and_may_be_thawed() {
        let trapped = |tid| {
            let mut one = thread(tid, call("accept4", 3));
            one.wait_channel = Seen::Known(Some("get_signal".into()));
            one
        };
        let findings = scene::findings(vec![trapped(100), trapped(101)]);
        let frozen = blame(&findings, &|_| None).expect("there is a process");
        assert_eq!((frozen.why, frozen.thread), (Why::Frozen, None));
        assert!(!frozen.is_conclusive(&findings.door));
        let one_of_two = vec![trapped(100), thread(101, call("futex", 0))];
        assert_eq!(blamed(one_of_two), (101, Why::Locked));
    }

    #[test]
    fn a_worker_that_just_exited_does_not_take_the_blame() {
        let mut findings = scene::findings(vec![thread(100, call("accept", 3))]);
        let mut worker = scene::process(200, vec![]);
        worker.vital.state = Seen::Known(RunState::Zombie);
        findings.processes.push(worker);
        assert_eq!(
            blame(&findings, &|_| None).map(|blame| blame.why),
            Some(Why::Idle)
        );
    }

    #[test]
    fn only_a_still_thread_on_a_connection_through_the_door_is_conclusive() {
        let conclusive = |movement, local_port| {
            let mut row = scene::client();
            row.local.set_port(local_port);
            let mut one = scene::on_socket(thread(100, call("read", 5)), row);
            one.movement = movement;
            let findings = scene::findings(vec![one]);
            blame(&findings, &|_| None).is_some_and(|blame| blame.is_conclusive(&findings.door))
        };
        assert!(conclusive(Movement::Still, 8080));
        assert!(!conclusive(Movement::Moved, 8080), "it makes progress");
        assert!(
            !conclusive(Movement::Still, 40_000),
            "a database of its own"
        );
    }
}
