//! What never answers, or not in time: the ways in which an origin hangs, stops or dies.

use std::fs;
use std::io;
use std::net::TcpStream;
use std::process;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};

use crate::blocks;
use crate::request::Request;

/// Catches SIGTERM and does nothing about it, as a server does that means to look at a flag between two requests and
/// never comes to it.
pub fn ignore_term() -> io::Result<()> {
    signal_hook::flag::register(
        signal_hook::consts::SIGTERM,
        Arc::new(AtomicBool::new(false)),
    )?;
    Ok(())
}

/// Suffers what the path names. `true`: there is nothing left to answer. `false`: it was no disease, or it passed, and
/// an answer is due.
pub fn fall_ill(request: &Request, connection: &mut TcpStream) -> io::Result<bool> {
    match request.pieces()[..] {
        ["block", what, ref place @ ..] => blocks::wait_for(what, place, connection)?,
        ["spin"] => spin(),
        ["compute", length] => {
            compute(milliseconds(length));
            return Ok(false);
        }
        ["query", length] => {
            blocks::query(milliseconds(length));
            return Ok(false);
        }
        ["exit", code] => process::exit(code.parse().unwrap_or(1)),
        ["abort"] => process::abort(),
        ["stop"] => {
            kill_process(getpid(), Signal::STOP)?;
            return Ok(false);
        }
        ["slow", length] => {
            thread::sleep(milliseconds(length));
            return Ok(false);
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn spin() {
    loop {
        std::hint::spin_loop();
    }
}

/// Works for so much of a processor's time, however long that takes.
fn compute(length: Duration) {
    let used = || {
        let read = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        let nanoseconds = read.split(' ').next().and_then(|word| word.parse().ok());
        Duration::from_nanos(nanoseconds.unwrap_or(u64::MAX))
    };
    let end = used().saturating_add(length);
    while used() < end {}
}

fn milliseconds(number: &str) -> Duration {
    Duration::from_millis(number.parse().unwrap_or(0))
}
