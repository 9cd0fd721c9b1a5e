//! What it holds and never lets go of, and the door it gives away or shuts: ills of an origin that still answers.

use std::fs::File;
use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{self, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::blocks::sleep_for_ever;
use crate::listener::Listener;
use crate::request::Request;

/// From `/erroring` on, every answer is an error.
pub static ERRING: AtomicBool = AtomicBool::new(false);

/// What is never let go of.
static HELD: Mutex<Vec<Held>> = Mutex::new(Vec::new());

/// Its fields are held, and that is all.
#[allow(dead_code)]
enum Held {
    File(File),
    Connection(TcpStream),
    Memory(Vec<u8>),
}

/// Takes more of what the path names, before the answer.
pub fn hoard(request: &Request) -> io::Result<()> {
    match request.pieces()[..] {
        ["leak", "fds", n] => (0..number(n)).try_for_each(|_| {
            keep(Held::File(File::open("/dev/null")?));
            Ok(())
        }),
        ["leak", "close-wait", n] => forget_connections(number(n)),
        ["leak", "memory", mebibytes] => {
            keep(Held::Memory(vec![1; number(mebibytes) << 20]));
            Ok(())
        }
        ["erroring"] => {
            ERRING.store(true, Ordering::Relaxed);
            Ok(())
        }
        _ => Ok(()),
    }
}

/// What befalls it once the answer is out.
pub fn fall_ill_afterwards(request: &Request, door: &Listener) -> io::Result<()> {
    match request.pieces()[..] {
        ["stop-accepting"] => sleep_for_ever(),
        ["close-listener"] => door.shut()?,
        // To a child of the same process group, or to a daemon.
        ["hand-over", to] => {
            let mut child = Command::new("setsid");
            if to == "child" {
                child = Command::new("sleep");
            } else {
                child.arg("sleep");
            }
            child
                .arg("600")
                .arg0("heir")
                .stdin(Stdio::from(door.handle()?));
            let child = child.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
            if to == "daemon" {
                until_it_leads(child.id());
            }
            process::exit(0);
        }
        _ => {}
    }
    Ok(())
}

/// A daemon that has not yet left our process group would die with it.
fn until_it_leads(pid: u32) {
    for _ in 0..500 {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // Behind the name in parentheses: state, parent, group, session.
        let behind = stat.rsplit_once(')').map_or("", |(_, behind)| behind);
        if behind.split_ascii_whitespace().nth(3) == Some(&pid.to_string()) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

/// Connections whose clients have ended them, and which stay open here: CLOSE_WAIT.
fn forget_connections(count: usize) -> io::Result<()> {
    let door = TcpListener::bind("127.0.0.1:0")?;
    for _ in 0..count {
        let client = TcpStream::connect(door.local_addr()?)?;
        keep(Held::Connection(door.accept()?.0));
        client.shutdown(Shutdown::Both)?;
    }
    Ok(())
}

fn keep(held: Held) {
    if let Ok(mut all) = HELD.lock() {
        all.push(held);
    }
}

fn number(text: &str) -> usize {
    text.parse().unwrap_or(0)
}
