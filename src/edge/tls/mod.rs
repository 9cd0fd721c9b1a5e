//! What TLS we speak, and as whom.
//!
//! The [`Keyring`] reads the files and watches over them; what it publishes is a [`Spoken`], of which each handshake takes
//! what is so at that moment. A connection keeps the terms it began with.

mod by_name;
mod certificate;
mod clients;
mod keyring;
mod look;
mod term;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::{ProtocolVersion, ServerConfig};
use tokio_rustls::TlsAcceptor;

pub use clients::shown_by;
pub use keyring::{Keyring, Prepared};
pub use term::Term;

use crate::ground::published::Published;

/// The application protocols, by preference. A client of HTTP/1.0 may name its own alone (`curl --http1.0` does).
pub const ALPN: [&[u8]; 3] = [b"h2", b"http/1.1", b"http/1.0"];

/// The number of the version that was agreed on.
pub fn version(agreed: Option<ProtocolVersion>) -> &'static str {
    match agreed {
        Some(ProtocolVersion::TLSv1_2) => "1.2",
        _ => "1.3",
    }
}

/// Why TLS cannot be spoken as configured.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TlsError {
    /// A file of the identity.
    #[error("{key} = \"{path}\": {cause}; name a readable PEM file", path = path.display())]
    File {
        /// The key that names it.
        key: String,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// Each is good, but not for the other.
    #[error(
        "{section}.key does not belong to {section}.certificate; the first certificate of the chain must be the \
         server's own, made for this key"
    )]
    Strangers {
        /// Where both are named.
        section: String,
    },
    /// The key is that of another certificate in the chain.
    #[error(
        "{section}.certificate: the key belongs to certificate {place} of the chain; the server's own comes first, \
         then the one that signed it, and so on"
    )]
    Misplaced {
        /// Where both are named.
        section: String,
        /// From 1.
        place: usize,
    },
    /// What is to be taken is of no use any more, or not yet, and what is shown now is.
    #[error("{section}.certificate: it {term}; renew it")]
    Useless {
        /// Where it is named.
        section: String,
        /// How it stands with it.
        term: Term,
    },
    /// The authorities of the clients, or their lists.
    #[error("edge.tls.clients: {cause}; name authorities and lists that rustls can use")]
    Clients {
        /// In its words.
        cause: String,
    },
    /// What rustls has against the certificate, the key, or the two together.
    #[error("{section}: {cause}; name a certificate and a key that rustls can use")]
    Rejected {
        /// Where they are named.
        section: String,
        /// In its words.
        cause: rustls::Error,
    },
    /// The certificate of a machine with nothing configured.
    #[error(
        "cannot make a self-signed certificate: {0}; set edge.tls.certificate and edge.tls.key"
    )]
    SelfSigned(String),
}

/// Everything that is wrong, at once.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct TlsFaults(pub Vec<TlsError>);

/// How TLS is spoken, and as whom. All clones are the same.
#[derive(Debug, Clone)]
pub struct Spoken {
    config: Published<ServerConfig>,
    shown: Published<Vec<Shown>>,
    trust: Published<Option<Trust>>,
}

/// A certificate that is shown to clients.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    /// Where it is named in the configuration.
    pub section: String,
    /// Its file; one that is self-signed has none.
    pub file: Option<PathBuf>,
    /// The names it is for, as it says.
    pub names: Vec<String>,
    /// Who it says has signed it.
    pub issuer: String,
    /// From when on it is good.
    pub from: SystemTime,
    /// Until when.
    pub until: SystemTime,
    /// Why what is in its files now was not taken.
    pub fault: Option<String>,
}

/// Whose certificates clients may show.
#[derive(Debug, Clone, PartialEq)]
pub struct Trust {
    /// The file of the authorities.
    pub authorities: PathBuf,
    /// Those of the lists of what was revoked.
    pub lists: Vec<PathBuf>,
    /// Whether each client must show one.
    pub required: bool,
    /// Why what is in these files now was not taken.
    pub fault: Option<String>,
}

impl Spoken {
    /// For one handshake, as things are.
    pub fn acceptor(&self) -> TlsAcceptor {
        self.config.now().into()
    }

    /// Whose certificates clients may show, where they are asked for one.
    pub fn trust(&self) -> Arc<Option<Trust>> {
        self.trust.now()
    }

    /// What is shown to clients, the default first.
    pub fn shown(&self) -> Arc<Vec<Shown>> {
        self.shown.now()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::Settings;

    #[test]
    fn one_of_our_own_is_made_anew_before_its_end_and_nobody_is_told_that_it_is_near() {
        const DAY: Duration = Duration::from_secs(86_400);
        let mut keyring = Keyring::open(&Settings::default().edge.tls).expect("it is made");
        let spoken = keyring.spoken().clone();
        let until = || spoken.shown()[0].until;
        let (first, now) = (until(), SystemTime::now());
        keyring.tell(now + DAY * 300);
        assert_eq!(until(), first, "it is good for long enough still");
        let late = now + DAY * 380;
        keyring.tell(late);
        assert!(until() > late + DAY * 390, "{:?}", until());
        let shown = &spoken.shown()[0];
        assert_eq!(Term::of((shown.from, shown.until), late).word(), "good");
    }
}
