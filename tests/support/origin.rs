//! The sick origin and the vanishing client, as processes of the test itself.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use super::process::Running;
use super::standing::Standing;

/// How long anything local may take to say that it is there.
const STARTING: Duration = Duration::from_secs(20);

/// Where the sick origin was built.
pub fn ailing() -> PathBuf {
    example("ailing")
}

/// Where the vanishing client was built.
pub fn client() -> PathBuf {
    example("client")
}

/// A loopback port nobody listens on. It lies below the kernel's ephemeral range, so no outgoing connection of another
/// test takes it before the origin does.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const FIRST: u16 = 12_000;
    const COUNT: u16 = 20_000;
    // Test binaries that run side by side begin at different places.
    let begin = (std::process::id() % 1000) as u16 * 20;
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + begin.wrapping_add(step) % COUNT;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port between {FIRST} and {}", FIRST + COUNT);
}

/// The sick origin, run by the test and not by Leeward.
pub struct Origin {
    /// The process.
    pub running: Running,
    address: String,
}

impl Origin {
    /// Runs it on a loopback port of the kernel's choice and waits until it listens.
    pub fn start(options: &[&str]) -> Origin {
        Origin::start_at("127.0.0.1:0", options)
    }

    /// Runs it at an address and waits until it listens. Called [inside](super::netns::Namespace::inside) a network
    /// namespace, it runs there.
    pub fn start_at(listen: &str, options: &[&str]) -> Origin {
        Origin::start_as(&Standing::own(), listen, options)
    }

    /// The same with other rights.
    pub fn start_as(standing: &Standing, listen: &str, options: &[&str]) -> Origin {
        let running = Running::start(
            standing
                .command(&ailing())
                .args(["--listen", listen])
                .args(options),
        );
        let line = running.expect_stdout("ailing: listening on ", STARTING);
        let address = line.rsplit(' ').next().unwrap_or_default().to_owned();
        Origin { running, address }
    }

    /// Where it listens.
    pub fn address(&self) -> &str {
        &self.address
    }
}

/// A client process that reads so much of an answer and then no more, for ever; it has done so when this returns. The
/// protocol is `tls` or `plain`.
pub fn holding_client(protocol: &str, address: &str, path: &str, read: usize) -> Running {
    let read = read.to_string();
    let running = Running::start(
        Command::new(client()).args([protocol, address, path, "--read", &read, "--then", "hold"]),
    );
    running.expect_stdout("holding", STARTING);
    running
}

/// In how many requests of a ledger, each noted when it was read whole and before it was answered, the line contains `part`.
pub fn processed(ledger: &Path, part: &str) -> usize {
    let text = std::fs::read_to_string(ledger).unwrap_or_default();
    text.lines().filter(|line| line.contains(part)).count()
}

fn example(name: &str) -> PathBuf {
    let this = std::env::current_exe().expect("a test knows its own path");
    let target = this.ancestors().nth(2).expect("target/PROFILE/deps/this");
    let path = target.join("examples").join(name);
    assert!(
        path.exists(),
        "{} is missing: plain `cargo test` builds it; before `cargo test --test …` run `cargo build --examples`",
        path.display()
    );
    path
}
