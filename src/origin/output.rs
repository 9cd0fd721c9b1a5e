//! What the origin writes on its pipes: drained at once, its last lines kept, a bounded share of them logged.
//! Secrets that are known by their names are masked before anything is kept.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::unix::pipe;
use tokio::sync::watch;

use super::pid::Pid;
use crate::ground::{deadline, redact};

/// The last lines the origin wrote.
#[derive(Debug, Clone)]
pub struct Output {
    lines: Arc<Mutex<VecDeque<String>>>,
    /// Its senders are gone when both pipes have been read to their end.
    ended: watch::Receiver<()>,
}

/// Whose output it is, and whether it is passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Voice {
    /// Whether its lines go into the log.
    pub is_logged: bool,
    /// The generation.
    pub generation: u64,
    /// The process that was started; what it starts may write here, too.
    pub pid: Pid,
}

const LINES: usize = 200;
/// So many lines a second of each pipe go into the log: an origin that babbles must not push out our own words,
/// nor keep the watch busy with writing down its.
const LOGGED: u32 = 500;
/// For which lines are counted.
const SECOND: Duration = Duration::from_secs(1);
const LINE_BYTES: usize = 2048;
const PIPE_BYTES: usize = 1 << 20;
impl Output {
    /// Begins to drain both pipes, on the runtime it is called on.
    ///
    /// # Errors
    /// What the system said.
    pub fn listen(
        stdout: Option<OwnedFd>,
        stderr: Option<OwnedFd>,
        voice: Voice,
    ) -> io::Result<Self> {
        let (listening, ended) = watch::channel(());
        let ear = Ear {
            voice,
            lines: Arc::default(),
            _listening: Arc::new(listening),
        };
        let output = Self {
            lines: ear.lines.clone(),
            ended,
        };
        if let Some(pipe) = stdout {
            tokio::spawn(ear.clone().listen(receiver(pipe)?, "stdout"));
        }
        if let Some(pipe) = stderr {
            tokio::spawn(ear.listen(receiver(pipe)?, "stderr"));
        }
        Ok(output)
    }

    /// Returns when nothing more can come: the last writer is gone.
    pub async fn ended(&self) {
        while self.ended.clone().changed().await.is_ok() {}
    }

    /// The last `most` lines, the oldest first.
    pub fn last(&self, most: usize) -> Vec<String> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let skipped = lines.len().saturating_sub(most);
        lines.iter().skip(skipped).cloned().collect()
    }
}

fn receiver(pipe: OwnedFd) -> io::Result<pipe::Receiver> {
    // A pipe we are slow to drain must not become the hang we watch for.
    let _ = rustix::pipe::fcntl_setpipe_size(&pipe, PIPE_BYTES);
    pipe::Receiver::from_owned_fd(pipe)
}

/// The listening side of [`Output`].
#[derive(Debug, Clone)]
struct Ear {
    voice: Voice,
    lines: Arc<Mutex<VecDeque<String>>>,
    _listening: Arc<watch::Sender<()>>,
}

impl Ear {
    /// Drains one pipe until its last writer is gone; long lines are cut, the rest of them dropped.
    async fn listen(self, mut pipe: impl AsyncRead + Unpin, stream: &'static str) {
        let mut chunk = vec![0; 16 << 10];
        let mut line = Vec::new();
        let mut quota = Quota::begin(deadline::now());
        loop {
            let read = tokio::select! {
                read = pipe.read(&mut chunk) => read,
                () = deadline::reached(quota.due()) => {
                    quota.renew(deadline::now());
                    quota.settle(stream, self.voice);
                    continue;
                }
            };
            let read = match read {
                Ok(0) | Err(_) => break,
                Ok(read) => read,
            };
            for byte in &chunk[..read] {
                match byte {
                    b'\n' => self.tell(std::mem::take(&mut line), stream, &mut quota),
                    _ if line.len() < LINE_BYTES => line.push(*byte),
                    _ => {}
                }
            }
        }
        if !line.is_empty() {
            self.tell(line, stream, &mut quota);
        }
        quota.settle(stream, self.voice);
    }

    fn tell(&self, line: Vec<u8>, stream: &'static str, quota: &mut Quota) {
        let line = String::from_utf8_lossy(&line);
        let line: String = line.trim_end().chars().map(printable).collect();
        let line = redact::line(&line);
        let Voice {
            is_logged,
            generation,
            pid,
        } = self.voice;
        if quota.renew(deadline::now()) {
            quota.settle(stream, self.voice);
        }
        if is_logged && quota.take() {
            tracing::info!(target: "origin", stream, generation, %pid, "{line}");
        }
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }
}

/// What one pipe has put into the log within this second, and what was kept out of it.
#[derive(Debug)]
struct Quota {
    begun: Instant,
    told: u32,
    withheld: u64,
}

impl Quota {
    fn begin(now: Instant) -> Self {
        Self {
            begun: now,
            told: 0,
            withheld: 0,
        }
    }

    /// When it is to be told what was kept out, if anything was.
    fn due(&self) -> Option<Instant> {
        (self.withheld > 0).then(|| self.begun + SECOND)
    }

    /// Whether another second has begun.
    fn renew(&mut self, now: Instant) -> bool {
        let is_over = now.saturating_duration_since(self.begun) >= SECOND;
        if is_over {
            (self.begun, self.told) = (now, 0);
        }
        is_over
    }

    /// Whether one more line may go into the log.
    fn take(&mut self) -> bool {
        let may = self.told < LOGGED;
        match may {
            true => self.told += 1,
            false => self.withheld += 1,
        }
        may
    }

    /// Says what was kept out of the log, if anything.
    fn settle(&mut self, stream: &'static str, voice: Voice) {
        let withheld = std::mem::take(&mut self.withheld);
        let Voice {
            generation, pid, ..
        } = voice;
        if withheld > 0 {
            tracing::warn!(target: "origin", stream, generation, %pid, "{withheld} more lines were not logged: over {LOGGED} a second");
        }
    }
}

fn printable(c: char) -> char {
    if c.is_control() && c != '\t' {
        '\u{fffd}'
    } else {
        c
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_babbling_origin_fills_its_share_of_the_log_and_no_more() {
        let now = Instant::now();
        let mut quota = Quota::begin(now);
        let told = (0..LOGGED * 3).filter(|_| quota.take()).count();
        assert_eq!(
            (told, quota.withheld),
            (LOGGED as usize, u64::from(LOGGED) * 2)
        );
        assert!(!quota.renew(now + Duration::from_millis(999)));
        assert!(quota.renew(now + Duration::from_secs(1)) && quota.take());
    }
}
