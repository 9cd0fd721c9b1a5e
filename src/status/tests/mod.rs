//! A snapshot with everything in it for the views; and, in `routes`, the room from outside.

mod routes;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;

use super::snapshot::{OriginFacts, Snapshot, UnderWay};
use super::{Certificate, ClientTrust, Configuration, Facts, Gauges, Source};
use crate::config::Settings;
use crate::ground::ledger::{Class, Count, Ledger, Loss, Span};
use crate::ground::published::Published;
use crate::origin::cost::Cost;
use crate::origin::growth::{Growth, Growths, Holding};
use crate::origin::incident::Summary;
use crate::origin::pid::Pid;
use crate::origin::verdict::{Confidence, Judgement, Verdict};
use crate::origin::view::Toll;
use crate::origin::{Care, Gate, Origin, Reading, Retention, Shut, State, View, VisitId, Why};

/// A journal that keeps everything.
pub(super) const ALL: Retention = Retention {
    count: 1000,
    age: None,
};

/// A snapshot of an origin of ours that hangs, with a value for every fact and hostile text where text is anybody's.
pub(super) fn hung() -> Snapshot {
    let started = Instant::now();
    let now = started + Duration::from_secs(60);
    let source = source(started);
    let tally = source.ledger.open();
    tally.add(Count::ConnectionsAccepted, 40);
    tally.add(Count::ConnectionsClosed, 37);
    tally.add(Count::ExchangesBegun, 1206);
    tally.add(Count::ExchangesEnded, 1203);
    tally.add(Count::Answered(Class::Success), 1200);
    tally.add(Count::Answered(Class::ServerError), 3);
    tally.add(Count::Lost(Loss::Died), 2);
    tally.add(Count::BytesToClients, 5 << 20);
    for turn in 0..1203 {
        tally.time(Span::Total, Duration::from_micros(500 + turn * 40));
    }
    let (view, gate) = (view(now), shut(now));
    let visit = UnderWay {
        id: VisitId(1206),
        request: "POST /reports/<script>alert(1)</script>".to_owned(),
        age_seconds: 3.25,
        quiet_seconds: 3.2,
        received_bytes: 65_536,
        lasting: false,
    };
    let mut snapshot = Snapshot::take(&source, now);
    snapshot.origin = OriginFacts::of(&view, &gate, vec![visit], &source.facts.now(), now);
    snapshot.toll = super::snapshot::TollFacts::of(&view.toll);
    snapshot.incidents = view.incidents;
    snapshot
}

fn view(now: Instant) -> View {
    let address = "127.0.0.1:8080".parse().unwrap();
    let ago = |milliseconds| now - Duration::from_millis(milliseconds);
    let mut view = View::blank(Care::Owned, address, ago(60_000));
    view.command = Some("/opt/reports/server --port 8080".to_owned());
    view.enter(State::Hung, ago(1500));
    view.generation = 3;
    view.started = Some(ago(40_000));
    view.start_took = Some(Duration::from_millis(140));
    view.pid = Pid::new(4711);
    view.concurrency = Some(1);
    view.measured = true;
    view.judgement = Some(Judgement {
        verdict: Verdict::HungBlocked,
        confidence: Confidence::Conclusive,
        evidence_for: vec![
            "asleep for 1.6 s".to_owned(),
            "<b>no sign of life for 3.2 s</b>".to_owned(),
        ],
        evidence_against: vec!["its stack: permission denied".to_owned()],
        act: true,
    });
    view.last_probe = Some((Reading::Silent, ago(500)));
    view.resident = Some(18_350_080);
    view.descriptors = Some(14);
    view.threads = Some(1);
    view.processor_share = Some(0.001);
    view.accept_queue = Some(4);
    view.growths = leak(now);
    view.toll = Toll {
        opened: [(Verdict::HungBlocked, 2), (Verdict::Exited, 1)].into(),
        closed: 1,
        detection: Duration::from_millis(1600),
        downtime: Duration::from_millis(1900),
        unwritten: 0,
    };
    view.restarts = [(Verdict::HungBlocked, 2), (Verdict::Exited, 1)].into();
    view.probes.answered = 25;
    view.probes.silent = 3;
    view.trouble = Some("the last start failed <here>".to_owned());
    view.incidents = vec![Summary {
        id: "20260131T081530.000Z-2-hung-blocked".to_owned(),
        opened: "2026-01-31T08:15:30.000Z".to_owned(),
        verdict: "hung-blocked".to_owned(),
        sentence: "thread 4711 waits in write(2) for 10.0.0.7 & reads \"nothing\"".to_owned(),
        downtime_seconds: Some(1.9),
        unserved_seconds: Some(1.9),
        part_of: None,
        requests: Some(Cost {
            held: 1204,
            replayed: 1,
            continued: 0,
            lost: 0,
        }),
        is_on_disk: true,
    }];
    view
}

