//! The origin of the model: it answers, dawdles, cuts answers and falls silent, as chance has it.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::content::{Asked, Kind};
use crate::ground::random::Random;

/// What was seen at the origin, in all of its generations.
#[derive(Debug, Default)]
pub struct Seen {
    /// In which generations a request was read whole.
    pub read: HashMap<Asked, Vec<u64>>,
    /// Whose request was suspected of the end of a generation.
    pub suspects: HashSet<Asked>,
    /// What must not be.
    pub wrong: Vec<String>,
}

/// One generation.
#[derive(Debug, Clone)]
pub struct Life {
    /// Counted from 1.
    pub number: u64,
    /// Of what it gives.
    pub version: u64,
    /// Whether it does everything well.
    pub is_well: bool,
    /// Where it is seen.
    pub seen: Arc<Mutex<Seen>>,
}

/// How it is with one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Well,
    /// It closes without an answer.
    Closes,
    /// It never answers.
    Silent,
    /// It closes in the middle of the answer.
    Cuts,
    /// It falls silent in the middle of the answer.
    Stops,
    /// It gives another rest than it was asked for.
    Errs,
}

impl Life {
    /// Serves whoever calls, each beside the others, until it is dropped.
    pub async fn serve(self, mut calls: UnboundedReceiver<DuplexStream>, mut random: Random) {
        let mut callers = JoinSet::new();
        while let Some(call) = calls.recv().await {
            callers.spawn(self.clone().answer(call, random.split()));
        }
    }

    async fn answer(self, mut call: DuplexStream, mut random: Random) {
        sleep(Duration::from_millis(random.of(&[0, 0, 1, 60, 300]))).await;
        let Some(head) = read(&mut call).await else {
            return;
        };
        let asked = Asked::of(head.split(' ').nth(1).unwrap());
        self.note(asked);
        let mood = match self.is_well {
            true => Mood::Well,
            false if random.once_in(3) => random.of(&[Mood::Closes, Mood::Silent, Mood::Stops]),
            false => random.of(&[Mood::Well, Mood::Well, Mood::Cuts, Mood::Errs]),
        };
        sleep(Duration::from_millis(random.of(&[0, 5, 100, 700]))).await;
        match mood {
            Mood::Closes => return,
            Mood::Silent => return std::future::pending().await,
            _ => {}
        }
        let (head, body) = self.made(asked, &head, mood);
        let told = match mood {
            Mood::Cuts | Mood::Stops => random.below(body.len() as u64) as usize,
            _ => body.len(),
        };
        if call.write_all(head.as_bytes()).await.is_err() {
            return;
        }
        for piece in body[..told].chunks(20_000) {
            if call.write_all(piece).await.is_err() {
                return;
            }
            sleep(Duration::from_millis(random.of(&[0, 1, 10, 60]))).await;
        }
        if mood == Mood::Stops {
            std::future::pending().await
        }
    }

    fn note(&self, asked: Asked) {
        let mut seen = self.seen.lock().unwrap();
        if seen.suspects.contains(&asked) {
            let what = format!("{asked:?} hung one generation, and was let loose on the next");
            seen.wrong.push(what);
        }
        seen.read.entry(asked).or_default().push(self.number);
    }

    /// The head and the body of an answer, as they go out.
    fn made(&self, asked: Asked, head: &str, mood: Mood) -> (String, Vec<u8>) {
        let (kind, version) = (asked.kind, self.version);
        let content = asked.content(version);
        let tag = format!("\"v{version}\"");
        let is_same = field(head, "if-range").is_none_or(|named| named == tag);
        let knows = !matches!(kind, Kind::Dull | Kind::Weak);
        let part = field(head, "range").filter(|_| is_same && knows);
        let mut part = part.map(|range| bounds(range, content.len()));
        let (mut whole, mut is_short) = (content.len(), false);
        if mood == Mood::Errs && field(head, "if-range").is_some() {
            match (version + asked.id) % 4 {
                0 => part
                    .iter_mut()
                    .for_each(|it| *it = it.start - 1..it.end - 1),
                1 => whole += 1,
                2 => is_short = true,
                _ => {
                    let head =
                        "HTTP/1.1 503 Later\r\nConnection: close\r\nContent-Length: 5\r\n\r\n";
                    return (head.to_owned(), b"later".to_vec());
                }
            }
        }
        let (status, place, body) = match part {
            Some(Range { start, end }) => (
                206,
                format!("Content-Range: bytes {start}-{}/{whole}\r\n", end - 1),
                content[start..end].to_vec(),
            ),
            None => (200, String::new(), content),
        };
        let tag = match kind {
            Kind::Weak => format!("ETag: W/{tag}\r\n"),
            Kind::Small | Kind::Post => String::new(),
            _ => format!("ETag: {tag}\r\n"),
        };
        let (framing, body) = match kind {
            Kind::Chunked if status == 200 => {
                ("Transfer-Encoding: chunked".to_owned(), chunks(&body))
            }
            // It ends in order, and too soon.
            _ if is_short => ("X-Length: none".to_owned(), body[..body.len() / 2].to_vec()),
            _ => (format!("Content-Length: {}", body.len()), body),
        };
        let head = format!(
            "HTTP/1.1 {status} X\r\nConnection: close\r\nX-Version: {version}\r\n{tag}{place}{framing}\r\n\r\n"
        );
        (head, body)
    }
}

/// One request, head and body; `None` where the caller left before that.
async fn read(call: &mut DuplexStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
            let length = field(&head, "content-length").map_or(0, |it| it.parse().unwrap());
            if bytes.len() >= end + 4 + length {
                return Some(head);
            }
        }
        if call.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let fields = head.lines().filter_map(|line| line.split_once(": "));
    fields
        .filter(|(it, _)| it.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
        .next()
}

fn bounds(range: &str, length: usize) -> Range<usize> {
    let (first, last) = range
        .strip_prefix("bytes=")
        .unwrap()
        .split_once('-')
        .unwrap();
    let end = match last {
        "" => length,
        last => last.parse::<usize>().unwrap() + 1,
    };
    first.parse().unwrap()..end
}

fn chunks(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for piece in body.chunks(7000) {
        out.extend(format!("{:x}\r\n", piece.len()).bytes());
        out.extend(piece);
        out.extend(b"\r\n");
    }
    out.extend(b"0\r\n\r\n");
    out
}
