//! How much the whole host waits: for processors, for memory, for disks (PSI, Linux 4.20 and later).

use serde::Serialize;

use super::seen::Seen;
use super::stat::{self, Pressure};
use super::vital::parsed;

/// The share of the last 10 s in which some task of the host waited, 0 to 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Strain {
    /// For a processor.
    pub processor: f64,
    /// For memory: it is swapping, or reading back what it had to drop.
    pub memory: f64,
    /// For a disk.
    pub disk: f64,
}

/// Takes the sample. Three small reads, measured at 30 µs together; never waits.
pub fn strain() -> Seen<Strain> {
    let read = |of: &str| parsed(&format!("/proc/pressure/{of}"), stat::pressure);
    let share = |pressure: Pressure| pressure.avg10 / 100.0;
    read("cpu").and_then(|processor| {
        read("memory").and_then(|memory| {
            read("io").map(|disk| Strain {
                processor: share(processor),
                memory: share(memory),
                disk: share(disk),
            })
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_tells_its_strain_or_why_not() {
        match strain() {
            Seen::Known(strain) => {
                for share in [strain.processor, strain.memory, strain.disk] {
                    assert!((0.0..=1.0).contains(&share), "{strain:?}");
                }
            }
            Seen::Hidden(why) => assert!(why.contains("/proc/pressure"), "{why}"),
        }
    }
}
