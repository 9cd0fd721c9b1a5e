//! The body of a response on its way out: what is in flight ends with it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};

use super::flow::InFlight;
use super::stream::Stream;

/// A body that tells whose move it is.
pub struct Tracked<B> {
    body: B,
    /// What is left of a chunk that is handed over in pieces.
    rest: Bytes,
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
/// Handed over at once. That a client takes some is seen when h2 lets go of a whole piece, so this must take no longer
/// at the least pace (500 B/s) than the client may take nothing at all (30 s); and it is what fits into one frame.
const PIECE: usize = 16 << 10;

/// Tracks a response; `stream` is its stream where it has one.
pub fn tracked<B>(
    response: Response<B>,
    mut in_flight: InFlight,
    stream: Option<Arc<Stream>>,
) -> Response<Tracked<B>> {
    in_flight.gave();
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        in_flight.tunnels();
    }
    if let Some(stream) = &stream {
        stream.turn_to_client();
    }
    let way = stream.map_or(Way::Socket, Way::Stream);
    response.map(|body| Tracked {
        body,
        rest: Bytes::new(),
        in_flight,
        way,
    })
}

impl<B: Body<Data = Bytes> + Unpin> Body for Tracked<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = &mut *self;
        if !this.rest.is_empty() {
            let rest = std::mem::take(&mut this.rest);
            this.in_flight.gave();
            return Poll::Ready(Some(Ok(this.watch(Frame::data(rest)))));
        }
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
        let (hint, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut whole = SizeHint::new();
        whole.set_lower(hint.lower() + rest);
        if let Some(upper) = hint.upper() {
            whole.set_upper(upper + rest);
        }
        whole
    }
}

impl<B: Body<Data = Bytes>> Tracked<B> {
    fn watch(&mut self, frame: Frame<Bytes>) -> Frame<Bytes> {
        let stream = match &self.way {
            Way::Socket => return frame,
            Way::Stream(stream) | Way::Held(stream) => stream.clone(),
        };
        let is_first = matches!(self.way, Way::Stream(_));
        match frame.into_data() {
            Ok(bytes) if is_first && bytes.len() <= SMALL && self.body.is_end_stream() => {
                stream.turn_to_client();
                Frame::data(bytes)
            }
            Ok(mut bytes) => {
                self.way = Way::Held(stream.clone());
                self.rest = bytes.split_off(bytes.len().min(PIECE));
                Frame::data(stream.hand_over(bytes))
            }
            Err(other) => other,
        }
    }

    fn lacks(&mut self) {
        self.in_flight.lacks();
        if let Way::Stream(stream) | Way::Held(stream) = &self.way {
            stream.turn_to_us();
        }
    }
}
