//! The last step of starting an origin or a hook: a process of its own, single-threaded, that makes itself ready and
//! becomes the command. Safe calls only, which a threaded process can't make between fork and exec.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, parent_id};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::process::{
    Resource, Rlimit, Signal, getrlimit, set_parent_process_death_signal, setrlimit,
};

use crate::ground::sys;
use crate::origin::cgroup;

/// What to become.
#[derive(Debug, clap::Args)]
pub struct Launch {
    /// Who started us: we end with it, and if it is gone already, so are we. Without, we go on.
    #[arg(long)]
    parent: Option<u32>,
    /// Let it leave a core as large as our hard limit allows.
    #[arg(long)]
    core: bool,
    /// The control group it is to live in.
    #[arg(long)]
    cgroup: Option<PathBuf>,
    /// What is on our standard input is the origin's listening socket: where it is to find it.
    #[arg(long)]
    socket: Option<Socket>,
    /// The program.
    program: String,
    /// Its arguments.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Where a program finds its listening socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Socket {
    /// As descriptor 3 (sd_listen_fds(3)).
    Passed,
    /// As its standard input.
    Stdin,
}

/// What `LISTEN_FDNAMES` calls it.
const SOCKET_NAME: &str = "origin";
/// What a shell says of a command that cannot be executed (POSIX, section 2.8.2).
const CANNOT_EXECUTE: u8 = 127;

impl Launch {
    /// Becomes the command; returns only if that fails.
    pub fn launch(self) -> u8 {
        if let Some(parent) = self.parent {
            // Should Leeward be killed, its children must not live on, the origin with the port in its hands.
            if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
                eprintln!("leeward: cannot bind its life to ours: {error}");
            }
            if parent_id() != parent {
                return CANNOT_EXECUTE;
            }
        }
        if let Some(group) = &self.cgroup
            && let Err(error) = cgroup::join(group)
        {
            eprintln!("leeward: cannot enter {}: {error}", group.display());
        }
        if self.core
            && let Err(error) = allow_core()
        {
            eprintln!("leeward: cannot raise the limit on cores: {error}");
        }
        // Ours are marked already; these were left to us by whoever started us, and are nobody's any more.
        let _ = sys::leave_descriptors();
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        if self.socket == Some(Socket::Passed) {
            if let Err(error) = sys::pass_first(io::stdin().as_fd()) {
                eprintln!("leeward: cannot pass the listening socket on: {error}");
                return CANNOT_EXECUTE;
            }
            command.env("LISTEN_FDS", "1");
            // An exec changes no process number.
            command.env("LISTEN_PID", std::process::id().to_string());
            command.env("LISTEN_FDNAMES", SOCKET_NAME);
            command.stdin(Stdio::null());
        }
        let error = command.exec();
        eprintln!("leeward: cannot execute `{}`: {error}", self.program);
        CANNOT_EXECUTE
    }
}

fn allow_core() -> rustix::io::Result<()> {
    let most = getrlimit(Resource::Core).maximum;
    let raised = Rlimit {
        current: most,
        maximum: most,
    };
    setrlimit(Resource::Core, raised)
}
