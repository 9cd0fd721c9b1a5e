//! The promises, each driven from outside through the real program.

#[path = "../support/mod.rs"]
mod support;

mod control;
