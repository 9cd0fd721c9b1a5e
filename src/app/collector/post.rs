//! Posts one body over plain HTTP/1.1, on a connection of its own. The caller bounds it by a deadline.

use std::future::Future;
use std::pin::Pin;

use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use tokio::net::TcpStream;

/// A client without a memory.
#[derive(Debug)]
pub struct Post;

/// The most that is read of an answer: what it says of spans it refused.
const ANSWER: usize = 64 << 10;

impl HttpClient for Post {
    fn send_bytes<'s, 'f>(
        &'s self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'f>>
    where
        's: 'f,
        Self: 'f,
    {
        Box::pin(send(request))
    }
}

async fn send(request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
    let (mut parts, body) = request.into_parts();
    let authority = parts.uri.authority().ok_or("it has no address")?.clone();
    let stream = TcpStream::connect(authority.as_str()).await?;
    let path = parts.uri.path_and_query().ok_or("it has no path")?;
    parts.uri = path.as_str().parse()?;
    parts.headers.insert("host", authority.as_str().parse()?);
    let request = Request::from_parts(parts, Full::new(body));
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let answered = async {
        let (parts, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, ANSWER).collect().await?.to_bytes();
        Ok(Response::from_parts(parts, body))
    };
    // The connection is driven by whoever waits for the answer, and goes with it.
    let mut connection = std::pin::pin!(connection);
    let mut answered = std::pin::pin!(answered);
    let mut is_over = false;
    loop {
        tokio::select! {
            answered = &mut answered => return answered,
            ended = &mut connection, if !is_over => {
                is_over = true;
                ended?;
            }
        }
    }
}
