//! Witnesses: clients that ask for a page five times a second, and note what becomes of each question.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::ground::deadline::Deadline;

/// A connection to Leeward.
pub type Tls = TlsStream<TcpStream>;

/// What became of one question.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The status of the answer, or why there is none.
    pub answer: Result<u16, String>,
    /// How long it took.
    pub took: Duration,
}

/// Those who ask, until they are dismissed.
#[derive(Debug)]
pub struct Witnesses {
    caller: tokio::task::JoinHandle<(JoinSet<Seen>, Vec<Seen>)>,
    dismissed: Option<tokio::sync::oneshot::Sender<()>>,
}

/// Between two questions.
const EACH: Duration = Duration::from_millis(200);
/// More may not be open at once.
const MOST: usize = 200;
/// A client with more patience than this is rare.
const PATIENCE: Duration = Duration::from_secs(30);

impl Witnesses {
    /// Begins to ask.
    pub fn call(edge: SocketAddr, path: String) -> Self {
        let (dismissed, mut end) = tokio::sync::oneshot::channel();
        let caller = tokio::spawn(async move {
            let (mut asked, mut answered) = (JoinSet::new(), Vec::new());
            loop {
                tokio::select! {
                    _ = &mut end => return (asked, answered),
                    () = tokio::time::sleep(EACH) => {}
                }
                while let Some(ended) = asked.try_join_next() {
                    answered.extend(ended);
                }
                if asked.len() < MOST {
                    asked.spawn(ask(edge, path.clone()));
                }
            }
        });
        Self {
            caller,
            dismissed: Some(dismissed),
        }
    }

    /// Asks no more, waits for the answers that are due, and tells of all.
    pub async fn dismiss(&mut self) -> Vec<Seen> {
        if let Some(dismissed) = self.dismissed.take() {
            let _ = dismissed.send(());
        }
        match (&mut self.caller).await {
            Ok((asked, mut answered)) => {
                answered.extend(asked.join_all().await);
                answered
            }
            Err(_) => Vec::new(),
        }
    }
}

/// Asks, and leaves the answer unread.
///
/// # Errors
/// What happened instead.
pub async fn begin(edge: SocketAddr, path: &str) -> Result<Tls, String> {
    let told = |error: std::io::Error| format!("{edge}: {error}");
    let stream = TcpStream::connect(edge).await.map_err(told)?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Whoever(provider)))
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    let name = ServerName::from(edge.ip());
    let mut tls = connector.connect(name, stream).await.map_err(told)?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {edge}\r\nUser-Agent: leeward-drill\r\nConnection: close\r\n\r\n"
    );
    tls.write_all(request.as_bytes()).await.map_err(told)?;
    tls.flush().await.map_err(told)?;
    Ok(tls)
}

async fn ask(edge: SocketAddr, path: String) -> Seen {
    let begun = Instant::now();
    let asked = Deadline::within(PATIENCE)
        .bound(question(edge, &path))
        .await;
    let answer = asked.unwrap_or_else(|_| Err(format!("no answer within {PATIENCE:?}")));
    Seen {
        answer,
        took: begun.elapsed(),
    }
}

async fn question(edge: SocketAddr, path: &str) -> Result<u16, String> {
    let mut tls = begin(edge, path).await?;
    let mut answer = Vec::new();
    tls.read_to_end(&mut answer)
        .await
        .map_err(|error| error.to_string())?;
    let status = answer
        .get(9..12)
        .and_then(|it| std::str::from_utf8(it).ok());
    status
        .and_then(|status| status.parse().ok())
        .ok_or_else(|| "no HTTP answer".to_owned())
}

/// Believes whoever answers: it is our own machine, at an address the running Leeward told, and nothing secret is said.
#[derive(Debug)]
struct Whoever(Arc<CryptoProvider>);

impl ServerCertVerifier for Whoever {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
