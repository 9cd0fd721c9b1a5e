//! What is outlived under systemd: a frozen origin, Leeward's own death, its own freeze, and a restart under load.

use std::time::{Duration, Instant};

use crate::crowd::during;
use crate::house::{CONFIG, DUE, ENABLE, entry, get, is_served, journal, machines, origin};
use crate::or_skip;
use crate::support::booted::Booted;

/// `WatchdogSec=` of the unit.
const WATCHDOG: Duration = Duration::from_secs(10);

/// All clients of a test come from one address.
fn open_to_all() -> String {
    let config = CONFIG.replacen("[origin]", "redirect = \"0.0.0.0:80\"\n[origin]", 1);
    format!("{config}[edge.limits]\nconnections_per_address = \"off\"\n")
}

fn main_pid(machine: &Booted) -> String {
    machine.property("leeward", "MainPID")
}

fn is_gone(machine: &Booted, pid: &str) -> bool {
    !machine
        .run(&format!("test -e /proc/{pid}"))
        .status
        .success()
}

#[test]
fn a_frozen_origin_serves_again_and_what_held_it_is_told() {
    for machine in &or_skip!(machines(CONFIG)) {
        machine.succeed(ENABLE);
        is_served(machine, 443);
        let (main, first) = (main_pid(machine), origin(machine));
        machine.succeed(&format!("kill -STOP {first}"));
        let frozen = Instant::now();
        is_served(machine, 443);
        assert!(
            frozen.elapsed() < Duration::from_secs(8),
            "{:?}",
            frozen.elapsed()
        );
        assert!(is_gone(machine, &first), "the frozen one lives on");
        assert_eq!(main_pid(machine), main);
        let told = entry(machine, "err", "is stopped");
        assert_eq!(
            (&told["PRIORITY"], &told["LEEWARD_VERDICT"]),
            (&"3".into(), &"stopped".into()),
            "{told:#}"
        );
        let file = told["LEEWARD_INCIDENT"].as_str().expect("an incident");
        let story = machine.succeed(&format!("cat /var/lib/leeward/incidents/{file}.json"));
        let story: serde_json::Value = serde_json::from_str(&story).expect("it is JSON");
        assert_eq!(story["pid"].to_string(), first, "{story:#}");
        // Each generation has a part of the service's group, and the first one's is empty and gone.
        let parts = machine.succeed("ls -d /sys/fs/cgroup/system.slice/leeward.service/*/");
        assert!(
            parts.contains("origin-2") && !parts.contains("origin-1"),
            "{parts}"
        );
    }
}

/// Who connected while nobody was there is served by the next, and no part of the old origin is left.
#[test]
fn leeward_killed_is_back_at_once_and_refuses_nobody() {
    for machine in &or_skip!(machines(&open_to_all())) {
        machine.succeed(ENABLE);
        is_served(machine, 443);
        let (main, first) = (main_pid(machine), origin(machine));
        let told = during(machine, || {
            machine.succeed(&format!("kill -KILL {main}"));
            machine.wait_for("systemctl show -p NRestarts --value leeward", "1", DUE);
            is_served(machine, 443);
        });
        assert_eq!(told.refused, 0, "{told:#?}");
        assert!(told.longest < Duration::from_secs(5), "{told:#?}");
        assert!(is_gone(machine, &first), "the old origin lives on");
        let log = machine.succeed("journalctl -q -u leeward -o cat");
        assert!(log.contains("status=9/KILL"), "{log}");
        // Whoever ends it in good order without systemd has not asked for it to stay away.
        machine.succeed(&format!("kill -TERM {}", main_pid(machine)));
        machine.wait_for("systemctl show -p NRestarts --value leeward", "2", DUE);
        is_served(machine, 443);
    }
}

#[test]
fn leeward_frozen_is_back_within_the_watchdogs_time_and_a_second() {
    for machine in &or_skip!(machines(CONFIG)) {
        machine.succeed(ENABLE);
        is_served(machine, 443);
        // A host that is busy with others may be late once, and not each time.
        let all: Vec<_> = (1..=3)
            .map_while(|time| late(frozen(machine, time)))
            .collect();
        assert!(all.len() < 3, "{all:?}\n{}", machine.told());
        let log = machine.succeed("journalctl -q -u leeward -o cat");
        assert!(log.contains("Watchdog timeout"), "{log}");
    }
}

/// Freezes it for the `time`th time; after how long it is another one that serves.
fn frozen(machine: &Booted, time: u32) -> Duration {
    let main = main_pid(machine);
    machine.succeed(&format!("kill -STOP {main}"));
    let frozen = Instant::now();
    // Who connects is accepted by the next one, or, as the frozen one is woken to be killed, by nobody.
    while get(machine, 443).is_err() {
        assert!(frozen.elapsed() < DUE, "{}", machine.told());
    }
    let took = frozen.elapsed();
    assert!(took > Duration::from_secs(2), "it was not frozen: {took:?}");
    assert_ne!(main_pid(machine), main);
    assert_eq!(machine.property("leeward", "NRestarts"), time.to_string());
    assert!(is_gone(machine, &main), "the frozen one lives on");
    took
}

fn late(took: Duration) -> Option<Duration> {
    (took >= WATCHDOG + Duration::from_secs(1)).then_some(took)
}

#[test]
fn a_restart_under_load_refuses_and_breaks_no_connection() {
    for machine in &or_skip!(machines(&open_to_all())) {
        machine.succeed(ENABLE);
        restarted_under_load(machine);
    }
}

/// What Leeward has bound itself is kept by systemd from one life to the next.
#[test]
fn a_restart_under_load_without_a_socket_unit_is_no_different() {
    for machine in &or_skip!(machines(&open_to_all())) {
        machine.succeed("systemctl start leeward.service");
        assert_eq!(
            machine.property("leeward.socket", "ActiveState"),
            "inactive"
        );
        restarted_under_load(machine);
    }
}

fn restarted_under_load(machine: &Booted) {
    is_served(machine, 443);
    let mut lives = vec![main_pid(machine)];
    let told = during(machine, || {
        for _ in 0..3 {
            machine.succeed("systemctl restart leeward");
            is_served(machine, 443);
            lives.push(main_pid(machine));
        }
    });
    lives.dedup();
    assert_eq!(lives.len(), 4, "{lives:?}");
    assert!(told.served > 200, "{told:#?}");
    assert_eq!(
        (told.refused, told.broken.len()),
        (0, 0),
        "{told:#?}\n{}",
        machine.told()
    );
    assert!(told.longest < Duration::from_secs(8), "{told:#?}");
    assert!(
        journal(machine, "err").is_empty(),
        "{:#?}",
        journal(machine, "err")
    );
}
