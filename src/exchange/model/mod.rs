//! Whole exchanges against a model of the world: an origin that dies, hangs, cuts its answers and comes back, clients that
//! leave, a gate that opens and shuts; and what must hold whatever comes. Everything between the client's request and the
//! origin's socket is the real thing; the sockets are in memory, and time is tokio's and paused, so that hours of it
//! pass in seconds. A seed is a course, but for the order in which tokio wakes those who wait for one thing.
//!
//! `LEEWARD_MODEL_RUNS` asks for more runs than a suite has time for, `LEEWARD_MODEL_SEED` for one that failed.

mod content;
mod origin;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

use super::{Exchanges, Shared};
use crate::config::Settings;
use crate::config::pages::Pages;
use crate::config::settings::Access;
use crate::ground::addr::{Client, ClientAddr};
use crate::ground::deadline;
use crate::ground::fate::Fate;
use crate::ground::ledger::{Count, Ledger, Loss};
use crate::ground::random::Random;
use crate::ground::reserve::Reserve;
use crate::origin::dial::memory;
use crate::origin::{Ending, Generation, Origin, Watch, Why};
use content::{Asked, Kind, PART};
use origin::{Life, Seen};

/// Runs of a suite; each by its own seed, which is told when it fails.
const RUNS: u64 = 30;
/// Requests of one run.
const REQUESTS: u64 = 16;
/// Generations that come to grief in one run; the one behind them does not.
const GENERATIONS: u64 = 7;

/// How an exchange ended, as its client saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// It got all of an answer of the origin's.
    Whole,
    /// It got a part, and knows.
    Cut,
    /// It got an answer of ours.
    Refused,
    /// It did not wait for it.
    Left,
}

/// What all runs came to together, so that it is known that they met everything.
#[derive(Debug, Default, Clone, Copy)]
struct Met {
    whole: u64,
    cut: u64,
    refused: u64,
    left: u64,
    held: u64,
    replayed: u64,
    continued: u64,
}

struct World {
    exchanges: Exchanges,
    shared: Shared,
    origin: Origin,
    watch: Watch,
    ledger: Ledger,
    seen: Arc<Mutex<Seen>>,
    random: Random,
    seed: u64,
}

impl World {
    fn begin(seed: u64) -> Self {
        let mut settings = Settings::default();
        settings.log.access = Access::Off;
        // Other threads know nothing of the paused time.
        settings.spool.disk = 0;
        let settings = Arc::new(settings);
        let ledger = Ledger::default();
        let address = "unix:/model/none".parse().unwrap();
        let now = deadline::now();
        let (origin, watch) = Origin::open(
            settings.clone(),
            address,
            crate::config::settings::Process::Observed,
            None,
            ledger.clone(),
            now,
        );
        let shared = Shared::new(
            settings,
            origin.clone(),
            Reserve::boundless(),
            Pages::default(),
            None,
        );
        Self {
            exchanges: Exchanges::new(shared.clone(), &ledger, 1),
            shared,
            origin,
            watch,
            ledger,
            seen: Arc::default(),
            random: Random(seed),
            seed,
        }
    }

    async fn run(mut self) -> Met {
        let clients: Vec<JoinHandle<End>> = (0..REQUESTS).map(|id| self.client(id)).collect();
        let mut version = 1;
        for number in 1..=GENERATIONS {
            version += u64::from(self.random.once_in(4));
            self.generation(number, version).await;
        }
        let (life, generation, _ender) = self.begins(GENERATIONS + 1, version, true);
        self.watch.opens(generation);
        let mut ends = Vec::new();
        for client in clients {
            ends.push(client.await.unwrap());
        }
        // What goes on by itself behind them has an end, too.
        sleep(Duration::from_secs(3600)).await;
        drop(life);
        self.holds(&ends)
    }

