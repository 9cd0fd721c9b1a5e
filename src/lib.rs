//! Leeward, a reverse-proxy watchdog sidecar.

pub mod bundled;
pub mod ground;
pub mod origin;
