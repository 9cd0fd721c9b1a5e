//! Leeward as it is installed: its unit files on a real systemd, which is the first process of a machine that is booted
//! inside the test. `.ci/machine` makes the trees of such machines; `LEEWARD_SUITES` names the releases of Debian that are
//! booted: `bookworm` (systemd 252), unless it is set; `bullseye` (247) and `trixie` (257).

#[path = "../support/mod.rs"]
mod support;

mod crowd;
mod daily;
mod house;
mod outlived;
mod packaged;
mod shipped;
mod survived;
