//! Makes every thread of a process run in a circle, without a debugger: where a thread stands, its code becomes a jump
//! to itself. A thread in a system call runs into it as soon as the call returns.
//!
//! What is written through `/proc/PID/mem` goes to a copy of the page that is the process's own: others that run the
//! same program or library are not touched. A child forked meanwhile inherits the jumps, and nobody takes them back
//! there.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// A process that runs in circles.
#[derive(Debug)]
pub struct Spinning {
    /// Held from before the first write on, it cannot come to mean another process.
    process: OwnedFd,
    pid: i32,
    /// Its memory as it was then: after its end, or another program in its place, nothing can be written here.
    memory: File,
    jumps: Vec<Jump>,
}

/// An instruction that was replaced.
#[derive(Debug)]
struct Jump {
    at: u64,
    was: Vec<u8>,
}

/// An instruction that jumps to itself; empty where none is known.
const CIRCLE: &[u8] = if cfg!(any(target_arch = "x86_64", target_arch = "x86")) {
    &[0xeb, 0xfe]
} else if cfg!(target_arch = "aarch64") {
    &[0x00, 0x00, 0x00, 0x14]
} else {
    &[]
};
/// A process that was told to stop does so within a few milliseconds, unless it waits for a disk.
const STOPPING: Duration = Duration::from_millis(500);
/// Between two looks whether it has.
const EACH: Duration = Duration::from_millis(1);

/// Whether it can be done to this process; nothing is done.
///
/// # Errors
/// It cannot, and why.
pub fn is_possible(pid: i32) -> Result<(), String> {
    if CIRCLE.is_empty() {
        let here = std::env::consts::ARCH;
        return Err(format!(
            "spin cannot be rehearsed on {here}: no jump to itself is known for it"
        ));
    }
    memory(pid).map(drop)
}

impl Spinning {
    /// Sends every thread into its circle.
    ///
    /// # Errors
    /// What was refused, and what would permit it. The process then goes on as before.
    pub fn begin(pid: i32) -> Result<Self, String> {
        is_possible(pid)?;
        let wrong = |error: rustix::io::Errno| format!("process {pid}: {error}");
        let number = Pid::from_raw(pid).ok_or("not a process number")?;
        let process = pidfd_open(number, PidfdFlags::empty()).map_err(wrong)?;
        let mut spinning = Self {
            process,
            pid,
            memory: memory(pid)?,
            jumps: Vec::new(),
        };
        // Whoever can be signalled now was there when its memory was opened: that is of the same process.
        pidfd_send_signal(&spinning.process, Signal::STOP).map_err(wrong)?;
        let jumped = spinning.jump();
        if jumped.is_err() {
            spinning.restore();
        }
        let _ = pidfd_send_signal(&spinning.process, Signal::CONT);
        jumped.map(|()| spinning)
    }

    /// Lets every thread go on where it was, if the process is still there.
    pub fn end(&mut self) {
        if pidfd_send_signal(&self.process, Signal::STOP).is_err() {
            return;
        }
        // One that does not stop is deep in the kernel, and runs nothing of what is changed.
        let _ = all_stopped(self.pid);
        self.restore();
        let _ = pidfd_send_signal(&self.process, Signal::CONT);
    }

    /// It must be stopped: an instruction changes in more than one step.
    fn jump(&mut self) -> Result<(), String> {
        let threads = all_stopped(self.pid)?;
        let mut places = Vec::new();
        for thread in threads {
            let path = format!("/proc/{}/task/{thread}/syscall", self.pid);
            let text = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
            places.push(counter(&text).ok_or_else(|| format!("{path}: {}", text.trim()))?);
        }
        let maps = format!("/proc/{}/maps", self.pid);
        let maps = fs::read_to_string(&maps).map_err(|error| format!("{maps}: {error}"))?;
        for at in apart(places)? {
            if !is_private(&maps, at) {
                return Err(format!(
                    "process {}: its code at {at:#x} is shared with others, who would spin too",
                    self.pid
                ));
            }
            let mut was = vec![0; CIRCLE.len()];
            let read = self.memory.read_exact_at(&mut was, at);
            read.map_err(|error| refused(self.pid, &error))?;
            self.jumps.push(Jump { at, was });
            let written = self.memory.write_all_at(CIRCLE, at);
            written.map_err(|error| refused(self.pid, &error))?;
        }
        Ok(())
    }

    /// Where somebody else has written meanwhile, that stays.
    fn restore(&mut self) {
        for jump in self.jumps.drain(..) {
            let mut is = vec![0; CIRCLE.len()];
            let read = self.memory.read_exact_at(&mut is, jump.at);
            if read.is_ok() && is == CIRCLE {
                let _ = self.memory.write_all_at(&jump.was, jump.at);
            }
        }
    }
}

fn memory(pid: i32) -> Result<File, String> {
    let path = format!("/proc/{pid}/mem");
    let opened = OpenOptions::new().read(true).write(true).open(path);
    opened.map_err(|error| refused(pid, &error))
}

/// What a denial means.
fn refused(pid: i32, error: &io::Error) -> String {
    let remedy = match error.kind() {
        io::ErrorKind::NotFound => "it is not there any more",
        io::ErrorKind::PermissionDenied => {
            "spin needs root, CAP_SYS_PTRACE, or its user where kernel.yama.ptrace_scope is 0"
        }
        _ => {
            "the kernel lets nobody write into code there; see proc_mem.force_override and CONFIG_PROC_MEM_*, since Linux 6.12"
        }
    };
    format!("process {pid}: its memory: {error}; {remedy}")
}

