//! Every fact at one instant, of which each view is a function. Its JSON is a contract: names are only added.

mod certificates;
mod origin;
mod traffic;

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use serde::{Serialize, Serializer};

use super::{ClientTrust, Source};
use crate::config::settings::Bound;
use crate::ground::failure::Party;
use crate::ground::ledger::Count;
use crate::origin::incident::Summary;
use crate::origin::verdict::Verdict;
use crate::origin::view::Toll;

pub use certificates::CertificateFacts;
pub use origin::{Concurrency, Fate, Kept, OriginFacts, Probed, Standby, UnderWay};
pub use traffic::{Connections, Exchanges, SpanFacts, Traffic};

/// The version of the JSON's shape.
pub const SCHEMA: u32 = 1;
/// The most requests under way that are told.
pub const VISITS: usize = 100;

/// Every fact at one instant. Durations are in seconds, times in RFC 3339; what is not known is `null`.
#[derive(Debug, Clone, Serialize)]
pub struct Snapshot {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The version of Leeward.
    pub version: &'static str,
    /// When this was so.
    pub taken_at: String,
    /// When Leeward started.
    pub started_at: String,
    /// How long ago that is.
    pub uptime_seconds: f64,
    /// Where we listen.
    pub listen: Listen,
    /// How long silence lasts before it is a hang.
    pub hang: Hang,
    /// The origin.
    pub origin: OriginFacts,
    /// Clients, their requests, the answers.
    pub traffic: Traffic,
    /// Every wait that has a limit.
    pub deadlines: Vec<DeadlineFacts>,
    /// Requests that wait.
    pub waiting: Waiting,
    /// Requests that are kept from the origin because they have hung it repeatedly, the last one last; 64 at the most.
    pub quarantine: Vec<Quarantined>,
    /// Where bodies rest.
    pub spool: Spool,
    /// Memory for clients.
    pub memory: Memory,
    /// What all incidents came to since the start.
    pub toll: TollFacts,
    /// The certificates that are shown to clients, the default first.
    pub certificates: Vec<CertificateFacts>,
    /// Whose certificates clients may show; `null` where they are asked for none.
    pub client_certificates: Option<ClientTrust>,
    /// Where the settings are from.
    pub configuration: ConfigurationFacts,
    /// The last incidents, the newest first; those of earlier runs too, where the journal could be read.
    pub incidents: Vec<Summary>,
}

/// Where we listen.
#[derive(Debug, Clone, Serialize)]
pub struct Listen {
    /// For clients.
    pub edge: Vec<SocketAddr>,
    /// For those who want to know.
    pub status: Option<SocketAddr>,
}

/// How long silence lasts before it is a hang; one that runs is given three times as long as one that waits.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Hang {
    /// Where the evidence is conclusive.
    pub certain_seconds: f64,
    /// Where it is not.
    pub silent_seconds: f64,
}

/// A wait that has a limit.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct DeadlineFacts {
    /// Who is waited for: `client` or `origin`.
    pub whose: &'static str,
    /// Where in the walk of a request.
    pub phase: &'static str,
    /// For how long at the most; routes may have others of their own.
    pub limit_seconds: f64,
    /// How often it was reached since the start.
    pub missed: u64,
}

/// Requests that wait, now.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Waiting {
    /// For a slot.
    pub queued: usize,
    /// That may wait for one.
    pub queued_limit: usize,
    /// For the gate.
    pub held: usize,
    /// That may wait for it.
    pub held_limit: usize,
}

/// A request that is kept from the origin.
#[derive(Debug, Clone, Serialize)]
pub struct Quarantined {
    /// The method, and the target up to its query.
    pub request: String,
    /// How many hangs brought it here.
    pub hangs: usize,
    /// Since when.
    pub since: String,
    /// When it is over.
    pub ends_in_seconds: f64,
}

/// What all incidents came to since the start.
#[derive(Debug, Clone, Serialize)]
pub struct TollFacts {
    /// How many were opened, by verdict.
    pub opened: ByWord,
    /// How many of them are over.
    pub closed: u64,
    /// From the first sign to the verdict, of all that are over.
    pub detection_seconds: f64,
    /// For how long requests did not reach the origin because its process was replaced, incident or not.
    pub downtime_seconds: f64,
    /// How often one could not be written to the journal.
    pub unwritten: u64,
}

/// Bodies at rest, in bytes.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Spool {
    /// In the memory all spools share.
    pub used_bytes: usize,
    /// How much there is of that.
    pub budget_bytes: usize,
    /// On disk.
    pub disk_bytes: u64,
    /// How much there may be of that; absent where bodies never go to the disk.
    pub disk_limit_bytes: Option<u64>,
}

/// Memory for clients, in bytes.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Memory {
    /// Set aside: for each connection and each request the most it may take, and the memory all spools share.
    pub reserved_bytes: u64,
    /// How much may be.
    pub limit_bytes: Option<u64>,
}

