//! A script that runs: started without a shell, in a group of its own, and ended with all that is in it.

use std::ffi::OsString;
use std::fmt::Display;
use std::process::Stdio;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::Body;
use http_body_util::BodyExt;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::find::Script;
use super::output::Output;
use super::reply::{self, Reply};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    /// The system refuses a process.
    #[error("it cannot be started: {0}")]
    NotStarted(#[source] std::io::Error),
    /// Its time was over before its head was.
    #[error("its head did not come within {0:?}; it was killed with all that it started")]
    TooSlow(Duration),
    /// What it wrote is no answer.
    #[error("what it writes is no answer: {0}")]
    Garbage(&'static str),
    /// It cannot be read from.
    #[error("its output cannot be read: {0}")]
    Broken(#[source] std::io::Error),
}

/// A script at work.
pub(super) struct Run {
    name: String,
    stdout: ChildStdout,
    group: Group,
    timeout: Duration,
    deadline: Instant,
}

/// Its process, and all in its group; killed when this falls.
pub(super) struct Group {
    child: Child,
    pid: Option<Pid>,
    feeding: JoinHandle<()>,
    /// Ends it in time, whoever else looks at it.
    watch: JoinHandle<()>,
}

/// Our own program, whatever became of its file; as `launch` it binds the script's life to ours.
const LAUNCHER: &str = "/proc/self/exe";
/// What is logged of one run: so many lines, each so long.
const LINES: usize = 100;
const LINE: u64 = 1024;
/// What is written by then is still logged when a script was ended.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Starts it, with `body` for its standard input.
///
/// Must be called on the runtime's only thread: the death signal is bound to the spawning thread.
///
/// # Errors
/// [`Failed::NotStarted`]. That the program itself cannot be executed shows as no head.
pub(super) fn start<B>(
    script: &Script,
    environment: Vec<(OsString, OsString)>,
    body: B,
    timeout: Duration,
    seat: OwnedSemaphorePermit,
) -> Result<Run, Failed>
where
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Display + Send,
{
    let deadline = Instant::now() + timeout;
    let mut command = Command::new(LAUNCHER);
    command.arg0("leeward").arg("launch");
    command.arg("--parent").arg(std::process::id().to_string());
    command.arg("--").arg(&script.file);
    command.env_clear().envs(environment);
    command.process_group(0);
    command.stdin(Stdio::piped());
    command.stdout(Stdio::piped());
    command.stderr(Stdio::piped());
    if let Some(directory) = script.file.parent() {
        command.current_dir(directory);
    }
    let mut child = command.spawn().map_err(Failed::NotStarted)?;
    let pid = child.id().and_then(|pid| Pid::from_raw(pid as i32));
    let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
        return Err(Failed::NotStarted(std::io::ErrorKind::BrokenPipe.into()));
    };
    tokio::spawn(log(stderr, script.name.clone(), deadline + LAST_WORDS));
    Ok(Run {
        name: script.name.clone(),
        stdout,
        group: Group {
            child,
            pid,
            feeding: tokio::spawn(feed(stdin, body)),
            watch: tokio::spawn(async move {
                sleep_until(deadline).await;
                end(pid);
                drop(seat);
            }),
        },
        timeout,
        deadline,
    })
}

impl Run {
    /// What it means to say, and the output that follows. Where it fails, it is ended.
    pub(super) async fn head(mut self) -> Result<(Reply, Output), Failed> {
        let mut bytes = BytesMut::with_capacity(4096);
        let end = loop {
            if let Some(end) = reply::end(&bytes) {
                break end;
            }
            if bytes.len() >= reply::LARGEST {
                return Err(Failed::Garbage("its head has no end within 32 KiB"));
            }
            match timeout_at(self.deadline, self.stdout.read_buf(&mut bytes)).await {
                Err(_) => return Err(Failed::TooSlow(self.timeout)),
                Ok(Err(cause)) => return Err(Failed::Broken(cause)),
                Ok(Ok(0)) if bytes.is_empty() => {
                    return Err(Failed::Garbage("it ended without a word"));
                }
                Ok(Ok(0)) => return Err(Failed::Garbage("its head has no end")),
                Ok(Ok(_)) => {}
            }
        };
        let head = bytes.split_to(end);
        if head.len() > reply::LARGEST {
            return Err(Failed::Garbage("its head is longer than 32 KiB"));
        }
        let reply = reply::parse(&head).map_err(Failed::Garbage)?;
        let length = match &reply {
            Reply::Page(page) => page.length,
            Reply::Elsewhere(_) => None,
        };
        let output = Output::new(
            self.name,
            self.stdout,
            bytes.freeze(),
            length,
            self.group,
            self.deadline,
        );
        Ok((reply, output))
    }
}

impl Group {
    /// Waits until the script itself has ended, at the latest by `deadline`, and ends what is left of its group: what is
    /// to stay leaves the group, as a daemon does (setsid).
    pub(super) async fn end_by(self, deadline: Instant) {
        let _ = timeout_at(deadline, self.exited()).await;
    }

    /// Its number stays its own until it is reaped, which happens when it falls.
    async fn exited(&self) -> std::io::Result<()> {
        let Some(pid) = self.pid else { return Ok(()) };
        let mut deaths = signal(SignalKind::child())?;
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        while let Ok(None) = waitid(WaitId::Pid(pid), look) {
            deaths.recv().await;
        }
        Ok(())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // It is not reaped yet: nobody else can have its number.
        end(self.pid);
        let _ = self.child.start_kill();
        self.feeding.abort();
        self.watch.abort();
    }
}

fn end(group: Option<Pid>) {
    if let Some(group) = group {
        let _ = kill_process_group(group, Signal::KILL);
    }
}

/// Gives it the body. What it does not want is taken from the client all the same, whose connection goes on.
async fn feed<B>(stdin: ChildStdin, mut body: B)
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Display,
{
    let mut stdin = Some(stdin);
    while let Some(frame) = body.frame().await {
        let frame = match frame {
            Ok(frame) => frame,
            Err(cause) => {
                tracing::debug!(%cause, "a body for a script broke off");
                return;
            }
        };
        if let (Ok(data), Some(pipe)) = (frame.into_data(), &mut stdin)
            && pipe.write_all(&data).await.is_err()
        {
            stdin = None;
        }
    }
}

/// Logs what it says on its standard error, and takes all of it, so that it is never held up.
async fn log(stderr: ChildStderr, name: String, by: Instant) {
    let mut stderr = BufReader::new(stderr);
    let mut lines = 0;
    loop {
        let mut line = Vec::new();
        let mut bounded = (&mut stderr).take(LINE);
        match timeout_at(by, bounded.read_until(b'\n', &mut line)).await {
            Ok(Ok(read)) if read > 0 => {}
            _ => return,
        }
        lines += 1;
        if lines <= LINES {
            let text = String::from_utf8_lossy(line.trim_ascii_end());
            let text: String = text
                .chars()
                .map(|letter| if letter.is_control() { ' ' } else { letter })
                .collect();
            tracing::warn!(script = %name, "{text}");
        } else if lines == LINES + 1 {
            tracing::warn!(script = %name, "it says more than {LINES} lines; the rest is dropped");
        }
    }
}
