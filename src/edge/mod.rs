//! Knows clients, not what a request is for: accepts them, admits them, speaks TLS and HTTP with them, and
//! ends those who are too slow. What a request is for, the [`Handler`] it is given knows.

pub mod admission;
pub mod connection;
mod driver;
mod flood;
pub mod flow;
mod frames;
mod guard;
mod handshake;
mod judge;
mod late;
pub mod listener;
mod peer;
mod piece;
mod plain;
mod proxy_protocol;
pub mod redirect;
mod stream;
pub mod tls;
mod tracked;
mod wire;

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;

use crate::ground::addr::Client;
use crate::ground::fate::Fate;

/// Serves requests; each edge thread is given one.
pub trait Handler: Send + Sync + 'static {
    /// The body of its responses.
    type Body: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
        + Unpin
        + Send
        + 'static;

    /// Serves one request, always with a response. `fate` tells later whether its client was cut off.
    fn handle(
        self: Arc<Self>,
        request: Request<Incoming>,
        client: Client,
        fate: Fate,
    ) -> impl Future<Output = Response<Self::Body>> + Send + 'static;
}
