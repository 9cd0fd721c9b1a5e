//! One client connection, from the handshake to its end: one task, one timer, every deadline.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::header::UPGRADE;
use http::{Method, Request};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;

use super::Handler;
use super::admission::Admission;
use super::driver::Driver;
use super::flood;
use super::flow::{Flow, InFlight, Speaks};
use super::guard::Guard;
use super::handshake::handshake;
use super::late::Late;
use super::stream::{StreamExec, Streams};
use super::tls::{self, Spoken};
use super::tracked::tracked;
use crate::config::fixed::SENDING;
use crate::config::settings;
use crate::ground::addr::{Client, ClientAddr};
use crate::ground::drain::Drain;
use crate::ground::ledger::{Count, Tally};

/// What all connections of one edge thread share.
pub struct Edge<H> {
    /// The settings of the edge.
    pub settings: settings::Edge,
    /// The outer bounds of what is under way.
    pub longest: settings::Longest,
    /// How to speak TLS.
    pub tls: Spoken,
    /// Who is connected.
    pub admission: Admission,
    /// The numbers of this thread.
    pub tally: Arc<Tally>,
    /// Who serves the requests.
    pub handler: Arc<H>,
}

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

/// What a connection costs while it is idle, whatever it speaks (measured: 22 KiB for HTTP/1, 31 for HTTP/2).
const IDLE: usize = 32 << 10;

/// What a connection may take of memory at the most, and what each request under way on it may take on top of that,
/// in bytes, bodies at rest excepted.
pub fn memory(limits: &settings::EdgeLimits) -> (usize, usize) {
    (IDLE + limits.head, SENDING + limits.head)
}

/// Serves one client until it leaves, is told to end, or misses a deadline.
pub async fn serve<H: Handler>(
    stream: TcpStream,
    client: ClientAddr,
    edge: &Edge<H>,
    mut drain: Drain,
) {
    let flow = Arc::new(Flow::begin(edge.tally.clone()));
    let Some(stream) = handshake(stream, client, edge, &flow, &mut drain).await else {
        return;
    };
    let speaks = match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => Speaks::Http2,
        _ => Speaks::Http1,
    };
    flow.speaks(speaks);
    let certificate = tls::shown_by(stream.get_ref().1);
    let asks = Client {
        addr: client,
        tls: tls::version(stream.get_ref().1.protocol_version()),
    };
    let streams = Streams::default();
    let service = service_fn(|mut request: Request<Incoming>| {
        let in_flight = InFlight::begin(&flow);
        if may_tunnel(&request) {
            // A tunnel goes on behind its answer; whoever carries it keeps this.
            let tied = Arc::new(InFlight::begin(&flow));
            request.extensions_mut().insert(tied);
        }
        let stream = (speaks == Speaks::Http2).then(|| streams.begin());
        if let Some(certificate) = &certificate {
            request.extensions_mut().insert(certificate.clone());
        }
        let handler = edge.handler.clone();
        let fate = match &stream {
            Some(stream) => stream.fate(),
            None => flow.fate(),
        };
        let fate = fate.clone();
        // In a box at once: hyper hands it about, and over HTTP/2 into a task, each time from hand to hand.
        Box::pin(async move {
            let answer = handler.handle(request, asks, fate).await;
            Ok::<_, Infallible>(tracked(answer, in_flight, stream))
        })
    });
    let limits = &edge.settings.limits;
    let mut driver = Driver::new(edge, &flow, &streams, client, drain);
    match speaks {
        Speaks::Http1 => {
            if edge.settings.half_close {
                driver.watches(stream.get_ref().0);
            }
            let late = Late::new(stream, flow.clone());
            let connection = http1::Builder::new()
                .half_close(edge.settings.half_close)
                .max_header_size(limits.head)
                .max_headers(limits.headers)
                .max_buf_size(READ_BUFFER.max(limits.head))
                .header_read_timeout(None)
                .serve_connection(TokioIo::new(late), service)
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
            let (guard, found) = Guard::new(stream, flood_limits, flow.clone());
            let connection = http2::Builder::new(StreamExec(streams.clone()))
                .timer(TokioTimer::new())
                .keep_alive_interval(PING_EVERY)
                .keep_alive_timeout(PING_TIMEOUT)
                .max_concurrent_streams(limits.streams)
                .max_header_list_size(u32::try_from(limits.head).unwrap_or(u32::MAX))
                .max_send_buf_size(SENDING)
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

/// Whether a request may become a tunnel, as far as the edge can tell.
fn may_tunnel(request: &Request<Incoming>) -> bool {
    request.method() == Method::CONNECT || request.headers().contains_key(UPGRADE)
}
