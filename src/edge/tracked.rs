//! The body of a response on its way out: what is in flight ends with it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{CONNECTION, HeaderValue};
use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};

use super::flow::InFlight;
use super::piece::Piece;
use super::stream::Stream;

/// A body that tells whose move it is.
pub struct Tracked<B> {
    body: B,
    in_flight: InFlight,
    way: Way,
}

/// How a body's end is known.
enum Way {
    /// By the socket: the version has one answer at a time.
    Socket,
    /// By the stream, and nothing of it was handed over yet.
    Stream(Arc<Stream>),
    /// By the stream, which is held open until everything was let go of.
    Held(Arc<Stream>),
}

/// A whole body no larger than this goes out in one piece, unwatched: it costs h2 no more than that, and the
/// connection's own deadlines end it.
const SMALL: usize = 16 << 10;

/// Tracks a response; `stream` is its stream where it has one.
pub fn tracked<B>(
    mut response: Response<B>,
    mut in_flight: InFlight,
    stream: Option<Arc<Stream>>,
) -> Response<Tracked<B>> {
    in_flight.gave();
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        in_flight.tunnels();
    } else if in_flight.is_last() {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    if let Some(stream) = &stream {
        stream.turn_to_client();
    }
    let way = stream.map_or(Way::Socket, Way::Stream);
    response.map(|body| Tracked {
        body,
        in_flight,
        way,
    })
}

impl<B: Body<Data = Bytes> + Unpin> Body for Tracked<B> {
    type Data = Piece;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Piece>, B::Error>>> {
        let this = &mut *self;
        let next = Pin::new(&mut this.body).poll_frame(cx);
        match &next {
            Poll::Pending => this.lacks(),
            Poll::Ready(_) => this.in_flight.gave(),
        }
        match ready!(next) {
            None => {
                if let Way::Held(stream) = &this.way {
                    ready!(stream.poll_taken(cx));
                }
                Poll::Ready(None)
            }
            Some(Ok(frame)) => Poll::Ready(Some(Ok(this.watch(frame)))),
            Some(Err(error)) => Poll::Ready(Some(Err(error))),
        }
    }

    fn is_end_stream(&self) -> bool {
        !matches!(self.way, Way::Held(_)) && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B: Body<Data = Bytes>> Tracked<B> {
    fn watch(&mut self, frame: Frame<Bytes>) -> Frame<Piece> {
        let stream = match &self.way {
            Way::Socket => return frame.map_data(Piece::from),
            Way::Stream(stream) | Way::Held(stream) => stream.clone(),
        };
        let is_first = matches!(self.way, Way::Stream(_));
        match frame.into_data() {
            Ok(bytes) if is_first && bytes.len() <= SMALL && self.body.is_end_stream() => {
                stream.turn_to_client();
                Frame::data(bytes.into())
            }
            Ok(bytes) => {
                self.way = Way::Held(stream.clone());
                Frame::data(Piece::watched(&stream, bytes))
            }
            Err(other) => other.map_data(Piece::from),
        }
    }

    fn lacks(&mut self) {
        self.in_flight.lacks();
        if let Way::Stream(stream) | Way::Held(stream) = &self.way {
            stream.turn_to_us();
        }
    }
}
