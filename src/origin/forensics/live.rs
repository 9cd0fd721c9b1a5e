//! The room against real processes: each test holds a child in one kind of wait and asks what is seen.

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::captive::{Captive, wait_until};
use super::*;
use crate::origin::pid::Pid;

fn locked(findings: &Findings) -> usize {
    let in_futex = |thread: &&Thread| thread.syscall().is_some_and(|call| call.name == "futex");
    findings.processes[0]
        .threads
        .iter()
        .filter(in_futex)
        .count()
}

fn nowhere() -> Listening {
    Listening::Unix("/nowhere/at/all.sock".into())
}

fn look(captive: &Captive, at: &Listening) -> Findings {
    examine(
        &Seen::Known(captive.pid()),
        at,
        Instant::now() + Duration::from_secs(5),
    )
}

fn blamed_call(findings: &Findings) -> Option<&Syscall> {
    blame(findings, &|_| None)?.thread?.syscall()
}

fn why(findings: &Findings) -> Option<Why> {
    blame(findings, &|_| None).map(|blame| blame.why)
}

fn told(findings: &Findings) -> String {
    let told = sentence(findings, Duration::from_secs(3), |_| None);
    println!("{told}");
    told
}

/// Waits until the child has settled in the call `name`.
fn settled(captive: &Captive, name: &str) {
    wait_until(&format!("it is in {name}"), || {
        blamed_call(&look(captive, &nowhere())).is_some_and(|call| call.name == name)
    });
}

#[test]
fn a_sleeper_is_seen_asleep_by_its_own_will() {
    let captive = Captive::start("sleep", &["60"]);
    settled(&captive, "clock_nanosleep");
    let findings = look(&captive, &nowhere());
    assert_eq!(why(&findings), Some(Why::Asleep));
    assert_eq!(findings.processes[0].threads[0].movement, Movement::Still);
    assert!(told(&findings).contains("of sleep has been in clock_nanosleep for 3.0 s"));
    assert_eq!(findings.truncated, None);
    assert!(
        findings.gap >= Duration::from_millis(100),
        "{:?}",
        findings.gap
    );
}

#[test]
fn a_reader_of_an_empty_pipe_is_seen_with_its_pipe() {
    let captive = Captive::start("cat", &[]);
    settled(&captive, "read");
    let findings = look(&captive, &nowhere());
    assert_eq!(why(&findings), Some(Why::ReadingPipe));
    let descriptor = findings.processes[0].threads[0]
        .descriptor
        .clone()
        .expect("read has one");
    assert_eq!(descriptor.number, 0);
    assert!(
        matches!(descriptor.link, Seen::Known(Link::Pipe { .. })),
        "{descriptor:?}"
    );
    assert!(told(&findings).contains("read(0) for 3.0 s: pipe "));
}

#[test]
fn a_writer_to_a_full_pipe_is_seen_writing() {
    let captive = Captive::start("cat", &["/dev/zero"]);
    settled(&captive, "write");
    let findings = look(&captive, &nowhere());
    assert_eq!(why(&findings), Some(Why::Writing));
    assert!(told(&findings).contains("write(1)"));
}

#[test]
fn a_busy_loop_is_seen_burning_a_core() {
    let captive = Captive::start("sh", &["-c", "while :; do :; done"]);
    // On a crowded machine it gets less than half a core in one look, but not in every one.
    wait_until("it spins", || {
        why(&look(&captive, &nowhere())) == Some(Why::Spinning)
    });
    let seen = vital(captive.pid());
    assert_eq!(seen.state, Seen::Known(RunState::Running));
    assert!(seen.cpu.known().is_some_and(|&cpu| cpu > Duration::ZERO));
}

#[test]
fn a_stopped_process_is_seen_stopped_and_by_no_debugger() {
    let captive = Captive::start("sleep", &["60"]);
    captive.signal(Signal::STOP);
    captive.until(RunState::Stopped);
    let findings = look(&captive, &nowhere());
    assert_eq!(why(&findings), Some(Why::Stopped));
    let wanted = format!(
        "process {} (sleep) is stopped (state T, no tracer): a stop signal was sent to it, by whom is not known",
        captive.pid()
    );
    assert!(told(&findings).starts_with(&wanted));
}

#[test]
fn the_child_of_a_shell_is_blamed_and_not_the_shell() {
    let captive = Captive::start("sh", &["-c", "cat; :"]);
    settled(&captive, "read");
    let findings = look(&captive, &nowhere());
    assert_eq!(findings.processes.len(), 2, "{findings:?}");
    let blamed = blame(&findings, &|_| None).expect("there are two processes");
    assert_ne!(blamed.process.pid, captive.pid());
    assert_eq!(blamed.process.vital.comm, Seen::Known("cat".into()));
    assert_eq!(
        descendants(captive.pid(), Instant::now() + Duration::from_secs(5)).len(),
        2
    );
}

#[test]
fn a_process_that_exited_and_one_that_is_gone_are_told_apart() {
    let mut captive = Captive::start("true", &[]);
    captive.until(RunState::Zombie);
    assert!(
        told(&look(&captive, &nowhere())).contains("has exited and waits to be reaped (state Z)")
    );
    captive.0.wait().expect("it exited");
    assert_eq!(why(&look(&captive, &nowhere())), Some(Why::Gone));
}