    /// A generation comes, and goes for whatever reason.
    async fn generation(&mut self, number: u64, version: u64) {
        let (mut life, generation, ender) = self.begins(number, version, false);
        self.watch.opens(generation);
        let length = self.random.of(&[20, 100, 400, 1500, 6000]);
        sleep(Duration::from_millis(length)).await;
        let is_told_late = self.random.once_in(2);
        if !is_told_late {
            self.shuts();
        }
        life.abort_all();
        match self.random.once_in(2) {
            // It hung: those at work with it hear of its end before their connections break.
            true => ender.end(self.ending(number)),
            // It died, and that is noticed a little later.
            false => {
                while life.join_next().await.is_some() {}
                sleep(Duration::from_millis(self.random.of(&[0, 30, 90, 250]))).await;
                ender.end(Ending::silent());
            }
        }
        if is_told_late {
            self.shuts();
        }
        drop(life);
        let down = match self.random.once_in(12) {
            true => 22_000,
            false => self.random.of(&[0, 5, 80, 400, 2500]),
        };
        sleep(Duration::from_millis(down)).await;
    }

    fn begins(
        &mut self,
        number: u64,
        version: u64,
        is_well: bool,
    ) -> (JoinSet<()>, Arc<Generation>, crate::origin::Ender) {
        let path = format!("/model/{}/{number}", self.seed);
        let calls = memory::listen(&path);
        let address = format!("unix:{path}").parse().unwrap();
        let concurrency = self.random.of(&[1, 2, 8]);
        let (generation, ender) = Generation::begin(number, address, concurrency);
        let life = Life {
            number,
            version,
            is_well,
            seen: self.seen.clone(),
        };
        let mut lives = JoinSet::new();
        lives.spawn(life.serve(calls, self.random.split()));
        (lives, generation, ender)
    }

    fn shuts(&mut self) {
        let why = match self.random.below(30) {
            0 => Why::Maintenance,
            1 => Why::Paused,
            _ => Why::Down,
        };
        let expected = match self.random.once_in(12) {
            true => 30_000,
            false => self.random.of(&[0, 100, 1000]),
        };
        self.watch.shuts(why, Duration::from_millis(expected));
    }

    /// What is said of the end of a generation that does nothing any more: never of a visit that it read nothing of that it
    /// is a suspect, and never of one it has read that it did not.
    fn ending(&mut self, number: u64) -> Ending {
        let mut seen = self.seen.lock().unwrap();
        let mut ending = Ending::silent();
        let proves = self.random.once_in(2);
        let mut visits = self.origin.visits(deadline::now(), usize::MAX);
        visits.sort_unstable_by_key(|visit| visit.id);
        for visit in visits {
            let asked = Asked::of(visit.request.split(' ').nth(1).unwrap());
            let reads = seen.read.get(&asked);
            let was_read = reads.is_some_and(|reads| reads.contains(&number));
            match was_read {
                true if self.random.once_in(2) => {
                    seen.suspects.insert(asked);
                    ending.suspects.push(visit.id);
                }
                false if proves => ending.unread.push(visit.id),
                _ => {}
            }
        }
        ending
    }

    fn client(&mut self, id: u64) -> JoinHandle<End> {
        let mut random = self.random.split();
        let asked = Asked {
            kind: random.of(&Kind::ALL),
            id,
        };
        let (exchanges, seen) = (self.exchanges.clone(), self.seen.clone());
        tokio::spawn(async move {
            sleep(Duration::from_millis(random.below(6000))).await;
            let patience = match random.once_in(6) {
                true => Duration::from_millis(random.below(3000)),
                false => Duration::from_secs(3600),
            };
            let asks = asks(&exchanges, asked, random, &seen);
            timeout(patience, asks).await.unwrap_or(End::Left)
        })
    }

