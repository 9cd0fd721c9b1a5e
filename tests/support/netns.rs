//! Two machines and a cable: a pair of network namespaces joined by a virtual Ethernet pair.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::Skip;

/// The namespaces' names begin with this, then the id of the process that made them.
const PREFIX: &str = "leeward-test-";

/// A server's machine and a client's, with a cable between them; gone when dropped.
pub struct Pair {
    /// Here the origin and Leeward run; its address on the cable is [`Pair::SERVER`].
    pub server: Namespace,
    /// Here the client runs that will vanish; its address on the cable is [`Pair::CLIENT`].
    pub client: Namespace,
}

impl Pair {
    /// The server's address on the cable.
    pub const SERVER: &str = "10.77.0.1";

    /// The client's address on the cable.
    pub const CLIENT: &str = "10.77.0.2";

    /// Builds the two machines, or says why this one refuses.
    pub fn new() -> Result<Pair, Skip> {
        if !rustix::process::geteuid().is_root() {
            return Err(Skip("network namespaces need root".to_owned()));
        }
        sweep();
        let pair = Pair {
            server: Namespace::add("server")?,
            client: Namespace::add("client")?,
        };
        let (server, client) = (pair.server.name(), pair.client.name());
        ip(&[
            "link", "add", "cable0", "netns", server, "type", "veth", "peer", "name", "cable0",
            "netns", client,
        ])?;
        for (name, address) in [(server, Pair::SERVER), (client, Pair::CLIENT)] {
            ip(&[
                "-n",
                name,
                "address",
                "add",
                &format!("{address}/24"),
                "dev",
                "cable0",
            ])?;
            ip(&["-n", name, "link", "set", "lo", "up"])?;
            ip(&["-n", name, "link", "set", "cable0", "up"])?;
        }
        Ok(pair)
    }

    /// Pulls the cable at the client's end: from now on no FIN and no RST reaches anybody.
    pub fn cut(&self) {
        self.plug("down");
    }

    /// Puts the cable back.
    pub fn mend(&self) {
        self.plug("up");
    }

    fn plug(&self, state: &str) {
        ip(&["-n", self.client.name(), "link", "set", "cable0", state])
            .expect("the link of a namespace of ours");
    }
}

/// One network namespace; deleted when dropped.
pub struct Namespace(String);

/// Does something on a thread that lives in the network behind this door.
pub fn inside<T: Send>(door: File, work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let worker = scope.spawn(move || {
            move_into_link_name_space(door.as_fd(), Some(LinkNameSpaceType::Network))
                .expect("root may enter");
            work()
        });
        worker
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

impl Namespace {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.0
    }

    /// Does something on a thread that lives inside: the sockets it makes and the processes it starts belong to that
    /// machine, wherever they are used afterwards. Unlike with `ip netns exec`, `/sys` stays what it was, control groups
    /// included.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let door = File::open(Path::new("/run/netns").join(&self.0))
            .expect("a namespace of ours has a name");
        inside(door, work)
    }

    fn add(role: &str) -> Result<Namespace, Skip> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{number}-{role}", std::process::id());
        ip(&["netns", "add", &name])?;
        Ok(Namespace(name))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = ip(&["netns", "delete", &self.0]);
    }
}

/// Takes away the names that an interrupted run left behind.
fn sweep() {
    let Ok(names) = std::fs::read_dir("/run/netns") else {
        return;
    };
    for name in names
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
    {
        let owner = name
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split('-').next());
        let gone = |pid| !Path::new("/proc").join(pid).exists();
        if owner.is_some_and(gone) {
            let _ = ip(&["netns", "delete", &name]);
        }
    }
}

fn ip(arguments: &[&str]) -> Result<(), Skip> {
    let refused =
        |why: &dyn std::fmt::Display| Skip(format!("`ip {}`: {why}", arguments.join(" ")));
    let output = Command::new("ip")
        .args(arguments)
        .output()
        .map_err(|error| refused(&error))?;
    if output.status.success() {
        return Ok(());
    }
    Err(refused(&String::from_utf8_lossy(&output.stderr).trim()))
}
