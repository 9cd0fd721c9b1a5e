//! Two hundred clients that misbehave in every way, before an origin that serves one at a time: who comes next is
//! served as if alone, the origin is held for as long as it works and no longer, and our memory is bounded.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::house::{DUE, configuration, sick};
use crate::skip;
use crate::spool::{json, until};
use crate::streams::metric;
use crate::support::frames::{HEADERS, Raw, WINDOW_UPDATE};
use crate::support::h1::{self, Connection};
use crate::support::netns::Pair;
use crate::support::origin::processed;
use crate::support::response::pattern;
use crate::support::{Leeward, free_port};

/// How many misbehave at the same time.
const CROWD: usize = 200;

/// What the next one asks for.
const PAGE: &str = "/bytes/1000000";

/// What we may grow by: the memory of the spool, for each member of the crowd what `connections` in
/// config/leeward.toml says that a client costs who does not take its answer, and 16 MiB for whatever else.
const MEMORY: u64 = (SPOOL + CROWD as u64 * 512 + (16 << 10)) << 10;

/// `spool.memory` in these tests, in KiB: little, so that nearly everything goes to disk.
const SPOOL: u64 = 8 << 10;

/// One who misbehaves, by HTTP/1.1 or HTTP/2.
enum Member {
    One(Connection),
    Two(Box<Raw>),
}

impl Member {
    /// The `number`th: both versions of HTTP over both versions of TLS take turns.
    fn join(edge: SocketAddr, number: usize) -> io::Result<Member> {
        match number % 4 {
            0 => Connection::connect_tls12(edge, DUE).map(Member::One),
            1 => Connection::connect(edge, DUE).map(Member::One),
            2 => Ok(Member::Two(Raw::open_tls12(edge, DUE)?.into())),
            _ => Ok(Member::Two(Raw::open(edge, DUE)?.into())),
        }
    }

    fn ask(&mut self, path: &str) -> io::Result<()> {
        match self {
            Member::One(client) => {
                client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes())
            }
            Member::Two(client) => client.get(1, path),
        }
    }

    fn begin_upload(&mut self) -> io::Result<()> {
        match self {
            Member::One(client) => {
                client.send(b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
            }
            Member::Two(client) => client.begin(1, "/upload", &[("content-length", "100000")]),
        }
    }

    fn drip(&mut self) -> io::Result<()> {
        match self {
            Member::One(client) => client.send(b"x"),
            Member::Two(client) => client.frame(0, 0, 1, b"x"),
        }
    }
}

/// The crowd, gathered by two hands.
fn crowd(edge: SocketAddr, each: impl Fn(&mut Member) -> io::Result<()> + Sync) -> Vec<Member> {
    let gather = |first: usize| {
        let numbers = (first..CROWD).step_by(2);
        let join = |number| {
            let mut member = Member::join(edge, number / 2)?;
            each(&mut member)?;
            Ok(member)
        };
        numbers.map(join).collect::<io::Result<Vec<_>>>()
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(|| gather(1));
        let mut all = gather(0).expect("half of the crowd");
        all.extend(other.join().expect("a hand").expect("the other half"));
        all
    })
}

/// Leeward for a crowd, before a serial origin.
fn for_a_crowd(options: &[&str], listen: &str, port: u16) -> Leeward {
    let more = format!(
        "[spool]\nmemory = \"{SPOOL}KiB\"\ndirectory = \"@DIR@/spool\"\nfloor = \"0B\"\n\
         [edge.limits]\nconnections_per_address = \"off\"\n[log]\naccess = \"off\"\n"
    );
    let config = configuration(&sick(options), port, &more);
    let config = config.replacen("127.0.0.1:0", listen, 1);
    let serial = "concurrency = 1\nqueue = 1000\n[origin.process]";
    let config = config.replacen("[origin.process]", serial, 1);
    let leeward = Leeward::start(&config);
    leeward.wait_log("origin ready", DUE);
    leeward
}

/// How it was before the crowd came.
struct Before {
    /// How long the origin itself takes for what the crowd asks for, given to somebody who takes it.
    own: Duration,
    /// How long the page takes through us, nobody else there.
    alone: Duration,
    resident: u64,
    held: f64,
    visits: f64,
}

