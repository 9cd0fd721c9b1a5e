//! `/metrics`: the snapshot as OpenMetrics text. Every label comes from a fixed set; what is not known is absent.

mod classic;
mod families;
mod origin;
mod own;

use std::fmt;

use http::HeaderMap;
use http::header::ACCEPT;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, text};
use prometheus_client::registry::{Registry, Unit};

use super::snapshot::{ByWord, Snapshot};
use families::{Families, Written};

/// In which text the metrics are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// The text format 0.0.4 of Prometheus, for those who ask for it and know no other.
    Classic,
}

impl Form {
    /// What the asker understands; OpenMetrics for those who do not say.
    pub(super) fn asked(headers: &HeaderMap) -> Self {
        let accepted = headers.get_all(ACCEPT).iter();
        let accepted: Vec<_> = accepted.filter_map(|value| value.to_str().ok()).collect();
        let takes = |kind: &str| accepted.iter().any(|value| value.contains(kind));
        match takes("text/plain") && !takes("openmetrics") {
            true => Self::Classic,
            false => Self::OpenMetrics,
        }
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Classic => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// The snapshot as text.
///
/// # Errors
/// None that is known: the text is written to memory.
pub(super) fn render(snapshot: Snapshot, form: Form) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Exposed(snapshot)));
    let mut text = String::with_capacity(16 << 10);
    text::encode(&mut text, &registry)?;
    Ok(match form {
        Form::OpenMetrics => text,
        Form::Classic => classic::from(&text),
    })
}

#[derive(Debug)]
struct Exposed(Snapshot);

const BYTES: Option<&Unit> = Some(&Unit::Bytes);
const SECONDS: Option<&Unit> = Some(&Unit::Seconds);
const PLAIN: Option<&Unit> = None;

impl Collector for Exposed {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Written {
        let mut families = Families::new(encoder);
        leeward(&mut families, &self.0)?;
        edge(&mut families, &self.0)?;
        exchanges(&mut families, &self.0)?;
        origin::all(&mut families, &self.0)?;
        own::all(&mut families, &self.0)
    }
}

/// Names below are without the unit, `_total` and `_info`: the encoder adds them.
fn leeward(to: &mut Families<'_>, all: &Snapshot) -> Written {
    to.info("leeward_build", "What runs.", "version", all.version)?;
    let help = "1 while the configuration on disk is faulty and another one runs.";
    let faulty = Some(u32::from(all.configuration.fault.is_some()));
    to.gauge("leeward_configuration_faulty", help, PLAIN, faulty)?;
    let help = "Changed keys that wait for a restart of Leeward.";
    let waiting = Some(all.configuration.waits_for_restart.len() as u64);
    to.gauge("leeward_configuration_waiting", help, PLAIN, waiting)?;
    let help = "Lines of the log that were not written: its reader was too slow, or they repeat.";
    let dropped = &all.traffic.log_dropped;
    to.counters("leeward_log_lines_dropped", help, PLAIN, "reason", dropped)?;
    let help = "Time since Leeward started.";
    to.gauge("leeward_uptime", help, SECONDS, Some(all.uptime_seconds))?;
    let toll = &all.toll;
    let help = "Incidents opened, by verdict.";
    to.counters("leeward_incidents", help, PLAIN, "verdict", &toll.opened)?;
    let help = "Incidents that are over.";
    to.counter("leeward_incidents_closed", help, PLAIN, toll.closed)?;
    let help = "From the first sign to the verdict, over all incidents that are over.";
    let detection = toll.detection_seconds;
    to.counter("leeward_incidents_detection", help, SECONDS, detection)?;
    let help = "Time for which requests did not reach the origin because its process was replaced; a replacement counts when it is over.";
    let downtime = toll.downtime_seconds;
    to.counter("leeward_origin_downtime", help, SECONDS, downtime)?;
    let help = "Incidents, or parts of them, that could not be written to the journal.";
    to.counter("leeward_incidents_unwritten", help, PLAIN, toll.unwritten)
}

