//! New clients, so many a second, each with one request on a connection of its own, and what became of them: four of five
//! over TLS, and one to be sent there.

use std::io::ErrorKind;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::booted::Booted;
use crate::support::h1::{self, Connection};
use crate::support::response::Response;

/// How many come in a second: 200 of them over TLS.
const EACH_SECOND: u32 = 250;
/// So many are served at the same time, at the most: enough for all who come while nobody serves.
const AT_ONCE: usize = 256;
/// A client that waits for longer has given up.
const PATIENCE: Duration = Duration::from_secs(30);

/// What became of them.
#[derive(Debug, Default)]
pub struct Told {
    /// They got their page.
    pub served: usize,
    /// They could not connect.
    pub refused: usize,
    /// They were connected and got no whole answer, or another one. The first words of each.
    pub broken: Vec<String>,
    /// The longest that one of them waited for its page.
    pub longest: Duration,
}

/// Clients come to the ports 443 and 80 of a machine while `work` is done, half a second before and after it too.
pub fn during(machine: &Booted, work: impl FnOnce()) -> Told {
    let told = Mutex::new(Told::default());
    let over = AtomicBool::new(false);
    let begun = Instant::now();
    let next = Mutex::new(0);
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                machine.inside(|| {
                    while let Some(turn) = turn(&next, &over) {
                        let due = begun + turn * Duration::from_secs(1) / EACH_SECOND;
                        thread::sleep(due.saturating_duration_since(Instant::now()));
                        one(turn, &told);
                    }
                });
            });
        }
        let _end = End(&over);
        thread::sleep(Duration::from_millis(500));
        work();
        thread::sleep(Duration::from_millis(500));
    });
    told.into_inner().expect("no client panicked")
}

/// Nobody comes any more once this is dropped, by a panic too.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn turn(next: &Mutex<u32>, over: &AtomicBool) -> Option<u32> {
    if over.load(Ordering::Relaxed) {
        return None;
    }
    let mut next = next.lock().expect("no client panicked");
    *next += 1;
    Some(*next)
}

fn one(turn: u32, told: &Mutex<Told>) {
    let begun = Instant::now();
    let fields = [("host", "example.org"), ("connection", "close")];
    let (answer, wanted) = match turn % 5 {
        0 => (plain(&fields), 308),
        _ => (
            h1::request(Booted::at(443), "GET", "/", &fields, b"", PATIENCE),
            200,
        ),
    };
    let mut told = told.lock().expect("no client panicked");
    match answer {
        Ok(answer) if answer.status == wanted => {
            told.served += 1;
            told.longest = told.longest.max(begun.elapsed());
        }
        Ok(answer) => told
            .broken
            .push(format!("{} {}", answer.status, answer.text())),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => told.refused += 1,
        Err(error) => told.broken.push(error.to_string()),
    }
}

fn plain(fields: &[(&str, &str)]) -> std::io::Result<Response> {
    Connection::connect_plain(Booted::at(80), PATIENCE)?.request("GET", "/", fields, b"")
}
