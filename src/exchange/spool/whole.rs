//! A whole body that can be read more than once: a request, which may have to be sent again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::disk::{DiskError, Spill};
use super::pages::Pages;
use super::tee::Overflow;
use crate::ground::failure::{Cause, Failure, Phase};

/// A whole body. Cloning it is cheap; what it holds is given back with the last clone.
#[derive(Debug, Clone)]
pub enum Whole {
    /// Small, in one piece, or empty.
    Piece(Bytes),
    /// In as many places as it took.
    Parts(Arc<Parts>),
}

/// Reads a whole body from its beginning.
#[derive(Debug)]
pub struct WholeReader {
    whole: Whole,
    /// The next piece of those in memory.
    piece: usize,
    /// Bytes of the file taken so far.
    read: u64,
    fetched: Option<Arc<Mutex<Fetch>>>,
    /// The next piece behind the file.
    rest: usize,
}

/// A body in as many places as it took.
#[derive(Debug)]
pub struct Parts {
    pages: Pages,
    file: Option<(Arc<Spill>, u64)>,
    rest: VecDeque<Bytes>,
    len: u64,
    phase: Phase,
}

#[derive(Debug, Default)]
struct Fetch {
    done: Option<Result<Bytes, DiskError>>,
    waker: Option<Waker>,
}

/// Read from the disk at once.
const FETCH: u64 = 128 << 10;

impl Whole {
    /// A body of no bytes.
    pub fn empty() -> Self {
        Self::Piece(Bytes::new())
    }

    /// What is in memory, then what is on disk, then what was still waiting for it.
    pub(super) fn new(pages: Pages, overflow: Option<Overflow>, len: u64, phase: Phase) -> Self {
        let (file, rest) = match overflow {
            Some(overflow) => (Some((overflow.spill, overflow.written)), overflow.waiting),
            None => (None, VecDeque::new()),
        };
        Self::Parts(Arc::new(Parts {
            pages,
            file,
            rest,
            len,
            phase,
        }))
    }

    /// Its length in bytes.
    pub fn len(&self) -> u64 {
        match self {
            Self::Piece(bytes) => bytes.len() as u64,
            Self::Parts(parts) => parts.len,
        }
    }

    /// Reads it from the beginning.
    pub fn reader(&self) -> WholeReader {
        WholeReader {
            whole: self.clone(),
            piece: 0,
            read: 0,
            fetched: None,
            rest: 0,
        }
    }
}

impl WholeReader {
    /// The next bytes, or `None` at the end. Waits for nothing but the disk.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Failure>>> {
        let parts = match &self.whole {
            Whole::Piece(bytes) => {
                let is_first = std::mem::replace(&mut self.piece, 1) == 0;
                let piece = is_first.then(|| bytes.clone());
                return Poll::Ready(piece.filter(|it| !it.is_empty()).map(Ok));
            }
            Whole::Parts(parts) => parts.clone(),
        };
        if let Some(piece) = parts.pages.piece(self.piece) {
            self.piece += 1;
            return Poll::Ready(Some(Ok(piece)));
        }
        if let Some((spill, written)) = &parts.file
            && self.read < *written
        {
            let told = |error: DiskError| {
                let cause = Cause::Disk(error.to_string());
                Some(Err(Failure::edge(parts.phase, cause)))
            };
            return self
                .poll_file(spill, *written, cx)
                .map(|result| match result {
                    Ok(bytes) => Some(Ok(bytes)),
                    Err(error) => told(error),
                });
        }
        let piece = parts.rest.get(self.rest).cloned();
        self.rest += 1;
        Poll::Ready(piece.map(Ok))
    }

    fn poll_file(
        &mut self,
        spill: &Arc<Spill>,
        written: u64,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Bytes, DiskError>> {
        let fetch = match &self.fetched {
            Some(fetch) => fetch.clone(),
            None => {
                let fetch = Arc::<Mutex<Fetch>>::default();
                let length = (written - self.read).min(FETCH) as usize;
                let filled = fetch.clone();
                let sent = spill.read(self.read, length, move |result| fill(&filled, result));
                if let Err(error) = sent {
                    return Poll::Ready(Err(error));
                }
                self.fetched = Some(fetch.clone());
                fetch
            }
        };
        let mut fetch = fetch.lock().unwrap_or_else(PoisonError::into_inner);
        match fetch.done.take() {
            Some(result) => {
                self.fetched = None;
                if let Ok(bytes) = &result {
                    self.read += bytes.len() as u64;
                }
                Poll::Ready(result)
            }
            None => {
                fetch.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

fn fill(fetch: &Mutex<Fetch>, result: Result<Bytes, DiskError>) {
    let mut fetch = fetch.lock().unwrap_or_else(PoisonError::into_inner);
    fetch.done = Some(result);
    if let Some(waker) = fetch.waker.take() {
        waker.wake();
    }
}
