//! Restarting does not help: clients are told clearly and honestly, somebody is told once, and the machine is not kept busy.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::house::{DUE, configuration};
use crate::support::process::Running;
use crate::support::{Leeward, ailing, free_port, h1};

/// An origin that exits at its start for as long as there is no such file.
fn missing(file: &Path) -> [String; 3] {
    let ailing = ailing().display().to_string();
    let script = format!(
        "test -e {} && exec {ailing} --listen \"$0\"; exit 3",
        file.display()
    );
    ["sh".to_owned(), "-c".to_owned(), script]
}

fn wait_lines(file: &Path, count: usize) -> Vec<String> {
    let until = Instant::now() + DUE;
    loop {
        let text = fs::read_to_string(file).unwrap_or_default();
        let lines: Vec<_> = text.lines().map(str::to_owned).collect();
        if lines.len() >= count {
            return lines;
        }
        assert!(Instant::now() < until, "{count} lines are due: {lines:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn somebody_is_told_when_restarting_does_not_help_and_when_it_has_helped_at_last() {
    let home = tempfile::tempdir().expect("a directory");
    let (there, told) = (home.path().join("there"), home.path().join("told"));
    let mut command = missing(&there).to_vec();
    command.push("{address}".to_owned());
    let tell = format!(
        "echo \"$LEEWARD_STEP|$LEEWARD_VERDICT|$LEEWARD_FILE|$LEEWARD_SENTENCE\" >> {}",
        told.display()
    );
    let more = format!(
        "[restart]\nbackoff = \"20ms\"\ndegraded_after = 3\ndegraded_every = \"300ms\"\n\
         [hooks]\non_degraded = [\"sh\", \"-c\", {tell:?}]\n"
    );
    let leeward = Leeward::start(&configuration(&command, free_port(), &more));
    leeward.wait_log_nth("origin started", 6, DUE);
    fs::write(&there, "").expect("what was missing");
    let lines = wait_lines(&told, 2);
    let [degraded, recovered] = &lines[..] else {
        panic!("told more than once: {lines:#?}");
    };
    let parts: Vec<_> = degraded.splitn(4, '|').collect();
    assert_eq!(parts[..2], ["degraded", "exited"]);
    assert!(Path::new(parts[2]).exists(), "{degraded}");
    for part in [
        "3 restarts within 600s",
        "each 300ms",
        "its last start failed: it exited with 3",
    ] {
        assert!(parts[3].contains(part), "{part:?}: {degraded}");
    }
    assert!(recovered.starts_with("recovered|"), "{recovered}");
    assert!(recovered.contains("it has served for 300ms again"));
    leeward.wait_log("restarting does not help", DUE);
}

/// Leeward behind a service manager of ours.
struct Told {
    _home: tempfile::TempDir,
    socket: UnixDatagram,
    running: Running,
}

fn notified(command: &[String], more: &str) -> Told {
    let home = tempfile::tempdir().expect("a directory");
    let path = home.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    let text = configuration(command, free_port(), more);
    let text = text.replace("@DIR@", &home.path().display().to_string());
    let file = home.path().join("leeward.toml");
    fs::write(&file, text).expect("the configuration");
    let mut command = Command::new(env!("CARGO_BIN_EXE_leeward"));
    command.args(["run", "--config"]).arg(&file);
    command
        .env("NOTIFY_SOCKET", &path)
        .env("RUNTIME_DIRECTORY", home.path())
        .env_remove("WATCHDOG_USEC");
    let running = Running::start(&mut command);
    Told {
        _home: home,
        socket,
        running,
    }
}

impl Told {
    /// How often this was said within the time.
    fn count(&self, wanted: &str, within: Duration) -> usize {
        let until = Instant::now() + within;
        let mut message = [0; 4096];
        let mut count = 0;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return count;
            }
            let patience = left.max(Duration::from_millis(1));
            self.socket
                .set_read_timeout(Some(patience))
                .expect("a timeout");
            if let Ok(length) = self.socket.recv(&mut message) {
                let text = String::from_utf8_lossy(&message[..length]);
                count += usize::from(text.lines().any(|line| line == wanted));
            }
        }
    }
}

