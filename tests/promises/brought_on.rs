//! How the sicknesses of an origin are brought on.

use std::any::Any;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};

use crate::house::DUE;
use crate::support::control_group::Group;
use crate::support::mounted::Mounted;
use crate::support::process::Running;
use crate::support::{Leeward, Skip, h1};

/// What has to live as long as the sickness: a client, a mount, a group.
pub type Held = Box<dyn Any>;

/// The origin's process now.
pub fn pid(leeward: &Leeward) -> u32 {
    let status = leeward.status_get("/status.json").text();
    let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
    let pid = status["origin"]["pid"].as_u64().expect("it has a process");
    u32::try_from(pid).expect("a process number")
}

/// A client of Leeward's asks for this, and whatever comes of it is all the same.
pub fn asked(leeward: &Leeward, path: &str) -> Result<Held, Skip> {
    let (edge, path) = (leeward.edge(), path.to_owned());
    std::thread::spawn(move || h1::request(edge, "POST", &path, &[], &[], DUE));
    Ok(Box::new(()))
}

/// A client that goes past Leeward, straight to the origin, says this and no more.
pub fn past(leeward: &Leeward, said: &[u8]) -> Result<Held, Skip> {
    Ok(Box::new(direct(leeward, said)))
}

/// A client that goes past Leeward and takes ten bytes of twenty million.
pub fn unread(leeward: &Leeward) -> Result<Held, Skip> {
    let ask = b"GET /bytes/20000000 HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut client = direct(leeward, ask);
    client.read_exact(&mut [0; 10]).expect("it begins");
    Ok(Box::new(client))
}

/// The process is sent a signal.
pub fn signalled(leeward: &Leeward, signal: Signal) -> Result<Held, Skip> {
    let pid = Pid::from_raw(pid(leeward) as i32).expect("a process number");
    kill_process(pid, signal).expect("the origin can be signalled");
    Ok(Box::new(()))
}

/// It makes a FIFO that is gone with the test, and waits for it in this manner.
pub fn at_a_fifo(leeward: &Leeward, manner: &str) -> Result<Held, Skip> {
    let place = leeward.directory().display();
    asked(leeward, &format!("/block/{manner}{place}/a-fifo"))
}

/// It opens a file of a network file system whose server is mute.
pub fn mute_disk(leeward: &Leeward) -> Result<Held, Skip> {
    let disk = Mounted::mute()?;
    asked(leeward, &format!("/block/file{}/x", disk.path().display()))?;
    Ok(Box::new(disk))
}

/// It writes to a disk that is held still.
pub fn still_disk(leeward: &Leeward) -> Result<Held, Skip> {
    let disk = Mounted::ext4()?;
    let frozen = disk.freeze()?;
    let path = format!("/block/write-file{}/x", disk.path().display());
    asked(leeward, &path)?;
    Ok(Box::new((frozen, disk)))
}

/// A control group freezes it so that no signal reaches it.
pub fn frozen(leeward: &Leeward) -> Result<Held, Skip> {
    let group = Group::new("freezer")?;
    group.take(pid(leeward))?;
    group.set("freezer.state", "FROZEN")?;
    Ok(Box::new(group))
}

/// A control group of the newer kind freezes it; a KILL ends it even so.
pub fn frozen_softly(leeward: &Leeward) -> Result<Held, Skip> {
    let group = Group::new("unified")?;
    group.take(pid(leeward))?;
    group.set("cgroup.freeze", "1")?;
    Ok(Box::new(group))
}

/// It is given a thousandth of a processor, and has work.
pub fn starved(leeward: &Leeward) -> Result<Held, Skip> {
    let group = Group::new("cpu")?;
    group.set("cpu.cfs_period_us", "1000000")?;
    group.set("cpu.cfs_quota_us", "1000")?;
    group.take(pid(leeward))?;
    asked(leeward, "/compute/2000")?;
    Ok(Box::new(group))
}

/// A debugger takes hold of it.
pub fn traced(leeward: &Leeward) -> Result<Held, Skip> {
    let pid = pid(leeward).to_string();
    let mut command = Command::new("gdb");
    command.args(["-q", "-nx", "-p", &pid, "-batch"]);
    command.args(["-ex", "shell echo held && sleep 600"]);
    let there = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .any(|place| place.join("gdb").is_file());
    if !there {
        return Err(Skip("there is no gdb here".to_owned()));
    }
    let debugger = Running::start(&mut command);
    match debugger.stdout.wait("held", DUE) {
        Some(_) => Ok(Box::new(debugger)),
        None => Err(Skip(debugger.told())),
    }
}

/// A client that goes past Leeward, straight to the origin, and has said this.
pub fn direct(leeward: &Leeward, said: &[u8]) -> TcpStream {
    let mut client = TcpStream::connect(leeward.origin()).expect("the origin listens");
    client.write_all(said).expect("it takes a few bytes");
    client
}
