//! Whether all threads of the origin wait for locks that only they could release. Pure.
//!
//! A lock of one process (`FUTEX_PRIVATE_FLAG`, futex(2)) is released by a thread of that process alone. Where each of its
//! threads waits for one and none of them by a timeout, nobody is left to do so but a signal handler; a server that was
//! asked something and waits for that is none we know of.

use super::findings::{Findings, Process};
use super::stuck::Wait;
use super::syscall::Syscall;
use super::thread::{Movement, Thread};

/// The commands of futex(2) that wait: FUTEX_WAIT, FUTEX_LOCK_PI, FUTEX_WAIT_BITSET, FUTEX_LOCK_PI2.
const WAITING: [u64; 4] = [0, 6, 9, 13];
/// Whose lock it is.
const PRIVATE: u64 = 128;
/// What may be beside the command: FUTEX_PRIVATE_FLAG and FUTEX_CLOCK_REALTIME.
const FLAGS: u64 = PRIVATE | 256;

/// The waits of all threads, and what is wrong in a few words, if they are locked in.
pub(super) fn locked_in(findings: &Findings) -> Option<(Vec<Wait>, String)> {
    let is_whole = findings.truncated.is_none() && !findings.processes.is_empty();
    if !is_whole || !findings.processes.iter().all(is_locked_in) {
        return None;
    }
    let threads = || findings.processes.iter().flat_map(|it| &it.threads);
    let waits = threads().map(Wait::of).collect::<Option<Vec<_>>>()?;
    let told = match waits.len() {
        1 => "its only thread waits for a lock that nobody else could release".to_owned(),
        many => format!("all of its {many} threads wait for locks that only they could release"),
    };
    Some((waits, told))
}

fn is_locked_in(process: &Process) -> bool {
    let waits = |thread: &Thread| lock(process, thread).is_some();
    let holds_itself = |thread: &Thread| lock(process, thread) == Some(Lock::Private);
    process.threads.iter().all(waits) && process.threads.iter().any(holds_itself)
}

/// For what a thread waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lock {
    /// A lock of its own process.
    Private,
    /// The first thread, for another one to end: the kernel wakes it then, as if it were another process
    /// (pthread_join(3)).
    Join,
}

fn lock(process: &Process, thread: &Thread) -> Option<Lock> {
    let call = thread.syscall().filter(|call| call.name == "futex")?;
    if thread.movement != Movement::Still || !waits_for_ever(call) {
        return None;
    }
    match call.arguments[1] & PRIVATE != 0 {
        true => Some(Lock::Private),
        false if thread.tid == process.pid => Some(Lock::Join),
        false => None,
    }
}

fn waits_for_ever(call: &Syscall) -> bool {
    let [_, operation, _, timeout, ..] = call.arguments;
    // Of a 64-bit register, the operation is an int in the lower half.
    let command = operation & 0xffff_ffff & !FLAGS;
    WAITING.contains(&command) && timeout == 0
}

#[cfg(test)]
mod tests {
    use super::super::Seen;
    use super::super::scene::{self, call, thread};
    use super::super::syscall::Call;
    use super::*;

    const WAIT_BITSET: u64 = 9;

    fn futex(tid: u32, operation: u64, timeout: u64) -> Thread {
        let mut one = thread(tid, call("futex", 0));
        if let Seen::Known(Call::Inside(call)) = &mut one.call {
            call.arguments = [0x7f00, operation, 2, timeout, 0, 0];
        }
        one
    }

    fn mutex(tid: u32) -> Thread {
        futex(tid, PRIVATE, 0)
    }

    fn is_locked_in(threads: Vec<Thread>) -> bool {
        locked_in(&scene::findings(threads)).is_some()
    }

    #[test]
    fn threads_that_wait_for_each_other_are_locked_in() {
        let join = || futex(100, WAIT_BITSET | 256, 0);
        for threads in [
            vec![mutex(100)],
            vec![mutex(100), futex(101, PRIVATE | WAIT_BITSET | 256, 0)],
            vec![join(), mutex(101), mutex(102)],
        ] {
            assert!(is_locked_in(threads.clone()), "{threads:?}");
        }
        let (waits, told) = locked_in(&scene::findings(vec![join(), mutex(101)])).unwrap();
        assert_eq!(waits.len(), 2);
        assert!(told.contains("all of its 2 threads"), "{told}");
    }

    #[test]
    fn whoever_may_be_woken_otherwise_is_not() {
        let mut moved = mutex(101);
        moved.movement = Movement::Moved;
        let hidden = thread(101, Seen::Hidden("denied".into()));
        for (other, why) in [
            (moved, "it has moved"),
            (hidden, "it could not be seen"),
            (futex(101, PRIVATE, 0x7ffe), "it has a timeout"),
            (futex(101, WAIT_BITSET, 0), "another process may hold it"),
            (futex(101, PRIVATE | 1, 0), "it wakes others"),
            (thread(101, call("epoll_wait", 3)), "it waits for events"),
            (thread(101, call("read", 3)), "it reads"),
            (thread(101, call("nanosleep", 0)), "it sleeps"),
        ] {
            assert!(!is_locked_in(vec![mutex(100), other]), "{why}");
        }
        assert!(
            !is_locked_in(vec![futex(100, WAIT_BITSET, 0)]),
            "shared, and alone"
        );
        assert!(!is_locked_in(Vec::new()));
        let mut truncated = scene::findings(vec![mutex(100)]);
        truncated.truncated = Some("some were left out".into());
        assert_eq!(locked_in(&truncated), None);
        let mut family = scene::findings(vec![mutex(100)]);
        family
            .processes
            .push(scene::process(200, vec![thread(200, call("accept4", 3))]));
        assert_eq!(locked_in(&family), None, "a child of it serves");
    }
}
