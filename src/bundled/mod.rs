//! The bundled origin web server, an ordinary program that happens to live in our binary.
//!
//! [`serve`] is the whole program. `server` accepts and drives connections, `wire` bounds how slow a peer may be,
//! `welcome` and `files` (through `confined`) are the two sites it can serve, `cgi` runs scripts beside either, and the
//! rest is what those are made of: `options`, `representation` (conditional and partial answers), `listing`, `echo`,
//! `content` (bodies, error pages), and `path`, `range`, `encoding`, `media`, `caching` and `pattern`, which are pure.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

mod caching;
mod cgi;
mod confined;
mod content;
mod echo;
mod encoding;
mod files;
mod listing;
mod media;
mod options;
mod path;
mod pattern;
mod range;
mod representation;
mod server;
mod welcome;
mod wire;

pub use options::{
    Client, FileOptions, Hidden, Keep, Links, Listen, Listing, Options, ScriptOptions,
};
use server::{Pages, Site};

/// Most threads that may wait for the disk at once.
const DISK_THREADS: usize = 32;

/// Why the bundled origin could not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The root can't be resolved or looked at.
    #[error(
        "cannot open the root {}: {cause}; pass --root a directory this user may read",
        root.display()
    )]
    RootUnreadable {
        /// The root as it was given.
        root: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// The root exists, and is something else.
    #[error("the root {} is not a directory; pass --root the directory that holds the files", root.display())]
    RootNotDirectory {
        /// The root as it was given.
        root: PathBuf,
    },
    /// The page for what is missing is missing itself.
    #[error(
        "the page {} is no file below the root {} that may be served; pass --not-found the path of one, or leave it out",
        page.display(), root.display()
    )]
    NotFoundPage {
        /// The page as it was given.
        page: PathBuf,
        /// The root as it was given.
        root: PathBuf,
    },
    /// The scripts' directory can't be resolved or looked at.
    #[error(
        "cannot open the directory of scripts {}: {cause}; pass --cgi a directory this user may read",
        directory.display()
    )]
    ScriptsUnreadable {
        /// The directory as it was given.
        directory: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// The scripts' path on the site is none.
    #[error("`{path}` is no path for scripts; pass --cgi-path one like /cgi-bin")]
    ScriptsPath {
        /// The path as it was given.
        path: String,
    },
    /// The root is within the directory of scripts, so that everything in it would be one.
    #[error(
        "the root {} is within the directory of scripts, which is never served as it is; pass --cgi another one",
        root.display()
    )]
    RootPrivate {
        /// The root, resolved.
        root: PathBuf,
    },
    /// The listen address can't be had.
    #[error("cannot listen on {listen}: {cause}; {}", listen_remedy(cause))]
    Listen {
        /// The address as it was given.
        listen: SocketAddr,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// What was passed is no TCP socket that listens.
    #[error(
        "cannot use the socket that was passed: {0}; pass one TCP socket that listens, or --listen ADDR"
    )]
    Passed(#[source] io::Error),
    /// The system refused what every event loop needs (an epoll descriptor, a signal pipe).
    #[error(
        "cannot start the event loop: {0}; raise the limit on open files (ulimit -n) if it is reached"
    )]
    Runtime(#[source] io::Error),
}

/// Serves until SIGTERM or SIGINT, then finishes what is in flight within 5 s and returns.
///
/// Once bound, prints one line on standard error:
/// `leeward origin: ready on http://ADDR (serving DIR | the built-in welcome site[, scripts of DIR])`, with the real port.
/// Runs on the calling thread, on a runtime of its own; call it from outside any runtime.
///
/// # Errors
/// Only at start: the root or the scripts are in no readable directory, the address can't be had, or the event loop can't be made.
pub fn serve(options: Options) -> Result<(), ServeError> {
    let listen = options.listen;
    let (site, serving) = site(options.files, options.scripts)?;

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(DISK_THREADS)
        .build()
        .map_err(ServeError::Runtime)?;
    let outcome = runtime.block_on(async {
        // Before the ready line: who reads it may send SIGTERM at once.
        let stop = stop_asked().map_err(ServeError::Runtime)?;
        let (listener, address) = open(listen).await?;
        // A closed standard error is no reason to die, so not `eprintln!`.
        let _ = writeln!(
            io::stderr(),
            "leeward origin: ready on http://{address} (serving {serving})"
        );
        server::run(listener, Arc::new(site), stop).await;
        Ok(())
    });
    // A read on a dead disk can't be cancelled; it must not keep us from leaving.
    runtime.shutdown_background();
    outcome
}

