//! What Leeward itself takes of the machine, under the names that every Prometheus client library gives it. Read from
//! `/proc/self` when somebody asks, in some ten microseconds; what cannot be read is absent.

use std::fs;

use jiff::Timestamp;
use prometheus_client::registry::Unit;

use super::super::snapshot::Snapshot;
use super::families::{Families, Written};
use super::{BYTES, PLAIN, SECONDS};

/// What the process takes; each is `None` where the system does not tell.
#[derive(Debug, Default, PartialEq)]
struct Own {
    cpu_seconds: Option<f64>,
    threads: Option<u64>,
    resident: Option<u64>,
    virtual_size: Option<u64>,
    open: Option<u64>,
    most_open: Option<u64>,
}

/// In these the kernel counts processor time towards programs, a second, whatever it uses within (proc(5), `USER_HZ`).
const TICKS: f64 = 100.0;

/// All of it.
pub(super) fn all(to: &mut Families<'_>, all: &Snapshot) -> Written {
    let own = Own::read();
    let help = "Processor time that Leeward has used, in user and system mode.";
    if let Some(used) = own.cpu_seconds {
        to.counter("process_cpu", help, SECONDS, used)?;
    }
    let help = "Threads of Leeward.";
    to.gauge("process_threads", help, PLAIN, own.threads)?;
    let help = "Resident memory of Leeward.";
    to.gauge("process_resident_memory", help, BYTES, own.resident)?;
    let help = "Virtual memory of Leeward.";
    to.gauge("process_virtual_memory", help, BYTES, own.virtual_size)?;
    let help = "Open descriptors of Leeward.";
    to.gauge("process_open_fds", help, PLAIN, own.open)?;
    let help = "Descriptors that Leeward may have open.";
    to.gauge("process_max_fds", help, PLAIN, own.most_open)?;
    let help = "When Leeward started, in seconds since 1970.";
    let started = all.started_at.parse::<Timestamp>().ok();
    let started = started.map(|at| at.as_millisecond() as f64 / 1000.0);
    to.gauge("process_start_time", help, Some(&Unit::Seconds), started)
}

impl Own {
    fn read() -> Self {
        let text = |name| fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
        let (stat, status) = (text("stat"), text("status"));
        Self {
            open: open(),
            most_open: most_open(&text("limits")),
            ..Self::told(&stat, &status)
        }
    }

    fn told(stat: &str, status: &str) -> Self {
        let after_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        let ticks: Vec<f64> = after_name
            .split(' ')
            .skip(11)
            .take(2)
            .filter_map(|word| word.parse().ok())
            .collect();
        let line = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        };
        Self {
            cpu_seconds: (ticks.len() == 2).then(|| ticks.iter().sum::<f64>() / TICKS),
            threads: line("Threads:"),
            resident: line("VmRSS:").map(|kilobytes| kilobytes << 10),
            virtual_size: line("VmSize:").map(|kilobytes| kilobytes << 10),
            open: None,
            most_open: None,
        }
    }
}

/// Since Linux 6.2 the directory says as its size how many there are; before, each is gone through.
fn open() -> Option<u64> {
    const DIRECTORY: &str = "/proc/self/fd";
    match fs::metadata(DIRECTORY).ok()?.len() {
        0 => Some((fs::read_dir(DIRECTORY).ok()?.count() as u64).saturating_sub(1)),
        told => Some(told),
    }
}

/// The soft limit; absent where there is none.
fn most_open(limits: &str) -> Option<u64> {
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_behind_a_name_full_of_spaces() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 0 0 0 150 25 0 0 20 0 9 0 100 1000 50";
        let status = "Name:\ta\nVmSize:\t    2048 kB\nVmRSS:\t    1024 kB\nThreads:\t9\n";
        let own = Own::told(stat, status);
        assert_eq!(own.cpu_seconds, Some(1.75));
        assert_eq!(
            (own.resident, own.virtual_size),
            (Some(1 << 20), Some(2 << 20))
        );
        assert_eq!(own.threads, Some(9));
        assert_eq!(Own::told("7 (torn", "VmRSS: many"), Own::default());
    }

    #[test]
    fn a_process_without_a_limit_of_descriptors_tells_none() {
        let limits =
            |soft| format!("Limit  Soft  Hard  Units\nMax open files   {soft}  4096  files\n");
        assert_eq!(most_open(&limits("1024")), Some(1024));
        assert_eq!(most_open(&limits("unlimited")), None);
    }

    #[test]
    fn our_own_process_is_read() {
        let own = Own::read();
        assert!(
            own.resident > Some(1 << 20) && own.open >= Some(3),
            "{own:?}"
        );
        assert!(
            own.cpu_seconds.is_some() && own.threads >= Some(1),
            "{own:?}"
        );
    }
}
