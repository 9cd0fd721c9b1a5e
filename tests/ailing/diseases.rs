//! What never answers, or not in time: the ways in which an origin hangs, stops or dies.

use std::io::{self, Read};
use std::net::TcpStream;
use std::process;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};

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
        ["block", "lock"] => wait_for_own_lock(),
        ["block", "read"] => read_until_the_peer_ends(connection)?,
        ["block", "sleep"] => sleep_for_ever(),
        ["spin"] => spin(),
        ["exit", code] => process::exit(code.parse().unwrap_or(1)),
        ["abort"] => process::abort(),
        ["stop"] => {
            kill_process(getpid(), Signal::STOP)?;
            return Ok(false);
        }
        ["slow", milliseconds] => {
            thread::sleep(Duration::from_millis(milliseconds.parse().unwrap_or(0)));
            return Ok(false);
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// Asks for more of a request that is already whole: a hang in `read` that only the peer can end.
fn read_until_the_peer_ends(connection: &mut TcpStream) -> io::Result<()> {
    let mut piece = [0; 4096];
    while connection.read(&mut piece)? > 0 {}
    Ok(())
}

/// Locks what this very thread holds: asleep in `futex` for ever.
fn wait_for_own_lock() {
    let lock = Mutex::new(());
    let _held = lock.lock();
    let _never = lock.lock();
}

fn sleep_for_ever() {
    loop {
        thread::sleep(Duration::from_secs(3600));
    }
}

fn spin() {
    loop {
        std::hint::spin_loop();
    }
}
