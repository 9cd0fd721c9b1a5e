//! A leg to an origin that speaks HTTP/2 and nothing else, by prior knowledge (RFC 9113, section 3.3): gRPC. One
//! connection, one stream, closed with it; only for routes declared streams.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST, HeaderValue, TE};
use http::{Request, Uri, Version, response};
use http_body::{Body, Frame};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::intake::Taken;
use super::live::Frames;
use super::sending::Sending;
use crate::ground::failure::{Cause, Failure, Phase};
use crate::origin::dial::OriginStream;

/// One connection, which is driven by whoever reads from it.
pub struct Http2 {
    sender: http2::SendRequest<Outgoing>,
    connection: Connection,
    is_open: bool,
    body: Option<Incoming>,
}

type Connection = Pin<Box<http2::Connection<TokioIo<OriginStream>, Outgoing, TokioExecutor>>>;

/// A body on its way out.
pub struct Outgoing(Option<Sending>);

impl Http2 {
    /// Over a new connection. The caller bounds it by a deadline.
    ///
    /// # Errors
    /// The origin's failure at [`Phase::Connect`].
    pub async fn begin(stream: OriginStream) -> Result<Self, Failure> {
        let handshake = http2::handshake(TokioExecutor::new(), stream.into_io());
        let shaken = handshake
            .await
            .map_err(|error| broken(Phase::Connect, &error));
        let (sender, connection) = shaken?;
        Ok(Self {
            sender,
            connection: Box::pin(connection),
            is_open: true,
            body: None,
        })
    }

    /// Sends `taken` with this body, and returns the head of the answer; what is left to be sent is sent while the
    /// answer is read. The caller bounds it by a deadline.
    ///
    /// # Errors
    /// The origin's failure at [`Phase::FirstByte`].
    pub async fn ask(
        &mut self,
        taken: &Taken,
        body: Option<Sending>,
    ) -> Result<response::Parts, Failure> {
        let request = request(taken, body)?;
        let mut answer = std::pin::pin!(self.sender.send_request(request));
        let (connection, is_open) = (&mut self.connection, &mut self.is_open);
        let answer = poll_fn(|cx| {
            drive(connection, is_open, cx);
            answer.as_mut().poll(cx)
        });
        let answer = answer
            .await
            .map_err(|error| broken(Phase::FirstByte, &error))?;
        let (parts, body) = answer.into_parts();
        self.body = Some(body);
        Ok(parts)
    }

    /// Whether the answer ended with its head.
    pub fn is_bare(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }
}

impl Frames for Http2 {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        drive(&mut self.connection, &mut self.is_open, cx);
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let frame = ready!(Pin::new(body).poll_frame(cx));
        let told = |error: hyper::Error| broken(Phase::Answer, &error);
        Poll::Ready(frame.map(|frame| frame.map_err(told)))
    }

    /// The connection goes on beside; what ails it shows in the next frame.
    fn poll_send_on(&mut self, cx: &mut Context<'_>) -> Poll<Failure> {
        drive(&mut self.connection, &mut self.is_open, cx);
        Poll::Pending
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        let Some(body) = &mut self.get_mut().0 else {
            return Poll::Ready(None);
        };
        let data = ready!(body.poll_next(cx));
        Poll::Ready(data.map(|data| data.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }
}

/// What ails the connection shows in what is read from it.
fn drive(connection: &mut Connection, is_open: &mut bool, cx: &mut Context<'_>) {
    if *is_open && connection.as_mut().poll(cx).is_ready() {
        *is_open = false;
    }
}

fn request(taken: &Taken, body: Option<Sending>) -> Result<Request<Outgoing>, Failure> {
    let asked = &taken.head;
    let host = asked.headers.get(HOST).and_then(|host| host.to_str().ok());
    let uri = Uri::builder()
        .scheme("http")
        .authority(host.unwrap_or("localhost"))
        .path_and_query(asked.target.clone())
        .build();
    let wrong = |_| Failure::client(Phase::Head, Cause::Malformed("its target is no URI"));
    let mut request = Request::new(Outgoing(body));
    *request.method_mut() = asked.method.clone();
    *request.uri_mut() = uri.map_err(wrong)?;
    *request.version_mut() = Version::HTTP_2;
    let headers = request.headers_mut();
    *headers = asked.headers.clone();
    headers.remove(HOST);
    for (name, value) in asked.trail.fields() {
        if let Ok(value) = HeaderValue::from_bytes(value.bytes()) {
            headers.insert(name, value);
        }
    }
    if taken.trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    if let Some(length) = taken.body.length().filter(|_| taken.has_body) {
        headers.insert(CONTENT_LENGTH, length.into());
    }
    Ok(request)
}

fn broken(phase: Phase, error: &hyper::Error) -> Failure {
    let cause = match error.is_parse() {
        true => Cause::Malformed("its answer is not HTTP/2 as we know it"),
        false => Cause::Broken(error.to_string()),
    };
    Failure::origin(phase, cause)
}