/// What is to be served, and how that is told.
fn site(
    files: Option<FileOptions>,
    scripts: Option<ScriptOptions>,
) -> Result<(Site, String), ServeError> {
    let scripts = scripts.map(cgi::Scripts::open).transpose()?;
    let private = scripts.as_ref().map(|it| it.directory().clone());
    let mut told = "the built-in welcome site".to_owned();
    let mut root = None;
    let pages = match files {
        Some(options) => {
            let files = files::Files::open(options, private.clone())?;
            let real = files.root().to_owned();
            if private.is_some_and(|private| real.starts_with(private)) {
                return Err(ServeError::RootPrivate { root: real });
            }
            told = real.display().to_string();
            root = Some(real);
            Pages::Files(files)
        }
        None => Pages::Welcome(Box::new(welcome::Welcome::new())),
    };
    if let Some(scripts) = &scripts {
        told.push_str(&format!(", scripts of {}", scripts.directory().display()));
    }
    let scripts = scripts.map(|scripts| scripts.beside(root));
    Ok((Site { pages, scripts }, told))
}

async fn open(listen: Listen) -> Result<(TcpListener, SocketAddr), ServeError> {
    let listen = match listen {
        Listen::At(listen) => listen,
        Listen::Passed(socket) => return taken(socket).map_err(ServeError::Passed),
    };
    let failed = |cause| ServeError::Listen { listen, cause };
    let listener = TcpListener::bind(listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

fn taken(socket: OwnedFd) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = std::net::TcpListener::from(socket);
    let address = listener.local_addr()?;
    listener.set_nonblocking(true)?;
    Ok((TcpListener::from_std(listener)?, address))
}

/// A future that ends at the first SIGTERM or SIGINT; from this call on neither ends the process by itself.
fn stop_asked() -> io::Result<impl Future<Output = ()>> {
    async fn told(signal: &mut Signal) {
        signal.recv().await;
    }
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            () = told(&mut terminate) => {}
            () = told(&mut interrupt) => {}
        }
    })
}

fn listen_remedy(cause: &io::Error) -> &'static str {
    match cause.kind() {
        io::ErrorKind::AddrInUse => {
            "end the program that holds this port, or pass --listen another one (port 0 takes a free one)"
        }
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 need CAP_NET_BIND_SERVICE; pass --listen a higher one"
        }
        io::ErrorKind::AddrNotAvailable => {
            "no interface of this machine has that address; pass --listen 127.0.0.1:PORT"
        }
        _ => "pass --listen another address, such as 127.0.0.1:8080",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(listen: &str, root: Option<PathBuf>) -> String {
        let listen = Listen::At(listen.parse().unwrap());
        let files = root.map(|root| FileOptions {
            root,
            listing: Listing::Off,
            links: Links::Inside,
            hidden: Hidden::Refused,
            not_found: None,
            keep: Vec::new(),
        });
        let options = Options {
            listen,
            files,
            scripts: None,
        };
        serve(options).unwrap_err().to_string()
    }

    #[test]
    fn a_root_that_does_not_exist_is_named_with_its_remedy() {
        let message = refusal("127.0.0.1:0", Some(PathBuf::from("/nowhere/at/all")));
        assert_eq!(
            message,
            "cannot open the root /nowhere/at/all: No such file or directory (os error 2); \
             pass --root a directory this user may read"
        );
    }

    #[test]
    fn a_root_that_is_a_file_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let message = refusal("127.0.0.1:0", Some(file.path().to_owned()));
        assert!(message.contains("is not a directory"), "{message}");
    }

    #[test]
    fn a_port_that_is_taken_is_named_with_its_remedy() {
        let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let message = refusal(&holder.local_addr().unwrap().to_string(), None);
        assert!(
            message.contains("end the program that holds this port"),
            "{message}"
        );
    }

    #[test]
    fn what_is_passed_and_is_no_tcp_socket_is_refused() {
        let listener = std::os::unix::net::UnixDatagram::unbound().unwrap();
        let listen = Listen::Passed(listener.into());
        let options = Options {
            listen,
            files: None,
            scripts: None,
        };
        let refused = serve(options).unwrap_err();
        assert!(refused.to_string().contains("--listen ADDR"), "{refused}");
    }
}