    /// What must hold whatever happened.
    fn holds(&self, ends: &[End]) -> Met {
        let seen = self.seen.lock().unwrap();
        assert!(seen.wrong.is_empty(), "{:?}", seen.wrong);
        for (asked, reads) in &seen.read {
            let most = match asked.kind {
                Kind::Post => 1,
                _ => 2,
            };
            assert!(reads.len() <= most, "{asked:?} was read in {reads:?}");
        }
        let sum = |count| self.ledger.sum(count);
        let (begun, ended) = (sum(Count::ExchangesBegun), sum(Count::ExchangesEnded));
        assert_eq!((begun, ended), (REQUESTS, REQUESTS), "one outcome each");
        let waiting = self.shared.waiting();
        assert_eq!((waiting.held(), waiting.queued()), (0, 0), "nobody waits");
        let visits = self.origin.visits(deadline::now(), usize::MAX);
        assert!(visits.is_empty(), "visits go on: {visits:?}");
        assert_eq!(self.shared.store().budget.used(), 0, "all is given back");
        let of = |end| ends.iter().filter(|it| **it == end).count() as u64;
        let lost: u64 = Loss::ALL.iter().map(|it| sum(Count::Lost(*it))).sum();
        let (cut, refused, left) = (of(End::Cut), of(End::Refused), of(End::Left));
        let least = cut + refused;
        assert!(
            (least..=least + left).contains(&lost),
            "{lost} lost of {ends:?}"
        );
        Met {
            whole: of(End::Whole),
            cut,
            refused,
            left,
            held: sum(Count::ExchangesHeld),
            replayed: sum(Count::ExchangesReplayed),
            continued: sum(Count::ExchangesContinued),
        }
    }
}

/// Asks, and judges what comes.
async fn asks(exchanges: &Exchanges, asked: Asked, mut random: Random, seen: &Mutex<Seen>) -> End {
    let client = Client {
        addr: ClientAddr(([10, 0, 0, 7], 1).into()),
        tls: "1.3",
    };
    let body = match asked.kind {
        Kind::Post => Bytes::from_static(&[7; 1000]),
        _ => Bytes::new(),
    };
    let mut request = Request::new(Full::new(body));
    *request.uri_mut() = asked.path().parse().unwrap();
    let fields = request.headers_mut();
    fields.insert("host", "a".parse().unwrap());
    if asked.kind == Kind::Part {
        let range = format!("bytes={}-{}", PART.start, PART.end - 1);
        fields.insert("range", range.parse().unwrap());
    }
    if asked.kind == Kind::Post {
        *request.method_mut() = Method::POST;
    }
    let response = exchanges.serve(request, client, Fate::default()).await;
    let (head, mut body) = response.into_parts();
    let Some(version) = head.headers.get("x-version") else {
        assert!(head.status.is_server_error(), "{head:?}");
        return End::Refused;
    };
    let version = version.to_str().unwrap().parse().unwrap();
    let mut got = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            return End::Cut;
        };
        got.extend(frame.into_data().unwrap());
        sleep(Duration::from_millis(random.of(&[0, 0, 3, 40]))).await;
    }
    if got != asked.due(version) {
        let what = format!("{asked:?} ended as if whole with {} bytes", got.len());
        seen.lock().unwrap().wrong.push(what);
    }
    End::Whole
}

/// Runs one world to its end; the seed is told if it breaks.
fn run(seed: u64) -> Met {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let course = || runtime.block_on(async { World::begin(seed).run().await });
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(course)) {
        Ok(met) => met,
        Err(cause) => {
            eprintln!("the seed was {seed}: LEEWARD_MODEL_SEED={seed} tries it again");
            std::panic::resume_unwind(cause)
        }
    }
}

fn asked_for(name: &str) -> Option<u64> {
    let told = std::env::var(name).ok()?;
    Some(told.parse().expect("a number"))
}

#[test]
fn whatever_happens_an_exchange_has_one_end_and_no_answer_is_ended_as_if_it_were_whole() {
    if let Some(seed) = asked_for("LEEWARD_MODEL_SEED") {
        eprintln!("{:?}", run(seed));
        return;
    }
    let runs = asked_for("LEEWARD_MODEL_RUNS").unwrap_or(RUNS);
    let mut all = Met::default();
    for seed in 0..runs {
        let met = run(seed);
        all.whole += met.whole;
        all.cut += met.cut;
        all.refused += met.refused;
        all.left += met.left;
        all.held += met.held;
        all.replayed += met.replayed;
        all.continued += met.continued;
    }
    eprintln!("{runs} runs: {all:?}");
    let met = [
        all.whole,
        all.cut,
        all.refused,
        all.left,
        all.held,
        all.replayed,
        all.continued,
    ];
    assert!(
        met.iter().all(|count| *count > 0),
        "not everything was met: {all:?}"
    );
}
