//! A visit that brought no whole answer, and what part it had in that.

use super::replay::Delivery;
use super::rest::Cut;
use crate::ground::failure::{Cause, Failure, Phase};
use crate::origin::{Ending, Visit};

/// A visit that brought no whole answer. In a box, so that the many that do need no room for it.
#[derive(Debug)]
pub struct Missed {
    /// Why.
    pub failure: Failure,
    /// How far the request had come.
    pub delivery: Delivery,
    /// Whether the origin hung while it was at this request.
    pub is_suspect: bool,
    /// Whether it was sent over a connection that had been kept, and that the origin may have closed meanwhile.
    pub was_kept: bool,
    /// The answer, where the client has seen a part of it and it may be continued. Whoever drops it cuts it off.
    pub cut: Option<Cut>,
}

/// What an ending says of one visit.
#[derive(Debug, Default)]
pub struct Fault {
    is_suspect: bool,
    is_unread: bool,
}

/// The failure of a visit whose generation ended, and what part the visit had in it.
pub fn ended(ending: &Ending, visit: &Visit) -> (Failure, Fault) {
    let fault = Fault {
        is_suspect: ending.suspects(visit.id()),
        is_unread: ending.left_unread(visit.id()),
    };
    let cause = match fault.is_suspect {
        true => Cause::Suspect,
        false => Cause::Died,
    };
    (Failure::origin(Phase::FirstByte, cause), fault)
}

impl Missed {
    /// Over a new connection, as far as `delivery`.
    pub fn of(failure: Failure, fault: Fault, delivery: Delivery) -> Self {
        Self {
            failure,
            delivery: match delivery {
                Delivery::Unknown if fault.is_unread => Delivery::Unread,
                delivery => delivery,
            },
            is_suspect: fault.is_suspect,
            was_kept: false,
            cut: None,
        }
    }
}
