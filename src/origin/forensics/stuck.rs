//! Whether one connection holds the whole origin, or its threads hold each other, so that no patience will help. Pure.

use std::net::SocketAddr;

use super::blame::{Blame, Why, blame};
use super::deadlock::locked_in;
use super::findings::Findings;
use super::seen::Seen;
use super::sockets::SocketRow;
use super::syscall::{Syscall, WaitKind};
use super::thread::{Movement, Thread};
use crate::origin::pid::Pid;

/// What holds the whole origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stuck {
    waits: Vec<Wait>,
    /// What holds it, in a few words.
    pub told: String,
    /// Whom it waits for.
    pub on: On,
}

/// Whom a wait without an end is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    /// The other end of a connection. It may be on this host, and be kept from its work by what keeps all others.
    Peer,
    /// Nobody but itself: however the host is, that does not change.
    Itself,
}

/// The wait of one thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wait {
    tid: Pid,
    call: Syscall,
    turns: Option<u64>,
}

impl Stuck {
    /// Whether they are still the same waits: the same threads, in the same calls, without a turn on a processor since.
    pub fn goes_on(&self, later: &Self) -> bool {
        let is_known = |wait: &Wait| wait.turns.is_some();
        self.waits == later.waits && self.waits.iter().all(is_known)
    }
}

impl Wait {
    /// The wait of a thread that is in a system call.
    pub(super) fn of(thread: &Thread) -> Option<Self> {
        Some(Self {
            tid: thread.tid,
            call: thread.syscall()?.clone(),
            turns: thread.turns,
        })
    }
}

/// The connection that holds the whole origin, if one does: a thread reads from it or writes to it and does not wake, no
/// other thread is there to take the next connection, and somebody waits for just that. `is_ours` tells the ends of
/// requests under way that are wholly sent, so that whoever reads more from them waits for what never comes. Or threads
/// that are locked in: all of them wait for locks that only they could release, while there is an answer it `owes`.
///
/// `None`, too, where a thread could not be seen: what is not known is no proof. Another lock, a database, a disk, a sleep
/// may still end, and a server that waits for events may have a reason not to look at its door.
pub fn stuck(
    findings: &Findings,
    owes: bool,
    is_ours: impl Fn(SocketAddr) -> bool,
) -> Option<Stuck> {
    let waits = |queue: &super::AcceptQueue| queue.waiting > 0;
    let queue = findings.door.queue.known().and_then(Option::as_ref);
    let somebody_waits = queue.is_some_and(waits);
    if (owes || somebody_waits)
        && let Some((waits, told)) = locked_in(findings)
    {
        let on = On::Itself;
        return Some(Stuck { waits, told, on });
    }
    if findings.truncated.is_some() || !findings.processes.iter().all(is_helpless) {
        return None;
    }
    let ours = |peer| is_ours(peer).then(String::new);
    let blamed = blame(findings, &ours)?;
    let thread = blamed
        .thread
        .filter(|_| blamed.is_conclusive(&findings.door))?;
    let reads_from_us =
        blamed.why == Why::Reading && thread.tcp().is_some_and(|row| is_ours(row.peer));
    if !(somebody_waits || reads_from_us) || !is_shut(&blamed, thread) {
        return None;
    }
    Some(Stuck {
        waits: vec![Wait::of(thread)?],
        told: told(&blamed, thread),
        on: On::Peer,
    })
}

/// Whether none of its threads could take a connection, now or when something happens.
fn is_helpless(process: &super::Process) -> bool {
    !process.threads.is_empty() && process.threads.iter().all(is_elsewhere)
}

fn is_elsewhere(thread: &Thread) -> bool {
    let waits_for = thread.syscall().map(|syscall| syscall.waits_for);
    match waits_for {
        None | Some(WaitKind::Accept | WaitKind::Poll | WaitKind::Other) => false,
        Some(_) => thread.movement == Movement::Still,
    }
}

/// Whether the connection is as such a wait leaves it: nothing to read, or no room to write.
fn is_shut(blamed: &Blame<'_>, thread: &Thread) -> bool {
    let socket = thread.descriptor.as_ref();
    let socket = socket.and_then(|it| it.socket.as_ref());
    match (blamed.why, socket.and_then(Seen::known)) {
        (Why::Reading, Some(SocketRow::Tcp(row))) => row.unread == 0,
        (Why::Writing, Some(SocketRow::Tcp(row))) => row.unsent > 0,
        (Why::Reading | Why::Writing, Some(SocketRow::Unix(_))) => true,
        _ => false,
    }
}

