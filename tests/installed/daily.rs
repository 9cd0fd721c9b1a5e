//! What an operator does each day: install, start, read the journal, reload, hand over a key, stop.

use std::net::TcpStream;

use crate::house::{CONFIG, DUE, ENABLE, entry, get, is_served, journal, machines, origin};
use crate::support::booted::Booted;
use crate::support::h1;
use crate::support::pki::{Authority, shown};
use crate::{or_skip, skip};

#[test]
fn two_units_enabled_are_all_it_takes() {
    for machine in &or_skip!(machines(CONFIG)) {
        machine.succeed(ENABLE);
        is_served(machine, 443);
        let plain = machine.inside(|| h1::plain_get(Booted::at(80), "/", DUE));
        assert_eq!(plain.expect("an answer").status, 308);
        for (name, wanted) in [
            ("ActiveState", "active"),
            ("Type", "notify"),
            ("NRestarts", "0"),
        ] {
            assert_eq!(machine.property("leeward", name), wanted, "{name}");
        }
        let line = "systemctl show -p StatusText --value leeward | cut -d, -f1";
        machine.wait_for(line, "origin ready", DUE);
        // Neither it nor its origin is root, and what it may is one thing.
        let main = machine.property("leeward", "MainPID");
        for pid in [&main, &origin(machine)] {
            let status =
                machine.succeed(&format!("grep -e ^Cap -e ^NoNewPrivs /proc/{pid}/status"));
            let bind_service = format!("CapBnd:\t{:016x}", 1 << 10);
            assert!(status.contains(&bind_service), "{status}");
            assert!(status.contains("NoNewPrivs:\t1"), "{status}");
            assert_eq!(
                machine.succeed(&format!("stat -c %U /proc/{pid}")).trim(),
                "leeward"
            );
        }
        // It comes back with the machine.
        for unit in ["leeward.socket", "leeward.service"] {
            assert_eq!(
                machine
                    .succeed(&format!("systemctl is-enabled {unit}"))
                    .trim(),
                "enabled"
            );
        }
        machine.succeed("systemctl stop leeward.socket leeward.service");
        assert_eq!(machine.property("leeward", "Result"), "success");
        assert!(get(machine, 443).is_err(), "somebody listens still");
        let group = "ls -d /sys/fs/cgroup/system.slice/leeward.service";
        assert!(!machine.run(group).status.success(), "somebody is left");
    }
}

#[test]
fn the_journal_has_severities_and_fields() {
    for machine in &or_skip!(machines(CONFIG)) {
        machine.succeed(ENABLE);
        is_served(machine, 443);
        let access = entry(machine, "info", "access: client=127.0.0.1:");
        for (field, wanted) in [
            ("PRIORITY", "6"),
            ("SYSLOG_IDENTIFIER", "leeward"),
            ("LEEWARD_TARGET", "access"),
            ("LEEWARD_STATUS", "200"),
            ("LEEWARD_REQUEST", "GET /"),
            ("_SYSTEMD_UNIT", "leeward.service"),
        ] {
            assert_eq!(access[field], wanted, "{field} in {access:#}");
        }
        let asked = machine.succeed("journalctl -q -u leeward LEEWARD_STATUS=200 | wc -l");
        assert_eq!(asked.trim(), "1");
        let warned = entry(machine, "warning", "self-signed");
        assert_eq!(warned["PRIORITY"], "4", "{warned:#}");
        assert!(
            journal(machine, "err").is_empty(),
            "{:#?}",
            journal(machine, "err")
        );
    }
}

#[test]
fn a_reload_is_taken_whole_or_fails_and_says_why() {
    for machine in &or_skip!(machines(CONFIG)) {
        machine.succeed(ENABLE);
        is_served(machine, 443);
        let main = machine.property("leeward", "MainPID");
        let quiet = format!("{CONFIG}[log]\naccess = \"off\"\n");
        machine.put("/etc/leeward/leeward.toml", &quiet);
        machine.succeed("systemctl reload leeward");
        entry(machine, "info", "was read again");
        machine.put(
            "/etc/leeward/leeward.toml",
            format!("{quiet}accesses = 1\n"),
        );
        let refused = machine.run("systemctl reload leeward");
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        let told = entry(
            machine,
            "err",
            "the configuration is faulty and was not taken",
        );
        let message = told["MESSAGE"].as_str().unwrap_or_default();
        assert!(
            message.contains("leeward.toml:9:1") && message.contains("`log.access`"),
            "{message}"
        );
        let line = machine.property("leeward", "StatusText");
        assert!(line.contains("faulty"), "{line}");
        is_served(machine, 443);
        machine.put("/etc/leeward/leeward.toml", &quiet);
        machine.succeed("systemctl reload leeward");
        let line = machine.property("leeward", "StatusText");
        assert!(!line.contains("faulty"), "{line}");
        assert_eq!(machine.property("leeward", "MainPID"), main);
        assert_eq!(machine.property("leeward", "ActiveState"), "active");
    }
}

/// Nothing but an operator mends it: it is not tried again and again, and is found in the journal. Mended, it serves those who
/// wait meanwhile.
#[test]
fn a_faulty_configuration_ends_it_until_it_is_mended() {
    for machine in &or_skip!(machines(&format!("{CONFIG}nonsense = 1\n"))) {
        assert!(!machine.run(ENABLE).status.success());
        machine.wait_for(
            "systemctl show -p ActiveState --value leeward",
            "failed",
            DUE,
        );
        assert_eq!(machine.property("leeward", "ExecMainStatus"), "78");
        assert_eq!(machine.property("leeward", "NRestarts"), "0");
        entry(machine, "info", "nonsense");
        // A client that comes to systemd's socket starts it, in vain: some of that, and no more.
        let client = machine.inside(|| TcpStream::connect(Booted::at(443)));
        let settled = "systemctl show -p ActiveState --value leeward.socket";
        machine.wait_for(settled, "failed", DUE);
        drop(client);
        let starts = journal(machine, "info").into_iter().filter(|entry| {
            let message = entry["MESSAGE"].as_str();
            message.is_some_and(|message| message.contains("there is no such key"))
        });
        let starts = starts.count();
        assert!(starts < 30, "{starts}");
        machine.put("/etc/leeward/leeward.toml", CONFIG);
        machine.succeed("systemctl restart leeward.socket leeward.service");
        is_served(machine, 443);
    }
}

#[test]
fn a_key_that_only_root_can_read_is_handed_over() {
    let keyed = "[edge.tls]\ncertificate = \"/etc/leeward/tls/chain.pem\"\n\
                 key = \"/run/credentials/leeward.service/key.pem\"\n";
    let machines = match machines(&format!("{CONFIG}{keyed}")) {
        Ok(machines) => machines,
        Err(reason) => skip!(reason),
    };
    let authority = Authority::named("Test CA");
    for machine in &machines {
        let made = authority.good(&["localhost"]);
        let files = tempfile::tempdir().expect("a directory");
        let (chain, key) = made.write(files.path(), "made");
        let read = |path| std::fs::read(path).expect("a file of the test");
        machine.put("/etc/leeward/tls/chain.pem", read(chain));
        machine.put("/etc/leeward/tls/key.pem", read(key));
        machine.succeed("chmod 600 /etc/leeward/tls/key.pem");
        machine.succeed(ENABLE);
        is_served(machine, 443);
        let leaf = machine.inside(|| shown(Booted::at(443), Some("localhost")));
        assert!(leaf.expect("a handshake") == made.chain[0]);
    }
}