/// Its threads, once all of them are stopped.
fn all_stopped(pid: i32) -> Result<Vec<String>, String> {
    let tasks = format!("/proc/{pid}/task");
    let until = Instant::now() + STOPPING;
    loop {
        let entries = fs::read_dir(&tasks).map_err(|error| format!("{tasks}: {error}"))?;
        let mut threads = Vec::new();
        let mut is_moving = false;
        for entry in entries.flatten() {
            let thread = entry.file_name().to_string_lossy().into_owned();
            let stat = fs::read_to_string(format!("{tasks}/{thread}/stat")).unwrap_or_default();
            match stat
                .rsplit_once(") ")
                .and_then(|(_, rest)| rest.chars().next())
            {
                Some('T') => threads.push(thread),
                Some('Z' | 'X') | None => {}
                Some(_) => is_moving = true,
            }
        }
        if !is_moving && !threads.is_empty() {
            return Ok(threads);
        }
        if Instant::now() >= until {
            return Err(format!(
                "process {pid} did not stop within {STOPPING:?}: a debugger holds it, or it waits for a disk"
            ));
        }
        std::thread::sleep(EACH);
    }
}

/// The program counter: the last field of `/proc/PID/task/TID/syscall`.
fn counter(text: &str) -> Option<u64> {
    let last = text.split_ascii_whitespace().last()?;
    u64::from_str_radix(last.strip_prefix("0x")?, 16).ok()
}

/// Each place once. A thread that stands within the jump of another would run into half an instruction.
fn apart(mut places: Vec<u64>) -> Result<Vec<u64>, String> {
    places.sort_unstable();
    places.dedup();
    let is_close = |two: &[u64]| two[1] - two[0] < CIRCLE.len() as u64;
    match places.windows(2).any(is_close) {
        true => Err("two threads stand too close together just now; try again".to_owned()),
        false => Ok(places),
    }
}

/// Whether what is written at this place stays with the process.
fn is_private(maps: &str, at: u64) -> bool {
    let hex = |text: &str| u64::from_str_radix(text, 16).ok();
    maps.lines().any(|line| {
        let mut fields = line.split_ascii_whitespace();
        let range = fields.next().and_then(|range| range.split_once('-'));
        let (Some((first, end)), Some(flags)) = (range, fields.next()) else {
            return false;
        };
        let is_there =
            hex(first).is_some_and(|first| first <= at) && hex(end).is_some_and(|end| at < end);
        is_there && flags.ends_with('p')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One that spins would never end by itself.
    struct Child(std::process::Child);

    impl Child {
        fn sleeping() -> Self {
            let mut sleep = std::process::Command::new("sleep");
            Self(sleep.arg("60").spawn().unwrap())
        }

        fn end(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    impl Drop for Child {
        fn drop(&mut self) {
            self.end();
        }
    }

    #[test]
    fn the_counter_is_the_last_field_whatever_the_thread_does() {
        let asleep = "288 0x3 0x0 0x0 0x80000 0x0 0x0 0x7ffc9e5f2e48 0x7f3c4a11b4d7\n";
        assert_eq!(counter(asleep), Some(0x7f3c_4a11_b4d7));
        assert_eq!(
            counter("-1 0x7ffc9e5f2e48 0x55d0c0ffee00\n"),
            Some(0x55d0_c0ff_ee00)
        );
        assert_eq!(counter("running\n"), None);
        assert_eq!(counter(""), None);
    }

    #[test]
    fn threads_at_one_place_share_a_jump_and_none_may_stand_within_it() {
        assert_eq!(apart(vec![32, 16, 32]), Ok(vec![16, 32]));
        assert!(apart(vec![16, 17]).is_err());
    }

    /// A test may look into its own children wherever anybody may look into anything.
    #[test]
    fn a_process_spins_goes_on_and_nothing_is_written_where_it_was() {
        let mut child = Child::sleeping();
        let pid = child.0.id() as i32;
        let mut spinning = Spinning::begin(pid).unwrap();
        let jumps: Vec<u64> = spinning.jumps.iter().map(|jump| jump.at).collect();
        let mut is = vec![0; CIRCLE.len()];
        spinning.memory.read_exact_at(&mut is, jumps[0]).unwrap();
        assert_eq!(is, CIRCLE);
        spinning.end();
        spinning.memory.read_exact_at(&mut is, jumps[0]).unwrap();
        assert_ne!(is, CIRCLE);

        let mut spinning = Spinning::begin(pid).unwrap();
        child.end();
        assert!(spinning.memory.write_all_at(CIRCLE, jumps[0]).is_err());
        spinning.end();
    }

    #[test]
    fn only_private_pages_are_written_to() {
        let maps = "7f3c4a000000-7f3c4a200000 r-xp 00000000 08:01 42 /lib/libc.so.6\n\
                    7f3c4b000000-7f3c4b200000 rwxs 00000000 00:05 43 /memfd:jit\n";
        assert!(is_private(maps, 0x7f3c_4a11_b4d7));
        assert!(!is_private(maps, 0x7f3c_4b00_0010));
        assert!(!is_private(maps, 0x7f3c_4a20_0000));
    }
}
