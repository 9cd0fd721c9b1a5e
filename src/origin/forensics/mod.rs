//! What the kernel can tell of the origin's process, field by field.
//!
//! [`vital()`] and [`accept_queue`] are cheap, for every second. [`examine`] draws the whole picture once, when
//! something is wrong; [`blame()`] names the thread that holds everybody up, and [`sentence()`] says it in words.
//! Each field stands for itself: one that cannot be read says why, and hides no other. Nothing here is asynchronous,
//! and nothing waits for the process it looks at.

mod blame;
mod calls;
#[cfg(test)]
mod captive;
mod deadlock;
mod descriptor;
mod findings;
#[cfg(test)]
mod live;
#[cfg(test)]
mod scene;
mod seen;
mod sentence;
mod server;
mod sockets;
mod stat;
mod strain;
mod stuck;
mod syscall;
mod thread;
mod vital;

pub use blame::{Blame, Why, blame};
pub use descriptor::{Descriptor, Link, links};
pub use findings::{Door, Findings, Process, by_state, descendants, examine, threads};
pub use seen::Seen;
pub use sentence::sentence;
pub use server::{Server, server};
pub use sockets::{
    AcceptQueue, ByState, Holder, Holders, Listening, SocketRow, TcpRow, TcpState, Traffic,
    UnixRow, accept_queue, connection, holders, holders_with, holding,
};
pub use stat::{Pressure, RunState};
pub use strain::{Strain, strain};
pub use stuck::{On, Stuck, stuck};
pub use syscall::{Call, Syscall, WaitKind};
pub use thread::{Movement, Thread};
pub use vital::{Vital, descriptor_limit, is_dying, is_stopped, parent, vital};
