//! The promises, each driven from outside through the real program.

#[path = "../support/mod.rs"]
mod support;

mod abuse;
mod brought_on;
mod clients;
mod command_line;
mod control;
mod costs;
mod crowds;
mod cut_answers;
mod deadlines;
mod disks;
mod drains;
mod drills;
mod endings;
mod false_alarms;
mod growth;
mod grpc;
mod house;
mod incidents;
mod kept;
mod legs;
mod limits;
mod lives;
mod manners;
mod observed;
mod privileges;
mod protocols;
mod quarantine;
mod real_origins;
mod routes;
mod service;
mod sickness_table;
mod sicknesses;
mod spool;
mod stalls;
mod streams;
mod streams_of_clients;
mod told;
mod traffic;
mod tunnels;
mod verbs;
