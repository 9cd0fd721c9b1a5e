//! `leeward restart`, `pause`, `drain` and the like: what an operator wants of a running Leeward, and whether it came to
//! pass.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};

use super::ask::{Door, NoAnswer, USUAL, asked, order};
use super::{FAILED, FINE, say};
use crate::status::socket;

/// What is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Another generation of the origin, when what is under way is done. Requests wait meanwhile, and none is lost.
    Restart,
    /// Hold all requests, for a deployment: until `resume`, or for five minutes.
    Pause,
    /// Refuse new requests and finish what is under way: this server is to be taken out of service.
    Drain,
    /// Refuse all requests with a word of maintenance, and leave the origin alone, however it is.
    Maintenance,
    /// Back to normal after `pause`, `drain` or `maintenance`.
    Resume,
    /// Write down what the origin does now, as for an incident, and disturb nothing.
    Capture,
    /// Let requests out of quarantine.
    Release,
}

/// Where the running Leeward is, and how long to wait for it.
#[derive(Debug, Args)]
pub struct Where {
    /// Its control socket; without it, the usual places are tried.
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Its status page: to watch what comes of it, and, with a token, to give the order.
    #[arg(long, value_name = "URL", default_value = USUAL)]
    url: String,
    /// The file with the token for the status page (`status.token_file`); the order then goes there.
    #[arg(long, value_name = "FILE", conflicts_with = "socket")]
    token_file: Option<PathBuf>,
    /// Give the order and do not wait for what comes of it.
    #[arg(long)]
    no_wait: bool,
    /// Wait no longer than this, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u64,
    /// Print what was done as JSON, for programs.
    #[arg(long)]
    json: bool,
}

impl Where {
    /// Whether a program reads what is printed.
    pub(super) fn wants_json(&self) -> bool {
        self.json
    }
}

/// Between two looks at what comes of it.
const EACH: Duration = Duration::from_millis(100);

/// Has `verb` carried out, for the length or of the request in `about` where it has one, and waits for what comes of it.
pub fn carry_out(verb: Verb, about: Option<&str>, place: &Where) -> u8 {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let done = runtime
        .map_err(|error| error.to_string())
        .and_then(|runtime| runtime.block_on(ordered(verb, about, place)));
    match done {
        Ok(()) => FINE,
        Err(error) => {
            eprintln!("leeward {}: {error}", verb.word());
            FAILED
        }
    }
}

async fn ordered(verb: Verb, about: Option<&str>, place: &Where) -> Result<(), String> {
    let begun = Instant::now();
    let path = match about {
        Some(request) if verb == Verb::Release => {
            format!("/{}?request={}", verb.word(), encoded(request))
        }
        Some(length) => format!("/{}?for={length}", verb.word()),
        None => format!("/{}", verb.word()),
    };
    let before = match verb {
        Verb::Restart if !place.no_wait => Some(snapshot(&place.url).await?),
        _ => None,
    };
    let answer = order(&door(place)?, &path).await.map_err(told)?;
    let answer: Value = serde_json::from_slice(&answer)
        .map_err(|error| format!("what it answered is not JSON: {error}"))?;
    let mut done = answer["done"].as_str().unwrap_or_default().to_owned();
    if !place.no_wait {
        let by = begun + Duration::from_secs(place.timeout);
        if let Some(more) = come_to_pass(verb, before.as_ref(), place, by).await? {
            done = more;
        }
    }
    let took = begun.elapsed().as_secs_f64();
    say(&match place.json {
        true => json!({ "verb": verb.word(), "done": done, "took_seconds": took }).to_string(),
        false => done,
    });
    Ok(())
}

/// Waits until it can be seen that it was done; says what came of it, where there is more than the answer told.
async fn come_to_pass(
    verb: Verb,
    before: Option<&Value>,
    place: &Where,
    by: Instant,
) -> Result<Option<String>, String> {
    let number = |snapshot: &Value| snapshot["origin"]["generation"].as_u64();
    if !matches!(verb, Verb::Restart | Verb::Drain) {
        return Ok(None);
    }
    let begun = Instant::now();
    loop {
        let now = snapshot(&place.url).await?;
        let origin = &now["origin"];
        let under_way = now["traffic"]["exchanges"]["in_flight"]
            .as_u64()
            .unwrap_or(0);
        let is_new = before.is_some_and(|before| number(&now) > number(before));
        let took = begun.elapsed().as_secs_f64();
        match verb {
            Verb::Restart if is_new && origin["state"] == "ready" => {
                let generation = number(&now).unwrap_or_default();
                let told = format!("restarted: generation {generation} serves, after {took:.1} s");
                return Ok(Some(told));
            }
            Verb::Drain if under_way == 0 => {
                return Ok(Some(format!(
                    "drained: nothing is under way, after {took:.1} s"
                )));
            }
            _ if Instant::now() >= by => {
                let state = origin["state"].as_str().unwrap_or("unknown");
                return Err(format!(
                    "not done within {} s: the origin is {state}, {under_way} requests are under way; it goes on",
                    place.timeout
                ));
            }
            _ => tokio::time::sleep(EACH).await,
        }
    }
}

pub(super) fn door(place: &Where) -> Result<Door, String> {
    if let Some(file) = &place.token_file {
        let text = std::fs::read_to_string(file);
        let token = text.map_err(|error| format!("{}: {error}", file.display()))?;
        return Ok(Door::Page {
            url: place.url.clone(),
            token: token.trim().to_owned(),
        });
    }
    if let Some(socket) = &place.socket {
        return Ok(Door::Socket(socket.clone()));
    }
    let usual: Vec<_> = socket::likely().collect();
    let there = usual.iter().find(|path| path.exists());
    let found = there.map(|path| Door::Socket(path.clone()));
    found.ok_or_else(|| {
        let told: Vec<_> = usual.iter().map(|path| path.display().to_string()).collect();
        format!(
            "no control socket at {}; is Leeward running? Name its status.socket by --socket, or a token by --token-file",
            told.join(" or ")
        )
    })
}

async fn snapshot(url: &str) -> Result<Value, String> {
    let text = asked(url, "/status.json").await;
    let text = text.map_err(|error| format!("{url}: {error}"))?;
    serde_json::from_slice(&text).map_err(|error| format!("{url}: not a snapshot: {error}"))
}

/// As it can stand in a query.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'/' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// A refusal in its own words.
pub(super) fn told(error: NoAnswer) -> String {
    let NoAnswer::Refused(_, said) = &error else {
        return error.to_string();
    };
    let refused = serde_json::from_str::<Value>(said).ok();
    let why = refused.and_then(|it| it["error"].as_str().map(str::to_owned));
    why.unwrap_or_else(|| said.clone())
}

impl Verb {
    fn word(self) -> &'static str {
        match self {
            Self::Restart => "restart",
            Self::Pause => "pause",
            Self::Drain => "drain",
            Self::Maintenance => "maintenance",
            Self::Resume => "resume",
            Self::Capture => "capture",
            Self::Release => "release",
        }
    }
}
