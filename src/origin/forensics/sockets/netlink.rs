//! Puts one question to the kernel's socket diagnosis and collects the answer.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, connect, recv, send, socket_with,
};

use super::answer::{Answer, answers};

/// Asks `question` and gives each row of the answer to `read`, up to the end of the table.
///
/// # Errors
/// Where this machine has no socket diagnosis, the sandbox forbids netlink, or no answer came for a second: the
/// kernel answers within the call, so a wait is a fault, and it ends.
pub(super) fn each_row(question: &[u8], mut read: impl FnMut(&[u8])) -> io::Result<()> {
    let socket = ask(question)?;
    let mut buffer = vec![0; BUFFER];
    loop {
        let (_, len) = recv(&socket, buffer.as_mut_slice(), RecvFlags::empty())?;
        let received = buffer.get(..len).filter(|bytes| !bytes.is_empty());
        for answer in answers(received.ok_or_else(torn)?) {
            match answer {
                Answer::Row(row) => read(row),
                Answer::Done => return Ok(()),
                Answer::Refused(number) => return Err(io::Error::from_raw_os_error(number)),
            }
        }
    }
}

/// Asks a `question` that has one row for an answer, and reads it; `Ok(None)` where there is no such socket.
///
/// # Errors
/// As [`each_row`].
pub(super) fn one_row<T>(
    question: &[u8],
    read: impl Fn(&[u8]) -> Option<T>,
) -> io::Result<Option<T>> {
    let socket = ask(question)?;
    let mut buffer = [0; 2048];
    let (_, len) = recv(&socket, buffer.as_mut_slice(), RecvFlags::empty())?;
    match answers(buffer.get(..len).ok_or_else(torn)?).next() {
        Some(Answer::Row(row)) => Ok(read(row)),
        Some(Answer::Refused(NO_SUCH_SOCKET)) | Some(Answer::Done) => Ok(None),
        Some(Answer::Refused(number)) => Err(io::Error::from_raw_os_error(number)),
        None => Err(torn()),
    }
}

// The kernel fills at most 32 KiB an answer, by what the reader offers.
const BUFFER: usize = 32 * 1024;
const PATIENCE: Duration = Duration::from_secs(1);
const NO_SUCH_SOCKET: i32 = 2; // ENOENT

fn ask(question: &[u8]) -> io::Result<OwnedFd> {
    let protocol = Some(netlink::SOCK_DIAG);
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        protocol,
    )?;
    set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
    // Connected to number 0, the kernel, it takes messages from nobody else.
    connect(&socket, &SocketAddrNetlink::new(0, 0))?;
    send(&socket, question, SendFlags::empty())?;
    Ok(socket)
}

fn torn() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a torn answer")
}
