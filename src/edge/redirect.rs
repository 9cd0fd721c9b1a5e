//! The redirect listener: plain HTTP, usually on port 80, that sends every client to HTTPS and serves nothing.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, LOCATION};
use http::uri::Authority;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};

use super::admission::{Admission, Permit};
use super::handshake::noticed;
use super::listener;
use crate::ground::deadline::Deadline;
use crate::ground::drain::Drain;
use crate::ground::ledger::{Count, Tally};

/// What the redirect listener needs.
#[derive(Debug, Clone)]
pub struct Redirect {
    /// The port that speaks HTTPS.
    pub port: u16,
    /// Who is connected, over all listeners.
    pub admission: Admission,
    /// The numbers of this thread.
    pub tally: Arc<Tally>,
}

/// For the whole of a connection: one question, one answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Accepts from `listener` until the drain begins; who was accepted by then is answered, unless it asks nothing.
pub async fn accept(listener: TcpListener, redirect: Redirect, mut drain: Drain) {
    loop {
        let (stream, client) = tokio::select! {
            accepted = listener::next(&listener) => accepted,
            _ = drain.begun() => return,
        };
        redirect.tally.count(Count::ConnectionsAccepted);
        match redirect.admission.admit(client) {
            Ok(permit) => {
                tokio::spawn(serve(stream, redirect.clone(), permit, drain.clone()));
            }
            Err(shed) => {
                redirect.tally.count(shed.count());
                redirect.tally.count(Count::ConnectionsClosed);
                let _ = stream.set_zero_linger();
            }
        }
    }
}

async fn serve(stream: TcpStream, redirect: Redirect, permit: Permit, mut drain: Drain) {
    let port = redirect.port;
    let service = service_fn(move |request: Request<Incoming>| {
        std::future::ready(Ok::<_, Infallible>(answer(&request, port)))
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    let is_done = tokio::select! {
        biased;
        done = Deadline::within(PATIENCE).bound(&mut connection) => done.is_ok(),
        () = noticed(&mut drain) => false,
    };
    if !is_done {
        // Best effort: a client that is too slow even for this is not waited for by the kernel either.
        let stream = connection.into_parts().io.into_inner();
        let _ = stream.set_zero_linger();
    }
    redirect.tally.count(Count::ConnectionsClosed);
    drop(permit);
}

/// 308 keeps method and body (RFC 9110, section 15.4.9), where 301 would turn a POST into a GET.
fn answer<B>(request: &Request<B>, port: u16) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    match location(request, port) {
        Some(location) => {
            *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
            response.headers_mut().insert(LOCATION, location);
        }
        None => {
            *response.status_mut() = StatusCode::BAD_REQUEST;
            *response.body_mut() = "This request names no host to be sent to.\n".into();
        }
    }
    response
}

fn location<B>(request: &Request<B>, port: u16) -> Option<HeaderValue> {
    let named = match request.uri().authority() {
        Some(authority) => authority.clone(),
        None => request
            .headers()
            .get(HOST)?
            .to_str()
            .ok()?
            .parse::<Authority>()
            .ok()?,
    };
    if named.host().is_empty() || named.as_str().contains('@') {
        return None;
    }
    let target = request
        .uri()
        .path_and_query()
        .map_or("/", |target| target.as_str());
    if !target.starts_with('/') {
        return None;
    }
    let port = match port {
        443 => String::new(),
        other => format!(":{other}"),
    };
    HeaderValue::from_str(&format!("https://{}{port}{target}", named.host())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent_to(uri: &str, host: Option<&str>, port: u16) -> Option<String> {
        let mut request = Request::get(uri);
        if let Some(host) = host {
            request = request.header(HOST, host);
        }
        let location = location(&request.body(()).unwrap(), port)?;
        Some(location.to_str().unwrap().to_owned())
    }

    #[test]
    fn everything_is_sent_to_https_with_its_path_and_query() {
        let told = |port| sent_to("/a?b=c", Some("example.org:80"), port);
        assert_eq!(told(443).unwrap(), "https://example.org/a?b=c");
        assert_eq!(told(8443).unwrap(), "https://example.org:8443/a?b=c");
        let six = sent_to("/", Some("[::1]:80"), 443);
        assert_eq!(six.unwrap(), "https://[::1]/");
    }

    #[test]
    fn nobody_is_sent_to_a_place_that_was_not_named_well() {
        for host in [None, Some(""), Some("a b"), Some("evil@example.org")] {
            assert_eq!(sent_to("/", host, 443), None, "{host:?}");
        }
    }
}