impl Before {
    fn look(leeward: &Leeward, edge: SocketAddr, path: &str) -> Before {
        let longest = |get: &dyn Fn()| {
            let timed = |_| {
                let begun = Instant::now();
                get();
                begun.elapsed()
            };
            (0..3).map(timed).max().unwrap_or_default()
        };
        let own = longest(&|| {
            let page = h1::plain_get(leeward.origin(), path, DUE).expect("the origin's answer");
            assert_eq!(page.status, 200);
        });
        let alone = longest(&|| served(edge));
        Before {
            own,
            alone,
            resident: kib(leeward, "VmRSS:"),
            held: metric(leeward, HELD),
            visits: metric(leeward, VISITS),
        }
    }

    /// The next one is served as if alone.
    fn next_is_served(&self, edge: SocketAddr) {
        let begun = Instant::now();
        served(edge);
        let took = begun.elapsed();
        let due = self.alone * 5 + Duration::from_millis(250);
        assert!(took < due, "{took:?}, alone {:?}", self.alone);
    }

    /// The origin worked for as long as it takes it without us, visit by visit, and nobody held it.
    fn the_origin_only_worked(&self, leeward: &Leeward) {
        let held = metric(leeward, HELD) - self.held;
        let visits = metric(leeward, VISITS) - self.visits;
        let own = self.own.as_secs_f64();
        println!(
            "{visits} visits held the origin for {held:.3} s in all, alone one takes {own:.4} s"
        );
        assert!(
            held < visits * (own * 3.0 + 0.02),
            "{held} s, {visits} visits of {own} s"
        );
        assert_eq!(metric(leeward, STALL), 0.0);
    }

    fn memory_was_bounded(&self, leeward: &Leeward) {
        let grown = kib(leeward, "VmHWM:").saturating_sub(self.resident) << 10;
        println!("{} MiB more than before, at the most", grown >> 20);
        assert!(grown < MEMORY, "{} MiB more", grown >> 20);
    }
}

const STALL: &str = "leeward_origin_client_stall_seconds_total";
const HELD: &str = "leeward_exchange_seconds_sum{span=\"origin\"}";
const VISITS: &str = "leeward_exchange_seconds_count{span=\"origin\"}";

fn served(edge: SocketAddr) {
    let page = h1::get(edge, PAGE, DUE).expect("an answer");
    assert!(page.body == pattern(1_000_000));
}

/// A line of `/proc/PID/status`, in KiB.
fn kib(leeward: &Leeward, name: &str) -> u64 {
    let status = format!("/proc/{}/status", leeward.pid());
    let status = std::fs::read_to_string(status).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|it| it.parse().ok()).expect("a number")
}

/// Nobody is with the origin any more, and nobody waits for it.
fn all_at_rest(leeward: &Leeward) {
    until("all answers at rest", || {
        let told = json(leeward);
        let visits = told["origin"]["visits"].as_array();
        visits.is_none_or(Vec::is_empty) && told["waiting"]["queued"] == 0
    });
}

fn disk_is_large() -> bool {
    let here = rustix::fs::statvfs(std::env::temp_dir().as_path()).expect("a file system");
    here.f_bavail * here.f_frsize > 6 << 30
}

#[test]
fn who_never_reads_twenty_megabytes() {
    const SIZE: u64 = 20_000_000;
    if !disk_is_large() {
        skip!("less than 6 GiB of disk are free");
    }
    let leeward = for_a_crowd(&[], "127.0.0.1:0", free_port());
    let path = format!("/bytes/{SIZE}");
    let before = Before::look(&leeward, leeward.edge(), &path);
    let crowd = crowd(leeward.edge(), |member| member.ask(&path));
    all_at_rest(&leeward);
    before.next_is_served(leeward.edge());
    before.the_origin_only_worked(&leeward);
    before.memory_was_bounded(&leeward);
    drop(crowd);
    until("the disk given back", || {
        json(&leeward)["spool"]["disk_bytes"] == 0
    });
}

