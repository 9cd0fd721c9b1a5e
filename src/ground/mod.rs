//! What every room stands on; rests on nothing of ours.

pub mod addr;
pub mod client_certificate;
pub mod deadline;
pub mod drain;
pub mod failure;
pub mod fate;
pub mod heartbeat;
pub mod ink;
pub mod ledger;
pub mod published;
pub mod random;
pub mod redact;
pub mod reserve;
pub mod socket_file;
pub mod spans;
pub mod sys;
pub mod systemd;
pub mod trail;
