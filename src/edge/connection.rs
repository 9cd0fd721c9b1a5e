//! One client connection, from the handshake to its end: one task, one timer, every deadline.

use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use http::header::UPGRADE;
use http::{Method, Request};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::Handler;
use super::admission::Admission;
use super::flood;
use super::flow::{Flow, InFlight, Overdue, Speaks};
use super::guard::Guard;
use super::plain;
use super::stream::{StreamExec, Streams};
use super::tracked::tracked;
use super::wire::Wire;
use crate::config::settings;
use crate::ground::addr::ClientAddr;
use crate::ground::deadline::{self, Deadline};
use crate::ground::drain::Drain;
use crate::ground::failure::Phase;
use crate::ground::ledger::{Count, Tally};

/// What all connections of one edge thread share.
pub struct Edge<H> {
    /// The settings of the edge.
    pub settings: settings::Edge,
    /// How to speak TLS.
    pub tls: TlsAcceptor,
    /// Who is connected.
    pub admission: Admission,
    /// The numbers of this thread.
    pub tally: Arc<Tally>,
    /// Who serves the requests.
    pub handler: Arc<H>,
}

/// An idle connection is given this long when there is little room left.
const CROWDED: Duration = Duration::from_secs(5);
/// A connection that was told to end, and is idle, is given this long.
const LINGER: Duration = Duration::from_secs(5);
/// What h2 buffers of a stream before the client's window opens.
const SEND_BUFFER: usize = 64 << 10;
/// What a client may send of one body before we have taken it.
const STREAM_WINDOW: u32 = 256 << 10;
/// The same for all bodies of a connection.
const CONNECTION_WINDOW: u32 = 1 << 20;
/// An HTTP/2 client that has said nothing for this long is asked whether it is there,
const PING_EVERY: Duration = Duration::from_secs(20);
/// and has this long to answer.
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// What hyper reads at once.
const READ_BUFFER: usize = 64 << 10;

/// Serves one client until it leaves, is told to end, or misses a deadline.
pub async fn serve<H: Handler>(
    stream: TcpStream,
    client: ClientAddr,
    edge: &Edge<H>,
    mut drain: Drain,
) {
    let flow = Arc::new(Flow::begin());
    let Some(stream) = handshake(stream, client, edge, &flow, &mut drain).await else {
        return;
    };
    let speaks = match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => Speaks::Http2,
        _ => Speaks::Http1,
    };
    flow.speaks(speaks);
    let streams = Streams::default();
    let service = service_fn(|mut request: Request<Incoming>| {
        let in_flight = InFlight::begin(&flow);
        if may_tunnel(&request) {
            // A tunnel goes on behind its answer; whoever carries it keeps this.
            let tied = Arc::new(InFlight::begin(&flow));
            request.extensions_mut().insert(tied);
        }
        let stream = (speaks == Speaks::Http2).then(|| streams.begin());
        let answer = edge.handler.clone().handle(request, client);
        async move { Ok::<_, Infallible>(tracked(answer.await, in_flight, stream)) }
    });
    let limits = &edge.settings.limits;
    let mut driver = Driver {
        edge,
        flow: &flow,
        streams: &streams,
        client,
        drain,
    };
    match speaks {
        Speaks::Http1 => {
            let connection = http1::Builder::new()
                .max_header_size(limits.head)
                .max_headers(limits.headers)
                .max_buf_size(READ_BUFFER.max(limits.head))
                .header_read_timeout(None)
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades();
            driver.drive(connection, |it| it.graceful_shutdown()).await;
            if flow.is_tunnel() {
                let closed = async {
                    flow.closed().await;
                    Ok(())
                };
                driver.drive(closed, |_| {}).await;
                flow.cut();
            }
        }
        Speaks::Http2 => {
            let flood_limits = flood::Limits {
                control_frames: limits.control_frames,
                resets: limits.resets,
            };
            let (guard, found) = Guard::new(stream, flood_limits);
            let connection = http2::Builder::new(StreamExec(streams.clone()))
                .timer(TokioTimer::new())
                .keep_alive_interval(PING_EVERY)
                .keep_alive_timeout(PING_TIMEOUT)
                .max_concurrent_streams(limits.streams)
                .max_header_list_size(u32::try_from(limits.head).unwrap_or(u32::MAX))
                .max_send_buf_size(SEND_BUFFER)
                .initial_stream_window_size(STREAM_WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW)
                .enable_connect_protocol()
                .serve_connection(TokioIo::new(guard), service);
            driver.drive(connection, |it| it.graceful_shutdown()).await;
            if let Some(flood) = found.flood() {
                edge.tally.count(Count::FloodsEnded);
                tracing::warn!(%client, "client: a flood, more than {} allows; connection ended", flood.key());
            }
        }
    }
}

type Stream = tokio_rustls::server::TlsStream<Wire>;

