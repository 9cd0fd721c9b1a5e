//! How long nobody is served: from the origin's falling ill to the next generation's first answer, one sum for each illness.

use super::{Amount, Bound};

/// One illness, from its beginning to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outage {
    /// The illness, as the bound of its detection is called.
    pub name: &'static str,
    /// For people.
    pub told: &'static str,
    /// Until the verdict.
    pub noticed: Amount,
    /// The bound of the recovery that follows that verdict.
    pub recovery: &'static str,
    /// From there to the first answer.
    pub replaced: Amount,
}

impl Outage {
    /// All of it together.
    pub fn total(&self) -> Amount {
        self.noticed.plus(self.replaced)
    }
}

/// Every illness that is noticed and followed by a replacement.
pub(super) fn all(detection: &[Bound], recovery: &[Bound]) -> Vec<Outage> {
    let outage = |noticed: &Bound| {
        let name = remedy(noticed.name);
        let replaced = recovery.iter().find(|bound| bound.name == name)?;
        Some(Outage {
            name: noticed.name,
            told: noticed.told,
            noticed: noticed.total(),
            recovery: replaced.name,
            replaced: replaced.total(),
        })
    };
    detection.iter().filter_map(outage).collect()
}

/// The recovery that follows an illness, as `origin/verdict` says how sure it is and `origin/stop` how it is ended.
fn remedy(illness: &str) -> &'static str {
    match illness {
        "exited" => "after-exit",
        "stopped" => "after-stop",
        "held" | "not-listening" | "start" => "after-certain",
        _ => "after-silence",
    }
}
