//! Which system call a thread sits in, and what it waits for there. Pure.

use std::borrow::Cow;

use serde::Serialize;

use super::calls;

/// Where a thread is, by `/proc/PID/task/TID/syscall`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    /// On a processor, or waiting for one: the kernel won't say where.
    Running,
    /// Asleep, but in no system call: in a page fault, for example.
    Outside,
    /// Asleep in this system call.
    Inside(Syscall),
}

/// One system call with its arguments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Syscall {
    /// Its name, or `syscall_NNN` where it is not in our table.
    pub name: Cow<'static, str>,
    /// Its number on this machine.
    pub number: u64,
    /// The six argument registers, used or not.
    pub arguments: [u64; 6],
    /// What it waits for.
    pub waits_for: WaitKind,
    /// The first argument, where it is a descriptor.
    pub descriptor: Option<u32>,
    /// Stack pointer and program counter: a thread that moved, even within a loop of one call, rarely keeps both.
    pub place: (u64, u64),
}

/// What a system call waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitKind {
    /// Bytes to arrive.
    Read,
    /// Room to put bytes.
    Write,
    /// A connection to be answered.
    Connect,
    /// A new connection.
    Accept,
    /// Any of several events: the idle place of an event loop.
    Poll,
    /// Another thread or process to let go.
    Lock,
    /// The clock.
    Sleep,
    /// A signal.
    Signal,
    /// A child process.
    Child,
    /// A disk, or a file system.
    Disk,
    /// Something else, or unknown.
    Other,
}

/// The machine whose system call numbers apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arch {
    /// 64-bit x86.
    X86_64,
    /// 64-bit Arm.
    Aarch64,
    /// Any other: numbers stay numbers.
    Other,
}

impl Arch {
    /// The machine this program runs on.
    pub const fn host() -> Self {
        if cfg!(target_arch = "x86_64") {
            Self::X86_64
        } else if cfg!(target_arch = "aarch64") {
            Self::Aarch64
        } else {
            Self::Other
        }
    }
}

/// Reads the text of `/proc/PID/task/TID/syscall`; `None` where it has not the kernel's shape.
pub fn call(text: &str, arch: Arch) -> Option<Call> {
    let mut words = text.split_ascii_whitespace();
    let number = match words.next()? {
        "running" => return Some(Call::Running),
        "-1" => return Some(Call::Outside),
        number => number.parse::<u64>().ok()?,
    };
    let mut word = || u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok();
    let arguments = [word()?, word()?, word()?, word()?, word()?, word()?];
    let place = (word()?, word()?);
    Some(Call::Inside(named(number, arguments, place, arch)))
}

fn named(number: u64, arguments: [u64; 6], place: (u64, u64), arch: Arch) -> Syscall {
    // A 32-bit program on a 64-bit kernel has its own numbers, which would get the wrong names here. Its stack lies
    // below 4 GiB, where a 64-bit program's never does.
    let arch = if place.0 <= u64::from(u32::MAX) {
        Arch::Other
    } else {
        arch
    };
    match calls::look_up(number, arch) {
        Some(known) => Syscall {
            name: Cow::Borrowed(known.name),
            number,
            arguments,
            waits_for: known.waits_for,
            // Registers are 64 bits wide, a descriptor is an int in the lower half.
            descriptor: known
                .on_descriptor
                .then(|| arguments[0] as u32)
                .filter(|&fd| i32::try_from(fd).is_ok()),
            place,
        },
        None => Syscall {
            name: Cow::Owned(format!("syscall_{number}")),
            number,
            arguments,
            waits_for: WaitKind::Other,
            descriptor: None,
            place,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inside(text: &str, arch: Arch) -> Syscall {
        match call(text, arch) {
            Some(Call::Inside(syscall)) => syscall,
            other => panic!("{text:?} is {other:?}"),
        }
    }

    #[test]
    fn a_thread_in_no_call_is_told_from_one_that_runs() {
        assert_eq!(call("running\n", Arch::X86_64), Some(Call::Running));
        assert_eq!(
            call("-1 0x7ffc8d68b678 0x7fa0ad8c2503\n", Arch::X86_64),
            Some(Call::Outside)
        );
    }

    #[test]
    fn a_read_names_its_descriptor_on_both_machines() {
        let line = "4 0x7f74f8e2f000 0x20000 0x22 0xffffffff 0x0 0x7ffc25fcfc78 0x7f74f8fab2ad\n";
        for (number, arch) in [(0, Arch::X86_64), (63, Arch::Aarch64)] {
            let read = inside(&format!("{number} 0x{line}"), arch);
            assert_eq!(
                (read.name.as_ref(), read.waits_for, read.descriptor),
                ("read", WaitKind::Read, Some(4))
            );
            assert_eq!(read.arguments[2], 0x20000);
            assert_eq!(read.place, (0x7ffc_25fc_fc78, 0x7f74_f8fa_b2ad));
        }
    }

    #[test]
    fn a_sleep_has_no_descriptor_though_its_first_argument_is_a_small_number() {
        let sleep = inside(
            "230 0x0 0x0 0x7ffc8d68b690 0x7ffc8d68b6d0 0x0 0x0 0x7ffc8d68b678 0x7fa0ad8c2503",
            Arch::X86_64,
        );
        assert_eq!(
            (sleep.name.as_ref(), sleep.waits_for),
            ("clock_nanosleep", WaitKind::Sleep)
        );
        assert_eq!(sleep.descriptor, None);
    }

    #[test]
    fn a_descriptor_of_minus_one_is_none() {
        let read = inside(
            "0 0xffffffffffffffff 0x0 0x0 0x0 0x0 0x0 0x7ffc8d68b678 0x7fa0ad8c2503",
            Arch::X86_64,
        );
        assert_eq!(read.descriptor, None);
    }

    #[test]
    fn unknown_numbers_and_foreign_programs_keep_their_number() {
        let unknown = inside(
            "9999 0x1 0x0 0x0 0x0 0x0 0x0 0x7ffc8d68b678 0x7fa0ad8c2503",
            Arch::X86_64,
        );
        assert_eq!(
            (unknown.name.as_ref(), unknown.waits_for),
            ("syscall_9999", WaitKind::Other)
        );
        // i386 read is 3, which is close on x86_64.
        let foreign = inside(
            "3 0x4 0x0 0x0 0x0 0x0 0x0 0xffffd678 0xf7fc2503",
            Arch::X86_64,
        );
        assert_eq!(
            (foreign.name.as_ref(), foreign.descriptor),
            ("syscall_3", None)
        );
    }

    #[test]
    fn torn_lines_are_refused() {
        for text in [
            "",
            "0",
            "0 0x1 0x2",
            "x 0x0",
            "0 1 2 3 4 5 6 7 8",
            "0 0x4 0x0 0x0 0x0 0x0 0x0 0x7ffc8d68b678",
        ] {
            assert_eq!(call(text, Arch::X86_64), None, "{text:?}");
        }
    }
}