fn edge(to: &mut Families<'_>, all: &Snapshot) -> Written {
    let connections = &all.traffic.connections;
    let help = "Client connections that are open.";
    let open = Some(connections.open);
    to.gauge("leeward_connections_open", help, PLAIN, open)?;
    let help = "Client connections that are open, by what they are at.";
    let doing = &connections.doing;
    to.gauges("leeward_connections", help, PLAIN, "doing", doing)?;
    let help = "Client connections that may be open at once.";
    let limit = Some(connections.limit);
    to.gauge("leeward_connections_limit", help, PLAIN, limit)?;
    let help = "Client connections accepted.";
    let accepted = connections.accepted;
    to.counter("leeward_connections_accepted", help, PLAIN, accepted)?;
    let help = "Connections closed before TLS, by what was full.";
    let shed = &connections.shed;
    to.counters("leeward_connections_shed", help, PLAIN, "reason", shed)?;
    let help = "Memory set aside for clients: connections, requests, bodies.";
    let reserved = Some(all.memory.reserved_bytes);
    to.gauge("leeward_memory_reserved", help, BYTES, reserved)?;
    let help = "How much memory may be set aside for clients.";
    to.gauge("leeward_memory_limit", help, BYTES, all.memory.limit_bytes)?;
    let help = "TLS handshakes that failed.";
    let failed = connections.handshakes_failed;
    to.counter("leeward_tls_handshakes_failed", help, PLAIN, failed)?;
    let help = "TLS handshakes of clients whose certificate was not taken, or that showed none.";
    let unproven = connections.clients_unproven;
    to.counter("leeward_clients_unproven", help, PLAIN, unproven)?;
    certificates(to, all)?;
    let help = "HTTP/2 connections ended because the client flooded them.";
    let floods = connections.floods_ended;
    to.counter("leeward_client_floods", help, PLAIN, floods)?;
    let help = "Deadlines that clients missed, by phase.";
    let missed = &all.traffic.client_timeouts;
    to.counters("leeward_client_timeouts", help, PLAIN, "phase", missed)
}

/// The label is where the configuration names the certificate, so that there are no more than are configured.
fn certificates(to: &mut Families<'_>, all: &Snapshot) -> Written {
    let certificates = || all.certificates.iter();
    let help = "When a certificate expires that clients are shown, in seconds since 1970.";
    let name = "leeward_certificate_expiry_timestamp";
    let until = certificates().map(|it| (it.section.clone(), it.not_after_unix));
    to.gauges_of(name, help, SECONDS, "certificate", until)?;
    let help = "1 where the files of a certificate, or of edge.tls.clients, are faulty, and the last good ones are in use.";
    let name = "leeward_certificate_faulty";
    let faulty = certificates().map(|it| (it.section.clone(), i64::from(it.fault.is_some())));
    let clients = all.client_certificates.iter();
    let clients = clients.map(|it| ("edge.tls.clients".to_owned(), i64::from(it.fault.is_some())));
    let faulty = faulty.chain(clients);
    to.gauges_of(name, help, PLAIN, "certificate", faulty)
}

