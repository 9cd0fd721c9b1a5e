//! Waits that nobody ends, one for each kind of thing a server may wait for.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::net::{AddressFamily, SocketType, bind, connect, listen, socket};

/// Waits for `what`; `place` is the rest of the path, where a file is waited for.
pub fn wait_for(what: &str, place: &[&str], connection: &mut TcpStream) -> io::Result<()> {
    match what {
        "child" => drop(Command::new("sleep").arg("600").status()?),
        "connect" => connect_to_a_full_door()?,
        "database" => read_from_a_silent_database(None)?,
        "event" => wait_for_no_event()?,
        "fifo" => read_from_a_fifo_nobody_writes_to(path(place))?,
        "file" => drop(fs::read(path(place))?),
        "lock" => wait_for_own_lock(),
        "open" => drop(File::open(fifo(path(place))?)?),
        "read" => read_until_the_peer_ends(connection)?,
        "write" => write_to_a_pair_nobody_reads()?,
        "write-file" => fs::write(path(place), "a line\n")?,
        _ => sleep_for_ever(),
    }
    Ok(())
}

/// Sleeps, as the least of all waits.
pub fn sleep_for_ever() {
    loop {
        thread::sleep(Duration::from_secs(3600));
    }
}

/// Asks for more of a request that is already whole: a hang in `read` that only the peer can end.
fn read_until_the_peer_ends(connection: &mut TcpStream) -> io::Result<()> {
    let mut piece = [0; 4096];
    while connection.read(&mut piece)? > 0 {}
    Ok(())
}

/// Locks what this very thread holds: asleep in `futex` for ever.
fn wait_for_own_lock() {
    let lock = Mutex::new(());
    let _held = lock.lock();
    let _never = lock.lock();
}

fn write_to_a_pair_nobody_reads() -> io::Result<()> {
    let (mut here, _there) = UnixStream::pair()?;
    loop {
        here.write_all(&[0; 4096])?;
    }
}

/// Asks a database that takes so long.
pub fn query(length: Duration) {
    let _late = read_from_a_silent_database(Some(length));
}

fn read_from_a_silent_database(patience: Option<Duration>) -> io::Result<()> {
    let database = TcpListener::bind("127.0.0.1:0")?;
    let mut connection = TcpStream::connect(database.local_addr()?)?;
    connection.set_read_timeout(patience)?;
    let (_silent, _) = database.accept()?;
    connection.write_all(b"SELECT 1;")?;
    connection.read_exact(&mut [0])
}

/// A listener whose queue holds one, and one is in it: the next stays in SYN-SENT.
fn connect_to_a_full_door() -> io::Result<()> {
    let door = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    let any: std::net::SocketAddrV4 = "127.0.0.1:0".parse().map_err(io::Error::other)?;
    bind(&door, &any)?;
    listen(&door, 0)?;
    let address = TcpListener::from(door.try_clone()?).local_addr()?;
    let _first = TcpStream::connect(address)?;
    let second = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    Ok(connect(&second, &address)?)
}

fn wait_for_no_event() -> io::Result<()> {
    let (here, _there) = UnixStream::pair()?;
    poll(
        &mut [PollFd::from_borrowed_fd(here.as_fd(), PollFlags::IN)],
        None,
    )?;
    Ok(())
}

/// With a writer that never writes: nobody but ourselves.
fn read_from_a_fifo_nobody_writes_to(path: PathBuf) -> io::Result<()> {
    let both = OpenOptions::new().read(true).write(true).open(fifo(path)?);
    both?.read_exact(&mut [0])
}

fn fifo(path: PathBuf) -> io::Result<PathBuf> {
    let name = CString::new(path.display().to_string())?;
    mknodat(CWD, &name, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
    Ok(path)
}

fn path(pieces: &[&str]) -> PathBuf {
    PathBuf::from(format!("/{}", pieces.join("/")))
}
