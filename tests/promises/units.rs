//! A service of systemd's is looked after by `systemctl`. This one is a stand-in, so that it is kept on any machine: what
//! it is told is noted, and it answers as systemd does.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::daemons::{is_gone, send, serving, trouble, wait_gone};
use crate::foreign::Service;
use crate::house::{DUE, incidents};
use crate::support::Leeward;
use crate::support::h1::get;
use crate::support::standing::Standing;
use crate::verbs::{done, order};

/// One service, whose state is in the directory of the script: `pid` once it ran, `stopped` when somebody stopped it,
/// `always` where it is to come back by itself, `hidden` where systemd does not know its main process, and `words` for its
/// command line.
const SYSTEMCTL: &str = r#"#!/bin/sh
cd @HERE@ || exit 1
[ "$1" = show ] || echo "$*" >> calls
start() {
    rm -f stopped pid
    setsid sh -c 'echo $$ > pid; exec @AILING@ --listen @AT@ $(cat words 2>/dev/null)' </dev/null >/dev/null 2>&1 &
    while [ ! -s pid ]; do sleep 0.01; done
}
pid=$(cat pid 2>/dev/null)
lives() {
    [ -n "$pid" ] && [ -e "/proc/$pid" ] && ! grep -q ') Z' "/proc/$pid/stat"
}
tell() {
    printf 'LoadState=%s\nActiveState=%s\nSubState=%s\nResult=%s\nMainPID=%s\nJob=\n' "$@"
}
case "$1" in
show)
    if [ -e unknown ]; then tell not-found inactive dead success 0
    elif lives && [ -e hidden ]; then tell loaded active running success 0; echo "InvocationID=$pid"
    elif lives; then tell loaded active running success "$pid"; echo "InvocationID=$pid"
    elif [ -e stopped ]; then tell loaded inactive dead success 0
    elif [ -e always ] && [ -n "$pid" ]; then
        tell loaded activating auto-restart signal 0; start
    elif [ -n "$pid" ]; then tell loaded failed failed signal 0; echo ExecMainCode=2; echo ExecMainStatus=9
    else tell loaded inactive dead success 0
    fi
    [ -n "$pid" ] && echo InactiveEnterTimestampMonotonic=1 || echo InactiveEnterTimestampMonotonic=0 ;;
start) start ;;
stop) : > stopped; kill -9 "$pid" ;;
kill) [ -e forbidden ] && { echo 'Interactive authentication required.' >&2; exit 1; }
    lives && kill "-${4#SIG}" "$pid" ;;
esac
exit 0
"#;

const UNIT: &str = "unit = \"goahead\"\n";
const SOON: &str =
    "[hang]\ncertain = \"500ms\"\n[restart]\nbackoff = \"100ms\"\nstartup = \"20s\"\n";

fn guarded(service: &Service) -> Leeward {
    let standing = Standing::with_programs(service.place());
    service.guarded(&standing, UNIT, SOON)
}

/// It rests for this long, which is longer than it takes to start, and shorter than a request would be held.
const REST: Duration = Duration::from_secs(3);

const STARTED: &str = "start --no-block --no-ask-password -- goahead.service";

fn killed(signal: &str) -> String {
    format!("kill --no-ask-password -s {signal} -- goahead.service")
}

#[test]
fn a_unit_that_hangs_is_ended_and_started_by_systemctl_and_outlives_leeward() {
    let service = Service::new("systemctl", SYSTEMCTL);
    let mut leeward = guarded(&service);
    leeward.wait_log("origin ready", DUE);
    let first = service.pid();
    assert_eq!(
        (serving(&leeward), service.calls()),
        (first, vec![STARTED.to_owned()])
    );
    send(first, Signal::STOP);
    leeward.wait_log_nth("origin ready", 2, DUE);
    assert!(is_gone(first), "the frozen one lives on");
    let second = serving(&leeward);
    assert_eq!(second, service.pid());
    assert_eq!(
        service.calls()[1..],
        [killed("SIGKILL"), STARTED.to_owned()]
    );
    // It fails by itself.
    send(second, Signal::KILL);
    leeward.wait_log_nth("origin ready", 3, DUE);
    let told = incidents(&leeward);
    let sentence = told[1]["sentence"].as_str().expect("a sentence");
    assert!(
        sentence.contains("was ended by signal 9; the unit is failed"),
        "{sentence}"
    );
    let third = serving(&leeward);
    assert!(done(&leeward, &["restart"]).contains("serves"));
    let fourth = serving(&leeward);
    assert!(is_gone(third) && fourth == service.pid());
    let mut calls = service.calls().split_off(4);
    // Who has ended by then is not continued.
    calls.retain(|call| *call != killed("SIGCONT"));
    assert_eq!(calls, [killed("SIGTERM"), STARTED.to_owned()]);
    assert_eq!(leeward.terminate().code(), Some(0));
    assert!(!is_gone(fourth), "it ended with Leeward");
}

#[test]
fn a_unit_that_comes_back_by_itself_is_awaited() {
    let service = Service::new("systemctl", SYSTEMCTL);
    service.run("systemctl", &["start"]);
    fs::write(service.place().join("always"), "").expect("it can be written");
    // Leeward's own backoff is for what Leeward starts.
    let slow = SOON.replace("100ms", "1m");
    let leeward = service.guarded(&Standing::with_programs(service.place()), UNIT, &slow);
    for life in 2..4 {
        let one = serving(&leeward);
        send(one, Signal::KILL);
        leeward.wait_log_nth("origin ready", life, DUE);
        assert_ne!(serving(&leeward), one);
    }
    assert_eq!(service.calls(), ["start"], "nobody but systemd started it");
}

