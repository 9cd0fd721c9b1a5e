//! The files below `systemd/`, as a machine's own tools judge them, and each of the examples at work.

use crate::house::{CONFIG, DUE, ENABLE, drop_in, get, is_served, machines, shipped};
use crate::support::booted::Booted;
use crate::{or_skip, skip};

/// What goes into `leeward.service.d`.
const DROP_INS: [&str; 6] = [
    "debugger.conf",
    "forensics.conf",
    "goahead.conf",
    "keep-origin.conf",
    "origin-unit.conf",
    "reboot.conf",
];

/// The highest exposure that is fine, of ten.
const EXPOSURE: f64 = 2.0;

/// Whatever is wrong with these units, in the words of systemd's.
fn verify(machine: &Booted, units: &str) {
    // A machine without manual pages is told of each that it lacks.
    let output = machine.run(&format!("systemd-analyze verify --man=no {units}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.trim().is_empty(),
        "{units} on {}: {said}",
        machine.suite()
    );
}

#[test]
fn systemd_finds_no_mistake_in_what_is_shipped() {
    for machine in &or_skip!(machines(CONFIG)) {
        let socket = shipped("examples/leeward@shop.socket");
        machine.put("/etc/systemd/system/leeward@shop.socket", socket);
        verify(
            machine,
            "leeward.service leeward.socket leeward@shop.service leeward@shop.socket",
        );
        let there = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/systemd/examples"));
        let there = there.expect("the examples").flatten();
        let there = there.filter(|file| file.path().extension().is_some_and(|end| end == "conf"));
        assert_eq!(
            there.count(),
            DROP_INS.len(),
            "an example that nobody tries"
        );
        for name in DROP_INS {
            drop_in(machine, name);
            verify(machine, "leeward.service");
        }
        // It would have said so.
        machine.put(
            "/etc/systemd/system/leeward.service.d/wrong.conf",
            "[Service]\nTyp=notify\n",
        );
        let wrong = machine.run("systemd-analyze verify --man=no leeward.service");
        assert!(
            String::from_utf8_lossy(&wrong.stderr).contains("Typ"),
            "{wrong:?}"
        );
    }
}

#[test]
fn little_is_exposed_and_the_rest_has_its_reason() {
    for machine in &or_skip!(machines(CONFIG)) {
        for unit in ["leeward.service", "leeward@shop.service"] {
            let judged = machine.run(&format!("systemd-analyze security --no-pager {unit}"));
            let judged = String::from_utf8_lossy(&judged.stdout).into_owned();
            let level = judged
                .lines()
                .last()
                .and_then(|line| line.split(": ").nth(1));
            let level = level.and_then(|level| level.split(' ').next()?.parse::<f64>().ok());
            let level = level.unwrap_or_else(|| panic!("{judged}"));
            assert!(level <= EXPOSURE, "{unit} on {}: {judged}", machine.suite());
            // Older ones have no threshold, and round.
            if machine.systemd() >= 250 {
                machine.succeed(&format!(
                    "systemd-analyze security --offline=true --threshold=20 --no-pager \
                     $(systemctl show -p FragmentPath --value {unit})"
                ));
            }
            let text = shipped(if unit.contains('@') {
                "leeward@.service"
            } else {
                unit
            });
            let exposed = judged.lines().filter_map(|line| line.strip_prefix('✗'));
            for line in exposed {
                let name = line.split_whitespace().next().unwrap_or_default();
                let key = name.split('=').next().unwrap_or_default();
                assert!(
                    text.contains(&format!("{key}=")),
                    "no word of {name} in {unit}: {line}"
                );
            }
        }
    }
}

/// Nothing but its name is another, so that what holds for the one holds for the other.
#[test]
fn the_template_is_the_unit_with_another_name() {
    let settings = |name| {
        let lines = shipped(name);
        let lines = lines
            .lines()
            .filter(|line| !line.starts_with('#') && !line.is_empty());
        lines.map(str::to_owned).collect::<Vec<_>>().join("\n")
    };
    let renamed = settings("leeward@.service")
        .replace(" (%i)", "")
        .replace("/etc/leeward/%i.toml", "/etc/leeward/leeward.toml")
        .replace("/etc/leeward/tls/%i.pem", "/etc/leeward/tls/key.pem")
        .replace("leeward-%i", "leeward");
    assert_eq!(renamed, settings("leeward.service"));
}

#[test]
fn several_on_one_machine_are_kept_apart() {
    let of = |port: u16, status: u16, origin: u16| {
        format!(
            "[edge]\nlisten = \"0.0.0.0:{port}\"\n[status]\nlisten = \"127.0.0.1:{status}\"\n\
             [origin]\naddress = \"127.0.0.1:{origin}\"\n[origin.bundled]\nroot = \"/srv/www\"\n"
        )
    };
    for machine in &or_skip!(machines(CONFIG)) {
        machine.put("/etc/leeward/shop.toml", of(8443, 9181, 8081));
        machine.put("/etc/leeward/blog.toml", of(444, 9182, 8082));
        let socket = shipped("examples/leeward@shop.socket");
        machine.put("/etc/systemd/system/leeward@shop.socket", socket);
        machine.succeed("systemctl daemon-reload");
        machine.succeed(ENABLE);
        machine.succeed(
            "systemctl enable --quiet --now leeward@shop.socket leeward@shop leeward@blog",
        );
        let mut users = Vec::new();
        for (unit, port) in [
            ("leeward", 443),
            ("leeward@shop", 8443),
            ("leeward@blog", 444),
        ] {
            is_served(machine, port);
            let pid = machine.property(unit, "MainPID");
            users.push(
                machine
                    .succeed(&format!("stat -c %U /proc/{pid}"))
                    .trim()
                    .to_owned(),
            );
        }
        assert_eq!(users, ["leeward", "leeward-shop", "leeward-blog"]);
        machine.succeed("systemctl stop leeward@shop.socket leeward@shop");
        assert!(get(machine, 8443).is_err());
        is_served(machine, 444);
        is_served(machine, 443);
        machine.succeed("systemctl reload leeward@blog");
    }
}

/// GoAhead's own files may be missing. What Leeward has written is still its own when its user is no longer made up.
#[test]
fn leeward_serves_on_with_the_drop_in_for_goahead() {
    for machine in &or_skip!(machines(CONFIG)) {
        machine.succeed(ENABLE);
        is_served(machine, 443);
        machine.succeed("leeward capture");
        drop_in(machine, "goahead.conf");
        machine.succeed("systemctl restart leeward");
        is_served(machine, 443);
        machine.succeed("leeward capture");
        let incidents = machine.succeed("ls /var/lib/leeward/incidents/*.json | wc -l");
        assert_eq!(incidents.trim(), "2");
    }
}

/// As it ends where its watchdog has run out, or where nothing has helped for too long.
#[test]
fn the_last_resort_is_a_reboot_where_that_was_asked_for() {
    for machine in &or_skip!(machines(CONFIG)) {
        drop_in(machine, "reboot.conf");
        machine.succeed(ENABLE);
        is_served(machine, 443);
        let main = machine.property("leeward", "MainPID");
        machine.succeed(&format!("kill -ABRT {main}"));
        machine.wait_down(DUE);
    }
}

/// Another user's process, in a unit of its own.
const GOAHEAD: &str = "[Service]\nExecStart=/usr/bin/leeward origin --listen 127.0.0.1:8080 --root /srv/www\n\
                       DynamicUser=yes\n";

/// In front of that.
const UNIT: &str = "[edge]\nlisten = \"0.0.0.0:443\"\n[origin]\naddress = \"127.0.0.1:8080\"\n\
                    [origin.process]\nunit = \"goahead.service\"\n";

fn beside(machine: &Booted) {
    machine.put("/etc/systemd/system/goahead.service", GOAHEAD);
    drop_in(machine, "origin-unit.conf");
}

#[test]
fn an_origin_that_is_a_unit_of_its_own_is_ended_and_started_by_leave_of_polkit() {
    for machine in &or_skip!(machines(UNIT)) {
        if !machine
            .run("test -x /usr/lib/polkit-1/polkitd")
            .status
            .success()
        {
            skip!(format!(
                "{} has no polkit that reads rules",
                machine.suite()
            ));
        }
        machine.put(
            "/etc/polkit-1/rules.d/50-leeward.rules",
            shipped("examples/origin-unit.rules"),
        );
        beside(machine);
        machine.succeed(ENABLE);
        is_served(machine, 443);
        let first = machine.property("goahead", "MainPID");
        machine.succeed(&format!("kill -STOP {first}"));
        is_served(machine, 443);
        assert_ne!(machine.property("goahead", "MainPID"), first);
        // It outlives Leeward.
        machine.succeed("systemctl stop leeward.socket leeward");
        assert_eq!(machine.property("goahead", "ActiveState"), "active");
    }
}

/// What is seen of another user's process: with the drop-in, which system call it hangs in.
#[test]
fn another_users_origin_is_looked_into_where_that_was_asked_for() {
    for machine in &or_skip!(machines(UNIT)) {
        beside(machine);
        let sees = || {
            machine.succeed("leeward capture");
            let told = machine.succeed("leeward incidents last --json");
            told.contains("epoll_wait") || told.contains("ep_poll")
        };
        machine.succeed(ENABLE);
        is_served(machine, 443);
        assert!(!sees(), "it sees without being let");
        drop_in(machine, "forensics.conf");
        machine.succeed("systemctl restart leeward");
        is_served(machine, 443);
        assert!(sees(), "{}", machine.succeed("leeward incidents last"));
    }
}
