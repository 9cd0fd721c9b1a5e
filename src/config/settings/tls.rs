//! `[edge.tls]`.

use std::path::PathBuf;
use std::time::Duration;

/// `[edge.tls]`
#[derive(Debug, Clone, PartialEq)]
pub struct Tls {
    /// Where the certificate comes from that is shown where no other fits.
    pub identity: Identity,
    /// `[[edge.tls.certificates]]`: further ones, each for the names in it.
    pub others: Vec<Pair>,
    /// What becomes of a client that asks for a name no certificate has, or for none.
    pub unknown_name: UnknownName,
    /// How often the files are looked at, to take those that have changed; `None` is only when asked to.
    pub reread_every: Option<Duration>,
    /// The oldest version spoken.
    pub oldest: TlsVersion,
    /// `[edge.tls.clients]`: whose certificates clients may show; `None` asks for none.
    pub clients: Option<Clients>,
}

/// `[edge.tls.clients]`
#[derive(Debug, Clone, PartialEq)]
pub struct Clients {
    /// The authorities that may have signed them, in PEM.
    pub ca: PathBuf,
    /// Their lists of what they have revoked, in PEM.
    pub crl: Vec<PathBuf>,
    /// Whether a client without one is refused.
    pub required: bool,
}

/// Where the certificate comes from.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Identity {
    /// Made in memory at each start, for localhost.
    #[default]
    SelfSigned,
    /// From files.
    Files(Pair),
}

/// A chain and its key in PEM files.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    /// The chain, the leaf first.
    pub certificate: PathBuf,
    /// The private key of the leaf.
    pub key: PathBuf,
}

/// What becomes of a client that asks for a name no certificate has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UnknownName {
    /// It is shown the certificate of `[edge.tls]`.
    #[default]
    Default,
    /// Its handshake is refused.
    Refuse,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TlsVersion {
    /// RFC 5246.
    #[default]
    V1_2,
    /// RFC 8446.
    V1_3,
}
