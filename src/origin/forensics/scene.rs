//! Findings made by hand, for the tests of what is concluded from them.

use std::borrow::Cow;
use std::time::Duration;

use super::calls;
use super::descriptor::{Descriptor, Link};
use super::findings::{Door, Findings, Process};
use super::seen::Seen;
use super::sockets::{AcceptQueue, ByState, Listening, SocketRow, TcpRow, TcpState, Traffic, row};
use super::stat::RunState;
use super::syscall::{Call, Syscall};
use super::thread::{Movement, Thread};
use super::vital::Vital;
use crate::origin::pid::Pid;

/// Process 100 of goahead, listening on 127.0.0.1:8080, with these threads.
pub(super) fn findings(threads: Vec<Thread>) -> Findings {
    Findings {
        root: Seen::Known(pid(100)),
        processes: vec![process(100, threads)],
        door: Door {
            at: Listening::Tcp(([127, 0, 0, 1], 8080).into()),
            queue: Seen::Known(Some(AcceptQueue {
                waiting: 0,
                limit: Some(128),
            })),
            by_state: Seen::Known(ByState::new()),
            fullest: Seen::Known(Vec::new()),
        },
        pressure: Seen::Hidden("not part of the scene".into()),
        gap: Duration::from_millis(100),
        truncated: None,
    }
}

pub(super) fn process(number: u32, threads: Vec<Thread>) -> Process {
    Process {
        pid: pid(number),
        vital: Vital {
            comm: Seen::Known("goahead".into()),
            state: Seen::Known(RunState::Sleeping),
            cpu: Seen::Known(Duration::ZERO),
            queued: Seen::Known(Duration::ZERO),
            turns: Seen::Known(1),
            threads: Seen::Known(1),
            resident_bytes: Seen::Known(1 << 20),
            descriptors: Seen::Known(8),
            tracer: Seen::Known(None),
            born: Seen::Known(1),
        },
        cpu_between: Seen::Known(Duration::ZERO),
        threads,
        sockets: Seen::Known(ByState::new()),
    }
}

/// A thread that has not moved.
pub(super) fn thread(tid: u32, call: Seen<Call>) -> Thread {
    Thread {
        tid: pid(tid),
        comm: Seen::Known("goahead".into()),
        state: Seen::Known(RunState::Sleeping),
        call,
        wait_channel: Seen::Known(None),
        descriptor: None,
        movement: Movement::Still,
        turns: Some(1),
        cpu_between: Seen::Known(Duration::ZERO),
    }
}

/// A thread that burns a core.
pub(super) fn spinning(tid: u32) -> Thread {
    Thread {
        state: Seen::Known(RunState::Running),
        movement: Movement::Moved,
        cpu_between: Seen::Known(Duration::from_millis(99)),
        ..thread(tid, Seen::Known(Call::Running))
    }
}

pub(super) fn call(name: &'static str, first: u32) -> Seen<Call> {
    let known = calls::named(name).expect("a call of the table");
    Seen::Known(Call::Inside(Syscall {
        name: Cow::Borrowed(known.name),
        number: 0,
        arguments: [u64::from(first), 0, 0, 0, 0, 0],
        waits_for: known.waits_for,
        descriptor: known.on_descriptor.then_some(first),
        place: (u64::MAX / 2, 1),
    }))
}

pub(super) fn on_socket(mut thread: Thread, row: TcpRow) -> Thread {
    let number = thread
        .syscall()
        .and_then(|call| call.descriptor)
        .expect("a call on a descriptor");
    thread.descriptor = Some(Descriptor {
        socket: Some(Seen::Known(SocketRow::Tcp(row))),
        ..descriptor(number, Link::Socket { inode: 4711 })
    });
    thread
}

pub(super) fn descriptor(number: u32, link: Link) -> Descriptor {
    Descriptor {
        number,
        link: Seen::Known(link),
        socket: None,
    }
}

/// A connection through the door.
pub(super) fn client() -> TcpRow {
    row("127.0.0.1:8080", "127.0.0.1:51234", TcpState::Established)
}

pub(super) fn traffic(received: u64, last_received: Duration) -> Traffic {
    Traffic {
        received,
        acknowledged: 0,
        last_received,
        last_sent: Duration::ZERO,
        retransmits: 0,
        probes: 0,
    }
}

fn pid(number: u32) -> Pid {
    Pid::new(number).expect("positive")
}
