//! What TLS we speak, and as whom.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ProtocolVersion, ServerConfig};

use crate::config::settings::{Identity, Tls, TlsVersion};

/// The application protocols, by preference. A client of HTTP/1.0 may name its own alone (`curl --http1.0` does).
pub const ALPN: [&[u8]; 3] = [b"h2", b"http/1.1", b"http/1.0"];

/// Why TLS cannot be spoken as configured.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file of the identity.
    #[error("{key} = \"{path}\": {cause}; name a readable PEM file", path = path.display())]
    File {
        /// The key that names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// Each is good, but not for the other.
    #[error(
        "edge.tls.key does not belong to edge.tls.certificate; the first certificate of the chain must be the \
         server's own, made for this key"
    )]
    Strangers,
    /// What rustls has against the certificate, the key, or the two together.
    #[error("edge.tls: {0}; name a certificate and a key that rustls can use")]
    Rejected(#[source] rustls::Error),
    /// The certificate of a machine with nothing configured.
    #[error(
        "cannot make a self-signed certificate: {0}; set edge.tls.certificate and edge.tls.key"
    )]
    SelfSigned(#[from] rcgen::Error),
}

type Owned = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl From<rustls::Error> for TlsError {
    fn from(error: rustls::Error) -> Self {
        match error {
            rustls::Error::InconsistentKeys(_) => Self::Strangers,
            other => Self::Rejected(other),
        }
    }
}

/// The number of the version that was agreed on.
pub fn version(agreed: Option<ProtocolVersion>) -> &'static str {
    match agreed {
        Some(ProtocolVersion::TLSv1_2) => "1.2",
        _ => "1.3",
    }
}

/// The server's side of TLS for these settings.
///
/// # Errors
/// [`TlsError`].
pub fn server(tls: &Tls) -> Result<Arc<ServerConfig>, TlsError> {
    let (chain, key) = match &tls.identity {
        Identity::SelfSigned => self_signed()?,
        Identity::Files { certificate, key } => files(certificate, key)?,
    };
    let versions: &[&rustls::SupportedProtocolVersion] = match tls.oldest {
        TlsVersion::V1_2 => &[&rustls::version::TLS13, &rustls::version::TLS12],
        TlsVersion::V1_3 => &[&rustls::version::TLS13],
    };
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut server = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    server.alpn_protocols = ALPN.map(<[u8]>::to_vec).to_vec();
    // Tickets keep no memory of clients on our side.
    server.ticketer = aws_lc_rs::Ticketer::new()?;
    Ok(Arc::new(server))
}

fn self_signed() -> Result<Owned, TlsError> {
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let made = rcgen::generate_simple_self_signed(names)?;
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    tracing::warn!(
        "the certificate is self-signed, for localhost, and made anew at each start: browsers \
         will warn; set edge.tls.certificate and edge.tls.key"
    );
    Ok((vec![made.cert.der().clone()], key.into()))
}

fn files(certificate: &Path, key: &Path) -> Result<Owned, TlsError> {
    let wrong = |key, path: &Path, cause: String| TlsError::File {
        key,
        path: path.to_owned(),
        cause,
    };
    let bad_chain = |cause| wrong("edge.tls.certificate", certificate, cause);
    let chain: Vec<_> = CertificateDer::pem_file_iter(certificate)
        .map_err(|error| bad_chain(error.to_string()))?
        .collect::<Result<_, _>>()
        .map_err(|error| bad_chain(error.to_string()))?;
    if chain.is_empty() {
        return Err(bad_chain("there is no certificate in it".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| wrong("edge.tls.key", key, error.to_string()))?;
    Ok((chain, key))
}
