//! The system calls a thread can be found waiting in, by number, on the machines we build for. Pure.

use super::syscall::{Arch, WaitKind};

/// What is known of one system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    /// Its name.
    pub name: &'static str,
    /// What it waits for, where it waits.
    pub waits_for: WaitKind,
    /// Whether its first argument is a descriptor.
    pub on_descriptor: bool,
    x86_64: u16,
    aarch64: u16,
}

/// The system call that `arch` numbers `number`, where it is one that can block or matters otherwise.
pub(super) fn look_up(number: u64, arch: Arch) -> Option<&'static Known> {
    let number = u16::try_from(number)
        .ok()
        .filter(|&number| number != NONE)?;
    KNOWN.iter().find(|known| match arch {
        Arch::X86_64 => known.x86_64 == number,
        Arch::Aarch64 => known.aarch64 == number,
        Arch::Other => false,
    })
}

/// The row of that name.
#[cfg(test)]
pub(super) fn named(name: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.name == name)
}

use WaitKind::{Accept, Child, Connect, Disk, Lock, Other, Poll, Read, Signal, Sleep, Write};

// The newer architecture left out the calls that a later one made needless.
const NONE: u16 = u16::MAX;

// Compared with the headers of Linux 6.1 (asm/unistd_64.h, asm-generic/unistd.h). Numbers once given never change.
#[rustfmt::skip]
const KNOWN: &[Known] = &[
    on("read", 0, 63, Read),
    on("readv", 19, 65, Read),
    on("pread64", 17, 67, Read),
    on("preadv", 295, 69, Read),
    on("preadv2", 327, 286, Read),
    on("recvfrom", 45, 207, Read),
    on("recvmsg", 47, 212, Read),
    on("recvmmsg", 299, 243, Read),
    on("splice", 275, 76, Read),
    on("tee", 276, 77, Read),
    on("write", 1, 64, Write),
    on("writev", 20, 66, Write),
    on("pwrite64", 18, 68, Write),
    on("pwritev", 296, 70, Write),
    on("pwritev2", 328, 287, Write),
    on("sendto", 44, 206, Write),
    on("sendmsg", 46, 211, Write),
    on("sendmmsg", 307, 269, Write),
    on("sendfile", 40, 71, Write),
    on("vmsplice", 278, 75, Write),
    on("connect", 42, 203, Connect),
    on("accept", 43, 202, Accept),
    on("accept4", 288, 242, Accept),
    of("poll", 7, NONE, Poll),
    of("ppoll", 271, 73, Poll),
    of("select", 23, NONE, Poll),
    of("pselect6", 270, 72, Poll),
    on("epoll_wait", 232, NONE, Poll),
    on("epoll_pwait", 281, 22, Poll),
    on("epoll_pwait2", 441, 441, Poll),
    on("io_uring_enter", 426, 426, Poll),
    of("io_getevents", 208, 4, Poll),
    of("futex", 202, 98, Lock),
    of("futex_waitv", 449, 449, Lock),
    on("flock", 73, 32, Lock),
    on("fcntl", 72, 25, Lock),
    of("semop", 65, 193, Lock),
    of("semtimedop", 220, 192, Lock),
    of("msgrcv", 70, 188, Other),
    of("msgsnd", 69, 189, Other),
    on("mq_timedreceive", 243, 183, Other),
    on("mq_timedsend", 242, 182, Other),
    of("nanosleep", 35, 101, Sleep),
    of("clock_nanosleep", 230, 115, Sleep),
    of("restart_syscall", 219, 128, Other),
    of("pause", 34, NONE, Signal),
    of("rt_sigsuspend", 130, 133, Signal),
    of("rt_sigtimedwait", 128, 137, Signal),
    of("wait4", 61, 260, Child),
    of("waitid", 247, 95, Child),
    of("vfork", 58, NONE, Child),
    on("fsync", 74, 82, Disk),
    on("fdatasync", 75, 83, Disk),
    on("sync_file_range", 277, 84, Disk),
    of("sync", 162, 81, Disk),
    on("syncfs", 306, 267, Disk),
    of("msync", 26, 227, Disk),
    of("open", 2, NONE, Disk),
    of("openat", 257, 56, Disk),
    of("openat2", 437, 437, Disk),
    of("stat", 4, NONE, Disk),
    of("lstat", 6, NONE, Disk),
    on("fstat", 5, 80, Disk),
    of("newfstatat", 262, 79, Disk),
    of("statx", 332, 291, Disk),
    of("unlink", 87, NONE, Disk),
    of("unlinkat", 263, 35, Disk),
    of("rename", 82, NONE, Disk),
    of("renameat", 264, 38, Disk),
    of("renameat2", 316, 276, Disk),
    on("getdents64", 217, 61, Disk),
    on("ftruncate", 77, 46, Disk),
    on("fallocate", 285, 47, Disk),
    on("copy_file_range", 326, 285, Disk),
    of("execve", 59, 221, Disk),
    on("close", 3, 57, Other),
    on("shutdown", 48, 210, Other),
    on("ioctl", 16, 29, Other),
    of("clone", 56, 220, Other),
    of("clone3", 435, 435, Other),
    of("exit", 60, 93, Other),
    of("exit_group", 231, 94, Other),
    of("mmap", 9, 222, Other),
    of("munmap", 11, 215, Other),
    of("madvise", 28, 233, Other),
    of("brk", 12, 214, Other),
    of("getrandom", 318, 278, Other),
    of("keyctl", 250, 219, Other),
    of("sched_yield", 24, 124, Other),
];

const fn on(name: &'static str, x86_64: u16, aarch64: u16, waits_for: WaitKind) -> Known {
    Known {
        name,
        waits_for,
        on_descriptor: true,
        x86_64,
        aarch64,
    }
}

const fn of(name: &'static str, x86_64: u16, aarch64: u16, waits_for: WaitKind) -> Known {
    Known {
        name,
        waits_for,
        on_descriptor: false,
        x86_64,
        aarch64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_and_no_name_stands_twice() {
        for (at, one) in KNOWN.iter().enumerate() {
            for other in &KNOWN[at + 1..] {
                assert_ne!(one.name, other.name);
                assert_ne!(one.x86_64, other.x86_64, "{} and {}", one.name, other.name);
                assert!(
                    one.aarch64 == NONE || one.aarch64 != other.aarch64,
                    "{} and {}",
                    one.name,
                    other.name
                );
            }
        }
    }

    #[test]
    fn the_same_number_means_another_call_on_another_machine() {
        let name = |number, arch| look_up(number, arch).map(|known| known.name);
        assert_eq!(name(22, Arch::Aarch64), Some("epoll_pwait"));
        assert_eq!(name(202, Arch::X86_64), Some("futex"));
        assert_eq!(name(202, Arch::Aarch64), Some("accept"));
        assert_eq!(name(202, Arch::Other), None);
    }

    #[test]
    fn a_call_the_machine_does_not_have_is_never_found() {
        assert_eq!(look_up(u64::from(NONE), Arch::Aarch64), None);
        assert_eq!(look_up(u64::MAX, Arch::X86_64), None);
    }
}
