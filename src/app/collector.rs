//! Tells a collector of traces, by OTLP over HTTP as JSON, on a thread of its own: a collector that is slow or gone costs
//! what it is not told, and nothing else. Names of attributes are those of the semantic conventions for HTTP.

mod post;

use std::io;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{Protocol, RetryPolicy, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanExporter as _, SpanLinks};

use crate::config::settings;
use crate::ground::deadline::Deadline;
use crate::ground::failure::Failure;
use crate::ground::ledger::{Count, Ledger};
use crate::ground::spans::{self, Exchanged, Spans, Step, Takings, Visited};
use post::Post;

/// Keeps the collector told; dropping it waits a moment for the last exchanges.
#[derive(Debug)]
#[must_use]
pub struct Collector(Spans);

/// How long the collector may take for one batch.
const PATIENCE: Duration = Duration::from_secs(5);
/// A collector that takes nothing is told of so often.
const TOLD_EVERY: Duration = Duration::from_secs(60);
/// Where OTLP wants traces (its specification, section OTLP/HTTP Request).
const PATH: &str = "/v1/traces";

/// Begins to tell the collector, if there is one.
///
/// # Errors
/// What the system said.
pub fn start(settings: &settings::Trace, ledger: &Ledger) -> io::Result<Option<Collector>> {
    let Some(address) = &settings.collector else {
        return Ok(None);
    };
    let mut exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(Post)
        .with_endpoint(format!("{address}{PATH}"))
        .with_protocol(Protocol::HttpJson)
        .with_timeout(PATIENCE)
        // What it does not take at once would only make the next wait.
        .with_retry_policy(RetryPolicy::disabled())
        .build()
        .map_err(io::Error::other)?;
    exporter.set_resource(&resource(settings));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (spans, takings) = spans::open(ledger.open_aside());
    let address = address.clone();
    thread::Builder::new()
        .name("collector".to_owned())
        .spawn(move || tell(&runtime, &exporter, &takings, &address))?;
    Ok(Some(Collector(spans)))
}

impl Collector {
    /// Where exchanges are handed over.
    pub fn spans(&self) -> &Spans {
        &self.0
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.0.settle();
    }
}

fn resource(settings: &settings::Trace) -> Resource {
    Resource::builder_empty()
        .with_service_name(settings.service.clone())
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build()
}

fn tell(
    runtime: &tokio::runtime::Runtime,
    exporter: &SpanExporter,
    takings: &Takings,
    address: &str,
) {
    let mut told: Option<Instant> = None;
    let mut failed = 0;
    while let Some(batch) = takings.batch() {
        let exchanges = batch.len();
        let spans = batch.iter().flat_map(spans_of).collect();
        let sent = runtime.block_on(async {
            let by = Deadline::within(PATIENCE);
            by.bound(exporter.export(spans)).await
        });
        let why = match sent {
            Ok(Ok(())) => {
                takings.settled(exchanges, Count::SpansSent);
                continue;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("it did not answer within {PATIENCE:?}"),
        };
        takings.settled(exchanges, Count::SpansFailed);
        failed += exchanges;
        if told.is_none_or(|told| told.elapsed() >= TOLD_EVERY) {
            told = Some(Instant::now());
            tracing::warn!(
                exchanges = failed,
                why,
                "the collector {address} (trace.collector) does not take what it is told"
            );
            failed = 0;
        }
    }
}

/// The span of an exchange, and those of its steps below it.
fn spans_of(exchange: &Exchanged) -> Vec<SpanData> {
    let trail = &exchange.trail;
    let begun = SystemTime::now() - exchange.begun.elapsed();
    let mut spans = vec![span(
        exchange,
        (trail.span, trail.parent.unwrap_or(0)),
        method(exchange).to_owned(),
        (begun, begun + exchange.total),
    )];
    spans[0].span_kind = SpanKind::Server;
    spans[0].parent_span_is_remote = trail.parent.is_some();
    spans[0].attributes = attributes(exchange);
    spans[0].status = status(exchange);
    for (nth, step) in (1..).zip(&exchange.steps) {
        let Step {
            name,
            after,
            length,
        } = *step;
        let from = begun + after;
        let times = (from, from + length);
        let id = trail.below(nth);
        spans.push(span(exchange, (id, trail.span), name.to_owned(), times));
    }
    let visits = exchange.visits.iter();
    spans.extend(visits.map(|visit| visited(exchange, visit, begun)));
    spans
}

/// The span of one visit, of which the origin was told.
fn visited(exchange: &Exchanged, visit: &Visited, begun: SystemTime) -> SpanData {
    let trail = &exchange.trail;
    let from = begun + visit.after;
    let times = (from, from + visit.length);
    let ids = (trail.visit(visit.attempt), trail.span);
    let mut it = span(exchange, ids, "origin".to_owned(), times);
    it.span_kind = SpanKind::Client;
    let failure = visit.failure.as_ref();
    let end = failure.map_or("answered".to_owned(), Failure::to_string);
    it.attributes = vec![
        KeyValue::new("http.request.method", known(method(exchange))),
        KeyValue::new("leeward.generation", number(visit.generation)),
        KeyValue::new("leeward.attempt", number(visit.attempt + 1)),
        KeyValue::new("leeward.end", end.clone()),
    ];
    if visit.attempt > 0 {
        let again = KeyValue::new("http.request.resend_count", number(visit.attempt));
        it.attributes.push(again);
    }
    if let Some(failure) = failure {
        let phase = failure.phase.word();
        it.attributes.push(KeyValue::new("error.type", phase));
        it.status = Status::error(end);
    }
    it
}

fn number(amount: u64) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX)
}

