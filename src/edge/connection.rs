//! One client connection, from the handshake to its end: one task, one timer, every deadline.

use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use http::Request;
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
/// A connection that was told to end is given this long.
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
    drain: Drain,
) {
    let flow = Arc::new(Flow::begin());
    let Some(stream) = handshake(stream, client, edge, &flow).await else {
        return;
    };
    let speaks = match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => Speaks::Http2,
        _ => Speaks::Http1,
    };
    flow.speaks(speaks);
    let streams = Streams::default();
    let service = service_fn(|request: Request<Incoming>| {
        let in_flight = InFlight::begin(&flow);
        let stream = (speaks == Speaks::Http2).then(|| streams.begin());
        let answer = edge.handler.clone().handle(request, client);
        async move { Ok::<_, Infallible>(tracked(answer.await, in_flight, stream)) }
    });
    let limits = &edge.settings.limits;
    let driver = Driver {
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
                .serve_connection(TokioIo::new(stream), service);
            driver.drive(connection, |it| it.graceful_shutdown()).await;
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
) -> Option<Stream> {
    let limit = edge.settings.deadlines.handshake;
    let deadline = Deadline::within(limit);
    if let Ok(true) = deadline.bound(plain::is_plain_http(&stream)).await {
        edge.tally.count(Count::HandshakesFailed);
        tracing::debug!(%client, "client, handshake: plain HTTP on a port that speaks TLS");
        plain::refuse(stream).await;
        return None;
    }
    let wire = Wire::new(stream, flow.clone());
    let mut accepting = Box::pin(edge.tls.accept(wire));
    match deadline.bound(accepting.as_mut()).await {
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

struct Driver<'a, H> {
    edge: &'a Edge<H>,
    flow: &'a Flow,
    streams: &'a Streams,
    client: ClientAddr,
    drain: Drain,
}

impl<H: Handler> Driver<'_, H> {
    /// Drives a connection to its end. `end` asks it to finish what is in flight and take nothing new.
    async fn drive<C>(mut self, connection: C, end: impl Fn(Pin<&mut C>))
    where
        C: Future<Output = hyper::Result<()>>,
    {
        let mut connection = pin!(connection);
        let deadlines = &self.edge.settings.deadlines;
        let mut ends_by: Option<Deadline> = None;
        loop {
            let keep_alive = self.keep_alive();
            let look = self.flow.next_look(deadlines, keep_alive);
            let look = ends_by.map_or(look, |by| by.min(look));
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(client = %self.client, %error, "client: connection broke");
                    }
                    return;
                }
                by = self.drain.begun(), if ends_by.is_none() => {
                    end(connection.as_mut());
                    ends_by = Some(by);
                    continue;
                }
                () = look.passed() => {}
            }
            if ends_by.is_some_and(|by| by.is_past(deadline::now())) {
                return self.flow.reset();
            }
            for overdue in self.streams.end_overdue(deadlines) {
                told(&overdue, "stream", self.client, &self.edge.tally);
            }
            match self.flow.overdue(deadlines, keep_alive) {
                None => {}
                // It is ending already, by a deadline of its own.
                Some(overdue) if overdue.phase == Phase::KeepAlive && ends_by.is_some() => {}
                Some(overdue) if overdue.phase == Phase::KeepAlive => {
                    end(connection.as_mut());
                    ends_by = Some(Deadline::within(LINGER));
                }
                Some(overdue) => {
                    told(&overdue, "connection", self.client, &self.edge.tally);
                    return self.flow.reset();
                }
            }
        }
    }

    fn keep_alive(&self) -> Duration {
        let usual = self.edge.settings.deadlines.keep_alive;
        match self.edge.admission.is_crowded() {
            true => usual.min(CROWDED),
            false => usual,
        }
    }
}

fn told(overdue: &Overdue, what: &str, client: ClientAddr, tally: &Tally) {
    tally.count(Count::ClientTimeout(overdue.phase));
    let Overdue { phase, limit, key } = overdue;
    let phase = phase.word();
    tracing::info!(%client, "client, {phase}: not done within {limit:?} ({key}); {what} reset");
}
