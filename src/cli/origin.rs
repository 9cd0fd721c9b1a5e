//! `leeward origin`: the bundled origin, a program of its own.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::{BAD_USAGE, FAILED, FINE, log};
use crate::bundled::{self, Listen};
use crate::config::settings;
use crate::ground::sys;

/// Serves until a signal ends it. A socket that is passed goes before an address, as systemd's users expect it.
pub fn origin(listen: Option<SocketAddr>, root: Option<PathBuf>) -> u8 {
    let passed = sys::passed_socket().map(Listen::Passed);
    let Some(listen) = passed.or(listen.map(Listen::At)) else {
        eprintln!(
            "leeward origin: nowhere to listen; pass --listen ADDR, or a socket as LISTEN_FDS"
        );
        return BAD_USAGE;
    };
    let _log = log::begin(&settings::Log::default());
    match bundled::serve(bundled::Options { listen, root }) {
        Ok(()) => FINE,
        Err(error) => {
            eprintln!("leeward origin: {error}");
            FAILED
        }
    }
}
