//! Carries the bytes of a tunnel both ways until one side ends it, or nothing has moved for long.

use std::future::Future;
use std::io::Cursor;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::terms::{Limit, Terms};
use super::window::Stalled;
use crate::ground::deadline::{self, Deadline};
use crate::ground::failure::{Cause, Failure, Party, Phase};
use crate::ground::ledger::{Count, Tally};
use crate::origin::Pulse;
use crate::origin::dial::OriginStream;

/// What bounds and measures a tunnel.
#[derive(Debug, Clone, Copy)]
pub struct Tunnel<'a> {
    /// Its limits.
    pub terms: &'a Terms,
    /// Where its signs of life are told.
    pub pulse: &'a Pulse,
    /// The numbers of this thread.
    pub tally: &'a Tally,
    /// When the visit must be over.
    pub total: Deadline,
}

/// What a tunnel came to.
#[derive(Debug)]
pub struct Carried {
    /// Bytes from the client to the origin.
    pub up: u64,
    /// Bytes from the origin to the client.
    pub down: u64,
    /// Why it ended; that one side ends it is in order.
    pub end: Result<(), Failure>,
}

/// Once the client has said its last, the origin has this long to do so.
const HALF_CLOSED: Duration = Duration::from_secs(5);
/// A client is told of the end for this long.
const FAREWELL: Duration = Duration::from_secs(1);
/// Read at once: one record of TLS.
const PIECE: usize = 16 << 10;

/// Carries bytes between the two until the end. `origin` comes with what it has said already.
pub async fn carry(client: Upgraded, origin: (OriginStream, Bytes), tunnel: Tunnel<'_>) -> Carried {
    let Tunnel {
        terms,
        pulse,
        tally,
        total,
    } = tunnel;
    let (mut from_client, mut to_client) = tokio::io::split(TokioIo::new(client));
    let (origin, said) = origin;
    let (from_origin, mut to_origin) = tokio::io::split(origin);
    let mut from_origin = Cursor::new(said).chain(from_origin);
    let moved = Mutex::new(deadline::now());
    let (up, down) = (AtomicU64::new(0), AtomicU64::new(0));
    let idle = terms.lasting.idle;
    let upward = Way {
        parties: (Party::Client, Party::Origin),
        stall: idle,
        stalled: None,
        took: |bytes| {
            up.fetch_add(bytes, Ordering::Relaxed);
            // No sign of life: it may lie in the kernel, and nobody reads it.
            touch(&moved);
            tally.add(Count::BytesFromClients, bytes);
        },
    };
    let downward = Way {
        parties: (Party::Origin, Party::Client),
        stall: terms.stall,
        stalled: Some(tally),
        took: |bytes| {
            down.fetch_add(bytes, Ordering::Relaxed);
            touch(&moved);
            pulse.life(bytes);
            tally.add(Count::BytesToClients, bytes);
        },
    };
    let end = {
        let upward = async {
            upward.copy(&mut from_client, &mut to_origin).await?;
            let told = to_origin.shutdown().await;
            told.map_err(|error| broke(Party::Origin, &error))
        };
        let downward = downward.copy(&mut from_origin, &mut to_client);
        tokio::select! {
            end = until_the_origin_ends(upward, downward) => end,
            () = quiet(&moved, idle.is) => Err(Failure::edge(Phase::Answer, idle.missed())),
            () = total.passed() => Err(Failure::edge(Phase::Answer, terms.lasting.total.missed())),
        }
    };
    // The origin does not wait for that.
    tokio::spawn(async move {
        let farewell = Deadline::within(FAREWELL);
        let _ = farewell.bound(to_client.shutdown()).await;
    });
    Carried {
        up: up.into_inner(),
        down: down.into_inner(),
        end,
    }
}

/// One direction of a tunnel.
struct Way<'a, F> {
    /// Who sends, and who receives.
    parties: (Party, Party),
    /// How long the receiver may take nothing.
    stall: Limit<Duration>,
    /// Where it is counted that the sender waits for the receiver.
    stalled: Option<&'a Tally>,
    /// Told of the bytes that were passed on.
    took: F,
}

impl<F: FnMut(u64)> Way<'_, F> {
    /// Copies until the sender ends.
    async fn copy<R, W>(mut self, from: &mut R, to: &mut W) -> Result<(), Failure>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let (sender, receiver) = self.parties;
        let mut piece = vec![0; PIECE];
        loop {
            let read = from.read(&mut piece).await;
            let length = read.map_err(|error| broke(sender, &error))?;
            if length == 0 {
                return Ok(());
            }
            let mut given = pin!(async {
                to.write_all(&piece[..length]).await?;
                to.flush().await
            });
            let now = std::future::poll_fn(|cx| Poll::Ready(given.as_mut().poll(cx))).await;
            let given = match now {
                Poll::Ready(given) => given,
                Poll::Pending => {
                    let _stalled = self.stalled.map(Stalled::begin);
                    match self.stall.deadline().bound(given).await {
                        Ok(given) => given,
                        Err(_) => return Err(failed(receiver, self.stall.missed())),
                    }
                }
            };
            given.map_err(|error| broke(receiver, &error))?;
            (self.took)(length as u64);
        }
    }
}

/// A client that has said its last may still hear the origin out; an origin that has is done.
async fn until_the_origin_ends(
    upward: impl Future<Output = Result<(), Failure>>,
    downward: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    let mut downward = pin!(downward);
    tokio::select! {
        end = &mut downward => end,
        end = upward => {
            end?;
            Deadline::within(HALF_CLOSED).bound(downward).await.unwrap_or(Ok(()))
        }
    }
}

/// Returns when nothing has moved for `idle`.
async fn quiet(moved: &Mutex<Instant>, idle: Duration) {
    loop {
        let since = *moved.lock().unwrap_or_else(PoisonError::into_inner);
        let by = Deadline::after(since, idle);
        if by.is_past(deadline::now()) {
            return;
        }
        by.passed().await;
    }
}

fn touch(moved: &Mutex<Instant>) {
    *moved.lock().unwrap_or_else(PoisonError::into_inner) = deadline::now();
}

fn broke(party: Party, error: &std::io::Error) -> Failure {
    failed(party, Cause::Broken(error.to_string()))
}

fn failed(party: Party, cause: Cause) -> Failure {
    let phase = Phase::Answer;
    Failure {
        party,
        phase,
        cause,
    }
}