/// A server in Python that accepts one connection and then does `then` with it; `None` where there is no Python.
fn server(then: &str) -> Option<(Captive, SocketAddr)> {
    if Command::new("python3").arg("--version").output().is_err() {
        println!("skipped: this machine has no python3 to play the origin");
        return None;
    }
    let script = format!(
        "import socket\ns=socket.create_server(('127.0.0.1',0))\nprint(s.getsockname()[1],flush=True)\nc,_=s.accept()\n{then}"
    );
    let mut captive = Captive::start("python3", &["-c", &script]);
    let mut port = String::new();
    BufReader::new(captive.0.stdout.as_mut()?)
        .read_line(&mut port)
        .expect("it prints its port");
    let port: u16 = port.trim().parse().expect("a port");
    Some((captive, SocketAddr::from(([127, 0, 0, 1], port))))
}

#[test]
fn a_server_reading_from_a_silent_client_is_seen_with_that_client() {
    let Some((captive, at)) = server("c.recv(1)") else {
        return;
    };
    let client = TcpStream::connect(at).expect("it listens");
    let _queued = TcpStream::connect(at).expect("the kernel accepts");
    settled(&captive, "recvfrom");
    let at = Listening::Tcp(at);
    let findings = look(&captive, &at);
    assert_eq!(why(&findings), Some(Why::Reading));
    assert!(blame(&findings, &|_| None).is_some_and(|blame| blame.is_conclusive(&findings.door)));
    let peer = client.local_addr().expect("bound");
    let told = sentence(&findings, Duration::from_secs(3), |addr| {
        (addr == peer).then(|| "it serves GET /".into())
    });
    println!("{told}");
    assert!(
        told.contains(&format!(
            "{at} to {peer}, ESTABLISHED, nothing to read, no data ever"
        )),
        "{told}"
    );
    assert!(
        told.contains("; it serves GET /; 1 connection waits to be accepted"),
        "{told}"
    );
    assert_eq!(
        findings.processes[0]
            .sockets
            .known()
            .and_then(|counts| counts.get(&TcpState::Established)),
        Some(&1)
    );
    assert_eq!(
        findings
            .door
            .by_state
            .known()
            .and_then(|counts| counts.get(&TcpState::Established)),
        Some(&2)
    );
}

#[test]
fn a_server_writing_to_a_client_that_does_not_read_is_seen_with_the_bytes_unsent() {
    let Some((captive, at)) = server("c.sendall(bytes(50_000_000))") else {
        return;
    };
    let mut client = TcpStream::connect(at).expect("it listens");
    settled(&captive, "sendto");
    let findings = look(&captive, &Listening::Tcp(at));
    assert_eq!(why(&findings), Some(Why::Writing));
    assert!(told(&findings).contains("MiB unsent; the other end does not read"));
    assert!(
        findings
            .door
            .fullest
            .known()
            .is_some_and(|rows| rows[0].unsent > 100_000),
        "{:?}",
        findings.door
    );
    client
        .read_exact(&mut [0; 1000])
        .expect("it sent more than that");
}

#[test]
fn a_heap_of_close_wait_is_counted() {
    let Some((captive, at)) = server("d,_=s.accept()\ne,_=s.accept()\ninput()") else {
        return;
    };
    drop(
        (0..3)
            .map(|_| TcpStream::connect(at).expect("it listens"))
            .collect::<Vec<_>>(),
    );
    wait_until("three of its sockets are in CLOSE_WAIT", || {
        by_state(captive.pid())
            .known()
            .is_some_and(|counts| counts.get(&TcpState::CloseWait) == Some(&3))
    });
}

#[test]
fn past_its_deadline_the_look_is_short_and_says_what_it_left_out() {
    let captive = Captive::start("sleep", &["60"]);
    let late = || {
        let began = Instant::now();
        let findings = examine(&Seen::Known(captive.pid()), &nowhere(), began);
        (began.elapsed() < Duration::from_millis(90)).then_some(findings)
    };
    // On a crowded machine any one look may be held up.
    let findings = (0..10)
        .find_map(|_| late())
        .expect("no time is taken for a second look");
    let left_out = findings.truncated.expect("something was left out");
    assert!(left_out.contains("socket tables"), "{left_out}");
    assert_eq!(
        findings.processes[0].threads.len(),
        1,
        "the first thread is told even so"
    );
}

#[test]
fn a_look_at_our_own_many_threads_is_complete_and_serialises() {
    let own = Pid::own().expect("a number");
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let at = Listening::Tcp(listener.local_addr().expect("bound"));
    let (stay, stop) = (std::sync::Barrier::new(51), std::sync::Barrier::new(51));
    std::thread::scope(|scope| {
        for _ in 0..50 {
            scope.spawn(|| (stay.wait(), stop.wait()));
        }
        stay.wait();
        let look = || {
            examine(
                &Seen::Known(own),
                &at,
                Instant::now() + Duration::from_secs(5),
            )
        };
        // Not asserted before they are let go: a panic here would leave them waiting for ever. On a crowded machine
        // some have not reached their wait at the first look.
        let findings = (0..20).map(|_| look()).find(|seen| locked(seen) >= 50);
        stop.wait();
        let findings = findings.expect("fifty threads wait for a lock");
        let ours = &findings.processes[0];
        assert_eq!(ours.threads[0].tid, own, "the first thread comes first");
        let json = serde_json::to_value(&findings).expect("plain data");
        assert_eq!(json["root"], own.number());
        assert!(
            json["processes"][0]["threads"][0]["call"].is_object()
                || json["processes"][0]["threads"][0]["call"].is_string()
        );
    });
}
