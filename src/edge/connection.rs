//! One client connection, from the handshake to its end: one task, one timer, every deadline.

use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::UPGRADE;
use http::{Method, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::Handler;
use super::admission::Admission;
use super::flow::{Flow, InFlight, Overdue, Speaks};
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
    let Some(stream) = handshake(Wire::new(stream, flow.clone()), client, edge, &flow).await else {
        return;
    };
    let speaks = match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => Speaks::Http2,
        _ => Speaks::Http1,
    };
    flow.speaks(speaks);
    let service = service_fn(|mut request: Request<Incoming>| {
        let in_flight = InFlight::begin(&flow);
        if may_tunnel(&request) {
            // A tunnel goes on behind its answer; whoever carries it keeps this.
            let tied = Arc::new(InFlight::begin(&flow));
            request.extensions_mut().insert(tied);
        }
        let answer = edge.handler.clone().handle(request, client);
        async move { Ok::<_, Infallible>(tracked(answer.await, in_flight)) }
    });
    let io = TokioIo::new(stream);
    let limits = &edge.settings.limits;
    let mut driver = Driver {
        edge,
        flow: &flow,
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
                .serve_connection(io, service)
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
            let connection = http2::Builder::new(TokioExecutor::new())
                .max_concurrent_streams(limits.streams)
                .max_header_list_size(u32::try_from(limits.head).unwrap_or(u32::MAX))
                .max_send_buf_size(SEND_BUFFER)
                .initial_stream_window_size(STREAM_WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW)
                .enable_connect_protocol()
                .serve_connection(io, service);
            driver.drive(connection, |it| it.graceful_shutdown()).await;
        }
    }
}

type Stream = tokio_rustls::server::TlsStream<Wire>;

async fn handshake<H>(
    wire: Wire,
    client: ClientAddr,
    edge: &Edge<H>,
    flow: &Flow,
) -> Option<Stream> {
    let limit = edge.settings.deadlines.handshake;
    let mut accepting = Box::pin(edge.tls.accept(wire));
    match Deadline::within(limit).bound(accepting.as_mut()).await {
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
            told(&Overdue { phase, limit, key }, client, &edge.tally);
            None
        }
    }
}

struct Driver<'a, H> {
    edge: &'a Edge<H>,
    flow: &'a Flow,
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
            match self.flow.overdue(deadlines, keep_alive) {
                None => {}
                // It is ending already, by a deadline of its own.
                Some(overdue) if overdue.phase == Phase::KeepAlive && ends_by.is_some() => {}
                Some(overdue) if overdue.phase == Phase::KeepAlive => {
                    end(connection.as_mut());
                    ends_by = Some(Deadline::within(LINGER));
                }
                Some(overdue) => {
                    told(&overdue, self.client, &self.edge.tally);
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

/// Whether a request may become a tunnel, as far as the edge can tell.
fn may_tunnel(request: &Request<Incoming>) -> bool {
    request.method() == Method::CONNECT || request.headers().contains_key(UPGRADE)
}

fn told(overdue: &Overdue, client: ClientAddr, tally: &Tally) {
    tally.count(Count::ClientTimeout(overdue.phase));
    let Overdue { phase, limit, key } = overdue;
    let phase = phase.word();
    tracing::info!(%client, "client, {phase}: not done within {limit:?} ({key}); reset");
}

fn tracked<B>(response: Response<B>, mut in_flight: InFlight) -> Response<Tracked<B>> {
    in_flight.gave();
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        in_flight.tunnels();
    }
    response.map(|body| Tracked { body, in_flight })
}

/// The body of a response; what is in flight ends with it.
struct Tracked<B> {
    body: B,
    in_flight: InFlight,
}

impl<B: Body<Data = Bytes> + Unpin> Body for Tracked<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        match &frame {
            Poll::Pending => self.in_flight.lacks(),
            Poll::Ready(_) => self.in_flight.gave(),
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
