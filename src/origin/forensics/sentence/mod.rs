//! The findings in one sentence that a person can act on. Pure.

mod words;

use std::fmt::Write;
use std::net::SocketAddr;
use std::time::Duration;

use super::blame::{Blame, Why, blame};
use super::findings::{Findings, Process};
use super::seen::Seen;
use super::thread::{Movement, Thread};
use words::{behind, hint, meaning, span, tcp};

/// Says what holds the origin up. `held` is how long nothing has moved, as seen from outside; `story` tells what the
/// origin is doing for the peer at an address ("it serves GET /big.bin from exchange 5512"), where that is known.
pub fn sentence(
    findings: &Findings,
    held: Duration,
    story: impl Fn(SocketAddr) -> Option<String>,
) -> String {
    let Some(blamed) = blame(findings, &story) else {
        return format!("nothing could be seen of process {}", findings.root);
    };
    let mut said = match blamed.thread {
        Some(thread) => of_thread(&blamed, thread, findings, held),
        None => of_process(&blamed),
    };
    if let Some(told) = blamed
        .thread
        .and_then(Thread::tcp)
        .and_then(|row| story(row.peer))
    {
        said += "; ";
        said += &told;
    }
    said += &alike(&blamed);
    said += &at_the_door(findings);
    said
}

fn of_process(blamed: &Blame<'_>) -> String {
    let process = blamed.process;
    let name = name(process);
    let tracer = process.vital.tracer.known().copied().flatten();
    match (blamed.why, tracer) {
        (Why::Gone, _) => format!(
            "process {} is gone, or /proc hides it from this program (hidepid)",
            process.pid
        ),
        (Why::Exited, _) => format!("{name} has exited and waits to be reaped (state Z)"),
        (Why::Stopped | Why::Traced, Some(tracer)) => {
            format!("{name} is stopped under the debugger with process number {tracer}")
        }
        (Why::Traced, None) => format!("{name} is stopped by a debugger (state t)"),
        (Why::Stopped, None) => {
            let tracer = match process.vital.tracer {
                Seen::Known(_) => "no tracer",
                Seen::Hidden(_) => "a tracer could not be ruled out",
            };
            format!("{name} is stopped (state T, {tracer}): someone sent it SIGSTOP")
        }
        _ => {
            let why = process
                .vital
                .state
                .hidden()
                .unwrap_or("none of its threads could be seen");
            format!("nothing is known of what {name} does: {why}")
        }
    }
}

fn of_thread(blamed: &Blame<'_>, thread: &Thread, findings: &Findings, held: Duration) -> String {
    let who = format!("thread {} of {}", thread.tid, comm(blamed.process));
    match blamed.why {
        Why::Spinning => {
            let share = thread
                .cpu_between
                .known()
                .map_or(0.0, |used| used.div_duration_f64(findings.gap) * 100.0);
            // Samples are not of one instant: a share may come out a little above the whole.
            return format!(
                "{who} is running, in no system call, and used {:.0} % of a core between two samples",
                share.min(100.0)
            );
        }
        Why::Running => {
            return format!(
                "{who} was running, but used little of a core between two samples: busy, or short of processor time"
            );
        }
        _ => {}
    }
    let still = thread.movement == Movement::Still;
    let Some(call) = thread.syscall() else {
        return asleep(&who, blamed, thread, findings);
    };
    let place = match call.descriptor {
        Some(number) => format!("{}({number})", call.name),
        None => call.name.to_string(),
    };
    let mut said = match thread.movement {
        Movement::Still => format!("{who} has been in {place} for {}", span(held)),
        Movement::Moved => {
            format!("{who} is in {place} again and again, it moved between two samples")
        }
        Movement::Unknown => format!("{who} is in {place}"),
    };
    if let Some(descriptor) = &thread.descriptor {
        let _ = write!(said, ": {}", behind(descriptor, blamed.why));
    }
    if still {
        said += meaning(blamed.why, call);
    }
    if blamed.why == Why::DiskWait {
        said += "; uninterruptible (state D): it waits for a disk or a network file system, and no signal reaches it";
    }
    said
}

