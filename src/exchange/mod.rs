//! Knows one request and its answer. The walk: [`head`] judges, [`intake`] takes it whole, [`hold`] waits for
//! leave, [`forward`] visits the origin, [`receive`] takes its answer, [`redirect`] mends where it
//! sends to, [`answer`] gives; a failure goes through [`replay`] or [`rescue`], and where the client has seen a part of
//! the answer through [`continuation`], which may have the [`rest`] of it.
//!
//! Where a route or an answer says so, bodies go past the spool: [`upload`] to the origin, [`window`] to the client,
//! [`tunnel`] both ways; [`streams`] counts them.
//!
//! The visit is an errand: whoever waits for it runs it, and it goes on by itself when the client has left, so that the
//! origin's slot is given back when the origin is done and not when a client loses patience. [`leg`] speaks HTTP/1 with
//! the origin, [`http2`] what gRPC speaks.

mod answer;
mod carry;
mod chance;
mod continuation;
mod errand;
mod forward;
mod head;
mod hold;
mod http2;
mod intake;
mod lasting;
mod leg;
mod line;
mod live;
mod manners;
mod missed;
mod outcome;
mod pool;
mod receive;
mod redirect;
mod replay;
mod rescue;
mod rest;
mod sending;
mod spool;
mod streams;
mod terms;
mod tunnel;
mod turns;
mod upload;
mod websocket;
mod window;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body::Body;

pub use answer::AnswerBody;
pub use hold::Waiting;
pub use spool::{Disk, Store};

use crate::config::Settings;
use crate::config::pages::Pages;
use crate::ground::addr::Client;
use crate::ground::deadline;
use crate::ground::failure::{Cause, Failure, Party, Phase};
use crate::ground::fate::Fate;
use crate::ground::ledger::{Ledger, Tally};
use crate::ground::published::Published;
use crate::ground::redact;
use crate::ground::reserve::{NoRoom, Reserve};
use crate::ground::spans::Spans;
use crate::ground::trail::Making;
use crate::origin::{Gate, Origin, Page};
use chance::{Chance, making};
use head::OriginHead;
use intake::{Load, Taken};
use outcome::Outcome;
use pool::Pool;
use streams::Streams;
use terms::Terms;
use upload::{Live, UploadBounds};

/// What all edge threads share for their exchanges.
#[derive(Debug, Clone)]
pub struct Shared {
    settings: Arc<Settings>,
    origin: Origin,
    waiting: Waiting,
    store: Store,
    streams: Streams,
    reserve: Reserve,
    pages: Arc<Pages>,
    making: Making,
    spans: Option<Spans>,
}

/// Serves the requests of one edge thread, each by the settings there are when it begins.
#[derive(Debug, Clone)]
pub struct Exchanges(Published<Thread>);

/// Serves requests by the settings of one moment.
struct Serving(Arc<Thread>);

/// What the exchanges of one edge thread share, so that they share as little as can be with those of others.
#[derive(Debug)]
struct Thread {
    shared: Shared,
    tally: Arc<Tally>,
    page: Page,
    pool: Pool,
    /// What an HTTP/1.0 client that names no host is taken to mean.
    default_host: String,
    /// Where the ids of this thread come from.
    chance: Chance,
}

impl Shared {
    /// Before the first exchange.
    pub fn new(
        settings: Arc<Settings>,
        origin: Origin,
        reserve: Reserve,
        pages: Pages,
        spans: Option<Spans>,
    ) -> Self {
        Self {
            making: making(&settings.trace),
            spans,
            waiting: Waiting::new(&settings),
            store: Store::open(&settings.spool),
            streams: Streams::new(settings.origin.streams),
            reserve,
            pages: Arc::new(pages),
            settings,
            origin,
        }
    }

    /// Those who wait, wait by these settings from now on.
    pub fn take(&self, settings: &Settings) {
        self.waiting.take(settings);
    }

    /// Those who wait for the origin.
    pub fn waiting(&self) -> &Waiting {
        &self.waiting
    }

    /// What memory they may take.
    pub fn reserve(&self) -> &Reserve {
        &self.reserve
    }

    /// Where all bodies rest.
    pub fn store(&self) -> &Store {
        &self.store
    }
}

impl Exchanges {
    /// For one of `threads` edge threads.
    pub fn new(shared: Shared, ledger: &Ledger, threads: usize) -> Self {
        Self(Published::new(Arc::new(Thread {
            tally: ledger.open(),
            page: shared.origin.page(),
            pool: Pool::new(&shared.settings.origin, threads),
            default_host: shared.origin.view().address.authority(),
            chance: Chance::new(),
            shared,
        })))
    }

    /// The tally of this thread.
    pub fn tally(&self) -> Arc<Tally> {
        self.0.now().tally.clone()
    }

    /// Requests that come from now on are served by these settings, and with these pages; those under way are not touched.
    pub fn take(&self, settings: &Arc<Settings>, pages: &Arc<Pages>) {
        let before = self.0.now();
        self.0.replace(Arc::new(Thread {
            shared: Shared {
                settings: settings.clone(),
                pages: pages.clone(),
                ..before.shared.clone()
            },
            tally: before.tally.clone(),
            page: before.page.clone(),
            pool: before.pool.clone(),
            default_host: before.default_host.clone(),
            chance: Chance::new(),
        }));
    }

    /// Serves one request: always with a response, ours where the origin has none to give. `fate` tells, once that
    /// is dropped, whether the client was cut off.
    pub async fn serve<B>(
        &self,
        request: Request<B>,
        client: Client,
        fate: Fate,
    ) -> Response<AnswerBody>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: std::fmt::Display,
    {
        Serving(self.0.now()).serve(request, client, fate).await
    }
}

