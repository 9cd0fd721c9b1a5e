//! The way to a leg: one that was kept, or a new one.

use super::forward::Way;
use super::leg::Leg;
use crate::ground::deadline::Deadline;
use crate::ground::failure::{Cause, Failure, Phase};
use crate::origin::dial;

/// A leg that was kept, where one may be used and is there.
pub fn kept(way: &Way<'_>, keeps: bool) -> Option<Box<Leg>> {
    match keeps && !way.is_fresh {
        true => way.pool.take(way.slot.generation()),
        false => None,
    }
}

/// A new leg.
///
/// # Errors
/// The origin's failure at [`Phase::Connect`].
pub async fn dial(way: &Way<'_>, total: Deadline) -> Result<Box<Leg>, Failure> {
    let deadline = way.terms.connect.deadline().min(total);
    let address = &way.slot.generation().address;
    let dialled = deadline
        .bound(dial::open(address, way.manners.source))
        .await;
    let cause = match dialled {
        Ok(Ok(stream)) => return Ok(Box::new(Leg::new(stream))),
        Ok(Err(error)) => match error.kind() {
            std::io::ErrorKind::ConnectionRefused | std::io::ErrorKind::NotFound => Cause::Refused,
            _ => Cause::Broken(error.to_string()),
        },
        Err(_) => way.terms.connect.missed(),
    };
    Err(Failure::origin(Phase::Connect, cause))
}
