//! The upload: a request's body that goes to the origin as it comes, under the client's own deadlines.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::Body;
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use tokio::time::Sleep;

use super::terms::Limit;
use crate::ground::deadline::{self, Deadline};
use crate::ground::failure::{Cause, Failure, Phase};
use crate::ground::ledger::{Count, Tally};
use crate::origin::Pulse;

/// A body that is still with the client. It can be sent once.
#[derive(Debug)]
pub struct Live {
    body: Mutex<Option<UnsyncBoxBody<Bytes, Failure>>>,
    /// Its length, where the client told it.
    pub length: Option<u64>,
    /// What of it has come.
    pub received: Arc<AtomicU64>,
    size: Limit<u64>,
    stall: Limit<Duration>,
    /// The same once the origin has answered: both are in a conversation then.
    quiet: Limit<Duration>,
}

/// What bounds an upload.
#[derive(Debug, Clone, Copy)]
pub struct UploadBounds {
    /// How much the client may send.
    pub size: Limit<u64>,
    /// How long it may send nothing before the origin answers,
    pub stall: Limit<Duration>,
    /// and after that.
    pub quiet: Limit<Duration>,
}

/// How an upload goes, for those who wait for the answer to it.
#[derive(Debug, Clone)]
pub struct Uplink(Arc<Mutex<Link>>);

#[derive(Debug)]
struct Link {
    moved: Instant,
    waits_for_client: bool,
    is_answered: bool,
    failure: Option<Failure>,
}

/// The body on its way to the origin.
pub struct Upload {
    body: UnsyncBoxBody<Bytes, Failure>,
    left: u64,
    size: Limit<u64>,
    stall: Limit<Duration>,
    quiet: Limit<Duration>,
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
    link: Uplink,
    pulse: Pulse,
    tally: Arc<Tally>,
    received: Arc<AtomicU64>,
}

impl Live {
    /// The body behind a head, untouched so far.
    ///
    /// # Errors
    /// The client's failure: it says that it will be too large.
    pub fn new<B>(body: B, bounds: UploadBounds) -> Result<Self, Failure>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: std::fmt::Display,
    {
        let hint = body.size_hint();
        if hint.lower() > bounds.size.is {
            return Err(too_large(bounds.size));
        }
        let broken = |error: B::Error| broken(&error);
        Ok(Self {
            length: hint.exact(),
            received: Arc::default(),
            body: Mutex::new(Some(body.map_err(broken).boxed_unsync())),
            size: bounds.size,
            stall: bounds.stall,
            quiet: bounds.quiet,
        })
    }

    /// Begins to send it; `None` where that was done before.
    pub fn send(&self, pulse: &Pulse, tally: &Arc<Tally>) -> Option<(Upload, Uplink)> {
        let body = locked(&self.body).take()?;
        // Nobody owes an answer to half a request.
        pulse.lasts();
        let link = Uplink(Arc::new(Mutex::new(Link {
            moved: deadline::now(),
            waits_for_client: true,
            is_answered: false,
            failure: None,
        })));
        let upload = Upload {
            body,
            left: self.size.is,
            size: self.size,
            stall: self.stall,
            quiet: self.quiet,
            waiting: None,
            link: link.clone(),
            pulse: pulse.clone(),
            tally: tally.clone(),
            received: self.received.clone(),
        };
        Some((upload, link))
    }

    /// Whether it was sent, so that it cannot be sent again.
    pub fn is_spent(&self) -> bool {
        locked(&self.body).is_none()
    }
}

impl Uplink {
    /// Why the upload failed, if it did.
    pub fn failure(&self) -> Option<Failure> {
        locked(&self.0).failure.clone()
    }

    /// The origin has answered.
    pub fn answered(&self) {
        locked(&self.0).is_answered = true;
    }

    /// Waits for `work`, but no longer than `limit` after the upload last moved, while it is the origin's turn.
    /// `None`: that was too long, or `total` has passed.
    pub async fn bound<T>(
        &self,
        work: impl Future<Output = T>,
        limit: Limit<Duration>,
        total: Deadline,
    ) -> Option<T> {
        let mut work = std::pin::pin!(work);
        loop {
            let by = Deadline::after(locked(&self.0).moved, limit.is).min(total);
            if let Ok(done) = by.bound(work.as_mut()).await {
                return Some(done);
            }
            let now = deadline::now();
            let mut link = locked(&self.0);
            if link.waits_for_client {
                // Bounded by the client's own deadline.
                link.moved = now;
            }
            if total.is_past(now) || Deadline::after(link.moved, limit.is).is_past(now) {
                return None;
            }
        }
    }
}

impl Upload {
    fn poll_client(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Failure>>> {
        loop {
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Ready(Some(Err(failure))) => return Poll::Ready(Some(Err(failure))),
                Poll::Ready(Some(Ok(frame))) => {
                    self.waiting = None;
                    let Ok(data) = frame.into_data() else {
                        continue;
                    };
                    let Some(left) = self.left.checked_sub(data.len() as u64) else {
                        return Poll::Ready(Some(Err(too_large(self.size))));
                    };
                    self.left = left;
                    self.tally.add(Count::BytesFromClients, data.len() as u64);
                    self.received
                        .fetch_add(data.len() as u64, Ordering::Relaxed);
                    return Poll::Ready(Some(Ok(data)));
                }
                Poll::Pending => {}
            }
            let limit = match locked(&self.link.0).is_answered {
                true => self.quiet,
                false => self.stall,
            };
            let (since, sleep) = self.waiting.get_or_insert_with(|| {
                let since = deadline::now();
                let by = Deadline::after(since, limit.is).at();
                (since, Box::pin(tokio::time::sleep_until(by.into())))
            });
            std::task::ready!(sleep.as_mut().poll(cx));
            let by = Deadline::after(*since, limit.is);
            if by.is_past(deadline::now()) {
                let failure = Failure::client(Phase::Body, limit.missed());
                return Poll::Ready(Some(Err(failure)));
            }
            sleep.as_mut().reset(by.at().into());
        }
    }
}

impl Upload {
    /// The next bytes, `None` at the end, or why there are no more.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Failure>>> {
        let next = self.poll_client(cx);
        let mut link = locked(&self.link.0);
        if !std::mem::replace(&mut link.waits_for_client, next.is_pending()) {
            // The piece before was taken from us.
            link.moved = deadline::now();
        }
        if let Poll::Ready(Some(Err(failure))) = &next {
            link.failure = Some(failure.clone());
        }
        drop(link);
        next
    }

    /// The origin has read some of it.
    pub fn is_read(&self) {
        self.pulse.life(0);
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let mut link = locked(&self.link.0);
        link.waits_for_client = false;
        link.moved = deadline::now();
        if !link.is_answered {
            // All of it is sent.
            self.pulse.owes();
        }
    }
}

fn too_large(size: Limit<u64>) -> Failure {
    let (limit, key) = (size.is, size.key);
    Failure::client(Phase::Body, Cause::TooLarge { limit, key })
}

fn broken(error: &dyn std::fmt::Display) -> Failure {
    Failure::client(Phase::Body, Cause::Broken(error.to_string()))
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