fn told(blamed: &Blame<'_>, thread: &Thread) -> String {
    let does = match blamed.why {
        Why::Writing => "writes to a client that takes nothing",
        _ => "reads from a client that sends nothing",
    };
    let peer = thread
        .tcp()
        .map_or_else(String::new, |row| format!(" ({})", row.peer));
    format!(
        "thread {} {does}{peer}, and no other thread serves anybody",
        thread.tid
    )
}

#[cfg(test)]
mod tests {
    use super::super::scene::{self, call, thread};
    use super::super::sockets::AcceptQueue;
    use super::super::syscall::Call;
    use super::*;

    fn reader() -> Thread {
        scene::on_socket(thread(100, call("read", 5)), scene::client())
    }

    fn writer() -> Thread {
        let mut row = scene::client();
        row.unsent = 2_500_000;
        scene::on_socket(thread(100, call("write", 7)), row)
    }

    fn found(threads: Vec<Thread>, waiting: u32, ours: bool) -> Option<Stuck> {
        let mut findings = scene::findings(threads);
        findings.door.queue = Seen::Known(Some(AcceptQueue {
            waiting,
            limit: None,
        }));
        stuck(&findings, false, |_| ours)
    }

    #[test]
    fn one_that_blocks_on_a_client_while_others_wait_is_stuck() {
        assert!(found(vec![reader()], 1, false).is_some());
        let told = found(vec![writer()], 1, false).unwrap().told;
        assert!(told.contains("takes nothing (127.0.0.1:51234)"), "{told}");
    }

    #[test]
    fn where_nobody_waits_it_may_have_nothing_else_to_do() {
        assert_eq!(found(vec![reader()], 0, false), None);
        assert_eq!(found(vec![writer()], 0, true), None);
        let waits_for_more = found(vec![reader()], 0, true);
        assert!(waits_for_more.is_some(), "our request was all there is");
    }

    #[test]
    fn another_thread_that_may_serve_them_is_a_reason_to_wait() {
        for other in ["accept4", "epoll_wait", "poll"] {
            let threads = vec![reader(), thread(101, call(other, 3))];
            assert_eq!(found(threads, 1, false), None, "{other}");
        }
        assert_eq!(found(vec![reader(), scene::spinning(101)], 1, false), None);
        let helpless = vec![reader(), thread(101, call("futex", 0))];
        assert!(found(helpless, 1, false).is_some());
    }

    #[test]
    fn who_is_locked_in_is_stuck_where_somebody_waits_for_it() {
        let of = |owes, waiting| {
            let mut locked = thread(100, call("futex", 0));
            if let Seen::Known(Call::Inside(call)) = &mut locked.call {
                call.arguments = [0x7f00, 128, 2, 0, 0, 0];
            }
            let mut findings = scene::findings(vec![locked]);
            findings.door.queue = Seen::Known(Some(AcceptQueue {
                waiting,
                limit: None,
            }));
            stuck(&findings, owes, |_| false).is_some()
        };
        assert!(of(true, 0) && of(false, 1));
        assert!(!of(false, 0), "nobody asked it anything");
    }

    #[test]
    fn what_may_end_by_itself_is_no_proof() {
        for slow in ["nanosleep", "futex", "wait4", "connect"] {
            assert_eq!(found(vec![thread(100, call(slow, 0))], 1, false), None);
        }
        let mut to_database = scene::client();
        to_database.local.set_port(40_000);
        let threads = vec![scene::on_socket(thread(100, call("read", 5)), to_database)];
        assert_eq!(found(threads, 1, false), None);
        let mut moving = reader();
        moving.movement = Movement::Moved;
        assert_eq!(found(vec![moving], 1, false), None);
        let mut unread = scene::client();
        unread.unread = 1;
        let threads = vec![scene::on_socket(thread(100, call("read", 5)), unread)];
        assert_eq!(found(threads, 1, false), None, "it is about to wake");
    }

    #[test]
    fn what_was_not_seen_is_no_proof() {
        let hidden = thread(101, Seen::Hidden("denied".into()));
        assert_eq!(found(vec![reader(), hidden], 1, false), None);
    }

    #[test]
    fn a_wait_goes_on_while_its_thread_has_no_turn() {
        let at = |turns| {
            let mut reader = reader();
            reader.turns = turns;
            found(vec![reader], 1, false).unwrap()
        };
        assert!(at(Some(3)).goes_on(&at(Some(3))));
        assert!(!at(Some(3)).goes_on(&at(Some(4))));
        assert!(!at(None).goes_on(&at(None)), "nobody can tell");
    }
}
