//! A host without a processor to spare, where Leeward rightly judges nothing. Two witnesses must agree before a test takes
//! that for the reason: what it measures itself, and what the program says.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;

/// How the tasks of this host have waited for processors since it was made.
pub struct Strain {
    begun: Instant,
    before: Duration,
}

/// Above this share of the time, some task or other waits for a processor that it does not get.
const STRAINED: f64 = 0.25;

impl Strain {
    /// Begins to measure.
    pub fn begin() -> Strain {
        Strain {
            begun: Instant::now(),
            before: waited(),
        }
    }

    /// For which share of the time some task waited, from 0 to 1.
    pub fn share(&self) -> f64 {
        (waited() - self.before).as_secs_f64() / self.begun.elapsed().as_secs_f64()
    }

    /// Whether that is too much for a judgement.
    pub fn is_too_much(&self) -> bool {
        self.share() >= STRAINED
    }

    /// Whether this is why an origin is not judged, of which `told` is told.
    pub fn excuses(&self, told: &Value) -> bool {
        let facts = told["evidence_for"].to_string();
        let says_so = facts.contains("the host waits for processors");
        self.is_too_much() && told["verdict"] == "starved" && says_so
    }
}

/// For how long some task of this host has waited for a processor, since it began.
fn waited() -> Duration {
    let told = fs::read_to_string("/proc/pressure/cpu").unwrap_or_default();
    let total = told
        .lines()
        .next()
        .and_then(|some| some.rsplit_once("total="));
    Duration::from_micros(total.and_then(|(_, it)| it.parse().ok()).unwrap_or(0))
}
