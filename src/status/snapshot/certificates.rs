//! The part of the snapshot that tells which certificates are shown to clients.

use std::time::SystemTime;

use jiff::Timestamp;
use serde::Serialize;

use super::super::Certificate;

/// A certificate that is shown to clients.
#[derive(Debug, Clone, Serialize)]
pub struct CertificateFacts {
    /// Where it is named in the configuration.
    pub section: String,
    /// Its file; `null` where it is self-signed.
    pub file: Option<String>,
    /// The names it is for.
    pub names: Vec<String>,
    /// Who it says has signed it.
    pub issuer: String,
    /// From when on it is good.
    pub not_before: String,
    /// Until when.
    pub not_after: String,
    /// The same as seconds since 1970.
    #[serde(skip)]
    pub not_after_unix: i64,
    /// How long it is still good; below 0 once it has expired.
    pub expires_in_seconds: i64,
    /// `good`, `expires_soon`, `expires_very_soon`, `expired` or `not_yet`.
    pub state: &'static str,
    /// Why what is in its files now was not taken.
    pub fault: Option<String>,
}

impl CertificateFacts {
    /// As it stands at `now` on the calendar.
    pub fn of(it: Certificate, now: SystemTime) -> Self {
        let (now, until) = (unix(now), unix(it.until));
        Self {
            section: it.section,
            file: it.file,
            names: it.names,
            issuer: it.issuer,
            not_before: calendar(it.from),
            not_after: calendar(it.until),
            not_after_unix: until,
            expires_in_seconds: until - now,
            state: it.state,
            fault: it.fault,
        }
    }
}

fn calendar(at: SystemTime) -> String {
    Timestamp::try_from(at).map_or_else(|_| "never".to_owned(), |at| format!("{at:.0}"))
}

fn unix(at: SystemTime) -> i64 {
    match at.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        Err(before) => -i64::try_from(before.duration().as_secs()).unwrap_or(i64::MAX),
    }
}
