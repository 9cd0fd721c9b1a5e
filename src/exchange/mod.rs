//! Knows one request and its answer. The walk: [`head`] judges, [`intake`] takes it whole, [`hold`] waits for
//! leave, [`forward`] visits the origin, [`answer`] gives; a failure goes through [`replay`] or [`rescue`].
//!
//! The visit is an errand of its own: it goes on when the client has left, so that the origin's slot is given
//! back when the origin is done and not when a client loses patience.

mod answer;
mod errand;
mod forward;
mod head;
mod hold;
mod intake;
mod outcome;
mod replay;
mod rescue;
mod spool;
mod terms;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body::Body;

pub use answer::AnswerBody;
pub use hold::Waiting;
pub use spool::{Disk, Store};

use crate::config::Settings;
use crate::ground::addr::ClientAddr;
use crate::ground::deadline;
use crate::ground::failure::{Failure, Party};
use crate::ground::ledger::{Ledger, Tally};
use crate::origin::{Gate, Origin, Page};
use outcome::Outcome;
use terms::Terms;

/// What all edge threads share for their exchanges.
#[derive(Debug, Clone)]
pub struct Shared {
    settings: Arc<Settings>,
    origin: Origin,
    waiting: Waiting,
    store: Store,
}

/// Serves the requests of one edge thread.
#[derive(Debug)]
pub struct Exchanges {
    shared: Shared,
    tally: Arc<Tally>,
    page: Page,
}

impl Shared {
    /// Before the first exchange.
    pub fn new(settings: Arc<Settings>, origin: Origin) -> Self {
        Self {
            waiting: Waiting::new(&settings),
            store: Store::open(&settings.spool),
            settings,
            origin,
        }
    }

    /// Those who wait for the origin.
    pub fn waiting(&self) -> &Waiting {
        &self.waiting
    }

    /// Where all bodies rest.
    pub fn store(&self) -> &Store {
        &self.store
    }
}

impl Exchanges {
    /// For one more edge thread.
    pub fn new(shared: Shared, ledger: &Ledger) -> Self {
        Self {
            tally: ledger.open(),
            page: shared.origin.page(),
            shared,
        }
    }

    /// The tally of this thread.
    pub fn tally(&self) -> &Arc<Tally> {
        &self.tally
    }

    /// Serves one request: always with a response, ours where the origin has none to give.
    pub async fn serve<B>(&self, request: Request<B>, client: ClientAddr) -> Response<AnswerBody>
    where
        B: Body<Data = Bytes>,
        B::Error: std::fmt::Display,
    {
        let (parts, body) = request.into_parts();
        let told = told(&parts.method, parts.uri.path());
        let is_logged = self.shared.settings.log.access;
        let mut outcome = Outcome::begin(self.tally.clone(), is_logged, client, told);
        let settings = &self.shared.settings;
        let limits = &settings.edge.limits;
        let terms = Terms::of(settings, parts.uri.path());
        let default_host = self.shared.origin.view().address.authority();
        let rebuilt = head::rebuild(&parts, client, limits, &default_host);
        let head = match rebuilt {
            Ok(head) => head,
            Err(failure) => return self.rescue(failure, &parts.headers, outcome),
        };
        let bounds = intake::Bounds {
            deadlines: &settings.edge.deadlines,
            size: terms.body,
            store: &self.shared.store,
        };
        let taken = match intake::take(head, body, bounds).await {
            Ok(taken) => taken,
            Err(failure) => return self.rescue(failure, &parts.headers, outcome),
        };
        outcome.taken(taken.body.len());
        let request = outcome.request().to_owned();
        let errand = errand::send(&self.shared, &self.tally, &self.page, taken, terms, request);
        let answer = errand.await;
        outcome.visited(answer.visits, answer.wait, answer.origin);
        match answer.result {
            Ok((head, reader)) => {
                outcome.answers(head.status);
                let mut response = Response::new(AnswerBody::spooled(&head, reader, outcome));
                *response.status_mut() = head.status;
                *response.headers_mut() = head.headers;
                response
            }
            Err(failure) => self.rescue(failure, &parts.headers, outcome),
        }
    }

    fn rescue(
        &self,
        failure: Failure,
        request: &HeaderMap,
        mut outcome: Outcome,
    ) -> Response<AnswerBody> {
        let response = rescue::response(&failure, request, self.retry_after());
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
        match &*self.shared.origin.gate().borrow() {
            Gate::Open(_) => Duration::from_secs(1),
            Gate::Shut(shut) => shut.expected.saturating_duration_since(deadline::now()),
        }
    }
}

/// The method and the target up to its query, cut to a decent length: queries may hold secrets.
fn told(method: &Method, path: &str) -> String {
    const LONGEST: usize = 200;
    let mut told = format!("{method} {path}");
    if told.len() > LONGEST {
        let end = (0..=LONGEST).rev().find(|end| told.is_char_boundary(*end));
        told.truncate(end.unwrap_or(0));
        told.push('…');
    }
    told
}
