//! The system calls that have no safe wrapper, and the only unsafe code there is.
#![allow(unsafe_code)]

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// `SD_LISTEN_FDS_START`.
const FIRST: libc::c_int = 3;
/// Nobody passes more.
const MOST: u32 = 1024;

/// What the kernel knows of a TCP connection (`TCP_INFO`, tcp(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpInfo {
    /// Where it is in its life, as the kernel numbers it (`TCP_ESTABLISHED` is 1).
    pub state: u8,
    /// Segments sent and not acknowledged.
    pub unacked: u32,
    /// Bytes written and not sent.
    pub unsent: u32,
    /// How often in a row the oldest of them was sent again without an answer.
    pub retransmits: u8,
    /// How often in a row the peer was asked whether its window has opened.
    pub probes: u8,
    /// Since anything at all was heard from the peer.
    pub last_heard: Duration,
    /// Since data was sent to it, probes of a shut window excepted.
    pub last_sent: Duration,
    /// Bytes the peer has acknowledged, from the beginning; 0 before Linux 4.2.
    pub acked: u64,
}

/// Sees to it that a program this process becomes has no descriptor of ours but its three standard ones. `false` on a
/// kernel before 5.11, which can't.
pub fn leave_descriptors() -> bool {
    let (first, last): (libc::c_uint, libc::c_uint) = (3, libc::c_uint::MAX);
    // SAFETY: the call takes three integers, and closes nothing now: descriptors are only marked to be closed at an
    // exec, so that none of them becomes invalid for who holds it.
    let result = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            first,
            last,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    result == 0
}

/// What whoever started this program has passed to it, and what that is called (sd_listen_fds(3)). To be asked once, by a
/// program that has opened nothing yet.
pub fn passed() -> Vec<(String, OwnedFd)> {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u32>().ok();
    let is_for_us = number("LISTEN_PID") == Some(std::process::id());
    let count = number("LISTEN_FDS").filter(|_| is_for_us).unwrap_or(0);
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let names = names.split(':').chain(std::iter::repeat(""));
    let numbers = (FIRST..).take(count.min(MOST) as usize);
    numbers
        .zip(names)
        .filter_map(|(number, name)| Some((name.to_owned(), inherited(number)?)))
        .collect()
}

/// The descriptor that whoever started this program says it has left open at this number.
fn inherited(number: libc::c_int) -> Option<OwnedFd> {
    // SAFETY: the environment says of this very process that the descriptor is its to use, and nobody else takes it.
    let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
    // One that is not open is none of ours to close, either.
    match rustix::io::fcntl_setfd(&descriptor, rustix::io::FdFlags::CLOEXEC) {
        Ok(()) => Some(descriptor),
        Err(_) => {
            std::mem::forget(descriptor);
            None
        }
    }
}

/// Makes `socket` the first descriptor behind the three standard ones (3), for a program that this process
/// becomes. Whatever was there is closed, so it is for a process that holds nothing there and is about to become another.
///
/// # Errors
/// What the system said.
pub fn pass_first(socket: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: the call takes two integers. The borrowed descriptor is open; the other one is given up by the caller.
    match unsafe { libc::dup2(socket.as_raw_fd(), FIRST) } {
        FIRST => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Asks the kernel; `None` where the socket is no TCP socket or is gone.
pub fn tcp_info(socket: BorrowedFd<'_>) -> Option<TcpInfo> {
    let mut info = MaybeUninit::<libc::tcp_info>::zeroed();
    let mut length = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: the descriptor is borrowed and so open; the buffer is as long as `length` says, and the kernel
    // writes no more than that.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if result != 0 {
        return None;
    }
    // SAFETY: all fields are plain integers, for which zero is a value; the kernel has filled in its part.
    let info = unsafe { info.assume_init() };
    Some(TcpInfo {
        state: info.tcpi_state,
        unacked: info.tcpi_unacked,
        unsent: info.tcpi_notsent_bytes,
        retransmits: info.tcpi_retransmits,
        probes: info.tcpi_probes,
        last_heard: Duration::from_millis(u64::from(info.tcpi_last_ack_recv)),
        last_sent: Duration::from_millis(u64::from(info.tcpi_last_data_sent)),
        acked: info.tcpi_bytes_acked,
    })
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn the_kernel_tells_of_a_connection_and_not_of_a_file() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let info = tcp_info(client.as_fd()).unwrap();
        assert_eq!((info.unacked, info.unsent, info.retransmits), (0, 0, 0));
        assert_eq!(info.state, 1);
        assert!(info.last_heard < Duration::from_secs(60));
        let file = std::fs::File::open("/dev/null").unwrap();
        assert_eq!(tcp_info(file.as_fd()), None);
    }
}
