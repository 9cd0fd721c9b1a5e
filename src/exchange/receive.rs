//! Takes the body of an answer, at the origin's pace, to where the client reads it at its own. What is small and comes
//! soon is given over in one piece; everything else goes through the spool.

use bytes::Bytes;

use super::answer::{AnswerHead, Reader};
use super::leg::Leg;
use super::spool::{self, SpoolReader, SpoolWriter, Store};
use super::terms::Times;
use crate::config::fixed::COMMIT_AFTER;
use crate::ground::deadline::{self, Deadline};
use crate::ground::failure::{Cause, Failure, Phase};
use crate::origin::{Generation, Pulse};

/// What is on its way into an answer's body.
#[derive(Debug)]
pub struct Filling<'a> {
    store: &'a Store,
    spool: &'a mut Option<SpoolWriter>,
    /// The first piece, while it is the only one and small.
    first: Option<Bytes>,
    reader: Option<SpoolReader>,
}

/// Or as soon as this much of its body has come. Until then a failure can still be mended unseen.
const COMMIT_BYTES: u64 = 64 << 10;
/// One piece no larger than this needs no spool.
const SMALL: usize = 16 << 10;

/// Takes the body behind `head`; `commit` is called once, when the client may see it.
///
/// # Errors
/// The origin's failure at [`Phase::Answer`], or the edge's where the spool is full.
pub async fn receive(
    leg: &mut Leg,
    head: AnswerHead,
    commit: impl FnOnce(AnswerHead, Reader),
    filling: &mut Filling<'_>,
    way: (&Pulse, &Generation),
    bounds: (&Times, Deadline),
) -> Result<(), Failure> {
    let (pulse, generation) = way;
    let (times, total) = bounds;
    let mut shown = Some((head, commit));
    let mut commit_by = None;
    let mut idle = times.idle.deadline().min(total);
    loop {
        let by = match commit_by {
            Some(by) if shown.is_some() => idle.min(by),
            _ => idle,
        };
        let Ok(frame) = by.bound(leg.frame()).await else {
            if by == idle {
                let missed = times.missed(total, times.idle, deadline::now());
                return Err(Failure::origin(Phase::Answer, missed));
            }
            if let Some((head, commit)) = shown.take() {
                commit(head, filling.reader().await?);
            }
            continue;
        };
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|error| error.at(Phase::Answer))?;
        idle = times.idle.deadline().min(total);
        let Ok(data) = frame.into_data() else {
            continue;
        };
        pulse.life(data.len() as u64);
        commit_by.get_or_insert_with(|| Deadline::within(COMMIT_AFTER));
        filling.push(data).await?;
        if filling.len() >= COMMIT_BYTES
            && let Some((head, commit)) = shown.take()
        {
            commit(head, filling.reader().await?);
        }
    }
    judge_end(leg, generation)?;
    if let Some(spool) = &*filling.spool {
        spool.end(Ok(()));
    }
    if let Some((head, commit)) = shown {
        commit(head, filling.given());
    }
    Ok(())
}

/// Judges a body that ended in order. Where only the end of the connection told, it ends like a whole one, too, when its
/// process dies in the middle. One that is not ours may die unnoticed; its word is taken.
///
/// # Errors
/// The origin's failure: it died, and who knows what it still had to say.
pub fn judge_end(leg: &Leg, generation: &Generation) -> Result<(), Failure> {
    match leg.ended_by_close() && generation.notice_death() {
        true => Err(Failure::origin(Phase::Answer, Cause::Died)),
        false => Ok(()),
    }
}

impl<'a> Filling<'a> {
    /// Nothing has come yet. `spool` is left to whoever has to end the body if it is not received to its end.
    pub fn new(store: &'a Store, spool: &'a mut Option<SpoolWriter>) -> Self {
        Self {
            store,
            spool,
            first: None,
            reader: None,
        }
    }

    /// Bytes that went into the spool.
    fn len(&self) -> u64 {
        self.spool.as_ref().map_or(0, SpoolWriter::len)
    }

    async fn push(&mut self, data: Bytes) -> Result<(), Failure> {
        let is_only = self.spool.is_none() && self.first.is_none();
        if is_only && data.len() <= SMALL {
            self.first = Some(data);
            return Ok(());
        }
        self.open().await?.push(data).await
    }

    /// The spool, with everything in it that has come.
    async fn open(&mut self) -> Result<&SpoolWriter, Failure> {
        let writer = match self.spool.take() {
            Some(writer) => writer,
            None => {
                let (writer, reader) = spool::tee(self.store, Phase::Answer);
                self.reader = Some(reader);
                if let Some(first) = self.first.take() {
                    writer.push(first).await?;
                }
                writer
            }
        };
        Ok(self.spool.insert(writer))
    }

    /// Where the client reads what is not whole yet.
    async fn reader(&mut self) -> Result<Reader, Failure> {
        self.open().await?;
        Ok(self.given())
    }

    fn given(&mut self) -> Reader {
        match self.reader.take() {
            Some(reader) => Reader::Spool(reader),
            None => Reader::Whole(self.first.take().unwrap_or_default()),
        }
    }
}
