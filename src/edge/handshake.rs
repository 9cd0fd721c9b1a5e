//! The TLS handshake: by its deadline, in its turn, and in plain words where somebody speaks plain HTTP.

use std::sync::Arc;

use rustls::CertificateError;
use tokio::net::TcpStream;

use super::connection::Edge;
use super::driver::tell;
use super::flow::Flow;
use super::judge::{NOTICE, Overdue};
use super::plain;
use super::wire::Wire;
use crate::ground::addr::ClientAddr;
use crate::ground::deadline::Deadline;
use crate::ground::drain::Drain;
use crate::ground::failure::Phase;
use crate::ground::ledger::{Count, Tally};

/// What is spoken over once the handshake is done.
pub type Stream = tokio_rustls::server::TlsStream<Wire>;

/// Shakes hands with one client; `None` where that came to nothing, which was told and counted.
pub async fn handshake<H>(
    stream: TcpStream,
    client: ClientAddr,
    edge: &Edge<H>,
    flow: &Arc<Flow>,
    drain: &mut Drain,
) -> Option<Stream> {
    let _under_way = UnderWay::begin(&edge.tally);
    let deadline = Deadline::within(edge.settings.deadlines.handshake);
    let is_plain = tokio::select! {
        biased;
        is_plain = deadline.bound(plain::is_plain_http(&stream)) => is_plain,
        () = noticed(drain) => {
            let _ = stream.set_zero_linger();
            return None;
        }
    };
    if let Ok(true) = is_plain {
        edge.tally.count(Count::HandshakesFailed);
        tracing::debug!(%client, "client, handshake: plain HTTP on a port that speaks TLS");
        Box::pin(plain::refuse(stream)).await;
        return None;
    }
    // In its turn only once it has said something: who is silent takes no turn from anybody.
    let turn = match is_plain {
        Ok(_) => deadline.bound(edge.admission.handshake()).await,
        Err(_) => Ok(None),
    };
    let Ok(_turn) = turn else {
        edge.tally.count(Count::ShedHandshakes);
        tracing::debug!(%client, "client, handshake: its turn did not come in time (edge.limits.handshakes)");
        let _ = stream.set_zero_linger();
        return None;
    };
    let wire = Wire::new(stream, flow.clone());
    let mut accepting = Box::pin(edge.tls.acceptor().accept(wire));
    let in_time = deadline.bound(accepting.as_mut());
    let done = tokio::select! {
        biased;
        done = in_time => done,
        () = noticed(drain) => {
            flow.reset();
            return None;
        }
    };
    match done {
        Ok(Ok(stream)) => Some(stream),
        Ok(Err(error)) => {
            edge.tally.count(Count::HandshakesFailed);
            match refusal(&error) {
                Some(why) => {
                    edge.tally.count(Count::ClientsUnproven);
                    tracing::warn!(%client, "client, handshake: its certificate is not taken: {why} (edge.tls.clients)");
                }
                None => tracing::debug!(%client, %error, "client, handshake: failed"),
            }
            None
        }
        Err(_) => {
            // Before the socket is dropped with the handshake.
            flow.reset();
            let overdue = Overdue {
                phase: Phase::Handshake,
                limit: edge.settings.deadlines.handshake,
                key: "edge.deadlines.handshake",
            };
            tell(&overdue, "connection", client, &edge.tally);
            None
        }
    }
}

/// Why the certificate of a client was not taken, where that is why.
fn refusal(error: &std::io::Error) -> Option<String> {
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::InvalidCertificate(CertificateError::Revoked) => {
            Some("it is revoked".to_owned())
        }
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            Some("nobody in edge.tls.clients.ca has signed it".to_owned())
        }
        rustls::Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        ) => Some("it has expired".to_owned()),
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        ) => Some("it is not valid yet".to_owned()),
        rustls::Error::InvalidCertificate(why) => Some(why.to_string()),
        rustls::Error::NoCertificatesPresented => Some("it shows none".to_owned()),
        _ => None,
    }
}

/// A handshake that is under way, and counted as such.
struct UnderWay<'a>(&'a Tally);

impl<'a> UnderWay<'a> {
    fn begin(tally: &'a Tally) -> Self {
        tally.count(Count::HandshakesBegun);
        Self(tally)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.count(Count::HandshakesEnded);
    }
}

/// Returns when the drain has begun and whoever says nothing has been waited for.
pub async fn noticed(drain: &mut Drain) {
    drain.begun().await;
    tokio::time::sleep(NOTICE).await;
}
