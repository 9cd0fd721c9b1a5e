//! The rest of an answer that was cut in the middle, from the origin's next generation into the spool where its client
//! reads on.

use super::answer::{self, AnswerHead, Reader};
use super::continuation::{Mark, Rest};
use super::forward::Way;
use super::intake::Taken;
use super::leg::Leg;
use super::line;
use super::missed::{Fault, Missed, ended};
use super::receive::judge_end;
use super::replay::Delivery;
use super::sending;
use super::spool::SpoolWriter;
use crate::ground::deadline::{self, Deadline};
use crate::ground::failure::{Cause, Failure, Party, Phase};

/// An answer of which the client has seen a part, and that may be continued. Dropping it cuts it off.
#[derive(Debug)]
pub struct Cut {
    /// Where its client reads, and what there is of it.
    pub spool: SpoolWriter,
    /// By what it is known again.
    pub mark: Box<Mark>,
}

/// The mark of an answer that is shown before it is whole; `None` where it cannot be continued.
pub fn mark(taken: &Taken, head: &AnswerHead, reader: &Reader) -> Option<Box<Mark>> {
    let is_under_way = matches!(reader, Reader::Spool(reader) if reader.whole_len().is_none());
    if !is_under_way || taken.has_body || taken.bid.is_some() {
        return None;
    }
    Mark::of(&taken.head, head).map(Box::new)
}

/// Visits the origin with `question`, which asks for the rest of `cut`, and puts what comes behind what is there. `fits` is
/// called once, when the answer has proven to be the rest. Ends when it is whole, or lost; it is left open then.
///
/// # Errors
/// [`Missed`], with [`Delivery::Answered`] when `fits` had been called.
pub async fn visit(
    question: &Taken,
    way: Way<'_>,
    cut: &Cut,
    fits: impl FnOnce(),
) -> Result<(), Missed> {
    let generation = way.slot.generation();
    let mut delivery = Delivery::NeverSent;
    let result = tokio::select! {
        biased;
        result = go(question, way, cut, &mut delivery, fits) => match (result, generation.ending()) {
            (Err(failure), Some(ending)) if failure.party == Party::Origin => {
                Err(ended(&ending, way.visit))
            }
            (result, _) => result.map_err(|failure| (failure, Fault::default())),
        },
        ending = generation.ended() => Err(ended(&ending, way.visit)),
    };
    result.map_err(|(failure, fault)| Missed::of(failure, fault, delivery))
}

async fn go(
    question: &Taken,
    way: Way<'_>,
    cut: &Cut,
    delivery: &mut Delivery,
    fits: impl FnOnce(),
) -> Result<(), Failure> {
    let Way { visit, terms, .. } = way;
    let total = terms.times().total.deadline();
    let (message, _) = sending::message(question, &way.manners, false, visit.pulse(), way.tally)?;
    // A kept connection may be closed already, and this is asked for once.
    let mut leg = line::dial(&way, total).await?;
    visit.connected(leg.local());
    *delivery = Delivery::Unknown;
    let first_byte = terms.first_byte.deadline().min(total);
    let asked = leg.ask(message, &question.head.method);
    let parts = match first_byte.bound(asked).await {
        Ok(answered) => answered.map_err(|error| error.at(Phase::FirstByte))?,
        Err(_) => {
            let now = deadline::now();
            let missed = terms.times().missed(total, terms.first_byte, now);
            return Err(Failure::origin(Phase::FirstByte, missed));
        }
    };
    visit.pulse().life(0);
    way.slot.answered();
    let head = answer::rebuild(parts, &question.head.method)?;
    let unlike = |what| Failure::origin(Phase::FirstByte, Cause::Unsupported(what));
    let rest = cut.mark.rest(&head, cut.spool.len()).map_err(unlike)?;
    *delivery = Delivery::Answered;
    fits();
    receive(&mut leg, rest, cut, way, total).await
}

/// Takes what the client lacks, and not a byte more.
async fn receive(
    leg: &mut Leg,
    rest: Rest,
    cut: &Cut,
    way: Way<'_>,
    total: Deadline,
) -> Result<(), Failure> {
    let times = way.terms.times();
    let Rest {
        mut skip,
        mut lacks,
    } = rest;
    while lacks != Some(0) {
        let by = times.idle.deadline().min(total);
        let Ok(frame) = by.bound(leg.frame()).await else {
            let missed = times.missed(total, times.idle, deadline::now());
            return Err(Failure::origin(Phase::Answer, missed));
        };
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|error| error.at(Phase::Answer))?;
        let Ok(mut data) = frame.into_data() else {
            continue;
        };
        way.visit.pulse().life(data.len() as u64);
        let had = skip.min(data.len() as u64);
        skip -= had;
        let mut data = data.split_off(had as usize);
        if let Some(lacks) = &mut lacks {
            data.truncate((*lacks).min(data.len() as u64) as usize);
            *lacks -= data.len() as u64;
        }
        if !data.is_empty() {
            cut.spool.push(data).await?;
        }
    }
    if skip > 0 || lacks.is_some_and(|lacks| lacks > 0) {
        return Err(Failure::origin(Phase::Answer, Cause::Truncated));
    }
    if lacks.is_none() {
        judge_end(leg, way.slot.generation())?;
    }
    cut.spool.end(Ok(()));
    Ok(())
}
