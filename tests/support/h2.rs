//! HTTP/2 over TLS, through hyper: for many requests at once on one connection.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::version::{TLS12, TLS13};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::response::Response;
use super::tls;

/// What to ask.
#[derive(Debug, Clone, Default)]
pub struct Ask {
    /// The method.
    pub method: String,
    /// The path and query.
    pub path: String,
    /// Further fields.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Ask {
    /// A GET without a body.
    pub fn get(path: &str) -> Ask {
        Ask {
            method: "GET".to_owned(),
            path: path.to_owned(),
            ..Ask::default()
        }
    }
}

/// Asks for one page.
pub fn get(address: SocketAddr, path: &str, patience: Duration) -> io::Result<Response> {
    request(address, Ask::get(path), patience)
}

/// Sends one request on a connection of its own.
pub fn request(address: SocketAddr, ask: Ask, patience: Duration) -> io::Result<Response> {
    let mut answers = together(address, vec![ask], patience)?;
    answers.remove(0)
}

/// Sends all of these at the same time on one connection; the answers come in the order of the questions. The outer
/// error is the connection's, the inner ones are each stream's own.
pub fn together(
    address: SocketAddr,
    asks: Vec<Ask>,
    patience: Duration,
) -> io::Result<Vec<io::Result<Response>>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let sender = within(patience, connect(address)).await?;
        let streams: Vec<_> = asks
            .into_iter()
            .map(|ask| tokio::spawn(within(patience, exchange(sender.clone(), ask))))
            .collect();
        let mut answers = Vec::new();
        for stream in streams {
            answers.push(stream.await.map_err(io::Error::other)?);
        }
        Ok(answers)
    })
}

/// A connection that was answered once and then says nothing any more, not even to a PING.
pub struct Idle {
    _sender: SendRequest<Full<Bytes>>,
    /// Nobody drives it, and so nobody reads the connection.
    _runtime: tokio::runtime::Runtime,
}

impl Idle {
    /// Asks once, and falls silent.
    pub fn after(address: SocketAddr, ask: Ask, patience: Duration) -> io::Result<Idle> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let sender = runtime.block_on(async {
            let sender = within(patience, connect(address)).await?;
            within(patience, exchange(sender.clone(), ask)).await?;
            Ok::<_, io::Error>(sender)
        })?;
        Ok(Idle {
            _sender: sender,
            _runtime: runtime,
        })
    }
}

/// Connects, with a task of its own for the connection.
pub async fn connect(address: SocketAddr) -> io::Result<SendRequest<Full<Bytes>>> {
    let socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    let connector = TlsConnector::from(tls::config(&[&TLS13, &TLS12], &["h2"]));
    let stream = connector.connect(tls::localhost(), socket).await?;
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
    tokio::spawn(connection);
    Ok(sender)
}

async fn exchange(mut sender: SendRequest<Full<Bytes>>, ask: Ask) -> io::Result<Response> {
    let mut request = hyper::Request::builder()
        .method(ask.method.as_str())
        .uri(format!("https://localhost{}", ask.path));
    for (name, value) in &ask.headers {
        request = request.header(name, value);
    }
    let request = request
        .body(Full::new(Bytes::from(ask.body)))
        .map_err(io::Error::other)?;
    let (head, body) = sender
        .send_request(request)
        .await
        .map_err(io::Error::other)?
        .into_parts();
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    Ok(Response {
        status: head.status.as_u16(),
        headers: head
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), text(value)))
            .collect(),
        body: body
            .collect()
            .await
            .map_err(io::Error::other)?
            .to_bytes()
            .to_vec(),
        interim: Vec::new(),
    })
}

/// An answer as it arrived, piece by piece.
pub struct Arrived {
    /// Each piece of the body, and how long after the request it came.
    pub pieces: Vec<(Duration, Vec<u8>)>,
    /// The fields behind the body.
    pub trailers: Vec<(String, String)>,
}

/// Sends one request and notes when each piece of its answer comes.
pub fn arrivals(address: SocketAddr, ask: Ask, patience: Duration) -> io::Result<Arrived> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(within(patience, async {
        let mut sender = connect(address).await?;
        let mut request = hyper::Request::builder()
            .method(ask.method.as_str())
            .uri(format!("https://localhost{}", ask.path));
        for (name, value) in &ask.headers {
            request = request.header(name, value);
        }
        let body = Full::new(Bytes::from(ask.body));
        let request = request.body(body).map_err(io::Error::other)?;
        let begun = Instant::now();
        let answer = sender.send_request(request).await;
        let mut body = answer.map_err(io::Error::other)?.into_body();
        let mut arrived = Arrived {
            pieces: Vec::new(),
            trailers: Vec::new(),
        };
        while let Some(frame) = body.frame().await {
            match frame.map_err(io::Error::other)?.into_data() {
                Ok(data) => arrived.pieces.push((begun.elapsed(), data.to_vec())),
                Err(frame) => {
                    let trailers = frame.into_trailers().unwrap_or_default();
                    let text = |value: &http::HeaderValue| {
                        String::from_utf8_lossy(value.as_bytes()).into_owned()
                    };
                    let fields = trailers.iter();
                    let fields = fields.map(|(name, value)| (name.to_string(), text(value)));
                    arrived.trailers.extend(fields);
                }
            }
        }
        Ok(arrived)
    }))
}

/// Bounds `work` by a patience.
pub async fn within<T>(
    patience: Duration,
    work: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    match tokio::time::timeout(patience, work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}
