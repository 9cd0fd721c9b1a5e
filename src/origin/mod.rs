//! Knows the origin's process.

pub mod forensics;
pub mod pid;
