//! `[origin.bundled]`: what the origin that is bundled with Leeward serves.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// What the bundled origin serves: the options of `leeward origin`.
#[derive(Debug, Clone, PartialEq)]
pub struct Bundled {
    /// The directory of its files; `None` is the welcome page.
    pub root: Option<PathBuf>,
    /// Whether directories without an index are listed.
    pub listing: bool,
    /// Which symbolic links are followed.
    pub links: Links,
    /// Whether names that begin with a dot are served.
    pub hidden: bool,
    /// The page for what is not there, below the root; `None` is `404.html` if there is one.
    pub not_found: Option<String>,
    /// How long clients may keep what: patterns of paths, and lengths.
    pub cache: BTreeMap<String, Duration>,
    /// The directory of CGI scripts.
    pub cgi: Option<PathBuf>,
    /// Where the scripts are on the site.
    pub cgi_path: String,
    /// How long a script may take.
    pub cgi_timeout: Duration,
    /// How many scripts run at once.
    pub cgi_at_once: usize,
}

/// Which symbolic links are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Links {
    /// None.
    Off,
    /// Those that end below the root.
    #[default]
    Inside,
    /// All.
    Anywhere,
}

impl Default for Bundled {
    fn default() -> Self {
        Self {
            root: None,
            listing: false,
            links: Links::default(),
            hidden: false,
            not_found: None,
            cache: BTreeMap::new(),
            cgi: None,
            cgi_path: "/cgi-bin".to_owned(),
            cgi_timeout: Duration::from_secs(20),
            cgi_at_once: 8,
        }
    }
}

impl Links {
    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Inside => "inside",
            Self::Anywhere => "anywhere",
        }
    }
}

impl Bundled {
    /// What `leeward origin` is given for it, the address aside. It believes Leeward about the client.
    pub fn arguments(&self) -> Vec<String> {
        let mut all = vec!["--forwarded".to_owned()];
        let mut say = |option: &str, value: String| all.push(format!("--{option}={value}"));
        if let Some(root) = &self.root {
            say("root", root.display().to_string());
            say("links", self.links.word().to_owned());
            if let Some(page) = &self.not_found {
                say("not-found", page.clone());
            }
            for (pattern, age) in &self.cache {
                say("cache", format!("{pattern}={}s", age.as_secs()));
            }
        }
        if let Some(cgi) = &self.cgi {
            say("cgi", cgi.display().to_string());
            say("cgi-path", self.cgi_path.clone());
            say("cgi-timeout", format!("{}ms", self.cgi_timeout.as_millis()));
            say("cgi-at-once", self.cgi_at_once.to_string());
        }
        let switches = [("--listing", self.listing), ("--hidden", self.hidden)];
        let on = switches.into_iter().filter(|(_, is_on)| *is_on);
        all.extend(on.map(|(option, _)| option.to_owned()));
        all
    }
}