fn asleep(who: &str, blamed: &Blame<'_>, thread: &Thread, findings: &Findings) -> String {
    let state = thread
        .state
        .known()
        .map_or_else(|| "in an unknown state".to_owned(), ToString::to_string);
    let mut said = format!("{who} is {state}");
    if let Some(Some(function)) = thread.wait_channel.known() {
        let _ = write!(said, " in the kernel's {function}{}", hint(function));
    }
    if thread.movement == Movement::Still {
        said += " and did not wake between two samples";
    }
    match &thread.call {
        Seen::Hidden(why) => {
            let _ = write!(said, "; its system call could not be read: {why}");
        }
        Seen::Known(_) => {
            said += ", in no system call: it may wait for memory to be read from disk"
        }
    }
    // The tables are open to everybody, so there is a clue even where the process is not.
    if blamed.why == Why::Unseen
        && let Some(fullest) = findings.door.fullest.known().and_then(|rows| rows.first())
    {
        let _ = write!(
            said,
            "; the fullest connection at its door is {}",
            tcp(fullest, blamed.why)
        );
    }
    said
}

fn alike(blamed: &Blame<'_>) -> String {
    let Some(call) = blamed.thread.and_then(Thread::syscall) else {
        return String::new();
    };
    let same = |thread: &&Thread| {
        thread
            .syscall()
            .is_some_and(|other| other.name == call.name)
    };
    match blamed.process.threads.iter().filter(same).count() {
        0 | 1 => String::new(),
        2 => format!("; 1 other thread of it is in {} too", call.name),
        many => format!(
            "; {} other threads of it are in {} too",
            many - 1,
            call.name
        ),
    }
}

fn at_the_door(findings: &Findings) -> String {
    match findings.door.queue {
        Seen::Known(None) => format!("; nobody listens on {}", findings.door.at),
        Seen::Known(Some(queue)) if queue.waiting > 0 => {
            let limit = queue
                .limit
                .map_or_else(String::new, |limit| format!(" (at most {limit} may)"));
            let verb = if queue.waiting == 1 {
                "connection waits"
            } else {
                "connections wait"
            };
            format!("; {} {verb} to be accepted{limit}", queue.waiting)
        }
        _ => String::new(),
    }
}

fn name(process: &Process) -> String {
    match &process.vital.comm {
        Seen::Known(comm) => format!("process {} ({comm})", process.pid),
        Seen::Hidden(_) => format!("process {}", process.pid),
    }
}

