//! What the kernel can tell of the origin's process, field by field.

#![allow(dead_code)] // the room is being furnished

#[cfg(test)]
mod captive;
mod descriptor;
mod seen;
mod sockets;
mod stat;
mod vital;

pub use descriptor::{Descriptor, Link};
pub use seen::Seen;
pub use sockets::{
    AcceptQueue, ByState, Holder, Holders, Listening, SocketRow, TcpRow, TcpState, Traffic,
    UnixRow, accept_queue, connection, holders,
};
pub use stat::{Pressure, RunState};
pub use vital::{Vital, vital};
