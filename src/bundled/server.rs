//! Accepts connections, serves a site over each, and ends them all by a deadline.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::SERVER;
use http::{HeaderValue, Request, Response};
use http_body::Body;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::cgi::Scripts;
use super::content::Content;
use super::files::Files;
use super::welcome::Welcome;
use super::wire::{Limits, Marked, Serving, Wire};

/// Most connections at once; further ones wait in the kernel's queue. Far more than one Leeward asks for.
const CONNECTIONS: u32 = 512;
/// A request's head on a healthy loopback arrives in one packet; this is patience for people at a keyboard.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two requests on one connection; as long as Leeward keeps its own clients' connections.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Without a byte taken by the client.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);
/// What is in flight may take so long after a stop.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// After a failed accept: most causes (no descriptor left) need a moment to pass, and none is cured by haste.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Bounds a request's head, and the bytes of an answer waiting for one client.
const BUFFER: usize = 64 * 1024;

/// What is served.
pub(super) struct Site {
    pub(super) pages: Pages,
    pub(super) scripts: Option<Scripts>,
}

/// What answers where no script does.
pub(super) enum Pages {
    /// The built-in site.
    Welcome(Box<Welcome>),
    /// A directory.
    Files(Files),
}

impl Site {
    async fn answer<B>(&self, request: Request<B>, peer: IpAddr) -> Response<Content>
    where
        B: Body<Data = Bytes> + Unpin + Send + 'static,
        B::Error: std::fmt::Display + Send,
    {
        let scripts = self.scripts.as_ref();
        let taken = scripts.filter(|it| it.takes(request.uri().path()));
        let mut response = match taken {
            None => self.pages.answer(request).await,
            Some(scripts) => match scripts.answer(request, peer).await {
                Ok(response) => response,
                Err(head) => {
                    let request = Request::from_parts(*head, Empty::<Bytes>::new());
                    self.pages.answer(request).await
                }
            },
        };
        response
            .headers_mut()
            .insert(SERVER, HeaderValue::from_static("leeward-origin"));
        response
    }
}

impl Pages {
    async fn answer<B>(&self, request: Request<B>) -> Response<Content>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: std::fmt::Display,
    {
        match self {
            Pages::Welcome(welcome) => welcome.answer(request).await,
            Pages::Files(files) => {
                files
                    .answer(request.method(), request.uri(), request.headers())
                    .await
            }
        }
    }
}

/// Serves `site` to whoever connects until `stop` ends; then takes nothing new and returns when all connections have
/// ended, or after 5 s. The rest end with the runtime.
pub(super) async fn run(listener: TcpListener, site: Arc<Site>, stop: impl Future<Output = ()>) {
    let seats = Arc::new(Semaphore::new(CONNECTIONS as usize));
    let (stopping, stopped) = watch::channel(());
    let mut stop = pin!(stop);
    loop {
        let (stream, seat) = tokio::select! {
            next = next(&listener, &seats) => next,
            () = stop.as_mut() => break,
        };
        let (site, stopped) = (site.clone(), stopped.clone());
        tokio::spawn(async move {
            converse(stream, site, stopped).await;
            drop(seat);
        });
    }
    drop(listener);
    drop(stopping);
    let all_seats = seats.acquire_many(CONNECTIONS);
    if tokio::time::timeout(DRAIN_TIMEOUT, all_seats)
        .await
        .is_err()
    {
        let cut = CONNECTIONS as usize - seats.available_permits();
        tracing::warn!(connections = cut, "ended before their answers were out");
    }
}

/// The next connection and its seat. Can't fail: it logs, waits and tries again.
async fn next(
    listener: &TcpListener,
    seats: &Arc<Semaphore>,
) -> (TcpStream, Option<OwnedSemaphorePermit>) {
    // Before the accept, so that who finds no seat stays in the kernel's queue. Fails only if closed, which it never is.
    let seat = seats.clone().acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, seat),
            Err(cause) => {
                tracing::warn!(%cause, "cannot accept a connection; trying again in 100 ms");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Serves one connection until it ends by itself, or after its present answer once `stopped` closes.
async fn converse(stream: TcpStream, site: Arc<Site>, mut stopped: watch::Receiver<()>) {
    // Only costs a delay where it fails.
    let _ = stream.set_nodelay(true);
    let nobody = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let peer = stream.peer_addr().map_or(nobody, |peer| peer.ip());
    let serving = Serving::default();
    let limits = Limits {
        head: HEAD_TIMEOUT,
        stall: STALL_TIMEOUT,
    };
    let wire = Wire::new(stream, limits, serving.clone());
    let service = service_fn(|request: Request<Incoming>| {
        let (site, mark) = (site.clone(), serving.begin());
        async move {
            let response = site.answer(request, peer).await;
            Ok::<_, Infallible>(response.map(|body| Marked { body, _mark: mark }))
        }
    });
    let mut connection = pin!(
        http1::Builder::new()
            // Without a timer hyper's limits are silently off.
            .timer(TokioTimer::new())
            .header_read_timeout(IDLE_TIMEOUT)
            .max_buf_size(BUFFER)
            .serve_connection(TokioIo::new(wire), service)
    );
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        _ = stopped.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(cause) = outcome {
        tracing::debug!(cause = %chain(&cause), "a connection ended early");
    }
}

/// An error with its causes: hyper's own text hides the one that counts.
fn chain(cause: &dyn std::error::Error) -> String {
    let mut text = cause.to_string();
    let mut next = cause.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::oneshot;
    use tokio::task::JoinHandle;

    async fn started() -> (std::net::SocketAddr, oneshot::Sender<()>, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let site = Arc::new(Site {
            pages: Pages::Welcome(Box::new(Welcome::new())),
            scripts: None,
        });
        let stopped = async { drop(stopped.await) };
        let server = tokio::spawn(run(listener, site, stopped));
        (address, stop, server)
    }

    async fn asked(address: std::net::SocketAddr, path: &str) -> TcpStream {
        let mut client = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: origin\r\n\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        client
    }

    async fn answer_of(client: &mut TcpStream) -> String {
        let mut answer = vec![0; 4096];
        let len = client.read(&mut answer).await.unwrap();
        answer.truncate(len);
        String::from_utf8(answer).unwrap()
    }

    #[tokio::test]
    async fn answers_name_the_server_and_the_connection_is_kept() {
        let (address, _stop, _server) = started().await;
        let mut client = asked(address, "/healthz").await;
        for _ in 0..3 {
            let answer = answer_of(&mut client).await;
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
            assert!(answer.contains("\r\nserver: leeward-origin\r\n"));
            assert!(answer.contains("\r\ndate: "));
            let again = b"GET /healthz HTTP/1.1\r\nhost: origin\r\n\r\n";
            client.write_all(again).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_stop_ends_idle_connections_at_once_and_lets_answers_out() {
        let (address, stop, server) = started().await;
        let mut idle = asked(address, "/healthz").await;
        answer_of(&mut idle).await;
        let mut busy = asked(address, "/slow?ms=600").await;
        // A later answer proves that the server has both requests.
        answer_of(&mut asked(address, "/slow?ms=100").await).await;
        stop.send(()).unwrap();
        assert_eq!(answer_of(&mut idle).await, "");
        assert!(!server.is_finished());
        assert!(answer_of(&mut busy).await.ends_with("after 600 ms\n"));
        server.await.unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }
}
