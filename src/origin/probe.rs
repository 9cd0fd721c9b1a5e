//! One question to the origin: a whole GET on a connection of its own, within one deadline.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HOST, TE, USER_AGENT};
use http::{Response, Version};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::TokioExecutor;

use super::dial;
use crate::config::settings::{self, OriginVersion};
use crate::ground::addr::OriginAddr;
use crate::ground::deadline::{self, Deadline};

/// One answer to a probe, or its absence, by how far it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// An HTTP answer with this status: a sign of life, whatever it says.
    Answered {
        /// The status.
        status: u16,
        /// From the connect to the end of the answer.
        took: Duration,
    },
    /// Nobody listens.
    Refused,
    /// No whole answer by the deadline.
    Silent,
    /// Something came, or the connection ended, but it was no HTTP answer.
    Broken(String),
    /// It could not be asked, for a reason of ours: descriptors have run out, say. That tells nothing of it.
    Unasked(String),
}

/// How long the measuring of concurrency may take: many times what the first answer took, within bounds.
/// A serial origin always takes all of it.
pub fn patience(first: &Reading) -> Duration {
    // On a busy host, 200 ms took a concurrent origin for a serial one, for as long as it lived.
    const LEAST: Duration = Duration::from_secs(1);
    const MOST: Duration = Duration::from_secs(2);
    match first {
        Reading::Answered { took, .. } => (*took * 20).clamp(LEAST, MOST),
        _ => MOST,
    }
}

/// Asks once.
pub async fn ask(address: &OriginAddr, origin: &settings::Origin, deadline: Deadline) -> Reading {
    let begun = deadline::now();
    match deadline.bound(understood(address, origin)).await {
        Err(_) => Reading::Silent,
        Ok(Err(reading)) => reading,
        Ok(Ok(status)) => Reading::Answered {
            status,
            took: deadline::now() - begun,
        },
    }
}

/// Whether a second connection is served while a first is open and silent; `true` means concurrent.
///
/// The first connection is closed by RST, so a serial origin is released at once.
pub async fn serves_two(
    address: &OriginAddr,
    origin: &settings::Origin,
    deadline: Deadline,
) -> bool {
    let Ok(Ok(silent)) = deadline
        .bound(dial::open(address, origin.manners.source))
        .await
    else {
        return false;
    };
    // The origin must have taken the silent one first, or the test proves nothing.
    tokio::time::sleep(Duration::from_millis(20)).await;
    let second = ask(address, origin, deadline).await;
    drop(silent);
    matches!(second, Reading::Answered { .. })
}

/// The status of the answer, asked for in the version the origin is spoken to in.
///
/// Asked in HTTP/1.0, GoAhead 5 and 6 answer in chunks (measured), which hyper refuses. Whoever sends chunks speaks
/// HTTP/1.1, so an answer that could not be understood is asked for once more in that.
async fn understood(address: &OriginAddr, origin: &settings::Origin) -> Result<u16, Reading> {
    let version = origin.manners.version;
    match question(address, origin, version).await {
        Err(Reading::Broken(_)) if version == OriginVersion::V1_0 => {
            question(address, origin, OriginVersion::V1_1).await
        }
        answer => answer,
    }
}

/// The status of the answer, once the whole of it has arrived.
async fn question(
    address: &OriginAddr,
    origin: &settings::Origin,
    version: OriginVersion,
) -> Result<u16, Reading> {
    let (probe, manners) = (&origin.probe, origin.manners);
    let broken = |error: hyper::Error| Reading::Broken(error.to_string());
    let stream = dial::open(address, manners.source)
        .await
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::ConnectionRefused | std::io::ErrorKind::NotFound => {
                Reading::Refused
            }
            std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe => {
                Reading::Broken(error.to_string())
            }
            _ => Reading::Unasked(error.to_string()),
        })?;
    let host = probe.host.clone().unwrap_or_else(|| address.authority());
    let agent = concat!("leeward-probe/", env!("CARGO_PKG_VERSION"));
    let wrong = |error: http::Error| Reading::Broken(error.to_string());
    if probe.http2 {
        // A call of gRPC with an empty message: its servers break off whatever is none, and answer any call.
        let question = http::Request::post(format!("http://{host}{}", probe.path))
            .version(Version::HTTP_2)
            .header(USER_AGENT, agent)
            .header(CONTENT_TYPE, "application/grpc")
            .header(TE, "trailers")
            .body(Full::new(Bytes::from_static(&[0; 5])))
            .map_err(wrong)?;
        let shaken = http2::handshake(TokioExecutor::new(), stream.into_io()).await;
        let (mut sender, connection) = shaken.map_err(broken)?;
        return beside(connection, sender.send_request(question)).await;
    }
    let question = http::Request::get(&probe.path)
        .header(USER_AGENT, agent)
        .version(version.into())
        .header(HOST, host)
        .header(CONNECTION, "close");
    let question = question.body(Empty::<Bytes>::new()).map_err(wrong)?;
    let (mut sender, connection) = http1::Builder::new()
        .title_case_headers(manners.title_case)
        .handshake(stream.into_io())
        .await
        .map_err(broken)?;
    beside(connection, sender.send_request(question)).await
}

/// Takes the whole answer, with the connection driven beside it.
async fn beside(
    connection: impl Future<Output = hyper::Result<()>>,
    answer: impl Future<Output = hyper::Result<Response<Incoming>>>,
) -> Result<u16, Reading> {
    let broken = |error: hyper::Error| Reading::Broken(error.to_string());
    let asked = async {
        let answer = answer.await.map_err(broken)?;
        let status = answer.status().as_u16();
        let mut body = answer.into_body();
        while let Some(frame) = body.frame().await {
            frame.map_err(broken)?;
        }
        Ok(status)
    };
    tokio::pin!(connection, asked);
    tokio::select! {
        answer = &mut asked => answer,
        ended = &mut connection => match ended {
            Ok(()) => asked.await,
            Err(error) => Err(broken(error)),
        },
    }
}
