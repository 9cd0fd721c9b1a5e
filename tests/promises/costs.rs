//! An incident tells what it cost the clients: who waited, who was asked for twice, who got no good answer.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::brought_on::signalled;
use crate::house::{DUE, behind, incidents, wait_metric};
use crate::support::origin::processed;
use crate::support::response::Response;
use crate::support::{Leeward, h1};

/// Sure soon, and time enough for those who come while it is replaced.
const SOON: &str = "[hang]\ncertain = \"1s\"\n";

type Client = thread::JoinHandle<std::io::Result<Response>>;

fn asks(edge: SocketAddr, method: &'static str, path: &'static str) -> Client {
    thread::spawn(move || h1::request(edge, method, path, &[], &[], DUE))
}

fn status(client: Client) -> u16 {
    let answer = client.join().expect("a client");
    answer.expect("an answer").status
}

/// The cost in the newest incident, on the disk and on the list, once it is this.
pub fn wait_cost(leeward: &Leeward, wanted: &Value) {
    let until = Instant::now() + DUE;
    loop {
        let told = incidents(leeward).pop().unwrap_or_default();
        let status = leeward.status_get("/status.json").text();
        let status: Value = serde_json::from_str(&status).expect("JSON");
        let costs = [
            &told["ending"]["requests"],
            &status["incidents"][0]["requests"],
        ];
        if costs == [wanted; 2] {
            return;
        }
        assert!(Instant::now() < until, "{costs:?} and not {wanted}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn an_incident_tells_what_it_cost_the_clients() {
    let ledger = tempfile::NamedTempFile::new().expect("a file");
    let path = ledger.path().display().to_string();
    let leeward = behind(&["--threads", "4", "--ledger", &path], SOON);
    let edge = leeward.edge();
    let asks = |method, path| asks(edge, method, path);
    let again = asks("GET", "/slow/3000");
    let lost = asks("POST", "/slow/3001");
    // What the origin has not read yet is not lost with it.
    let until = Instant::now() + DUE;
    while processed(ledger.path(), "/slow/300") < 2 {
        assert!(Instant::now() < until, "it is not at both");
        thread::sleep(Duration::from_millis(10));
    }
    let _frozen = signalled(&leeward, Signal::STOP).expect("it is frozen");
    leeward.wait_log("incident opened", DUE);
    let held = asks("GET", "/");
    assert_eq!([again, lost, held].map(status), [200, 502, 200]);
    // Whoever is sent again waits for the next generation like the others.
    wait_cost(
        &leeward,
        &json!({ "held": 2, "replayed": 1, "continued": 0, "lost": 1 }),
    );
    signalled(&leeward, Signal::KILL).expect("it is killed");
    leeward.wait_log_nth("incident closed", 2, DUE);
    wait_cost(
        &leeward,
        &json!({ "held": 0, "replayed": 0, "continued": 0, "lost": 0 }),
    );
}

/// Whoever was held may still be lost when the incident is over: it was its cost even so.
#[test]
fn an_incident_learns_what_it_cost_after_its_end() {
    let short = "[hold]\ntimeout = \"3s\"\n[origin.deadlines]\nqueue = \"2s\"\n";
    let leeward = behind(&["--start-delay-ms", "1000"], &format!("{SOON}{short}"));
    let edge = leeward.edge();
    let _killed = signalled(&leeward, Signal::KILL).expect("it is killed");
    leeward.wait_log("incident opened", DUE);
    let first = asks(edge, "GET", "/slow/6000");
    wait_metric(&leeward, "leeward_requests_held 1");
    let second = asks(edge, "GET", "/slow/6000");
    leeward.wait_log("incident closed", DUE);
    let mut statuses = [first, second].map(status);
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 503]);
    wait_cost(
        &leeward,
        &json!({ "held": 2, "replayed": 0, "continued": 0, "lost": 1 }),
    );
}
