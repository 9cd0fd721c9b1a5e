//! One question to the status page of a running Leeward.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HOST};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::ground::deadline::Deadline;

/// Where the status page is unless anybody says otherwise.
pub const USUAL: &str = "http://127.0.0.1:9180";

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

async fn put(url: &str, path: &str) -> Result<Bytes, NoAnswer> {
    let uri: Uri = url.parse().map_err(|_| NoAnswer::Address)?;
    let authority = match (uri.scheme_str(), uri.authority()) {
        (Some("http"), Some(authority)) => authority.clone(),
        _ => return Err(NoAnswer::Address),
    };
    let port = authority.port_u16().unwrap_or(80);
    let host = authority.host().trim_matches(['[', ']']);
    let stream = TcpStream::connect((host, port)).await.map_err(nobody)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(nobody)?;
    let connection = tokio::spawn(connection);
    let request = Request::get(path)
        .header(HOST, authority.as_str())
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
