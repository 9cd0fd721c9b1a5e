//! Each plight in its words.

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
         ESTABLISHED, 2.4 MiB unsent; the other end does not read; it serves GET /big.bin from exchange 5512"
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
        "process 100 (goahead) is stopped (state T, no tracer): a stop signal was sent to it, by whom is not known"
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
    let told = sentence(&findings, HELD, |_| None);
    let shut = "nobody listens on 127.0.0.1:8080, though process 100 (goahead) runs; thread 100 ";
    assert!(told.starts_with(shut), "{told}");
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
         its door is 127.0.0.1:8080 to 127.0.0.1:51234, ESTABLISHED, 1.2 KiB unsent"
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

#[test]
fn a_connection_of_its_own_is_told_from_a_client_s() {
    let mut row = scene::client();
    row.local.set_port(40_000);
    row.peer.set_port(3306);
    let told = told(vec![scene::on_socket(thread(100, call("read", 5)), row)]);
    let wanted = "127.0.0.1:3306, ESTABLISHED, nothing to read, a connection of its own and no client's; the other end";
    assert!(told.contains(wanted), "{told}");
}

#[test]
fn a_child_is_told_with_its_parent() {
    let mut findings = scene::findings(vec![thread(100, call("wait4", 0))]);
    let worker = scene::process(200, vec![thread(200, call("nanosleep", 0))]);
    findings.processes.push(worker);
    assert_eq!(
        sentence(&findings, HELD, |_| None),
        "thread 200 of goahead (a child process of process 100 (goahead)) has been in nanosleep for 28.9 s; \
         it sleeps, as its own code told it to"
    );
}

#[test]
fn a_freeze_is_not_taken_for_the_call_it_caught_the_threads_in() {
    let mut one = thread(100, call("accept4", 3));
    one.wait_channel = Seen::Known(Some("do_freezer_trap".into()));
    assert_eq!(
        told(vec![one]),
        "process 100 (goahead) is frozen by its control group: someone paused its service or container"
    );
}

#[test]
fn a_file_that_is_not_open_yet_is_told_by_what_the_kernel_does_for_it() {
    let mut one = thread(100, call("openat", 0));
    one.wait_channel = Seen::Known(Some("wait_for_partner".into()));
    assert_eq!(
        told(vec![one]),
        "thread 100 of goahead has been in openat (a FIFO that nobody has opened at its other end) for 28.9 s; \
         it waits for a file or a file system"
    );
}
