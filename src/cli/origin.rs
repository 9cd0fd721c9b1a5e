//! `leeward origin`: the bundled origin, a program of its own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{BAD_USAGE, FAILED, FINE, log};
use crate::bundled::{
    self, Client, FileOptions, Hidden, Keep, Links, Listen, Listing, Options, ScriptOptions,
};
use crate::config::{settings, value};
use crate::ground::sys;

/// The line of `leeward origin`.
#[derive(Debug, clap::Args)]
pub struct Line {
    /// Where to listen; port 0 is any free one. A socket that was passed (LISTEN_FDS) goes before it.
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// What to serve; without it, a welcome page and some files of several sizes.
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// List directories that have no index.html.
    #[arg(long, requires = "root")]
    listing: bool,
    /// Which symbolic links are followed.
    #[arg(
        long,
        value_name = "WHICH",
        requires = "root",
        default_value = "inside"
    )]
    links: Links,
    /// Serve names that begin with a dot, too. Those in /.well-known/ are served always.
    #[arg(long, requires = "root")]
    hidden: bool,
    /// The page for what is not there, below the root; without it, 404.html if there is one.
    #[arg(long, value_name = "PATH", requires = "root", value_parser = below)]
    not_found: Option<PathBuf>,
    /// How long clients may keep what: a path in which * stands for any letters, and a length, like '*.css=1h'. The
    /// longest pattern decides; 0s has them ask each time. Can be given many times.
    #[arg(long, value_name = "PATTERN=LENGTH", requires = "root", value_parser = keep)]
    cache: Vec<Keep>,
    /// A directory of CGI/1.1 scripts: each executable file in it. No file in it is ever served as it is.
    #[arg(long, value_name = "DIR")]
    cgi: Option<PathBuf>,
    /// Where the scripts are on the site.
    #[arg(
        long,
        value_name = "PATH",
        requires = "cgi",
        default_value = "/cgi-bin"
    )]
    cgi_path: String,
    /// How long a script may take, to the end of its answer; then it is killed with all that it started.
    #[arg(long, value_name = "LENGTH", requires = "cgi", default_value = "20s", value_parser = script_time)]
    cgi_timeout: Duration,
    /// How many scripts run at once; the next one is answered 503.
    #[arg(long, value_name = "COUNT", requires = "cgi", default_value_t = 8,
          value_parser = clap::value_parser!(u16).range(1..=1000))]
    cgi_at_once: u16,
    /// Believe X-Forwarded-For, -Host and -Proto. Only behind Leeward, which writes them itself.
    #[arg(long)]
    forwarded: bool,
}

/// Serves until a signal ends it. A socket that is passed goes before an address, as systemd's users expect it.
pub fn origin(line: Line) -> u8 {
    let passed = sys::passed().into_iter().next();
    let passed = passed.map(|(_, socket)| Listen::Passed(socket));
    let Some(listen) = passed.or(line.listen.map(Listen::At)) else {
        eprintln!(
            "leeward origin: nowhere to listen; pass --listen ADDR, or a socket as LISTEN_FDS"
        );
        return BAD_USAGE;
    };
    let (_log, _) = log::begin(&settings::Log::default(), Arc::default());
    match bundled::serve(line.options(listen)) {
        Ok(()) => FINE,
        Err(error) => {
            eprintln!("leeward origin: {error}");
            FAILED
        }
    }
}

impl Line {
    fn options(self, listen: Listen) -> Options {
        let listing = match self.listing {
            true => Listing::On,
            false => Listing::Off,
        };
        let hidden = match self.hidden {
            true => Hidden::Shown,
            false => Hidden::Refused,
        };
        let client = match self.forwarded {
            true => Client::Forwarded,
            false => Client::Connection,
        };
        let files = self.root.map(|root| FileOptions {
            root,
            listing,
            links: self.links,
            hidden,
            not_found: self.not_found,
            keep: self.cache,
        });
        let scripts = self.cgi.map(|directory| ScriptOptions {
            directory,
            path: self.cgi_path,
            timeout: self.cgi_timeout,
            at_once: usize::from(self.cgi_at_once),
            client,
        });
        Options {
            listen,
            files,
            scripts,
        }
    }
}

/// A path below the root, with or without its first slash.
fn below(text: &str) -> Result<PathBuf, String> {
    let below = PathBuf::from(text.trim_start_matches('/'));
    let goes_down = |part| matches!(part, std::path::Component::Normal(_));
    match !below.as_os_str().is_empty() && below.components().all(goes_down) {
        true => Ok(below),
        false => Err("no path below the root; write it like /errors/404.html".to_owned()),
    }
}

fn keep(text: &str) -> Result<Keep, String> {
    let example = "write it like '/assets/*=365d'";
    let (pattern, age) = text
        .rsplit_once('=')
        .ok_or_else(|| format!("no length behind the pattern; {example}"))?;
    Ok(Keep {
        pattern: value::kept_pattern(pattern).map_err(|wrong| told(&wrong))?,
        age: value::length(age, value::KEPT.0, value::KEPT.1).map_err(|wrong| told(&wrong))?,
    })
}

fn script_time(text: &str) -> Result<Duration, String> {
    let (least, most) = value::SCRIPT_TIME;
    value::length(text, least, most).map_err(|wrong| told(&wrong))
}

fn told(wrong: &value::Wrong) -> String {
    format!("{}; {}", wrong.message, wrong.remedy)
}
