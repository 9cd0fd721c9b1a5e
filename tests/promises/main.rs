//! The promises, each driven from outside through the real program.

#[path = "../support/mod.rs"]
mod support;

mod abuse;
mod clients;
mod command_line;
mod control;
mod house;
mod kept;
mod lives;
mod real_origins;
mod routes;
mod service;
mod spool;
mod streams;
mod streams_of_clients;
mod traffic;
mod tunnels;
