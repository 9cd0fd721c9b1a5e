//! One entry of the journal: what its native protocol wants (systemd's `JOURNAL_NATIVE_PROTOCOL`). Pure.

use std::fmt::{self, Write as _};

use tracing::field::{Field, Visit};
use tracing::{Event, Level};

/// One entry, with its fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// As syslog counts it: 3 is an error, 4 a warning, 6 information, 7 for developers (sd-daemon(3)).
    pub priority: u8,
    /// What `journalctl` shows: the message, and the fields behind it as in the text form.
    pub message: String,
    /// Fields by their names, for `journalctl LEEWARD_STATUS=502`.
    fields: Vec<(String, String)>,
}

/// No value is longer than this, in bytes; the socket takes about 200 KiB at once.
const LONGEST: usize = 32 << 10;
/// Before the name of each field of ours, so that it is nobody else's.
const OURS: &str = "LEEWARD_";

impl Entry {
    /// Of what was told.
    pub fn of(event: &Event<'_>) -> Self {
        let metadata = event.metadata();
        let mut it = Told::default();
        event.record(&mut it);
        let mut message = String::new();
        if let Some(kind) = Some(metadata.target()).filter(|target| !target.contains("::")) {
            let _ = write!(message, "{kind}: ");
        }
        message.push_str(&it.message);
        for (name, value) in &it.shown {
            let gap = if message.is_empty() || message.ends_with(' ') {
                ""
            } else {
                " "
            };
            let _ = write!(message, "{gap}{name}={value}");
        }
        let mut fields = vec![(format!("{OURS}TARGET"), metadata.target().to_owned())];
        fields.extend(it.fields);
        if let (Some(file), Some(line)) = (metadata.file(), metadata.line()) {
            fields.push(("CODE_FILE".to_owned(), file.to_owned()));
            fields.push(("CODE_LINE".to_owned(), line.to_string()));
        }
        Self {
            priority: priority(*metadata.level()),
            message: cut(message),
            fields,
        }
    }

    /// A warning of the log's own.
    pub fn warning(message: String) -> Self {
        Self {
            priority: priority(Level::WARN),
            message,
            fields: Vec::new(),
        }
    }

    /// The datagram for the journal's socket.
    pub fn datagram(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        put(&mut out, "PRIORITY", &self.priority.to_string());
        put(&mut out, "SYSLOG_IDENTIFIER", "leeward");
        put(&mut out, "MESSAGE", &self.message);
        for (name, value) in &self.fields {
            put(&mut out, name, value);
        }
        out
    }

    /// The same for standard error: systemd reads the severity from its front, and stamps it itself.
    pub fn line(&self) -> String {
        let priority = self.priority;
        // Each line of it is an entry of its own there.
        let lines = self.message.lines();
        lines.map(|line| format!("<{priority}>{line}\n")).collect()
    }
}

/// A field as the protocol has it: with its length, where its value has more than one line.
fn put(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        out.push(b'\n');
        out.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        out.push(b'=');
    }
    out.extend_from_slice(value.as_bytes());
    out.push(b'\n');
}

fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

fn cut(mut value: String) -> String {
    let end = value.floor_char_boundary(LONGEST);
    value.truncate(end);
    value
}

/// What an event says.
#[derive(Debug, Default)]
struct Told {
    message: String,
    /// As the text form shows it.
    shown: Vec<(&'static str, String)>,
    fields: Vec<(String, String)>,
}

impl Told {
    fn note(&mut self, field: &Field, shown: String, value: String) {
        if field.name() == "message" {
            self.message = shown;
            return;
        }
        self.shown.push((field.name(), shown));
        self.fields.push((name(field.name()), cut(value)));
    }
}

impl Visit for Told {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let value = format!("{value:?}");
        self.note(field, value.clone(), value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let shown = match field.name() {
            "message" => value.to_owned(),
            _ => format!("{value:?}"),
        };
        self.note(field, shown, value.to_owned());
    }
}

/// The name of a field as the journal allows it: capitals, digits and underscores, no more than 64.
fn name(field: &str) -> String {
    let letters = field.chars().map(|letter| match letter {
        letter if letter.is_ascii_alphanumeric() => letter.to_ascii_uppercase(),
        _ => '_',
    });
    OURS.chars().chain(letters).take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_is_as_the_journal_wants_it() {
        let entry = Entry {
            priority: 4,
            message: "two\nlines".to_owned(),
            fields: vec![(name("why.not"), "a=b".to_owned())],
        };
        let wanted = b"PRIORITY=4\nSYSLOG_IDENTIFIER=leeward\nMESSAGE\n\x09\0\0\0\0\0\0\0two\nlines\nLEEWARD_WHY_NOT=a=b\n";
        assert_eq!(entry.datagram(), wanted);
    }

    #[test]
    fn on_standard_error_each_line_has_its_severity() {
        let entry = Entry::warning("two\nlines".to_owned());
        assert_eq!(entry.line(), "<4>two\n<4>lines\n");
    }

    #[test]
    fn no_value_is_longer_than_the_socket_takes() {
        assert_eq!(cut("ä".repeat(LONGEST)).len(), LONGEST);
    }
}
