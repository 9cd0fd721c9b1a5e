//! What the bundled origin can be told.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

pub use super::caching::Keep;

/// What the bundled origin serves.
#[derive(Debug)]
pub struct Options {
    /// Where it listens, in clear text.
    pub listen: Listen,
    /// The files; without them, the built-in welcome site.
    pub files: Option<FileOptions>,
    /// The scripts, if there are any.
    pub scripts: Option<ScriptOptions>,
}

/// Where the bundled origin listens.
#[derive(Debug)]
pub enum Listen {
    /// At this address. Port 0 takes a free port; the ready line names it.
    At(SocketAddr),
    /// On a socket that whoever started it has opened.
    Passed(OwnedFd),
}

/// A directory that is served.
#[derive(Debug, Clone)]
pub struct FileOptions {
    /// The directory. It is resolved once, at start: a symbolic link named here and changed later is not followed anew.
    pub root: PathBuf,
    /// What a directory without `index.html` is answered with.
    pub listing: Listing,
    /// Which symbolic links are followed.
    pub links: Links,
    /// Whether names that begin with a dot are there.
    pub hidden: Hidden,
    /// The page for what is not there, below the root. `None` is `404.html` if there is one, our own otherwise.
    pub not_found: Option<PathBuf>,
    /// What clients may keep, and how long.
    pub keep: Vec<Keep>,
}

/// Whether directories are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Listing {
    /// As if they were not there.
    #[default]
    Off,
    /// By name, with sizes and times.
    On,
}

/// Which symbolic links below the root are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Links {
    /// None.
    Off,
    /// Those that end below the root.
    #[default]
    Inside,
    /// All, wherever they end.
    Anywhere,
}

/// What becomes of names that begin with a dot. `/.well-known/` is always there (RFC 8615).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Hidden {
    /// They are not there.
    #[default]
    Refused,
    /// They are as others.
    Shown,
}

/// A directory of CGI scripts (RFC 3875).
#[derive(Debug, Clone)]
pub struct ScriptOptions {
    /// The directory; each executable file in it, and below it, is a script.
    pub directory: PathBuf,
    /// Where it is on the site, like `/cgi-bin`.
    pub path: String,
    /// From its start to the end of its answer; then it is killed.
    pub timeout: Duration,
    /// So many run at once; the next one is answered 503.
    pub at_once: usize,
    /// Who is believed about the client.
    pub client: Client,
}

/// Who is believed about the client's address, host and protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Client {
    /// The connection alone.
    #[default]
    Connection,
    /// `X-Forwarded-For`, `-Host` and `-Proto`: Leeward is in front, and writes them itself.
    Forwarded,
}
