//! What operators and the service manager are told.

use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::house::{DUE, behind};
use crate::skip;
use crate::support::h1;
use crate::support::process::Running;

#[test]
fn the_status_listener_answers_all_its_questions() {
    let leeward = behind(&[], "");
    for _ in 0..3 {
        h1::get(leeward.edge(), "/", DUE).expect("an answer");
    }
    let json = leeward.status_get("/status.json");
    assert_eq!(json.status, 200);
    let json: serde_json::Value = serde_json::from_slice(&json.body).expect("JSON");
    assert_eq!(json["origin"]["state"], "ready");
    assert_eq!(json["origin"]["generation"], 1);
    let page = leeward.status_get("/");
    assert!(page.text().contains("ready"), "{}", page.text());
    let policy = page.header("content-security-policy").unwrap_or_default();
    assert!(policy.contains("default-src 'none'"), "{policy}");
    for path in ["/livez", "/readyz", "/startupz"] {
        assert_eq!(leeward.status_get(path).status, 200, "{path}");
    }
    assert_eq!(leeward.status_get("/nothing").status, 404);
}

/// The reference parser of OpenMetrics, if it is installed.
#[test]
fn a_strict_parser_accepts_the_metrics() {
    const PARSE: &str = "import sys\n\
        from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse\n\
        print(len(list(parse(sys.stdin.read()))))\n";
    let there = Command::new("python3")
        .args(["-c", "import prometheus_client"])
        .output();
    if !there.is_ok_and(|output| output.status.success()) {
        skip!("python3 with prometheus_client is not installed");
    }
    let leeward = behind(&[], "");
    h1::get(leeward.edge(), "/", DUE).expect("an answer");
    let metrics = leeward.status_get("/metrics");
    let kind = metrics.header("content-type").unwrap_or_default();
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    let file = leeward.directory().join("metrics");
    std::fs::write(&file, &metrics.body).expect("the metrics");
    let parsed = Command::new("python3")
        .args(["-c", PARSE])
        .stdin(std::fs::File::open(&file).expect("the metrics"))
        .output()
        .expect("python3 runs");
    let told = String::from_utf8_lossy(&parsed.stderr);
    assert!(parsed.status.success(), "{told}\n{}", metrics.text());
    let families: u32 = String::from_utf8_lossy(&parsed.stdout)
        .trim()
        .parse()
        .expect("a number");
    assert!(families > 20, "{families}");
}

/// The messages of sd_notify(3), heard on a socket of ours in place of systemd's.
#[test]
fn the_service_manager_hears_ready_status_watchdog_and_stopping() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(DUE)).expect("a timeout");
    let config = directory.path().join("leeward.toml");
    let text = format!(
        "[edge]\nlisten = \"127.0.0.1:0\"\n[status]\nlisten = \"127.0.0.1:0\"\n\
         [incidents]\ndirectory = {:?}\n",
        directory.path()
    );
    std::fs::write(&config, text).expect("the configuration");
    let mut command = Command::new(env!("CARGO_BIN_EXE_leeward"));
    command.args(["run", "--config"]).arg(&config);
    command
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "300000");
    let mut running = Running::start(&mut command);
    hear(&socket, "READY=1");
    hear(&socket, "STATUS=origin ready");
    let begun = Instant::now();
    for _ in 0..5 {
        hear(&socket, "WATCHDOG=1");
    }
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    running.signal(Signal::HUP);
    let reloading = hear(&socket, "RELOADING=1");
    assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
    hear(&socket, "READY=1");
    running.signal(Signal::TERM);
    hear(&socket, "STOPPING=1");
    let status = running.wait(DUE).expect("it ends");
    assert_eq!(status.code(), Some(0));
}

/// The first message that says `wanted`.
fn hear(socket: &UnixDatagram, wanted: &str) -> String {
    let begun = Instant::now();
    let mut message = [0; 4096];
    loop {
        let length = socket
            .recv(&mut message)
            .unwrap_or_else(|e| panic!("{wanted}: {e}"));
        let text = String::from_utf8_lossy(&message[..length]).into_owned();
        if text.contains(wanted) {
            return text;
        }
        assert!(begun.elapsed() < DUE, "{wanted} was not heard");
    }
}
