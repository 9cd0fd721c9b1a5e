//! `leeward origin`: the bundled origin, a program of its own.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::{FAILED, FINE, log};
use crate::bundled;
use crate::config::settings;

/// Serves until a signal ends it.
pub fn origin(listen: SocketAddr, root: Option<PathBuf>) -> u8 {
    let _log = log::begin(&settings::Log::default());
    match bundled::serve(bundled::Options { listen, root }) {
        Ok(()) => FINE,
        Err(error) => {
            eprintln!("leeward origin: {error}");
            FAILED
        }
    }
}