fn span(
    exchange: &Exchanged,
    (id, parent): (u64, u64),
    name: String,
    (start_time, end_time): (SystemTime, SystemTime),
) -> SpanData {
    SpanData {
        span_context: SpanContext::new(
            TraceId::from(exchange.trail.trace),
            SpanId::from(id),
            TraceFlags::SAMPLED,
            false,
            TraceState::NONE,
        ),
        parent_span_id: SpanId::from(parent),
        parent_span_is_remote: false,
        span_kind: SpanKind::Internal,
        name: name.into(),
        start_time,
        end_time,
        attributes: Vec::new(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: Status::Unset,
        instrumentation_scope: InstrumentationScope::builder("leeward")
            .with_version(env!("CARGO_PKG_VERSION"))
            .build(),
    }
}

fn method(exchange: &Exchanged) -> &str {
    let method = exchange.request.split(' ').next().unwrap_or_default();
    // A client may call a method as it likes, and names of spans are few (semantic conventions for HTTP).
    match method {
        "GET" | "HEAD" | "POST" | "PUT" | "DELETE" | "OPTIONS" | "PATCH" | "QUERY" | "CONNECT"
        | "TRACE" => method,
        _ => "HTTP",
    }
}

/// A method as an attribute has it.
fn known(method: &str) -> String {
    match method {
        "HTTP" => "_OTHER".to_owned(),
        method => method.to_owned(),
    }
}

fn attributes(exchange: &Exchanged) -> Vec<KeyValue> {
    let target = exchange.request.split_once(' ').map_or("", |(_, it)| it);
    let (path, query) = target.split_once('?').unzip();
    let (received, given) = exchange.bytes;
    let mut it = vec![
        KeyValue::new("http.request.method", known(method(exchange))),
        KeyValue::new("url.scheme", "https"),
        KeyValue::new("url.path", path.unwrap_or(target).to_owned()),
        KeyValue::new("network.protocol.name", "http"),
        KeyValue::new("network.protocol.version", exchange.http),
        KeyValue::new("tls.protocol.version", exchange.tls),
        KeyValue::new(
            "client.address",
            exchange.client.ip().to_canonical().to_string(),
        ),
        KeyValue::new("client.port", i64::from(exchange.client.port())),
        KeyValue::new("http.request.body.size", number(received)),
        KeyValue::new("http.response.body.size", number(given)),
        KeyValue::new("leeward.end", exchange.end),
    ];
    let query = query.map(|query| KeyValue::new("url.query", query.to_owned()));
    let status = exchange.status.map(i64::from);
    let status = status.map(|status| KeyValue::new("http.response.status_code", status));
    let generation = exchange.generation.map(number);
    let generation = generation.map(|number| KeyValue::new("leeward.generation", number));
    it.extend([query, status, generation].into_iter().flatten());
    let marks = exchange.marks.iter();
    it.extend(marks.map(|mark| KeyValue::new(format!("leeward.{mark}"), true)));
    if exchange.trail.id.told().is_some() {
        let id = exchange.trail.id.to_string();
        it.push(KeyValue::new("leeward.request_id", id));
    }
    if let Some(error) = error(exchange) {
        it.push(KeyValue::new("error.type", error));
    }
    it
}

/// What went wrong on our side; what a client did wrong is no error of a server's span.
fn error(exchange: &Exchanged) -> Option<String> {
    match (exchange.status, exchange.end) {
        (Some(status), _) if status >= 500 => Some(status.to_string()),
        (_, end @ ("cut-off" | "origin-failed" | "edge-refused")) => Some(end.to_owned()),
        _ => None,
    }
}

fn status(exchange: &Exchanged) -> Status {
    match error(exchange) {
        Some(_) => Status::error(exchange.why.clone().unwrap_or_default()),
        None => Status::Unset,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ground::failure::{Cause, Phase};
    use crate::ground::trail::Trail;

    fn exchange(request: &str, status: u16, end: &'static str) -> Exchanged {
        let trail = Trail {
            trace: 1,
            span: 2,
            parent: Some(3),
            ..Trail::default()
        };
        let visit = |attempt, failure| Visited {
            attempt,
            generation: 4 + attempt,
            after: Duration::from_millis(1),
            length: Duration::from_millis(2),
            failure,
        };
        let broken = Failure::origin(Phase::FirstByte, Cause::Refused);
        Exchanged {
            trail,
            request: request.into(),
            http: "2",
            tls: "1.3",
            client: ([192, 0, 2, 7], 5).into(),
            begun: Instant::now(),
            total: Duration::from_millis(4),
            steps: Vec::new(),
            visits: vec![visit(0, Some(broken)), visit(1, None)],
            status: Some(status),
            end,
            why: Some("it is so".to_owned()),
            bytes: (1, 2),
            generation: Some(4),
            marks: vec!["held"],
        }
    }

    fn value(span: &SpanData, key: &str) -> Option<String> {
        let found = span.attributes.iter().find(|it| it.key.as_str() == key);
        found.map(|it| it.value.to_string())
    }

    #[test]
    fn the_visits_span_is_the_one_the_origin_was_told() {
        let told = exchange("GET /a?b=c", 200, "done");
        let spans = spans_of(&told);
        assert_eq!(spans.len(), 3);
        assert_eq!(spans[0].parent_span_id, SpanId::from(3));
        assert_eq!(spans[1].parent_span_id, SpanId::from(2));
        for (span, attempt) in spans[1..].iter().zip(0..) {
            let mut trail = told.trail.clone();
            trail.attempt = attempt;
            trail.is_told = true;
            let fields = trail.fields().collect::<Vec<_>>();
            let parent = fields.iter().find(|(name, _)| name == "traceparent");
            let parent = String::from_utf8_lossy(parent.unwrap().1.bytes()).into_owned();
            let id = span.span_context.span_id().to_string();
            assert!(parent.contains(&id), "{parent} is not {id}");
        }
        assert_ne!(spans[1].span_context, spans[2].span_context);
        assert_eq!(value(&spans[1], "leeward.generation").as_deref(), Some("4"));
        assert_eq!(value(&spans[2], "leeward.attempt").as_deref(), Some("2"));
        assert_eq!(value(&spans[2], "leeward.end").as_deref(), Some("answered"));
        assert_eq!(
            value(&spans[1], "error.type").as_deref(),
            Some("first_byte")
        );
        assert_eq!(value(&spans[0], "url.path").as_deref(), Some("/a"));
        assert_eq!(value(&spans[0], "url.query").as_deref(), Some("b=c"));
        assert_eq!(value(&spans[0], "leeward.held").as_deref(), Some("true"));
    }

    #[test]
    fn what_a_client_did_wrong_is_no_error_of_ours() {
        for (status, end, wanted) in [
            (200, "done", None),
            (404, "done", None),
            (400, "client-refused", None),
            (500, "done", Some("500")),
            (200, "cut-off", Some("cut-off")),
        ] {
            let spans = spans_of(&exchange("GET /", status, end));
            assert_eq!(
                value(&spans[0], "error.type").as_deref(),
                wanted,
                "{status} {end}"
            );
            assert_eq!(spans[0].status != Status::Unset, wanted.is_some());
        }
    }

    #[test]
    fn a_method_of_the_clients_own_names_no_span() {
        let spans = spans_of(&exchange("BREW /", 501, "done"));
        assert_eq!(spans[0].name, "HTTP");
        assert_eq!(
            value(&spans[0], "http.request.method").as_deref(),
            Some("_OTHER")
        );
    }
}