#[test]
fn a_unit_that_somebody_stopped_is_left_stopped_until_somebody_starts_it() {
    let service = Service::new("systemctl", SYSTEMCTL);
    let leeward = guarded(&service);
    let first = serving(&leeward);
    service.run("systemctl", &["stop", "goahead.service"]);
    wait_gone(first);
    leeward.wait_log("the origin is left as it is", DUE);
    trouble(
        &leeward,
        "goahead.service is inactive (dead): somebody stopped it, and it is left so",
    );
    let calls = service.calls().len();
    let begun = Instant::now();
    let refused = get(leeward.edge(), "/", DUE).expect("an answer");
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(begun.elapsed() < REST, "it was held in vain");
    std::thread::sleep(REST.saturating_sub(begun.elapsed()));
    service.run("systemctl", &["start"]);
    leeward.wait_log_nth("origin ready", 2, DUE);
    let seen = leeward.status_get("/status.json").text();
    let seen: serde_json::Value = serde_json::from_str(&seen).expect("it is JSON");
    let took = seen["origin"]["start_took_seconds"].as_f64();
    assert!(
        took.is_some_and(|took| took < REST.as_secs_f64()),
        "its rest counts as its start: {took:?}"
    );
    let second = serving(&leeward);
    assert_eq!(service.calls().len(), calls + 1, "{:?}", service.calls());
    assert!(incidents(&leeward).is_empty(), "somebody wanted it so");
    // An operator of Leeward's may want it, too.
    service.run("systemctl", &["stop", "goahead.service"]);
    wait_gone(second);
    leeward.wait_log_nth("the origin is left as it is", 2, DUE);
    done(&leeward, &["restart"]);
    assert_ne!(serving(&leeward), second);
    assert_eq!(service.calls().last().map(String::as_str), Some(STARTED));
}

#[test]
fn a_unit_that_is_none_is_told() {
    let service = Service::new("systemctl", SYSTEMCTL);
    fs::write(service.place().join("unknown"), "").expect("it can be written");
    trouble(
        &guarded(&service),
        "goahead.service: systemd knows no such unit",
    );
}

/// Without leave from polkit it can only be told; nobody is shut out by that once it answers again.
#[test]
fn a_unit_that_leeward_may_not_kill_serves_again_when_it_answers() {
    let service = Service::new("systemctl", SYSTEMCTL);
    let leeward = guarded(&service);
    let pid = serving(&leeward);
    fs::write(service.place().join("forbidden"), "").expect("it can be written");
    let refused = order(&leeward, &["restart", "--no-wait"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        said.contains("let polkit grant") && said.contains("authentication required"),
        "{said}"
    );
    assert_eq!(serving(&leeward), pid);
    send(pid, Signal::STOP);
    leeward.wait_log("the origin is out of reach and runs on", DUE);
    send(pid, Signal::CONT);
    leeward.wait_log_nth("origin ready", 2, DUE);
    assert_eq!((serving(&leeward), service.pid()), (pid, pid));
}

/// Of a service whose main process systemd does not know, that is whoever listens, and nobody does at first.
fn hidden(words: &str) -> Service {
    let service = Service::new("systemctl", SYSTEMCTL);
    fs::write(service.place().join("hidden"), "").expect("it can be written");
    fs::write(service.place().join("words"), words).expect("it can be written");
    service
}

#[test]
fn a_unit_that_could_not_be_seen_is_known_once_it_can_be() {
    let service = hidden("--start-delay-ms 300");
    let leeward = guarded(&service);
    leeward.wait_log("is there, but not to be seen: nobody listens", DUE);
    leeward.wait_log("origin ready", DUE);
    // It answered, which is not forgotten when it is seen.
    send(service.pid(), Signal::STOP);
    leeward.wait_log("the origin's main process is known", DUE);
    leeward.wait_log("incident opened", DUE);
    assert_eq!(incidents(&leeward)[0]["judgement"]["verdict"], "stopped");
    leeward.wait_log_nth("origin ready", 2, DUE);
}

#[test]
fn a_unit_that_cannot_be_seen_and_does_not_hear_term_is_killed() {
    let service = hidden("--start-delay-ms 300 --ignore-term");
    let quick = "[hang]\ncertain = \"300ms\"\nsilent = \"600ms\"\n[origin.probe]\nevery = \"200ms\"\ntimeout = \"300ms\"\n\
                 [restart]\nbackoff = \"100ms\"\nstartup = \"20s\"\ngrace = \"300ms\"\n";
    let standing = Standing::with_programs(service.place());
    let leeward = service.guarded(&standing, UNIT, quick);
    leeward.wait_log("is there, but not to be seen", DUE);
    leeward.wait_log("origin ready", DUE);
    let first = service.pid();
    send(first, Signal::STOP);
    leeward.wait_log_nth("origin ready", 2, DUE);
    assert!(is_gone(first), "it lives on beside the next one");
    let calls = service.calls();
    assert!(calls.contains(&killed("SIGKILL")), "{calls:?}");
}
