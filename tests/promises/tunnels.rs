//! A request that becomes a WebSocket goes on for as long as both sides like, and for no longer than it may.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::house::{DUE, behind, incidents};
use crate::streams::{CONCURRENT, lending, metric};
use crate::support::websocket::{echo, echo_h2, masked, open};
use crate::support::{Leeward, h1};

/// Hangs are sure at once.
const SOON: &str = "[hang]\ncertain = \"300ms\"\nsilent = \"1s\"\n";
const ROUTE: &str = "[[route]]\npath = \"/ws\"\nupgrade = true\n";

/// Whether the origin serves, and which process it is.
fn pid(leeward: &Leeward) -> u32 {
    let page = h1::get(leeward.edge(), "/", DUE).expect("an answer");
    page.origin_pid()
        .unwrap_or_else(|| panic!("{}", page.text()))
}

#[test]
fn a_websocket_is_carried_over_http1_and_http2() {
    let leeward = behind(&CONCURRENT, ROUTE);
    let (mut client, answer) = open(leeward.edge(), "/ws", DUE).expect("an answer");
    assert_eq!(answer.status, 101);
    let accept = answer.header("sec-websocket-accept");
    assert_eq!(accept, Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(answer.header("sec-websocket-protocol"), Some("chat"));
    for text in ["one", "two", "three"] {
        assert_eq!(echo(&mut client, text).expect("an echo"), text);
    }
    assert_eq!(metric(&leeward, "leeward_streams_open"), 1.0);
    client.send(&masked(0x88, "")).expect("sent");
    let rest = client.read_to_end().expect("an end in order");
    assert_eq!(rest, [0x88, 0]);
    leeward.wait_log("a tunnel ended", DUE);

    let texts = ["one", "two"];
    let heard = echo_h2(leeward.edge(), "/ws", &texts, Duration::ZERO, DUE);
    let (status, heard) = heard.expect("a tunnel");
    assert_eq!((status, heard), (200, texts.map(str::to_owned).to_vec()));
}

#[test]
fn nothing_becomes_a_tunnel_that_its_route_or_the_origin_does_not_agree_to() {
    let more = "[[route]]\npath = \"/bytes\"\nupgrade = true\n";
    let leeward = behind(&CONCURRENT, more);
    let (_, stripped) = open(leeward.edge(), "/ws", DUE).expect("an answer");
    assert_eq!(stripped.status, 404);
    let told = |path| echo_h2(leeward.edge(), path, &[], Duration::ZERO, DUE);
    assert_eq!(told("/ws").expect("an answer").0, 501);
    let (mut client, declined) = open(leeward.edge(), "/bytes/5", DUE).expect("an answer");
    assert_eq!(declined.status, 200);
    assert_eq!(client.read_exact(5).expect("a body").len(), 5);
    assert_eq!(told("/bytes/5").expect("an answer").0, 502);
}

#[test]
fn a_serial_origin_is_not_lent_to_a_tunnel_unasked() {
    let leeward = behind(&[], ROUTE);
    let (_, refused) = open(leeward.edge(), "/ws", DUE).expect("an answer");
    assert_eq!(refused.status, 503);
    let told = refused.header("proxy-status").unwrap_or_default();
    assert!(told.contains("set origin.streams = 1"), "{told}");
    pid(&leeward);
}

#[test]
fn a_quiet_tunnel_is_neither_a_hang_nor_an_idle_connection() {
    let more = format!(
        "[edge.deadlines]\nkeep_alive = \"500ms\"\nresponse_stall = \"500ms\"\n{SOON}{ROUTE}"
    );
    for leeward in [behind(&CONCURRENT, &more), lending(&[], &more)] {
        let before = pid(&leeward);
        let (mut client, _) = open(leeward.edge(), "/ws", DUE).expect("a tunnel");
        assert_eq!(echo(&mut client, "early").expect("an echo"), "early");
        std::thread::sleep(Duration::from_millis(2500));
        assert_eq!(echo(&mut client, "late").expect("an echo"), "late");
        client.send(&masked(0x88, "")).expect("sent");
        leeward.wait_log("a tunnel ended", DUE);
        let pause = Duration::from_millis(1500);
        let heard = echo_h2(leeward.edge(), "/ws", &["early", "late"], pause, DUE);
        assert_eq!(heard.expect("a tunnel").1, ["early", "late"]);
        assert_eq!(pid(&leeward), before);
        assert!(incidents(&leeward).is_empty());
    }
}

#[test]
fn a_tunnel_ends_when_nothing_moves_for_as_long_as_its_route_allows() {
    let leeward = lending(&[], &format!("{ROUTE}idle = \"1s\"\n"));
    let (mut client, _) = open(leeward.edge(), "/ws", DUE).expect("a tunnel");
    for text in ["one", "two", "three"] {
        std::thread::sleep(Duration::from_millis(500));
        assert_eq!(echo(&mut client, text).expect("an echo"), text);
    }
    let quiet = Instant::now();
    assert_eq!(client.read_to_end().expect("an end in order"), b"");
    assert!(quiet.elapsed() > Duration::from_millis(900));
    let told = leeward.wait_log("a tunnel ended", DUE);
    assert!(told.contains("route.idle"), "{told}");
    pid(&leeward);
}

#[test]
fn a_tunnel_ends_with_its_client_and_with_its_origin() {
    let leeward = lending(&[], ROUTE);
    let (client, _) = open(leeward.edge(), "/ws", DUE).expect("a tunnel");
    drop(client);
    let origin = pid(&leeward);
    let (mut client, _) = open(leeward.edge(), "/ws", DUE).expect("a tunnel");
    let origin = rustix::process::Pid::from_raw(origin as i32).expect("a process number");
    rustix::process::kill_process(origin, Signal::KILL).expect("it can be killed");
    let _ = client.read_to_end();
    pid(&leeward);
}

#[test]
fn the_drain_ends_tunnels_by_its_deadline() {
    let more = format!("[edge.deadlines]\ndrain = \"1s\"\n{ROUTE}");
    let mut leeward = behind(&CONCURRENT, &more);
    let (mut client, _) = open(leeward.edge(), "/ws", DUE).expect("a tunnel");
    leeward.signal(Signal::TERM);
    leeward.wait_log("draining", DUE);
    assert_eq!(echo(&mut client, "still").expect("an echo"), "still");
    let begun = Instant::now();
    let _ = client.read_to_end();
    assert!(begun.elapsed() < Duration::from_secs(5), "{begun:?}");
    assert!(leeward.terminate().success());
}
