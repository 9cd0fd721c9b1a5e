//! One question or one order to a running Leeward.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONNECTION, HOST};
use http::request::Builder;
use http::uri::Authority;
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use crate::ground::deadline::Deadline;

/// Where the status page is unless anybody says otherwise.
pub const USUAL: &str = "http://127.0.0.1:9180";

/// Where an order can be given.
#[derive(Debug, Clone)]
pub enum Door {
    /// The control socket.
    Socket(PathBuf),
    /// The status page, for who knows the token.
    Page {
        /// Where it is.
        url: String,
        /// What lets us in.
        token: String,
    },
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    /// The address is at fault.
    #[error("not an address like {USUAL}")]
    Address,
    /// Nobody answered; what the system said.
    #[error("{0}; is Leeward running, and is this its status.listen?")]
    Nobody(String),
    /// It was refused, and why.
    #[error("{1}")]
    Refused(StatusCode, String),
}

/// For the whole question.
const PATIENCE: Duration = Duration::from_secs(5);
/// What is larger than this is nothing of ours.
const LARGEST: usize = 17 << 20;

/// Asks the status page at `url` for `path`, and returns its answer.
///
/// # Errors
/// [`NoAnswer`].
pub fn ask(url: &str, path: &str) -> Result<Bytes, NoAnswer> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(nobody)?;
    runtime.block_on(asked(url, path))
}

/// The same for who has a runtime already.
///
/// # Errors
/// [`NoAnswer`].
pub async fn asked(url: &str, path: &str) -> Result<Bytes, NoAnswer> {
    let answer = Deadline::within(PATIENCE).bound(put(url, path)).await;
    answer.unwrap_or_else(|_| Err(nobody(format!("no answer within {PATIENCE:?}"))))
}

/// Has something done, with the token where there is one.
///
/// # Errors
/// [`NoAnswer`].
pub async fn order(door: &Door, path: &str) -> Result<Bytes, NoAnswer> {
    let put = async {
        match door {
            Door::Socket(socket) => {
                let there =
                    |error: std::io::Error| nobody(format!("{}: {error}", socket.display()));
                let stream = UnixStream::connect(socket).await.map_err(there)?;
                converse(stream, Request::post(path).header(HOST, "localhost")).await
            }
            Door::Page { url, token } => {
                let (stream, authority) = reach(url).await?;
                let request = Request::post(path).header(HOST, authority.as_str());
                let bearer = format!("Bearer {token}");
                converse(stream, request.header(AUTHORIZATION, bearer)).await
            }
        }
    };
    let answer = Deadline::within(2 * PATIENCE).bound(put).await;
    answer.unwrap_or_else(|_| Err(nobody(format!("no answer within {:?}", 2 * PATIENCE))))
}

async fn put(url: &str, path: &str) -> Result<Bytes, NoAnswer> {
    let (stream, authority) = reach(url).await?;
    converse(stream, Request::get(path).header(HOST, authority.as_str())).await
}

async fn reach(url: &str) -> Result<(TcpStream, Authority), NoAnswer> {
    let uri: Uri = url.parse().map_err(|_| NoAnswer::Address)?;
    let authority = match (uri.scheme_str(), uri.authority()) {
        (Some("http"), Some(authority)) => authority.clone(),
        _ => return Err(NoAnswer::Address),
    };
    let port = authority.port_u16().unwrap_or(80);
    let host = authority.host().trim_matches(['[', ']']);
    let stream = TcpStream::connect((host, port)).await.map_err(nobody)?;
    Ok((stream, authority))
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Builder,
) -> Result<Bytes, NoAnswer> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(nobody)?;
    let connection = tokio::spawn(connection);
    let request = request
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(nobody)?;
    let answer = sender.send_request(request).await.map_err(nobody)?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), LARGEST).collect().await;
    connection.abort();
    let body = body.map_err(nobody)?.to_bytes();
    match status.is_success() {
        true => Ok(body),
        false => {
            let said = String::from_utf8_lossy(&body).trim().to_owned();
            Err(NoAnswer::Refused(status, said))
        }
    }
}

fn nobody(error: impl std::fmt::Display) -> NoAnswer {
    NoAnswer::Nobody(error.to_string())
}