/// Where the settings are from, and what became of the last reload.
#[derive(Debug, Clone, Serialize)]
pub struct ConfigurationFacts {
    /// The file; `null` where all is by default.
    pub file: Option<String>,
    /// When it was taken last.
    pub taken_at: String,
    /// Why what is in it now was not taken.
    pub fault: Option<String>,
    /// What has changed in it and waits for a restart of Leeward, by key.
    pub waits_for_restart: Vec<String>,
}

/// Values by a word of a fixed set, in the order of the set.
#[derive(Debug, Clone)]
pub struct ByWord<T = u64>(pub Vec<(&'static str, T)>);

impl Snapshot {
    /// What is so at `now`.
    pub fn take(source: &Source, now: Instant) -> Self {
        let facts = &*source.facts.now();
        let view = source.origin.view();
        let gate = source.origin.gate().borrow().clone();
        let visits = source.origin.visits(now, VISITS).into_iter();
        let visits = visits.map(|visit| UnderWay {
            id: visit.id,
            request: visit.request,
            age_seconds: seconds(visit.age),
            quiet_seconds: seconds(visit.quiet),
            received_bytes: visit.received,
            lasting: visit.is_lasting,
        });
        let gauges = (source.gauges)();
        Self {
            schema: SCHEMA,
            version: facts.version,
            taken_at: facts.time(now),
            started_at: facts.time(facts.started),
            uptime_seconds: seconds(now.saturating_duration_since(facts.started)),
            listen: Listen {
                edge: facts.edge.clone(),
                status: facts.status,
            },
            hang: Hang {
                certain_seconds: seconds(facts.hang.certain),
                silent_seconds: seconds(facts.hang.silent),
            },
            origin: OriginFacts::of(&view, &gate, visits.collect(), facts, now),
            traffic: Traffic::of(&source.ledger, facts.connections_limit, source.rate()),
            deadlines: deadlines(source),
            waiting: Waiting {
                queued: gauges.queued,
                queued_limit: facts.queue_limit,
                held: gauges.held,
                held_limit: facts.hold_limit,
            },
            quarantine: view
                .quarantine
                .iter()
                .filter(|barred| barred.until > now)
                .map(|barred| Quarantined {
                    request: barred.request.as_ref().to_owned(),
                    hangs: barred.hangs,
                    since: facts.time(barred.since),
                    ends_in_seconds: seconds(barred.until - now),
                })
                .collect(),
            spool: Spool {
                used_bytes: gauges.spool_used,
                budget_bytes: facts.spool_budget,
                disk_bytes: gauges.spool_on_disk,
                disk_limit_bytes: facts.spool_disk_limit,
            },
            memory: Memory {
                reserved_bytes: gauges.memory_reserved,
                limit_bytes: facts.memory_limit,
            },
            toll: TollFacts::of(&view.toll),
            client_certificates: gauges.trust,
            certificates: gauges
                .certificates
                .into_iter()
                .map(|it| CertificateFacts::of(it, SystemTime::now()))
                .collect(),
            configuration: ConfigurationFacts {
                file: facts.configuration.file.clone(),
                taken_at: facts.time(facts.configuration.taken),
                fault: facts.configuration.fault.clone(),
                waits_for_restart: facts.configuration.waits.clone(),
            },
            incidents: view.incidents.clone(),
        }
    }
}

impl TollFacts {
    pub(in super::super) fn of(toll: &Toll) -> Self {
        let opened = |verdict: Verdict| {
            let times = toll.opened.get(&verdict).copied().unwrap_or(0);
            (verdict.word(), times)
        };
        Self {
            opened: ByWord(Verdict::ALL.map(opened).to_vec()),
            closed: toll.closed,
            detection_seconds: seconds(toll.detection),
            downtime_seconds: seconds(toll.downtime),
            unwritten: toll.unwritten,
        }
    }
}

fn deadlines(source: &Source) -> Vec<DeadlineFacts> {
    let missed = |party, phase| match party {
        Party::Client => source.ledger.sum(Count::ClientTimeout(phase)),
        Party::Origin | Party::Edge => source.ledger.sum(Count::OriginTimeout(phase)),
    };
    let told = |(party, phase, limit): &Bound| DeadlineFacts {
        whose: party.word(),
        phase: phase.word(),
        limit_seconds: seconds(*limit),
        missed: missed(*party, *phase),
    };
    source.facts.now().waits.iter().map(told).collect()
}

impl ByWord {
    /// All of them together.
    pub fn total(&self) -> u64 {
        self.0.iter().map(|(_, amount)| amount).sum()
    }
}

impl<T: Serialize> Serialize for ByWord<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.0.iter().map(|(word, value)| (word, value)))
    }
}

/// To the microsecond: finer than anything measured here, and short to read.
fn seconds(length: Duration) -> f64 {
    rounded(length.as_secs_f64())
}

/// To the millionth.
pub(super) fn rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}
