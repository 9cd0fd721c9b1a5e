//! What a child process said, line by line, and waiting for it to say something.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The lines of one stream of a child, gathered by a thread of their own so that the child never blocks on a full
/// pipe.
#[derive(Clone)]
pub struct Transcript(Arc<Shared>);

struct Shared {
    said: Mutex<Said>,
    more: Condvar,
}

#[derive(Default)]
struct Said {
    /// Each with its line end, if it had one.
    lines: Vec<String>,
    ended: bool,
}

impl Transcript {
    /// Begins to gather.
    pub fn of(stream: impl Read + Send + 'static) -> Transcript {
        let transcript = Transcript(Arc::new(Shared {
            said: Mutex::default(),
            more: Condvar::new(),
        }));
        let gathering = transcript.clone();
        thread::spawn(move || gathering.gather(BufReader::new(stream)));
        transcript
    }

    /// Everything said so far.
    pub fn text(&self) -> String {
        self.said().lines.concat()
    }

    /// The first line that contains `part`, said already or within `patience`. `None`: time ran out, or the stream
    /// ended without it.
    pub fn wait(&self, part: &str, patience: Duration) -> Option<String> {
        self.wait_nth(part, 1, patience)
    }

    /// The `n`th line (from 1) that contains `part`, likewise.
    pub fn wait_nth(&self, part: &str, n: usize, patience: Duration) -> Option<String> {
        let until = Instant::now() + patience;
        let mut said = self.said();
        loop {
            if let Some(line) = said
                .lines
                .iter()
                .filter(|line| line.contains(part))
                .nth(n - 1)
            {
                return Some(line.trim_end().to_owned());
            }
            let left = until.saturating_duration_since(Instant::now());
            if said.ended || left.is_zero() {
                return None;
            }
            let waited = self.0.more.wait_timeout(said, left);
            said = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The whole text once the stream has ended, or what there is when `patience` ends.
    pub fn whole(&self, patience: Duration) -> String {
        let waited = self
            .0
            .more
            .wait_timeout_while(self.said(), patience, |said| !said.ended);
        drop(waited);
        self.text()
    }

    fn gather(&self, mut stream: impl BufRead) {
        let mut line = Vec::new();
        while matches!(stream.read_until(b'\n', &mut line), Ok(count) if count > 0) {
            let text = String::from_utf8_lossy(&line).into_owned();
            self.said().lines.push(text);
            self.0.more.notify_all();
            line.clear();
        }
        self.said().ended = true;
        self.0.more.notify_all();
    }

    fn said(&self) -> MutexGuard<'_, Said> {
        self.0.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
