//! The findings in one sentence that a person can act on. Pure.

mod words;

use std::fmt::Write;
use std::net::SocketAddr;
use std::time::Duration;

use super::blame::{Blame, Why, blame};
use super::findings::{Findings, Process};
use super::seen::Seen;
use super::stat::RunState;
use super::thread::{Movement, Thread};
use words::{behind, hint, meaning, of_a_file, span, tcp};

/// Says what holds the origin up. `held` is how long nothing has moved, as seen from outside; `story` tells what the
/// origin is doing for the peer at an address ("it serves GET /big.bin from exchange 5512"), where that is known.
pub fn sentence(
    findings: &Findings,
    held: Duration,
    story: impl Fn(SocketAddr) -> Option<String>,
) -> String {
    let Some(blamed) = blame(findings, &story) else {
        return of_the_door(findings, held) + &at_the_door(findings);
    };
    let mut said = match blamed.thread {
        Some(thread) => shut_door(findings) + &of_thread(&blamed, thread, findings, held),
        None => of_process(&blamed),
    };
    if let Some(told) = blamed
        .thread
        .and_then(Thread::tcp)
        .and_then(|row| story(row.peer))
    {
        said += "; ";
        said += &told;
    }
    said += &alike(&blamed);
    said += &at_the_door(findings);
    said
}

/// What can be said where nobody knows whose process it is: the tables are open to everybody.
fn of_the_door(findings: &Findings, held: Duration) -> String {
    let at = &findings.door.at;
    let mut said = match findings.door.queue {
        Seen::Known(None) => format!("nobody listens on {at} in this network namespace"),
        _ => format!("{at} has given no sign of life for {}", span(held)),
    };
    if let Some(why) = findings.root.hidden() {
        let _ = write!(said, "; {why}");
    }
    said + &clue(findings)
}

fn of_process(blamed: &Blame<'_>) -> String {
    let process = blamed.process;
    let name = name(process);
    let tracer = process.vital.tracer.known().copied().flatten();
    match (blamed.why, tracer) {
        (Why::Gone, _) => format!(
            "process {} is gone, or /proc hides it from this program (hidepid)",
            process.pid
        ),
        (Why::Exited, _) => format!("{name} has exited and waits to be reaped (state Z)"),
        (Why::Stopped | Why::Traced, Some(tracer)) => {
            format!("{name} is stopped under the debugger with process number {tracer}")
        }
        (Why::Traced, None) => format!("{name} is stopped by a debugger (state t)"),
        (Why::Frozen, _) => format!(
            "{name} is frozen by its control group: someone paused its service or container"
        ),
        (Why::Stopped, None) => {
            let tracer = match process.vital.tracer {
                Seen::Known(_) => "no tracer",
                Seen::Hidden(_) => "a tracer could not be ruled out",
            };
            format!(
                "{name} is stopped (state T, {tracer}): a stop signal was sent to it, by whom is not known"
            )
        }
        _ => {
            let why = process
                .vital
                .state
                .hidden()
                .unwrap_or("none of its threads could be seen");
            format!("nothing is known of what {name} does: {why}")
        }
    }
}

/// Threads that use more than this of one core together, in percent, are at work and not short of it.
const SPINNING_TOGETHER: f64 = 50.0;

/// What each of its running threads used between the two samples.
fn running(process: &Process) -> Vec<Duration> {
    let is_running = |thread: &&Thread| thread.state.known() == Some(&RunState::Running);
    let used = |thread: &Thread| thread.cpu_between.known().copied().unwrap_or_default();
    process
        .threads
        .iter()
        .filter(is_running)
        .map(used)
        .collect()
}

fn of_thread(blamed: &Blame<'_>, thread: &Thread, findings: &Findings, held: Duration) -> String {
    let who = format!("thread {} of {}", thread.tid, family_name(blamed, findings));
    match blamed.why {
        Why::Spinning => {
            let share = thread
                .cpu_between
                .known()
                .map_or(0.0, |used| used.div_duration_f64(findings.gap) * 100.0);
            // Samples are not of one instant: a share may come out a little above the whole.
            return format!(
                "{who} is running, in no system call, and used {:.0} % of a core between two samples",
                share.min(100.0)
            );
        }
        Why::Running => {
            let running = running(blamed.process);
            let used: Duration = running.iter().sum();
            let share = used.div_duration_f64(findings.gap) * 100.0;
            if running.len() > 1 && share > SPINNING_TOGETHER {
                let others = running.len() - 1;
                return format!(
                    "{who} is running, as {others} of its other threads are: together they used {share:.0} % of a core between two samples"
                );
            }
            return format!(
                "{who} was running, but used little of a core between two samples: busy, or short of processor time"
            );
        }
        _ => {}
    }
    let still = thread.movement == Movement::Still;
    let Some(call) = thread.syscall() else {
        return asleep(&who, blamed, thread, findings);
    };
    let place = match call.descriptor {
        Some(number) => format!("{}({number})", call.name),
        None => format!("{}{}", call.name, behind_a_name(thread)),
    };
    let mut said = match thread.movement {
        Movement::Still => format!("{who} has been in {place} for {}", span(held)),
        Movement::Moved => {
            format!("{who} is in {place} again and again, it moved between two samples")
        }
        Movement::Unknown => format!("{who} is in {place}"),
    };
    if let Some(descriptor) = &thread.descriptor {
        let _ = write!(said, ": {}", behind(descriptor, blamed.why));
    }
    if thread
        .tcp()
        .is_some_and(|row| !row.peer.ip().is_unspecified())
        && !findings.door.leads_to(thread)
    {
        said += ", a connection of its own and no client's";
    }
    if still {
        said += meaning(blamed.why, call);
    }
    if blamed.why == Why::DiskWait {
        said += "; uninterruptible (state D): it waits for a disk or a network file system, and no signal reaches it";
    }
    said
}