async fn handshake<H>(
    stream: TcpStream,
    client: ClientAddr,
    edge: &Edge<H>,
    flow: &Arc<Flow>,
    drain: &mut Drain,
) -> Option<Stream> {
    let limit = edge.settings.deadlines.handshake;
    let deadline = Deadline::within(limit);
    let is_plain = tokio::select! {
        biased;
        is_plain = deadline.bound(plain::is_plain_http(&stream)) => is_plain,
        () = drained(drain) => {
            let _ = stream.set_zero_linger();
            return None;
        }
    };
    if let Ok(true) = is_plain {
        edge.tally.count(Count::HandshakesFailed);
        tracing::debug!(%client, "client, handshake: plain HTTP on a port that speaks TLS");
        plain::refuse(stream).await;
        return None;
    }
    let wire = Wire::new(stream, flow.clone());
    let mut accepting = Box::pin(edge.tls.accept(wire));
    let in_time = deadline.bound(accepting.as_mut());
    let done = tokio::select! {
        biased;
        done = in_time => done,
        () = drained(drain) => {
            flow.reset();
            return None;
        }
    };
    match done {
        Ok(Ok(stream)) => Some(stream),
        Ok(Err(error)) => {
            edge.tally.count(Count::HandshakesFailed);
            tracing::debug!(%client, %error, "client, handshake: failed");
            None
        }
        Err(_) => {
            // Before the socket is dropped with the handshake.
            flow.reset();
            let (phase, key) = (Phase::Handshake, "edge.deadlines.handshake");
            told(
                &Overdue { phase, limit, key },
                "connection",
                client,
                &edge.tally,
            );
            None
        }
    }
}

/// Returns when the drain has begun and whoever says nothing has been waited for.
async fn drained(drain: &mut Drain) {
    drain.begun().await;
    tokio::time::sleep(LINGER).await;
}

/// A connection that was told to end.
struct Ending {
    /// Even if it is busy.
    by: Deadline,
    /// So long it may be idle: what it was idle before it was told, and a moment for the client to take note.
    idle: Duration,
}

struct Driver<'a, H> {
    edge: &'a Edge<H>,
    flow: &'a Flow,
    streams: &'a Streams,
    client: ClientAddr,
    drain: Drain,
}

impl<H: Handler> Driver<'_, H> {
    /// Drives a connection to its end. `end` asks it to finish what is in flight and take nothing new.
    async fn drive<C>(&mut self, connection: C, end: impl Fn(Pin<&mut C>))
    where
        C: Future<Output = hyper::Result<()>>,
    {
        let mut connection = pin!(connection);
        let deadlines = &self.edge.settings.deadlines;
        let mut ending: Option<Ending> = None;
        let mut blocked = Duration::ZERO;
        loop {
            let keep_alive = match &ending {
                Some(ending) => ending.idle,
                None => self.keep_alive(),
            };
            let look = self.flow.next_look(deadlines, keep_alive);
            let look = ending.as_ref().map_or(look, |it| it.by.min(look));
            tokio::select! {
                // A request that has come is served, though the drain begins at the same moment.
                biased;
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(client = %self.client, %error, "client: connection broke");
                    }
                    return;
                }
                by = self.drain.begun(), if ending.is_none() => {
                    end(connection.as_mut());
                    ending = Some(self.ending(by));
                    continue;
                }
                () = look.passed() => {}
            }
            if ending
                .as_ref()
                .is_some_and(|it| it.by.is_past(deadline::now()))
            {
                return self.flow.reset();
            }
            let blocked_before = std::mem::replace(&mut blocked, self.flow.blocked());
            let blocked_since = blocked.saturating_sub(blocked_before);
            for overdue in self.streams.end_overdue(deadlines, blocked_since) {
                told(&overdue, "stream", self.client, &self.edge.tally);
            }
            match self.flow.overdue(deadlines, keep_alive) {
                None => {}
                // It was told to end, has nothing left to do, and its client does not take note.
                Some(overdue) if overdue.phase == Phase::KeepAlive && ending.is_some() => {
                    return self.flow.reset();
                }
                Some(overdue) if overdue.phase == Phase::KeepAlive => {
                    end(connection.as_mut());
                    ending = Some(self.ending(Deadline::within(deadlines.drain)));
                }
                Some(overdue) => {
                    told(&overdue, "connection", self.client, &self.edge.tally);
                    return self.flow.reset();
                }
            }
        }
    }

    fn ending(&self, by: Deadline) -> Ending {
        let idle = self.flow.idle().saturating_add(LINGER);
        Ending { by, idle }
    }

    fn keep_alive(&self) -> Duration {
        let usual = self.edge.settings.deadlines.keep_alive;
        match self.edge.admission.is_crowded() {
            true => usual.min(CROWDED),
            false => usual,
        }
    }
}

/// Whether a request may become a tunnel, as far as the edge can tell.
fn may_tunnel(request: &Request<Incoming>) -> bool {
    request.method() == Method::CONNECT || request.headers().contains_key(UPGRADE)
}

fn told(overdue: &Overdue, what: &str, client: ClientAddr, tally: &Tally) {
    tally.count(Count::ClientTimeout(overdue.phase));
    let Overdue { phase, limit, key } = overdue;
    let phase = phase.word();
    tracing::info!(%client, "client, {phase}: not done within {limit:?} ({key}); {what} reset");
}
