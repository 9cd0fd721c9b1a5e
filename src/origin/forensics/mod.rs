//! What the kernel can tell of the origin's process, field by field.

#![allow(dead_code)] // the room is being furnished

mod calls;
#[cfg(test)]
mod captive;
mod descriptor;
mod findings;
mod seen;
mod sockets;
mod stat;
mod syscall;
mod thread;
mod vital;

pub use descriptor::{Descriptor, Link};
pub use findings::{Door, Findings, Process, by_state, descendants, examine};
pub use seen::Seen;
pub use sockets::{
    AcceptQueue, ByState, Holder, Holders, Listening, SocketRow, TcpRow, TcpState, Traffic,
    UnixRow, accept_queue, connection, holders,
};
pub use stat::{Pressure, RunState};
pub use syscall::{Call, Syscall, WaitKind};
pub use thread::{Movement, Thread};
pub use vital::{Vital, vital};
