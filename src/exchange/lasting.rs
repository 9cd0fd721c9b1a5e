//! What of a visit lasts: a tunnel to its end, and whether an answer is a stream.

use std::time::Instant;

use super::answer::AnswerHead;
use super::carry::{Carried, Tunnel, carry};
use super::forward::Way;
use super::leg::Leg;
use super::live::{self, Manner};
use super::streams::Place;
use super::tunnel::Bid;
use crate::ground::deadline::Deadline;
use crate::ground::failure::Failure;

/// The tunnel both agreed to, to its end.
///
/// # Errors
/// The client's failure: it did not come to the tunnel.
pub async fn tunnel(
    leg: Box<Leg>,
    bid: &Bid,
    way: &Way<'_>,
    begun: Instant,
) -> Result<(), Failure> {
    let Way { terms, visit, .. } = *way;
    let client = bid.met(terms.stall).await?;
    let tunnel = Tunnel {
        terms,
        pulse: visit.pulse(),
        tally: way.tally,
        total: Deadline::after(begun, terms.lasting.total.is),
    };
    let Carried { up, down, end } = carry(client, leg.into_tunnel(), tunnel).await;
    let why = end.as_ref().err().map(tracing::field::display);
    tracing::info!(target: "tunnel", request = way.request, up, down, why, "a tunnel ended");
    Ok(())
}

/// A place for the answer as a stream, if it is one. What would merely like not to be buffered is buffered where
/// there is no place for it; events are refused then, because they need not have an end.
///
/// # Errors
/// The failure of one for which there is no place.
pub fn as_stream(way: &Way<'_>, head: &AnswerHead) -> Result<Option<Option<Place>>, Failure> {
    let enter = || way.streams.enter(way.slot.generation(), way.tally);
    match live::manner(head) {
        _ if !head.has_body || head.length == Some(0) => Ok(None),
        // Its place was taken before it was sent.
        _ if way.terms.stream => Ok(Some(None)),
        Manner::Ordinary => Ok(None),
        Manner::Unbuffered => Ok(enter().ok().map(Some)),
        Manner::Events => enter().map(|place| Some(Some(place))),
    }
}
