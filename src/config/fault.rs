//! A fault of a configuration: where, which key, what is wrong, what to do. Always all of them at once.

use std::fmt;
use std::ops::Range;

/// One fault, with its place in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
    /// The whole key, like `edge.limits.body`; empty for a fault of the syntax.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
    /// The line of the file.
    excerpt: String,
}

/// All faults of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults {
    /// The file as it was named to us.
    pub file: String,
    /// In the order of their places.
    pub faults: Vec<Fault>,
}

impl Fault {
    /// A fault at the bytes `span` of `text`.
    pub fn at(text: &str, span: Range<usize>, key: &str, message: String, remedy: String) -> Self {
        let start = floor_boundary(text, span.start);
        let before = &text[..start];
        let line_start = before
            .rfind('\n')
            .map_or(after_mark(text), |newline| newline + 1);
        let line = text[line_start..].lines().next().unwrap_or("");
        Self {
            line: before.matches('\n').count() + 1,
            column: text[line_start..start.max(line_start)].chars().count() + 1,
            key: harmless(key),
            message: harmless(&message),
            remedy,
            excerpt: harmless(&line.replace('\t', " ")),
        }
    }
}

impl std::error::Error for Faults {}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in &self.faults {
            let Fault { line, column, .. } = fault;
            write!(f, "{}:{line}:{column}: ", self.file)?;
            if !fault.key.is_empty() {
                write!(f, "{}: ", fault.key)?;
            }
            writeln!(f, "{}", fault.message)?;
            let number = line.to_string();
            let gap = " ".repeat(number.len());
            let under = " ".repeat(column.saturating_sub(1));
            writeln!(f, "  {number} | {}", fault.excerpt)?;
            writeln!(f, "  {gap} | {under}^ {}", fault.remedy)?;
        }
        match self.faults.len() {
            1 => write!(f, "{}: 1 fault", self.file),
            many => write!(f, "{}: {many} faults", self.file),
        }
    }
}

/// Where the text begins behind a byte order mark, which no editor shows.
fn after_mark(text: &str) -> usize {
    match text.starts_with('\u{feff}') {
        true => '\u{feff}'.len_utf8(),
        false => 0,
    }
}

/// What a file says goes to a terminal, and must not steer it.
fn harmless(text: &str) -> String {
    let shown = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().map(shown).collect()
}

fn floor_boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}
