//! What the kernel can tell of the origin's process, field by field.

#![allow(dead_code)] // the room is being furnished

mod seen;
mod stat;
mod vital;

pub use seen::Seen;
pub use stat::{Pressure, RunState};
pub use vital::{Vital, vital};