#[test]
fn who_vanishes_in_the_middle() {
    const SIZE: u64 = 8_000_000;
    let pair = match Pair::new() {
        Ok(pair) => pair,
        Err(reason) => skip!(reason),
    };
    if !disk_is_large() {
        skip!("less than 6 GiB of disk are free");
    }
    let leeward = pair
        .server
        .inside(|| for_a_crowd(&[], "0.0.0.0:8443", 8080));
    let here: SocketAddr = ([127, 0, 0, 1], 8443).into();
    let there = format!("{}:8443", Pair::SERVER)
        .parse()
        .expect("an address");
    let path = format!("/bytes/{SIZE}");
    let before = pair.server.inside(|| Before::look(&leeward, here, &path));
    let crowd = pair.client.inside(|| {
        crowd(there, |member| {
            member.ask(&path)?;
            match member {
                Member::One(client) => client.read_exact(1000).map(drop),
                Member::Two(client) => client.read_kind(HEADERS).map(drop),
            }
        })
    });
    pair.cut();
    drop(crowd);
    pair.server.inside(|| {
        all_at_rest(&leeward);
        before.next_is_served(here);
        before.the_origin_only_worked(&leeward);
    });
    before.memory_was_bounded(&leeward);
}

#[test]
fn who_drips_an_upload() {
    let ledger = tempfile::NamedTempFile::new().expect("a file");
    let path = ledger.path().display().to_string();
    let leeward = for_a_crowd(&["--ledger", &path], "127.0.0.1:0", free_port());
    let before = Before::look(&leeward, leeward.edge(), PAGE);
    let mut crowd = crowd(leeward.edge(), Member::begin_upload);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                crowd
                    .iter_mut()
                    .for_each(|it| it.drip().expect("a byte more"));
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        for _ in 0..10 {
            before.next_is_served(leeward.edge());
            std::thread::sleep(Duration::from_millis(50));
        }
        is_over.store(true, Ordering::Relaxed);
    });
    before.the_origin_only_worked(&leeward);
    before.memory_was_bounded(&leeward);
    assert_eq!(
        metric(&leeward, "leeward_exchanges_in_flight"),
        CROWD as f64
    );
    assert_eq!(processed(ledger.path(), "/upload"), 0);
}

#[test]
fn who_never_opens_a_window() {
    const SIZE: u64 = 1_000_000;
    for connections in [2, CROWD as u32] {
        let leeward = for_a_crowd(&[], "127.0.0.1:0", free_port());
        let path = format!("/bytes/{SIZE}");
        let before = Before::look(&leeward, leeward.edge(), &path);
        let streams = CROWD as u32 / connections;
        let mut crowd = Vec::new();
        for _ in 0..connections {
            let mut client = Raw::connect(leeward.edge(), 0, DUE).expect("a connection");
            for stream in 0..streams {
                client.get(2 * stream + 1, &path).expect("sent");
            }
            crowd.push(client);
        }
        all_at_rest(&leeward);
        before.next_is_served(leeward.edge());
        before.the_origin_only_worked(&leeward);
        before.memory_was_bounded(&leeward);
        for client in &mut crowd {
            (0..streams).for_each(|_| drop(client.read_kind(HEADERS).expect("a head each")));
        }
    }
}

#[test]
fn who_reads_in_drops() {
    const SIZE: u64 = 2_000_000;
    let leeward = for_a_crowd(&[], "127.0.0.1:0", free_port());
    let path = format!("/bytes/{SIZE}");
    let before = Before::look(&leeward, leeward.edge(), &path);
    let mut crowd = crowd(leeward.edge(), |member| {
        if let Member::Two(client) = member {
            // It is opened by drops.
            **client = Raw::connect(leeward.edge(), 100, DUE)?;
        }
        member.ask(&path)
    });
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                for member in &mut crowd {
                    let drop = match member {
                        Member::One(client) => client.read_exact(100).map(drop),
                        Member::Two(client) => {
                            client.frame(WINDOW_UPDATE, 0, 1, &100_u32.to_be_bytes())
                        }
                    };
                    drop.expect("a drop more");
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        all_at_rest(&leeward);
        for _ in 0..5 {
            before.next_is_served(leeward.edge());
        }
        is_over.store(true, Ordering::Relaxed);
    });
    before.the_origin_only_worked(&leeward);
    before.memory_was_bounded(&leeward);
}
