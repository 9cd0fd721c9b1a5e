//! The harness of the promises: the real binary, a sick origin behind it, clients of every manner before it, and two
//! machines with a cable between them.
//!
//! Every wait is for an event and is bounded; a wait that runs out panics with what was seen so far.

// Each test binary takes in the whole harness and uses the part it needs.
#![allow(dead_code, unused_imports)]

pub mod booted;
pub mod browser;
pub mod control_group;
pub mod family;
pub mod frames;
pub mod h1;
pub mod h2;
pub mod leeward;
pub mod mounted;
pub mod netns;
pub mod origin;
pub mod pki;
pub mod process;
pub mod response;
pub mod scripted;
pub mod standing;
pub mod starving;
pub mod tls;
pub mod transcript;
pub mod websocket;

use std::fmt;

pub use leeward::{Leeward, leeward, leeward_as, start};
pub use origin::{Origin, ailing, client, free_port};

/// Why a test can't run on this machine.
#[derive(Debug)]
pub struct Skip(pub String);

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Says aloud that a test did not run, past the capture of the test runner; where everything is required to run
/// (`LEEWARD_REQUIRE_ALL=1`) it fails instead, so that a skipped promise is never taken for a kept one.
pub fn tell_skipped(test: &str, reason: impl fmt::Display) {
    use std::io::Write;

    assert!(
        std::env::var_os("LEEWARD_REQUIRE_ALL").is_none_or(|value| value != "1"),
        "{test} may not be skipped here: {reason}"
    );
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {reason}");
}

/// Leaves the test that calls it, telling its name and the reason.
#[macro_export]
macro_rules! skip {
    ($reason:expr) => {{
        fn here() {}
        let here = std::any::type_name_of_val(&here);
        $crate::support::tell_skipped(here.trim_end_matches("::here"), $reason);
        return;
    }};
}

/// What a test needs, or leaves it where that can't be had here.
#[macro_export]
macro_rules! or_skip {
    ($needed:expr) => {
        match $needed {
            Ok(needed) => needed,
            Err(reason) => $crate::skip!(reason),
        }
    };
}