impl Serving {
    async fn serve<B>(
        &self,
        request: Request<B>,
        client: Client,
        fate: Fate,
    ) -> Response<AnswerBody>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: std::fmt::Display,
    {
        let (mut parts, body) = request.into_parts();
        let Thread { shared, tally, .. } = &*self.0;
        let settings = &*shared.settings;
        let told = match parts.uri.query().filter(|_| settings.log.queries) {
            None => told(&parts.method, parts.uri.path()),
            Some(query) => {
                let whole = format!("{}?{query}", parts.uri.path());
                told(&parts.method, &redact::line(&whole))
            }
        };
        let trail = self.0.chance.trail(&parts.headers, shared.making);
        let seen = (client, fate, parts.version);
        let mut outcome = Outcome::begin(self.0.clone(), seen, told, trail);
        if let Err(NoRoom { limit }) = shared.reserve.exchange(tally) {
            let key = "edge.limits.memory";
            let failure = Failure::edge(Phase::Head, Cause::NoRoom { limit, key });
            return self.rescue(failure, &parts.headers, outcome);
        }
        let limits = &settings.edge.limits;
        let terms = Terms::of(settings, parts.uri.path());
        let bid = match terms.upgrade {
            true => tunnel::bid(&mut parts),
            false => None,
        };
        let rebuilt = head::rebuild(&parts, client.addr, limits, &self.0.default_host);
        let head = match rebuilt {
            Ok(head) => head.on(outcome.trail()),
            Err(failure) => return self.rescue(failure, &parts.headers, outcome),
        };
        let taken = match body.is_end_stream() {
            true => Ok(Taken::bare(head)),
            // Boxed, so that requests without a body need not carry what it takes.
            false => Box::pin(self.take(head, body, &terms)).await,
        };
        let taken = match taken {
            Ok(taken) => taken,
            Err(failure) => return self.rescue(failure, &parts.headers, outcome),
        };
        match &taken.body {
            Load::Whole(body) => outcome.taken(body.len()),
            Load::Live(live) => outcome.comes(live.received.clone()),
        }
        let trailers = terms.stream && takes_trailers(&parts.headers);
        let taken = Taken {
            trailers,
            bid,
            ..taken
        };
        let request = outcome.request().clone();
        let answer = errand::send(self.0.clone(), taken, terms, request).await;
        outcome.visited(answer.visits, answer.steps, answer.tried);
        outcome.goes_on(answer.course);
        match answer.result {
            Ok((head, reader)) => {
                outcome.answers(head.status);
                let mut response = Response::new(AnswerBody::of(&head, reader, outcome));
                *response.status_mut() = head.status;
                *response.headers_mut() = head.headers;
                response
            }
            Err(failure) => self.rescue(failure, &parts.headers, outcome),
        }
    }

    /// A request and its body, or one whose body goes on as it comes where the route says so.
    async fn take<B>(&self, head: OriginHead, body: B, terms: &Terms) -> Result<Taken, Failure>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: std::fmt::Display,
    {
        let shared = &self.0.shared;
        if !terms.stream {
            let bounds = intake::Bounds {
                deadlines: &shared.settings.edge.deadlines,
                size: terms.body,
                store: &shared.store,
            };
            return intake::take(head, body, bounds).await;
        }
        let bounds = UploadBounds {
            size: terms.body,
            stall: terms.upload_stall,
            quiet: terms.lasting.idle,
        };
        Ok(Taken {
            head,
            body: Load::Live(Live::new(body, bounds)?),
            has_body: true,
            trailers: false,
            bid: None,
        })
    }

    fn rescue(
        &self,
        failure: Failure,
        request: &HeaderMap,
        mut outcome: Outcome,
    ) -> Response<AnswerBody> {
        let response =
            rescue::response(&failure, request, &self.0.shared.pages, self.retry_after());
        let breaks_off = failure.party == Party::Client;
        outcome.answers(response.status());
        outcome.failed(failure);
        let mut response = response.map(|bytes| AnswerBody::own(bytes, outcome));
        if breaks_off {
            // The rest of the request may still be on its way, and nobody will read it.
            let close = http::HeaderValue::from_static("close");
            response
                .headers_mut()
                .insert(http::header::CONNECTION, close);
        }
        response
    }

    /// When the origin is likely to be there again.
    fn retry_after(&self) -> Duration {
        match &*self.0.shared.origin.gate().borrow() {
            Gate::Open(_) => Duration::from_secs(1),
            Gate::Shut(shut) => shut.expected.saturating_duration_since(deadline::now()),
        }
    }
}

/// Whether a client says that it takes trailers.
fn takes_trailers(request: &HeaderMap) -> bool {
    let said = request.get_all(http::header::TE).iter();
    said.filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|coding| coding.trim().eq_ignore_ascii_case("trailers"))
}

/// The method and the target, cut to a decent length.
fn told(method: &Method, path: &str) -> Arc<str> {
    const LONGEST: usize = 200;
    let mut told = String::with_capacity(method.as_str().len() + 1 + path.len());
    told.push_str(method.as_str());
    told.push(' ');
    told.push_str(path);
    if told.len() > LONGEST {
        let end = (0..=LONGEST).rev().find(|end| told.is_char_boundary(*end));
        told.truncate(end.unwrap_or(0));
        told.push('…');
    }
    told.into()
}

#[cfg(test)]
mod model;
