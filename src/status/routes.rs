//! From a request to its answer. Each route is a function of the snapshot, but for the incidents, which are files.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use http::header::{REFERRER_POLICY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{Either, Full};
use tokio::sync::Semaphore;

use super::events::{self, Events};
use super::history::Hour;
use super::host::{self, Turned};
use super::metrics::{self, Form};
use super::server::Lease;
use super::shelf::{self, NoIncident, Shelf};
use super::verbs::{self, Refused, Via};
use super::{Snapshot, Source, page};
use crate::ground::deadline::{self, Deadline};
use crate::origin::verdict::Verdict;
use crate::origin::{Care, Journal, State, Verb};

/// Everything that can be asked for.
pub(super) struct Routes {
    source: Arc<Source>,
    shelf: Arc<Shelf>,
    token: Option<Arc<str>>,
    watchers: Arc<Semaphore>,
}

type Answer = Response<Either<Full<Bytes>, Events>>;

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const HTML: &str = "text/html; charset=utf-8";
const EVENTS: &str = "text/event-stream";

/// What a lost visitor is told.
const MAP: &str = "\
/             the status page
/status.json  the same for programs
/history.json the last hour, a point for each ten seconds
/events       what changes on the page, once a second
/metrics      OpenMetrics
/incidents    the last hundred incidents; one of them at /incidents/ID, or /incidents/ID.json
/livez        fails when restarting the origin does not help; where it is only observed, when it hangs
/readyz       fails while requests do not reach the origin
/startupz     fails until the origin has answered for the first time

and by POST, with the token or through the control socket

/restart      another generation, when what is under way is done
/pause        holds all requests, ?for=5m
/drain        refuses new requests, and finishes what is under way
/maintenance  refuses all requests and leaves the origin alone, ?for=1h
/resume       ends these three
/capture      writes down what the origin does now
/release      lets requests out of quarantine, ?request=GET%20/page or all
/reload       reads the configuration and the certificates again
";

/// An order is answered within this, even where it is carried out later.
const WISH: Duration = Duration::from_secs(5);

impl Routes {
    pub(super) fn new(
        source: Arc<Source>,
        journal: Option<Journal>,
        token: Option<Arc<str>>,
    ) -> Self {
        Self {
            source,
            shelf: Arc::new(Shelf::new(journal)),
            token,
            watchers: Arc::new(Semaphore::new(events::WATCHERS)),
        }
    }

    /// The answer to any request. The body of one to HEAD is left out by the server, its length told.
    pub(super) async fn answer<B>(&self, request: &Request<B>, via: Via, lease: &Lease) -> Answer {
        let admitted = match via {
            Via::Network => host::admit(request),
            Via::Socket => Ok(()),
        };
        let mut answer = match admitted {
            Err(turned) => turn_away(turned),
            Ok(()) if is_for_events(request) => self.events(lease),
            Ok(()) => self.route(request, via).await,
        };
        guard(answer.headers_mut());
        answer
    }

    async fn route<B>(&self, request: &Request<B>, via: Via) -> Answer {
        let headers = request.headers();
        if request.uri().path() == "/reload" {
            return match request.method() {
                &Method::POST => match verbs::admit(via, headers, self.token.as_deref()) {
                    Ok(()) => self.reload().await,
                    Err(why) => refuse(&why, request.uri().path()),
                },
                _ => not_allowed("this is done by POST\n", "POST"),
            };
        }
        match (verbs::verb(request.uri()), request.method()) {
            (Some(verb), &Method::POST) => {
                let admitted = verbs::admit(via, headers, self.token.as_deref());
                self.carry_out(admitted.and(verb), request.uri().path())
                    .await
            }
            (Some(_), _) => not_allowed("this is done by POST\n", "POST"),
            (None, &Method::GET | &Method::HEAD) => self.tell(request.uri().path(), headers).await,
            (None, _) => not_allowed("this can only be read: GET or HEAD\n", "GET, HEAD"),
        }
    }

    async fn carry_out(&self, verb: Result<Verb, Refused>, path: &str) -> Answer {
        let verb = match verb {
            Ok(verb) => verb,
            Err(why) => return refuse(&why, path),
        };
        match self.source.origin.wish(verb, Deadline::within(WISH)).await {
            Ok(done) => {
                let text = serde_json::json!({ "done": done });
                said(StatusCode::OK, JSON, format!("{text}\n"))
            }
            Err(why) => refused(StatusCode::CONFLICT, &why),
        }
    }

