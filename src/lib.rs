//! Leeward, a reverse-proxy watchdog sidecar.

pub mod app;
pub mod bundled;
pub mod cli;
pub mod config;
pub mod edge;
pub mod exchange;
pub mod ground;
pub mod origin;
pub mod status;
