//! The sentinel: a thread that watches over our own threads and does nothing else. systemd is told that we are alive while
//! all of them make progress (`WatchdogSec=`). One that stands still is told, with what it hangs in; then Leeward aborts
//! itself, so that systemd starts it anew: sockets and, where it is kept, the origin outlive that.
//!
//! Should the sentinel hang as well, systemd hears nothing any more and does the same, without the evidence.

use std::fmt::Write;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::ground::deadline;
use crate::ground::heartbeat::{Hearts, LOOK, Vigil};
use crate::ground::systemd::Notifier;
use crate::origin::forensics::{Call, Movement, Thread, threads};
use crate::origin::journal::MOMENT;
use crate::origin::pid::Pid;

/// A silence shorter than this is none: some beats (every [`BEAT`](crate::ground::heartbeat::BEAT)), and the look that would
/// have seen them.
const PAUSE: Duration = Duration::from_secs(1);
/// Who stands still for so long is stuck, where no watchdog says how long is too long.
const STUCK: Duration = Duration::from_secs(5);
/// For the looks at our own threads.
const LOOKING: Duration = Duration::from_millis(500);
/// So many files of evidence are kept.
const KEPT: usize = 10;
/// How their names end.
const ENDING: &str = "stuck.txt";

/// Starts it; it ends with the process. Evidence goes into `directory`, beside the incidents, and into the log.
///
/// # Errors
/// What the system said.
pub fn start(hearts: Hearts, notifier: Notifier, directory: Option<PathBuf>) -> io::Result<()> {
    tell_of_the_last(directory.as_deref());
    let watch = move || stand_watch(&hearts, notifier, directory.as_deref());
    let sentinel = thread::Builder::new().name("sentinel".to_owned());
    sentinel.spawn(watch).map(drop)
}

fn stand_watch(hearts: &Hearts, notifier: Notifier, directory: Option<&Path>) {
    let watchdog = notifier.watchdog();
    // Half of the watchdog's patience, so that the other half is left for the evidence.
    let patience = watchdog.map_or(STUCK, |limit| (limit / 2).max(PAUSE));
    let every = watchdog.map_or(LOOK, |limit| LOOK.min(limit / 3));
    let mut vigil = Vigil::default();
    let mut last = deadline::now();
    let mut is_told = false;
    loop {
        let now = deadline::now();
        let still = vigil.look(hearts.beats(), now.saturating_duration_since(last));
        last = now;
        let longest = still.iter().map(|(_, silent)| *silent).max();
        let longest = longest.unwrap_or_default();
        if longest < PAUSE {
            notifier.alive();
        }
        if longest < patience {
            is_told = false;
        } else if !is_told {
            is_told = true;
            accuse(&still, directory);
            if watchdog.is_some() {
                tracing::error!("Leeward aborts, so that systemd starts it anew");
                // The log is written by a thread of its own.
                thread::sleep(LOOK);
                std::process::abort();
            }
        }
        thread::sleep(every);
    }
}

/// Writes down who stands still, and what all of us do.
fn accuse(still: &[(String, Duration)], directory: Option<&Path>) {
    let all = Pid::own().map_or_else(Vec::new, |own| threads(own, Instant::now() + LOOKING));
    for (name, silent) in still.iter().filter(|(_, silent)| *silent >= PAUSE) {
        let doing = all.iter().find(|it| it.comm.known() == Some(name));
        let doing = doing.map_or_else(|| "it is not there".to_owned(), described);
        tracing::error!(
            thread = name,
            "a thread of Leeward's has stood still for {silent:?}: {doing}; this is a fault of Leeward's own or of this machine"
        );
    }
    let Some(directory) = directory else {
        return;
    };
    match record(&story(still, &all), directory) {
        Ok(file) => {
            tracing::error!(file = %file.display(), "what all threads of Leeward's did is written down")
        }
        Err(error) => tracing::error!(%error, "what the threads did cannot be written down"),
    }
}

fn story(still: &[(String, Duration)], all: &[Thread]) -> String {
    let now = jiff::Timestamp::now();
    let (version, own) = (env!("CARGO_PKG_VERSION"), std::process::id());
    let mut told = format!("Leeward {version}, process {own}, {now:.3}\nStood still:\n");
    for (name, silent) in still {
        let _ = writeln!(told, "  {name} for {silent:?}");
    }
    told.push_str("All threads:\n");
    for thread in all {
        let name = thread.comm.known().map_or("?", String::as_str);
        let _ = writeln!(told, "  {name} ({}): {}", thread.tid, described(thread));
        if let Some(syscall) = thread.syscall() {
            let _ = writeln!(
                told,
                "    arguments {:x?}, stack and program at {:x?}",
                syscall.arguments, syscall.place
            );
        }
        let stack = fs::read_to_string(format!("/proc/self/task/{}/stack", thread.tid));
        for line in stack.unwrap_or_default().lines() {
            let _ = writeln!(told, "    {line}");
        }
    }
    told
}

/// What a thread does, in a line.
fn described(thread: &Thread) -> String {
    let state = thread.state.known();
    let mut told = state.map_or_else(
        || "in a state that is hidden".to_owned(),
        ToString::to_string,
    );
    match thread.call.known() {
        Some(Call::Inside(syscall)) => {
            let _ = write!(told, " in {}", syscall.name);
            if let Some(descriptor) = syscall.descriptor {
                let link = fs::read_link(format!("/proc/self/fd/{descriptor}"));
                let link = link.map_or_else(|_| "?".to_owned(), |it| it.display().to_string());
                let _ = write!(told, " on descriptor {descriptor} ({link})");
            }
        }
        Some(Call::Running) => told.push_str(" in its own code"),
        Some(Call::Outside) => told.push_str(" in no system call"),
        None => {}
    }
    if let Some(Some(channel)) = thread.wait_channel.known() {
        let _ = write!(told, ", in the kernel at {channel}");
    }
    told.push_str(match thread.movement {
        Movement::Still => ", did not move between two looks",
        Movement::Moved => ", moved between two looks",
        Movement::Unknown => "",
    });
    if let Some(cpu) = thread.cpu_between.known().filter(|cpu| !cpu.is_zero()) {
        let _ = write!(told, ", {cpu:?} of a processor between them");
    }
    told
}

/// Returns when it is on the disk.
fn record(story: &str, directory: &Path) -> io::Result<PathBuf> {
    let mut before = records(directory);
    while before.len() >= KEPT {
        fs::remove_file(before.remove(0))?;
    }
    let moment = jiff::Timestamp::now().strftime(MOMENT);
    let path = directory.join(format!("{moment}.{ENDING}"));
    fs::write(&path, story)?;
    fs::File::open(&path)?.sync_all()?;
    Ok(path)
}

/// The files there are, the oldest first.
fn records(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    let is_ours = |path: &PathBuf| path.to_string_lossy().ends_with(&format!(".{ENDING}"));
    let mut found: Vec<PathBuf> = paths.filter(is_ours).collect();
    found.sort();
    found
}

/// Nobody may have read the log of the Leeward that was aborted.
fn tell_of_the_last(directory: Option<&Path>) {
    if let Some(file) = directory.and_then(|it| records(it).pop()) {
        let file = file.display();
        tracing::warn!(%file, "a Leeward before this one had a thread that stood still; delete the file when it is dealt with");
    }
}