    /// Has the configuration read again: what was taken, or every fault.
    async fn reload(&self) -> Answer {
        let Some(reload) = &self.source.reload else {
            return refused(StatusCode::CONFLICT, "nobody can read it again");
        };
        match reload().await {
            Ok(done) => {
                let text = serde_json::json!({ "done": done });
                said(StatusCode::OK, JSON, format!("{text}\n"))
            }
            Err(faults) => refused(StatusCode::UNPROCESSABLE_ENTITY, &faults),
        }
    }

    /// What changes on the page, for as long as somebody looks.
    fn events(&self, lease: &Lease) -> Answer {
        let Ok(place) = self.watchers.clone().try_acquire_owned() else {
            let most = events::WATCHERS;
            let text = format!(
                "{most} look at this page already; it can still be read without its events\n"
            );
            return said(StatusCode::SERVICE_UNAVAILABLE, TEXT, text);
        };
        lease.extend(Deadline::within(events::LIFE));
        let (source, shelf) = (self.source.clone(), self.shelf.clone());
        let views = source.origin.views();
        let draw = move || {
            let now = deadline::now();
            let mut snapshot = Snapshot::take(&source, now);
            snapshot.incidents = shelf.recall(snapshot.incidents, shelf::MOST);
            page::pieces(&snapshot, &source.hour(now), now)
        };
        let mut answer = Response::new(Either::Right(Events::new(Arc::new(draw), views, place)));
        let kind = HeaderValue::from_static(EVENTS);
        answer.headers_mut().insert(CONTENT_TYPE, kind);
        answer
    }

    /// One incident: a page for those who want one, and otherwise its file. No name ends in `.json`: that is said to have
    /// the file in any case.
    async fn incident(&self, id: &str, headers: &HeaderMap) -> Answer {
        let name = id.strip_suffix(".json");
        let text = match self.shelf.incident(name.unwrap_or(id)).await {
            Ok(text) => text,
            Err(refusal) => return no_incident(&refusal),
        };
        match serde_json::from_slice(&text) {
            Ok(told) if name.is_none() && wants_html(headers) => {
                let beside = self.shelf.beside(id).await;
                html(page::story(id, &told, &beside))
            }
            _ => said(StatusCode::OK, JSON, text),
        }
    }

    async fn tell(&self, path: &str, headers: &HeaderMap) -> Answer {
        if let Some(id) = path.strip_prefix("/incidents/") {
            return self.incident(id, headers).await;
        }
        let now = deadline::now();
        let mut snapshot = Snapshot::take(&self.source, now);
        if let Some(most) = incidents_told(path) {
            snapshot.incidents = self.shelf.list(snapshot.incidents, most).await;
        }
        match path {
            "/" => html(page::render(&snapshot, &self.source.hour(now), now)),
            "/status.json" => json(&snapshot),
            "/history.json" => json(&Hour::of(self.source.hour(now), now, &snapshot.taken_at)),
            "/incidents" if wants_html(headers) => html(page::shelf(&snapshot.incidents)),
            "/incidents" => json(&snapshot.incidents),
            "/metrics" => exposed(snapshot, Form::asked(headers)),
            "/livez" => livez(&snapshot),
            "/readyz" => readyz(&snapshot),
            "/startupz" => startupz(&snapshot),
            _ => {
                let text = format!("there is nothing here; there is\n\n{MAP}");
                said(StatusCode::NOT_FOUND, TEXT, text)
            }
        }
    }
}

/// How many incidents a page tells of, if it does.
fn incidents_told(path: &str) -> Option<usize> {
    match path {
        "/status.json" => Some(20),
        "/" | "/incidents" => Some(shelf::MOST),
        _ => None,
    }
}

fn refused(status: StatusCode, why: &str) -> Answer {
    let text = serde_json::json!({ "error": why });
    said(status, JSON, format!("{text}\n"))
}

fn refuse(why: &Refused, path: &str) -> Answer {
    // Somebody may be trying tokens; the path is that of a verb, and nothing else is theirs.
    tracing::warn!("an order over the network was refused: POST {path}: {why}");
    let status = match why {
        Refused::NoToken => StatusCode::FORBIDDEN,
        Refused::Unauthorized => StatusCode::UNAUTHORIZED,
        Refused::Length(..) => StatusCode::BAD_REQUEST,
    };
    let mut answer = refused(status, &why.to_string());
    if status == StatusCode::UNAUTHORIZED {
        let scheme = HeaderValue::from_static("Bearer");
        answer.headers_mut().insert(WWW_AUTHENTICATE, scheme);
    }
    answer
}