/// Twenty descriptors a second, for a minute.
fn leak(now: Instant) -> Growths {
    let mut growth = Growth::default();
    for second in 0..=60 {
        let at = now - Duration::from_secs(60 - second);
        growth.note(Holding::Descriptors, 12 + second * 20, at);
    }
    Growths(
        growth
            .of(Holding::Descriptors, Some(1000), now)
            .into_iter()
            .collect(),
    )
}

fn shut(now: Instant) -> Gate {
    Gate::Shut(Shut {
        since: now - Duration::from_secs(1),
        expected: now + Duration::from_millis(400),
        why: Why::Down,
    })
}

/// An origin where nobody listens, observed by nobody.
fn source(started: Instant) -> Source {
    let address = "127.0.0.1:1".parse().unwrap();
    let (origin, _) = Origin::open(
        Arc::new(Settings::default()),
        address,
        crate::config::settings::Process::Observed,
        None,
        Ledger::default(),
        started,
    );
    let facts = Facts {
        version: "0.0.0-test",
        edge: vec!["127.0.0.1:8443".parse().unwrap()],
        status: None,
        started,
        started_at: "2026-01-31T08:15:00Z".parse().unwrap(),
        spool_budget: 64 << 20,
        spool_disk_limit: Some(4 << 30),
        queue_limit: 256,
        hold_limit: 256,
        connections_limit: 4096,
        memory_limit: Some(1 << 30),
        patience: Duration::from_secs(20),
        hang: Settings::default().hang,
        waits: Settings::default().waits(),
        configuration: Configuration {
            file: Some("/etc/leeward/leeward.toml".to_owned()),
            taken: started,
            fault: Some("leeward.toml:1:1: <b>: there is no such key".to_owned()),
            waits: vec!["edge.listen".to_owned()],
        },
    };
    let facts = Published::new(Arc::new(facts));
    let gauges = || Gauges {
        queued: 2,
        held: 5,
        spool_used: 196_608,
        spool_on_disk: 1 << 20,
        memory_reserved: 65 << 20,
        trust: Some(ClientTrust {
            authorities: "/etc/leeward/ca.pem".to_owned(),
            lists: vec!["/etc/leeward/crl.pem".to_owned()],
            required: true,
            fault: Some("edge.tls.clients.crl: it <breaks> off".to_owned()),
        }),
        certificates: vec![certificate()],
    };
    Source::new(origin, Ledger::default(), facts, Box::new(gauges), started)
}

/// One that has expired, with files nobody could use.
fn certificate() -> Certificate {
    let day = Duration::from_secs(24 * 3600);
    Certificate {
        section: "edge.tls".to_owned(),
        file: Some("/etc/leeward/tls/chain.pem".to_owned()),
        names: vec!["www.example.com".to_owned(), "<i>.test".to_owned()],
        issuer: "CN=Test <b>CA</b>".to_owned(),
        from: SystemTime::UNIX_EPOCH + day * 10_000,
        until: SystemTime::UNIX_EPOCH + day * 10_090,
        state: "expired",
        fault: Some("edge.tls.key does not belong to edge.tls.certificate".to_owned()),
    }
}