fn asleep(who: &str, blamed: &Blame<'_>, thread: &Thread, findings: &Findings) -> String {
    let state = thread
        .state
        .known()
        .map_or_else(|| "in an unknown state".to_owned(), ToString::to_string);
    let mut said = format!("{who} is {state}");
    if let Some(Some(function)) = thread.wait_channel.known() {
        let _ = write!(said, " in the kernel's {function}{}", hint(function));
    }
    if thread.movement == Movement::Still {
        said += " and did not wake between two samples";
    }
    match &thread.call {
        Seen::Hidden(why) => {
            let _ = write!(said, "; its system call could not be read: {why}");
        }
        Seen::Known(_) => {
            said += ", in no system call: it may wait for memory to be read from disk"
        }
    }
    if blamed.why == Why::Unseen {
        said += &clue(findings);
    }
    said
}

/// What its door tells, even where the process tells nothing.
fn clue(findings: &Findings) -> String {
    let rows = findings.door.fullest.known();
    rows.and_then(|rows| rows.first())
        .map_or_else(String::new, |fullest| {
            let fullest = tcp(fullest, Why::Unseen);
            format!("; the fullest connection at its door is {fullest}")
        })
}

fn alike(blamed: &Blame<'_>) -> String {
    let Some(call) = blamed.thread.and_then(Thread::syscall) else {
        return String::new();
    };
    let same = |thread: &&Thread| {
        thread
            .syscall()
            .is_some_and(|other| other.name == call.name)
    };
    match blamed.process.threads.iter().filter(same).count() {
        0 | 1 => String::new(),
        2 => format!("; 1 other thread of it is in {} too", call.name),
        many => format!(
            "; {} other threads of it are in {} too",
            many - 1,
            call.name
        ),
    }
}

/// What is wrong with the door goes before whatever the threads may be at.
fn shut_door(findings: &Findings) -> String {
    match (&findings.door.queue, findings.processes.first()) {
        (Seen::Known(None), Some(process)) if !process.vital.state.is_gone() => {
            let at = &findings.door.at;
            format!("nobody listens on {at}, though {} runs; ", name(process))
        }
        _ => String::new(),
    }
}

fn at_the_door(findings: &Findings) -> String {
    match findings.door.queue {
        Seen::Known(Some(queue)) if queue.waiting > 0 => {
            let limit = queue
                .limit
                .map_or_else(String::new, |limit| format!(" (at most {limit} may)"));
            let verb = if queue.waiting == 1 {
                "connection waits"
            } else {
                "connections wait"
            };
            format!("; {} {verb} to be accepted{limit}", queue.waiting)
        }
        _ => String::new(),
    }
}

fn name(process: &Process) -> String {
    match &process.vital.comm {
        Seen::Known(comm) => format!("process {} ({comm})", process.pid),
        Seen::Hidden(_) => format!("process {}", process.pid),
    }
}

/// The name of the process to blame, and whose child it is.
fn family_name(blamed: &Blame<'_>, findings: &Findings) -> String {
    let own = comm(blamed.process);
    match findings.processes.first() {
        Some(root) if root.pid != blamed.process.pid => {
            format!("{own} (a child process of {})", name(root))
        }
        _ => own,
    }
}

/// What the kernel is at with a file that the call names by a path, which only the process knows.
fn behind_a_name(thread: &Thread) -> &'static str {
    match thread.wait_channel.known() {
        Some(Some(function)) => of_a_file(function),
        _ => "",
    }
}

fn comm(process: &Process) -> String {
    process
        .vital
        .comm
        .known()
        .cloned()
        .unwrap_or_else(|| format!("process {}", process.pid))
}

#[cfg(test)]
mod tests;