fn is_for_events<B>(request: &Request<B>) -> bool {
    request.method() == Method::GET && request.uri().path() == "/events"
}

/// Browsers say so; programs that say nothing are given JSON.
fn wants_html(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter();
    let mut accepted = accepted.filter_map(|value| value.to_str().ok());
    accepted.any(|value| value.contains("text/html"))
}

fn exposed(snapshot: Snapshot, form: Form) -> Answer {
    match metrics::render(snapshot, form) {
        Ok(text) => said(StatusCode::OK, form.content_type(), text),
        Err(cause) => broken(&cause),
    }
}

fn livez(all: &Snapshot) -> Answer {
    match (all.origin.state, &all.origin.trouble) {
        (State::Degraded, Some(trouble)) => no(format!(
            "restarting the origin does not help: {}",
            one_line(trouble)
        )),
        (State::Degraded, None) => {
            no("restarting the origin does not help; see /incidents".to_owned())
        }
        // Who only observes can't replace it: whoever asks has to.
        (State::Hung, _) if all.origin.care == Care::Observed => no(format!(
            "the origin serves nobody, and whoever started it has to restart it: {}",
            all.origin.verdict.map_or("no verdict", Verdict::word)
        )),
        (state, _) => yes(format!("the origin is {}", state.word())),
    }
}

fn readyz(all: &Snapshot) -> Answer {
    let state = all.origin.state.word();
    match all.origin.up {
        true => yes(format!("requests reach the origin, which is {state}")),
        false => no(format!(
            "requests do not reach the origin, which is {state}"
        )),
    }
}

fn startupz(all: &Snapshot) -> Answer {
    match all.origin.has_answered {
        true => yes("the origin has answered".to_owned()),
        false => no("the origin has not answered yet".to_owned()),
    }
}

fn yes(line: String) -> Answer {
    said(StatusCode::OK, TEXT, line + "\n")
}

fn no(line: String) -> Answer {
    said(StatusCode::SERVICE_UNAVAILABLE, TEXT, line + "\n")
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn no_incident(refusal: &NoIncident) -> Answer {
    let status = match refusal {
        NoIncident::Unknown => StatusCode::NOT_FOUND,
        NoIncident::Busy | NoIncident::Slow => StatusCode::SERVICE_UNAVAILABLE,
        NoIncident::TooLarge | NoIncident::Unreadable(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    said(status, TEXT, format!("{refusal}\n"))
}

fn turn_away(turned: Turned) -> Answer {
    match turned {
        Turned::Unnamed => said(
            StatusCode::BAD_REQUEST,
            TEXT,
            "a request names one Host (RFC 9112, 3.2)\n",
        ),
        Turned::Foreign => said(
            StatusCode::MISDIRECTED_REQUEST,
            TEXT,
            "this page answers to an IP address or to localhost only, so that no site can read it through \
             your browser under a name of its own; ask for it by its address\n",
        ),
    }
}

fn not_allowed(text: &'static str, allowed: &'static str) -> Answer {
    let mut answer = said(StatusCode::METHOD_NOT_ALLOWED, TEXT, text);
    let allowed = HeaderValue::from_static(allowed);
    answer.headers_mut().insert(ALLOW, allowed);
    answer
}

fn html(text: String) -> Answer {
    let mut answer = said(StatusCode::OK, HTML, text);
    let policy = HeaderValue::from_static(page::POLICY);
    answer.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
    answer
}

fn json(value: &impl serde::Serialize) -> Answer {
    match serde_json::to_string_pretty(value) {
        Ok(text) => said(StatusCode::OK, JSON, text + "\n"),
        Err(cause) => broken(&cause),
    }
}

fn broken(cause: &dyn std::fmt::Display) -> Answer {
    let text = format!("cannot be written down: {cause}\n");
    said(StatusCode::INTERNAL_SERVER_ERROR, TEXT, text)
}

fn said(status: StatusCode, kind: &'static str, text: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Either::Left(Full::new(text.into())));
    *answer.status_mut() = status;
    let kind = HeaderValue::from_static(kind);
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}

/// What every answer says to browsers: take it for what it is, keep it to yourself, and ask again next time.
fn guard(headers: &mut HeaderMap) {
    const NOTHING: &str = "default-src 'none'; frame-ancestors 'none'";
    let rules: [(HeaderName, &'static str); 3] = [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
    ];
    for (name, rule) in rules {
        headers.insert(name, HeaderValue::from_static(rule));
    }
    headers
        .entry(CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static(NOTHING));
}