fn exchanges(to: &mut Families<'_>, all: &Snapshot) -> Written {
    let traffic = &all.traffic;
    let exchanges = &traffic.exchanges;
    let help = "Requests under way, from the head to the end of the answer.";
    let in_flight = Some(exchanges.in_flight);
    to.gauge("leeward_exchanges_in_flight", help, PLAIN, in_flight)?;
    let help = "Exchanges begun.";
    to.counter("leeward_exchanges", help, PLAIN, exchanges.begun)?;
    let help = "Exchanges ended.";
    to.counter("leeward_exchanges_ended", help, PLAIN, exchanges.ended)?;
    let help = "Exchanges that waited for a shut gate.";
    to.counter("leeward_exchanges_held", help, PLAIN, exchanges.held)?;
    let help = "Requests sent to the origin a second time.";
    let replayed = exchanges.replayed;
    to.counter("leeward_exchanges_replayed", help, PLAIN, replayed)?;
    let help =
        "Answers that were cut in the middle, and of which the rest came from the next generation.";
    let continued = exchanges.continued;
    to.counter("leeward_exchanges_continued", help, PLAIN, continued)?;
    let help = "Requests (methods and paths) that are kept from the origin because they have hung it repeatedly.";
    let quarantined = Some(all.quarantine.len() as u64);
    to.gauge("leeward_quarantined", help, PLAIN, quarantined)?;
    let help = "Answers given to clients, by the class of their status.";
    let answered = &traffic.answered;
    to.counters("leeward_answers", help, PLAIN, "class", answered)?;
    let help = "Answers made by Leeward instead of the origin.";
    let by_edge = traffic.answered_by_edge;
    to.counter("leeward_answers_by_edge", help, PLAIN, by_edge)?;
    let help = "Requests without a good answer because of the origin, by reason.";
    let lost = &traffic.lost;
    to.counters("leeward_requests_lost", help, PLAIN, "reason", lost)?;
    let help = "Exchanges that are traced, by what became of telling the collector.";
    let traced = &traffic.traced;
    to.counters("leeward_traced_exchanges", help, PLAIN, "result", traced)?;
    let help = "Body bytes, by direction.";
    to.counters("leeward", help, BYTES, "direction", &traffic.bytes)?;
    let help = "How long the parts of an exchange took.";
    to.histograms("leeward_exchange", help, "span", &traffic.spans)?;
    let help = "Streams and tunnels that are open.";
    let open = Some(traffic.streams_open);
    to.gauge("leeward_streams_open", help, PLAIN, open)?;
    let help = "Requests that wait for a slot at the origin.";
    let queued = Some(all.waiting.queued);
    to.gauge("leeward_requests_queued", help, PLAIN, queued)?;
    let help = "Requests that may wait for a slot.";
    let limit = Some(all.waiting.queued_limit);
    to.gauge("leeward_requests_queued_limit", help, PLAIN, limit)?;
    let help = "Requests that wait for the gate to open.";
    to.gauge("leeward_requests_held", help, PLAIN, Some(all.waiting.held))?;
    let help = "Requests that may wait for the gate to open.";
    let limit = Some(all.waiting.held_limit);
    to.gauge("leeward_requests_held_limit", help, PLAIN, limit)?;
    let help = "Bodies at rest, by where.";
    let used = ByWord(vec![
        ("memory", all.spool.used_bytes as u64),
        ("disk", all.spool.disk_bytes),
    ]);
    to.gauges("leeward_spool", help, BYTES, "where", &used)?;
    let help = "What all bodies together may take of memory.";
    let budget = Some(all.spool.budget_bytes);
    to.gauge("leeward_spool_budget", help, BYTES, budget)?;
    let help = "What all bodies together may take of the disk.";
    let limit = all.spool.disk_limit_bytes;
    to.gauge("leeward_spool_disk_limit", help, BYTES, limit)
}

#[cfg(test)]
mod tests {
    use super::super::tests::hung;
    use super::*;

    #[test]
    fn every_family_is_described_and_the_end_is_marked() {
        let text = render(hung(), Form::OpenMetrics).unwrap();
        assert!(text.ends_with("\n# EOF\n"));
        let described = |word: &str| -> Vec<String> {
            let lines = text.lines().filter_map(|line| line.strip_prefix(word));
            lines
                .filter_map(|line| line.split(' ').next())
                .map(str::to_owned)
                .collect()
        };
        let (helped, typed) = (described("# HELP "), described("# TYPE "));
        assert_eq!(helped, typed);
        let mut once = typed.clone();
        once.sort();
        once.dedup();
        assert_eq!(once.len(), typed.len());
        assert!(typed.len() > 30, "{}", typed.len());
        for name in described("# UNIT ") {
            assert!(name.ends_with("_seconds") || name.ends_with("_bytes"));
        }
    }

