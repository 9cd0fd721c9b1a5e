//! An origin that outlives Leeward: over a restart, a crash and a freeze of Leeward's it is the same process, and a stop ends it.

use crate::house::{DUE, ENABLE, is_served, machines};
use crate::house::{entry, shipped};
use crate::or_skip;
use crate::support::booted::Booted;

const KEPT: &str = "[edge]\nlisten = \"0.0.0.0:443\"\n[origin]\naddress = \"127.0.0.1:8080\"\n\
     [origin.process]\non_exit = \"keep\"\n\
     command = [\"/usr/bin/leeward\", \"origin\", \"--listen\", \"{address}\", \"--root\", \"/srv/www\"]\n";

/// Those who serve as origin there.
fn origins(machine: &Booted) -> String {
    let told = machine.run("cat /sys/fs/cgroup/system.slice/leeward.service/origin-*/cgroup.procs");
    String::from_utf8_lossy(&told.stdout).trim().to_owned()
}

/// A machine whose origin is kept, and the origin's number.
fn started(machine: &Booted) -> String {
    machine.put(
        "/etc/systemd/system/leeward.service.d/keep-origin.conf",
        shipped("examples/keep-origin.conf"),
    );
    machine.succeed("systemctl daemon-reload");
    machine.succeed(ENABLE);
    is_served(machine, 443);
    let origin = origins(machine);
    assert!(origin.parse::<u32>().is_ok(), "{origin:?}");
    origin
}

fn main_of(machine: &Booted) -> String {
    machine.property("leeward", "MainPID")
}

#[test]
fn it_is_the_same_process_behind_a_restart_a_crash_and_a_freeze_and_a_stop_ends_it() {
    for machine in &or_skip!(machines(KEPT)) {
        let origin = started(machine);
        let first = main_of(machine);
        machine.succeed("systemctl restart leeward");
        is_served(machine, 443);
        assert_ne!(main_of(machine), first, "it was started anew");
        assert_eq!(origins(machine), origin, "{}", machine.told());

        // It has what it had.
        machine.succeed(&format!(
            "nsenter -t {origin} -m touch /tmp/file /run/leeward/file"
        ));

        let second = main_of(machine);
        machine.succeed(&format!("kill -9 {second}"));
        is_served(machine, 443);
        assert_ne!(main_of(machine), second, "it was started anew");
        assert_eq!(origins(machine), origin, "{}", machine.told());

        // Taken over, it is watched as ever: frozen, it is replaced, and its clients wait.
        machine.succeed(&format!("kill -STOP {origin}"));
        is_served(machine, 443);
        let next = origins(machine);
        assert_ne!(next, origin, "{}", machine.told());
        entry(machine, "err", "is stopped (state T");

        machine.succeed("systemctl stop leeward.socket leeward");
        assert_eq!(origins(machine), "", "{}", machine.told());
        assert_eq!(machine.property("leeward", "Result"), "success");
    }
}

#[test]
fn what_would_be_started_otherwise_now_is_replaced() {
    for machine in &or_skip!(machines(KEPT)) {
        let origin = started(machine);
        machine.put(
            "/etc/leeward/leeward.toml",
            KEPT.replace("\"--root\"", "\"--listing\", \"--root\""),
        );
        machine.succeed("systemctl restart leeward");
        is_served(machine, 443);
        let next = origins(machine);
        assert!(
            next != origin && !next.contains('\n'),
            "{next:?} after {origin}\n{}",
            machine.told()
        );
        machine.wait_for(
            "journalctl -u leeward | grep -c 'not what would be started now'",
            "1",
            DUE,
        );
    }
}
