//! A steady load of GETs and POSTs, each with a number of its own, and what the origin's ledger says of them afterwards.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::house::DUE;
use crate::support::h1;

/// One request, and what became of it.
pub struct Asked {
    /// Its number.
    pub number: usize,
    /// Its method.
    pub method: &'static str,
    /// The status of its answer; `None` where there was none.
    pub status: Option<u16>,
    /// How long it took.
    pub took: Duration,
}

/// What a load came to.
pub struct Toll {
    /// All that was asked.
    pub asked: Vec<Asked>,
    /// How often each number was processed.
    processed: BTreeMap<usize, usize>,
}

/// Asks so often a second, every other time by POST, for as long as `meanwhile` runs. The target is `/bytes/10?nNUMBER.`.
pub fn under_load<T>(
    edge: SocketAddr,
    a_second: u32,
    ledger: &Path,
    meanwhile: impl FnOnce() -> T,
) -> (T, Toll) {
    let is_over = AtomicBool::new(false);
    let (done, asked) = thread::scope(|scope| {
        let load = scope.spawn(|| {
            let begun = Instant::now();
            let mut clients = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                let number = clients.len();
                clients.push(scope.spawn(move || ask(edge, number)));
                let next = begun + Duration::from_secs(1) / a_second * (number as u32 + 1);
                thread::sleep(next.saturating_duration_since(Instant::now()));
            }
            clients
        });
        let over = Over(&is_over);
        let done = meanwhile();
        drop(over);
        let clients = load.join().expect("the load");
        let asked: Vec<Asked> = clients
            .into_iter()
            .map(|client| client.join().expect("a client"))
            .collect();
        (done, asked)
    });
    let processed = processed(ledger);
    (done, Toll { asked, processed })
}

impl Toll {
    /// The same with what the ledger says now.
    pub fn again(self, ledger: &Path) -> Toll {
        Toll {
            processed: processed(ledger),
            ..self
        }
    }

    /// Of this method: how many were asked, and how many were not answered with 200.
    pub fn unserved(&self, method: &str) -> (usize, usize) {
        let of = || self.asked.iter().filter(|it| it.method == method);
        (
            of().count(),
            of().filter(|it| it.status != Some(200)).count(),
        )
    }

    /// How many POSTs were processed more than once.
    pub fn doubled(&self) -> usize {
        let posts = self.asked.iter().filter(|it| it.method == "POST");
        let times = |it: &Asked| self.processed.get(&it.number).copied().unwrap_or(0);
        posts.filter(|it| times(it) > 1).count()
    }

    /// How many that were answered with 200 were processed by nobody.
    pub fn invented(&self) -> usize {
        let served = self.asked.iter().filter(|it| it.status == Some(200));
        let is_known = |it: &&Asked| !self.processed.contains_key(&it.number);
        served.filter(is_known).count()
    }

    /// The longest that anybody waited.
    pub fn longest(&self) -> Duration {
        self.asked
            .iter()
            .map(|it| it.took)
            .max()
            .unwrap_or_default()
    }

    /// All of it in a line.
    pub fn told(&self) -> String {
        let ((gets, lost_gets), (posts, lost_posts)) =
            (self.unserved("GET"), self.unserved("POST"));
        format!(
            "{gets} GET, {lost_gets} not served; {posts} POST, {lost_posts} not served; {} processed twice; the longest wait {:?}",
            self.doubled(),
            self.longest()
        )
    }
}

/// The load ends with this, by a panic too.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn ask(edge: SocketAddr, number: usize) -> Asked {
    let method = ["GET", "POST"][number % 2];
    let body: &[u8] = if method == "POST" { &[7; 100] } else { &[] };
    let begun = Instant::now();
    let answer = h1::request(
        edge,
        method,
        &format!("/bytes/10?n{number}."),
        &[],
        body,
        DUE,
    );
    Asked {
        number,
        method,
        status: answer.ok().map(|answer| answer.status),
        took: begun.elapsed(),
    }
}

fn processed(ledger: &Path) -> BTreeMap<usize, usize> {
    let text = std::fs::read_to_string(ledger).unwrap_or_default();
    let number = |line: &str| {
        let (_, rest) = line.split_once("?n")?;
        rest.split_once('.')?.0.parse().ok()
    };
    let mut times = BTreeMap::new();
    for number in text.lines().filter_map(number) {
        *times.entry(number).or_default() += 1;
    }
    times
}
