//! Leeward, a reverse-proxy watchdog sidecar.

pub mod bundled;
pub mod config;
pub mod exchange;
pub mod ground;
pub mod origin;
pub mod status;