#[test]
fn the_json_holds_every_fact_under_its_name() {
    let json = serde_json::to_value(hung()).unwrap();
    for (path, wanted) in [
        ("/schema", Value::from(1)),
        ("/version", "0.0.0-test".into()),
        ("/taken_at", "2026-01-31T08:16:00.000Z".into()),
        ("/started_at", "2026-01-31T08:15:00.000Z".into()),
        ("/uptime_seconds", 60.0.into()),
        ("/listen/edge/0", "127.0.0.1:8443".into()),
        ("/listen/status", Value::Null),
        ("/hang/certain_seconds", 1.5.into()),
        ("/hang/silent_seconds", 10.0.into()),
        ("/origin/care", "owned".into()),
        ("/origin/state", "hung".into()),
        ("/origin/since", "2026-01-31T08:15:58.500Z".into()),
        ("/origin/for_seconds", 1.5.into()),
        ("/origin/up", false.into()),
        ("/origin/requests", "held".into()),
        ("/origin/opens_in_seconds", 0.4.into()),
        ("/origin/has_answered", true.into()),
        ("/origin/address", "127.0.0.1:8080".into()),
        ("/origin/pid", 4711.into()),
        ("/origin/uptime_seconds", 40.0.into()),
        ("/origin/start_took_seconds", 0.14.into()),
        ("/origin/concurrency/slots", 1.into()),
        ("/origin/concurrency/measured", true.into()),
        ("/origin/concurrency/busy", Value::Null),
        ("/origin/verdict", "hung-blocked".into()),
        ("/origin/confidence", "conclusive".into()),
        ("/origin/evidence_for/0", "asleep for 1.6 s".into()),
        ("/origin/last_probe/result", "silent".into()),
        ("/origin/last_probe/ago_seconds", 0.5.into()),
        ("/origin/memory_bytes", 18_350_080.into()),
        ("/origin/accept_queue", 4.into()),
        ("/origin/restarts/hung-blocked", 2.into()),
        ("/origin/restarts/start-timed-out", 0.into()),
        ("/origin/probes/silent", 3.into()),
        ("/origin/visits/0/id", 1206.into()),
        ("/origin/visits/0/age_seconds", 3.25.into()),
        ("/origin/visits/0/received_bytes", 65_536.into()),
        ("/traffic/connections/open", 3.into()),
        ("/traffic/connections/shed/address", 0.into()),
        ("/traffic/exchanges/in_flight", 3.into()),
        ("/traffic/answered/2xx", 1200.into()),
        ("/traffic/lost/died", 2.into()),
        ("/traffic/client_timeouts/first_byte", 0.into()),
        ("/traffic/bytes/to_clients", (5 << 20).into()),
        ("/traffic/spans/total/count", 1203.into()),
        ("/traffic/spans/wait/p99_seconds", Value::Null),
        ("/waiting/queued", 2.into()),
        ("/waiting/held", 5.into()),
        ("/spool/used_bytes", 196_608.into()),
        ("/spool/budget_bytes", (64 << 20).into()),
        ("/spool/disk_bytes", (1 << 20).into()),
        ("/incidents/0/verdict", "hung-blocked".into()),
    ] {
        assert_eq!(json.pointer(path), Some(&wanted), "{path}");
    }
}

#[test]
fn requests_reach_an_origin_that_answers_behind_an_open_gate() {
    let now = Instant::now();
    let mut view = view(now);
    let facts = source(now).facts.now();
    let address = view.address.clone();
    let (generation, _ender) = crate::origin::Generation::begin(3, address, 1);
    let open = Gate::Open(generation);
    let is_up = |view: &View, gate: &Gate| OriginFacts::of(view, gate, Vec::new(), &facts, now).up;
    for (state, up) in [
        (State::Ready, true),
        (State::Suspect, true),
        (State::Hung, false),
        (State::Degraded, false),
    ] {
        view.enter(state, now);
        assert_eq!(is_up(&view, &open), up, "{state:?}");
        assert!(!is_up(&view, &shut(now)), "{state:?}");
    }
}
