//! Accepts those who want to know, few at once and each for a short time: they share a thread with the watch.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};

use super::routes::Routes;
use super::verbs::Via;
use crate::ground::deadline::Deadline;

/// Connections at once; a further one is closed, for it is better turned away than left waiting behind a crowd.
const SEATS: usize = 32;
/// A whole head from its first byte, and also the longest wait for the next one.
const HEAD: Duration = Duration::from_secs(5);
/// A whole connection, however many requests it carries, unless it carries events. Whoever wants more connects again.
const LIFE: Duration = Duration::from_secs(15);
/// Heads are short; the least that hyper takes.
const BUFFER: usize = 8 << 10;
/// After a failed accept: none of its causes is cured by haste.
const PAUSE: Duration = Duration::from_millis(100);

/// Where those come from who want to know.
pub(super) trait Door {
    /// What they say it over.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    /// What may be asked through this one.
    const VIA: Via;

    /// The next of them.
    fn next(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

impl Door for TcpListener {
    type Stream = TcpStream;
    const VIA: Via = Via::Network;

    async fn next(&self) -> io::Result<TcpStream> {
        Ok(self.accept().await?.0)
    }
}

impl Door for UnixListener {
    type Stream = UnixStream;
    const VIA: Via = Via::Socket;

    async fn next(&self) -> io::Result<UnixStream> {
        Ok(self.accept().await?.0)
    }
}

/// Answers for ever. Dropping the future ends the listening; connections then end by their own bounds.
pub(super) async fn run<D: Door>(door: D, routes: Arc<Routes>) {
    let seats = Arc::new(Semaphore::new(SEATS));
    loop {
        let stream = next(&door).await;
        let Ok(seat) = seats.clone().try_acquire_owned() else {
            tracing::debug!("a status connection is closed: all {SEATS} places are taken");
            continue;
        };
        let routes = routes.clone();
        tokio::spawn(async move {
            converse(stream, routes, D::VIA).await;
            drop(seat);
        });
    }
}

/// The next connection. Can't fail: it logs, waits and tries again.
async fn next<D: Door>(door: &D) -> D::Stream {
    loop {
        match door.next().await {
            Ok(stream) => return stream,
            Err(cause) => {
                tracing::warn!(%cause, "cannot accept a status connection; trying again in 100 ms");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    routes: Arc<Routes>,
    via: Via,
) {
    let lease = Arc::new(Lease::until(Deadline::within(LIFE)));
    let given = lease.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let (routes, lease) = (routes.clone(), given.clone());
        async move { Ok::<_, Infallible>(routes.answer(&request, via, &lease).await) }
    });
    let connection = http1::Builder::new()
        // Without a timer hyper's limits are silently off.
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        done = connection => if let Err(cause) = done {
            tracing::debug!(%cause, "a status connection ended early");
        },
        () = lease.ends() => tracing::debug!("a status connection is closed: its time is over"),
    }
}

/// For how long a connection may last; it is made longer for one that carries events.
pub(super) struct Lease(watch::Sender<Deadline>);

impl Lease {
    fn until(deadline: Deadline) -> Self {
        Self(watch::channel(deadline).0)
    }

    /// From now on it ends then.
    pub(super) fn extend(&self, deadline: Deadline) {
        self.0.send_replace(deadline);
    }

    /// Returns when it has ended.
    async fn ends(&self) {
        let mut changes = self.0.subscribe();
        loop {
            let deadline = *changes.borrow_and_update();
            tokio::select! {
                () = deadline.passed() => return,
                _ = changes.changed() => {}
            }
        }
    }
}