fn comm(process: &Process) -> String {
    process
        .vital
        .comm
        .known()
        .cloned()
        .unwrap_or_else(|| format!("process {}", process.pid))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::origin::forensics::scene::{self, call, thread};
    use crate::origin::forensics::sockets::AcceptQueue;
    use crate::origin::forensics::stat::RunState;
    use crate::origin::pid::Pid;

    const HELD: Duration = Duration::from_millis(28_900);

    fn told(threads: Vec<Thread>) -> String {
        sentence(&scene::findings(threads), HELD, |_| None)
    }

    #[test]
    fn a_blocked_writer_is_told_with_its_peer_and_its_request() {
        let mut row = scene::client();
        row.unsent = 2_500_000;
        let findings = scene::findings(vec![scene::on_socket(thread(100, call("write", 7)), row)]);
        assert_eq!(
            sentence(&findings, HELD, |peer| (peer.port() == 51234)
                .then(|| "it serves GET /big.bin from exchange 5512".into())),
            "thread 100 of goahead has been in write(7) for 28.9 s: socket 127.0.0.1:8080 to 127.0.0.1:51234, \
             ESTABLISHED, 2.5 MB unsent; the other end does not read; it serves GET /big.bin from exchange 5512"
        );
    }

    #[test]
    fn a_blocked_reader_is_told_with_how_long_its_peer_is_silent() {
        let mut row = scene::client();
        row.traffic = Some(scene::traffic(512, Duration::from_millis(29_100)));
        assert_eq!(
            told(vec![scene::on_socket(thread(100, call("read", 4)), row)]),
            "thread 100 of goahead has been in read(4) for 28.9 s: socket 127.0.0.1:8080 to 127.0.0.1:51234, \
             ESTABLISHED, nothing to read, last data 29.1 s ago; the other end sends nothing"
        );
    }

    #[test]
    fn a_peer_that_never_said_a_word_is_told_as_such() {
        let mut row = scene::client();
        row.traffic = Some(scene::traffic(0, Duration::from_secs(300)));
        let told = told(vec![scene::on_socket(
            thread(100, call("recvfrom", 4)),
            row,
        )]);
        assert!(
            told.contains("nothing to read, no data ever, open for 5 min; the other end"),
            "{told}"
        );
    }

    #[test]
    fn a_stopped_process_is_told_with_its_likely_cause() {
        let mut findings = scene::findings(vec![]);
        findings.processes[0].vital.state = Seen::Known(RunState::Stopped);
        assert_eq!(
            sentence(&findings, HELD, |_| None),
            "process 100 (goahead) is stopped (state T, no tracer): someone sent it SIGSTOP"
        );
        findings.processes[0].vital.tracer = Seen::Known(Pid::new(555));
        assert_eq!(
            sentence(&findings, HELD, |_| None),
            "process 100 (goahead) is stopped under the debugger with process number 555"
        );
    }

    #[test]
    fn a_lock_is_told_with_how_many_wait_alike() {
        assert_eq!(
            told(vec![
                thread(100, call("futex", 0)),
                thread(101, call("futex", 0)),
                thread(102, call("futex", 0))
            ]),
            "thread 100 of goahead has been in futex for 28.9 s; it waits for a lock (futex) that another thread holds, \
             or for work; 2 other threads of it are in futex too"
        );
    }

    #[test]
    fn a_spinning_thread_is_told_with_its_share_of_a_core() {
        assert_eq!(
            told(vec![scene::spinning(100)]),
            "thread 100 of goahead is running, in no system call, and used 99 % of a core between two samples"
        );
    }

    #[test]
    fn idleness_with_a_crowd_at_the_door_names_the_crowd() {
        let mut findings = scene::findings(vec![thread(100, call("epoll_wait", 3))]);
        findings.door.queue = Seen::Known(Some(AcceptQueue {
            waiting: 3,
            limit: Some(128),
        }));
        assert_eq!(
            sentence(&findings, HELD, |_| None),
            "thread 100 of goahead has been in epoll_wait(3) for 28.9 s; it waits for events, as an idle server does; \
             3 connections wait to be accepted (at most 128 may)"
        );
        findings.door.queue = Seen::Known(None);
        assert!(
            sentence(&findings, HELD, |_| None).ends_with("; nobody listens on 127.0.0.1:8080")
        );
    }

    #[test]
    fn a_thread_that_moves_is_not_said_to_have_been_there_all_along() {
        let mut one = scene::on_socket(thread(100, call("write", 7)), scene::client());
        one.movement = Movement::Moved;
        let told = told(vec![one]);
        assert!(
            told.starts_with("thread 100 of goahead is in write(7) again and again"),
            "{told}"
        );
        assert!(!told.contains("28.9"), "{told}");
    }

    #[test]
    fn a_hidden_call_leaves_the_kernel_function_and_the_fullest_connection() {
        let mut one = thread(
            100,
            Seen::Hidden("/proc/100/task/100/syscall: not permitted".into()),
        );
        one.wait_channel = Seen::Known(Some("sk_stream_wait_memory".into()));
        let mut findings = scene::findings(vec![one]);
        let mut row = scene::client();
        row.unsent = 1_200;
        findings.door.fullest = Seen::Known(vec![row]);
        assert_eq!(
            sentence(&findings, HELD, |_| None),
            "thread 100 of goahead is asleep (state S) in the kernel's sk_stream_wait_memory (a socket whose peer does not \
             read) and did not wake between two samples; its system call could not be read: /proc/100/task/100/syscall: not permitted; the fullest connection at \
             its door is 127.0.0.1:8080 to 127.0.0.1:51234, ESTABLISHED, 1.2 kB unsent"
        );
    }

    #[test]
    fn a_process_that_is_gone_is_told_as_gone() {
        let mut findings = scene::findings(vec![]);
        findings.processes[0].vital.state = Seen::Hidden("/proc/100/stat: no longer there".into());
        assert_eq!(
            sentence(&findings, HELD, |_| None),
            "process 100 is gone, or /proc hides it from this program (hidepid)"
        );
    }
}