#[test]
fn after_long_enough_the_service_manager_is_told_once_that_nothing_helps() {
    let never = ["/no/such/program".to_owned()];
    let quick = "backoff = \"20ms\"\ndegraded_after = 2\ndegraded_every = \"100ms\"\n";
    let limit = "degraded_watchdog = \"1s\"\n";
    let short = Duration::from_millis(900);
    let (with, without) = std::thread::scope(|scope| {
        let with = scope.spawn(|| {
            let told = notified(&never, &format!("[restart]\n{quick}{limit}"));
            let begun = told
                .running
                .stderr
                .wait("restarting does not help", DUE)
                .map(|_| Instant::now())
                .expect("it is degraded");
            let early = told.count(
                "WATCHDOG=trigger",
                short.saturating_sub(begun.elapsed()).min(short),
            );
            let after = told.count("WATCHDOG=trigger", Duration::from_millis(1500));
            let said = told.running.stderr.text();
            (early, after, said)
        });
        let without = scope.spawn(|| {
            let told = notified(&never, &format!("[restart]\n{quick}"));
            told.count("WATCHDOG=trigger", Duration::from_millis(2500))
        });
        (with.join().expect("one"), without.join().expect("another"))
    });
    let (early, after, said) = with;
    assert_eq!((early, after), (0, 1), "{said}");
    assert!(said.contains("should restarting not help for 1s (restart.degraded_watchdog)"));
    assert!(
        said.contains("restarting has not helped for 1s (restart.degraded_watchdog): the service")
    );
    assert_eq!(without, 0);
}

/// Clients are answered at once where a wait is in vain, and told when it is worth asking again.
const LOOP: &str = "[restart]\nbackoff = \"200ms\"\nbackoff_most = \"1500ms\"\n\
                    degraded_after = 5\ndegraded_every = \"1500ms\"\n\
                    [hold]\ntimeout = \"150ms\"\n[origin.deadlines]\nqueue = \"150ms\"\n";

/// Processor time that a process has used so far, of all its threads and none of its children.
fn processor_time(pid: u32) -> Duration {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("it runs");
    let nanoseconds = threads.flatten().filter_map(|thread| {
        let times = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        times.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanoseconds.sum())
}

/// Lives through a crash loop of this command; returns the waits that clients were told, and the share of a processor that
/// Leeward itself took.
fn crash_loop(command: &[String]) -> (Vec<u64>, f64) {
    let leeward = Leeward::start(&configuration(command, free_port(), LOOP));
    let (begun, before) = (Instant::now(), processor_time(leeward.pid()));
    let starts = || leeward.stderr().matches("origin started").count();
    let mut waits = Vec::new();
    for nth in [3, 5, 7] {
        // It has ended, and its next start is some time off.
        leeward.wait_log_nth(": origin exited with", nth, DUE);
        std::thread::sleep(Duration::from_millis(50));
        let so_far = starts();
        let asked = Instant::now();
        let response = h1::get(leeward.edge(), "/", DUE).expect("an answer of ours");
        assert_eq!(response.status, 503, "{}", response.text());
        assert!(
            asked.elapsed() < Duration::from_secs(1),
            "{:?}",
            asked.elapsed()
        );
        assert!(response.text().contains("is being restarted"));
        let wait = response.header("retry-after").unwrap_or_default();
        let wait: u64 = wait.parse().expect("when to come again");
        std::thread::sleep(Duration::from_secs(wait).saturating_sub(asked.elapsed()));
        assert!(starts() > so_far, "nothing was tried within {wait} s");
        waits.push(wait);
    }
    let used = processor_time(leeward.pid()) - before;
    (waits, used.as_secs_f64() / begun.elapsed().as_secs_f64())
}

#[test]
fn a_crash_loop_costs_clients_a_clear_503_with_an_honest_wait_and_no_spinning_machine() {
    let ailing = ailing().display().to_string();
    let at_once = ["sh", "-c", "exit 3", "{address}"].map(str::to_owned);
    let soon = format!("{ailing} --listen \"$0\" & sleep 0.1; kill -9 $!; exit 3");
    let soon = ["sh", "-c", &soon, "{address}"].map(str::to_owned);
    std::thread::scope(|scope| {
        let loops = [("exits at once", at_once), ("exits after 100 ms", soon)];
        let loops = loops.map(|(name, command)| (name, scope.spawn(move || crash_loop(&command))));
        for (name, run) in loops {
            let (waits, share) = run.join().expect("it is lived through");
            println!(
                "| {name} | Retry-After {waits:?} | {:.1} % of a processor |",
                share * 100.0
            );
            // The longest wait and its spread, a second that a start is guessed to take, and rounding up.
            assert!(waits.iter().all(|wait| (1..=4).contains(wait)), "{waits:?}");
            assert!(share < 0.1, "{name}: {share}");
        }
    });
}