    #[test]
    fn names_are_those_that_dashboards_rest_on() {
        let text = render(hung(), Form::OpenMetrics).unwrap();
        for line in [
            "leeward_build_info{version=\"0.0.0-test\"} 1",
            "leeward_connections_shed_total{reason=\"address\"} 0",
            "leeward_answers_total{class=\"2xx\"} 1200",
            "leeward_bytes_total{direction=\"to_clients\"} 5242880",
            "leeward_exchange_seconds_bucket{le=\"+Inf\",span=\"total\"} 1203",
            "leeward_exchange_seconds_count{span=\"total\"} 1203",
            "leeward_spool_bytes{where=\"memory\"} 196608",
            "leeward_spool_bytes{where=\"disk\"} 1048576",
            "leeward_memory_reserved_bytes 68157440",
            "leeward_memory_limit_bytes 1073741824",
            "leeward_connections_shed_total{reason=\"handshakes\"} 0",
            "leeward_certificate_expiry_timestamp_seconds{certificate=\"edge.tls\"} 871776000",
            "leeward_configuration_faulty 1",
            "leeward_configuration_waiting 1",
            "leeward_certificate_faulty{certificate=\"edge.tls\"} 1",
            "leeward_quarantined 0",
            "leeward_spool_budget_bytes 67108864",
            "leeward_origin_state{state=\"hung\"} 1",
            "leeward_origin_state{state=\"ready\"} 0",
            "leeward_origin_stance{stance=\"serving\"} 1",
            "leeward_origin_stance{stance=\"paused\"} 0",
            "leeward_origin_up 0",
            "leeward_origin_verdict{verdict=\"hung-blocked\"} 1",
            "leeward_origin_verdict{verdict=\"leaking\"} 0",
            "leeward_origin_restarts_total{verdict=\"hung-blocked\"} 2",
            "leeward_origin_restarts_total{verdict=\"requested\"} 0",
            "leeward_origin_probes_total{result=\"silent\"} 3",
            "leeward_origin_timeouts_total{phase=\"first_byte\"} 0",
            "leeward_origin_client_stall_seconds_total 0.0",
            "leeward_streams_open 0",
            "leeward_origin_memory_bytes 18350080",
            "leeward_origin_slots 1",
            "leeward_exchange_seconds_bucket{le=\"0.0005\",span=\"total\"} 1",
            "leeward_connections{doing=\"idle\"} 3",
            "leeward_connections_limit 4096",
            "leeward_requests_held_limit 256",
            "leeward_spool_disk_limit_bytes 4294967296",
            "leeward_incidents_total{verdict=\"hung-blocked\"} 2",
            "leeward_incidents_closed_total 1",
            "leeward_incidents_detection_seconds_total 1.6",
            "leeward_incidents_unwritten_total 0",
            "leeward_origin_downtime_seconds_total 1.9",
            "leeward_origin_uptime_seconds 40.0",
            "leeward_origin_start_seconds 0.14",
            "leeward_origin_processor_ratio 0.001",
            "leeward_origin_frozen 0",
            "leeward_origin_requests{fate=\"held\"} 1",
            "leeward_origin_requests{fate=\"reach\"} 0",
            "leeward_origin_limit{of=\"descriptors\"} 1000",
            "leeward_origin_growth_per_hour{of=\"descriptors\"} 72000.0",
            "leeward_origin_growth_steady{of=\"descriptors\"} 1",
            "process_start_time_seconds 1769847300.0",
        ] {
            assert!(text.lines().any(|told| told == line), "{line}\n{text}");
        }
    }

    #[test]
    fn what_is_not_known_is_absent_and_not_zero() {
        let mut snapshot = hung();
        snapshot.origin.memory_bytes = None;
        snapshot.origin.concurrency = None;
        let text = render(snapshot, Form::OpenMetrics).unwrap();
        assert!(!text.contains("leeward_origin_memory"));
        assert!(!text.contains("leeward_origin_slots"));
        assert!(text.contains("leeward_origin_threads 1\n"));
    }
}
