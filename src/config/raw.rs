//! What the TOML said: sections that hand out their keys once, and complain about those nobody took.

use std::cell::RefCell;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::{Fault, Faults};
use super::settings::Settings;
use super::value::{Judged, Wrong};

/// Words of other programs, and what they are called here.
const HINTS: [(&str, &str); 33] = [
    ("upstream", "it is called [origin] here"),
    (
        "upstreams",
        "there is one origin; it is called [origin] here",
    ),
    ("backend", "it is called [origin] here"),
    (
        "backends",
        "there is one origin; it is called [origin] here",
    ),
    ("proxy_pass", "it is called origin.address here"),
    ("target", "it is called origin.address here"),
    (
        "server",
        "clients are met in [edge], the server behind us is [origin]",
    ),
    ("frontend", "it is called [edge] here"),
    ("bind", "it is called edge.listen here"),
    ("host", TOGETHER),
    ("port", TOGETHER),
    ("workers", "it is called edge.threads here"),
    (
        "failure_threshold",
        "a restart needs evidence, not a count; see [hang]",
    ),
    (
        "timeout",
        "each wait has a deadline of its own; see [edge.deadlines] and [origin.deadlines]",
    ),
    ("check", "it is called [origin.probe] here"),
    ("healthcheck", "it is called [origin.probe] here"),
    ("health_check", "it is called [origin.probe] here"),
    ("interval", "it is called origin.probe.every here"),
    ("ssl", "it is called [edge.tls] here"),
    ("tls", "it is called [edge.tls] here"),
    ("private_key", "it is called edge.tls.key here"),
    ("cmd", "it is called origin.process.command here"),
    ("exec", "it is called origin.process.command here"),
    ("env", "it is called origin.process.environment here"),
    ("pidfile", "it is called origin.process.pid_file here"),
    ("PIDFile", "it is called origin.process.pid_file here"),
    ("service", "it is called origin.process.unit here"),
    ("systemd", "it is called origin.process.unit here"),
    ("daemon", "it is called origin.process.daemonises here"),
    ("daemonize", "it is called origin.process.daemonises here"),
    ("forking", "it is called origin.process.daemonises here"),
    ("start_program", "it is called origin.process.start here"),
    ("stop_program", "it is called origin.process.stop here"),
];
const TOGETHER: &str = "an address and its port are one text here, like \"127.0.0.1:8080\"";

/// A text being read, and the faults found in it so far.
pub struct Reading<'t> {
    file: &'t str,
    text: &'t str,
    faults: RefCell<Vec<Fault>>,
    /// Each key there is, with its section.
    keys: RefCell<Vec<(&'static str, &'static str)>>,
    /// Keys nobody knows where they stand: which fault tells of it, and the key.
    strays: RefCell<Vec<(usize, String)>>,
}

/// One table of the TOML; a missing one yields only defaults.
pub struct Section<'r, 'v, 't> {
    reading: &'r Reading<'t>,
    name: &'static str,
    table: Option<&'v DeTable<'v>>,
    place: Range<usize>,
    known: Vec<Known>,
    has_faults: bool,
}

/// A key or a section that was asked for.
struct Known {
    key: &'static str,
    /// As a list of them tells it: a section in its brackets.
    told: String,
}

impl<'t> Reading<'t> {
    /// Begins to read `text`; `file` is what its faults call it.
    pub fn new(file: &'t str, text: &'t str) -> Self {
        Self {
            file,
            text,
            faults: RefCell::default(),
            keys: RefCell::default(),
            strays: RefCell::default(),
        }
    }

    /// Parses the text, or notes what is wrong with its syntax.
    pub fn parse(&self) -> Option<Spanned<DeTable<'t>>> {
        let (table, mut errors) = DeTable::parse_recoverable(self.text);
        if errors.is_empty() {
            return Some(table);
        }
        errors.sort_by_key(|error| error.span().map_or(0, |span| span.start));
        // What follows on the line, or in a list that was never closed, is only a consequence.
        let (mut line, mut advised) = (0, "");
        for error in &errors {
            let span = error.span().unwrap_or(0..0);
            let (message, remedy) = syntax(error.message());
            let fault = Fault::at(self.text, span, "", message.to_owned(), remedy.to_owned());
            let is_list = [advised, remedy] == [OPEN_LIST; 2];
            let is_consequence = fault.line == line || is_list;
            line = fault.line;
            if !is_consequence {
                advised = remedy;
                self.faults.borrow_mut().push(fault);
            }
        }
        None
    }

    /// The outermost section.
    pub fn root<'r, 'v>(&'r self, table: &'v DeTable<'v>) -> Section<'r, 'v, 't> {
        Section {
            reading: self,
            name: "",
            table: Some(table),
            place: 0..0,
            known: Vec::new(),
            has_faults: false,
        }
    }

    /// `settings`, unless there were faults.
    pub fn finish(self, settings: Option<Settings>) -> Result<Settings, Faults> {
        let mut faults = self.faults.into_inner();
        let keys = self.keys.into_inner();
        for (index, stray) in self.strays.into_inner() {
            let mut homes: Vec<_> = keys
                .iter()
                .filter(|(_, key)| *key == stray)
                .map(|(section, _)| format!("[{section}]"))
                .collect();
            homes.dedup();
            if !homes.is_empty() {
                let remedy = &mut faults[index].remedy;
                *remedy = format!("there is one in {}; {remedy}", homes.join(" and in "));
            }
        }
        faults.sort_by_key(|fault| (fault.line, fault.column));
        faults.dedup();
        let file = self.file.to_owned();
        match settings {
            Some(settings) if faults.is_empty() => Ok(settings),
            _ => Err(Faults { file, faults }),
        }
    }

    fn note(&self, span: Range<usize>, key: &str, wrong: Wrong) {
        let span = wrong.part.unwrap_or(span);
        let fault = Fault::at(self.text, span, key, wrong.message, wrong.remedy);
        self.faults.borrow_mut().push(fault);
    }
}

impl<'r, 'v, 't> Section<'r, 'v, 't> {
    /// A table inside this one. `name` is its whole name, like `edge.tls`.
    pub fn section(&mut self, name: &'static str) -> Section<'r, 'v, 't> {
        let key = name.rsplit('.').next().unwrap_or(name);
        let told = format!("[{name}]");
        self.known.push(Known { key, told });
        let mut table = None;
        let mut place = self.place.clone();
        if let Some(value) = self.table.and_then(|table| table.get(key)) {
            place = value.span();
            match value.get_ref() {
                DeValue::Table(inner) => table = Some(inner),
                other => {
                    let remedy = format!("write [{name}] on a line of its own, its keys below it");
                    let wrong = Wrong::kind(other, "a section", remedy);
                    self.reading.note(value.span(), name, wrong);
                    self.has_faults = true;
                }
            }
        }
        Section {
            reading: self.reading,
            name,
            table,
            place,
            known: Vec::new(),
            has_faults: false,
        }
    }

    /// Every table of a list of tables, like `[[route]]`; `name` is its whole name.
    pub fn sections(&mut self, name: &'static str) -> Vec<Section<'r, 'v, 't>> {
        let key = name.rsplit('.').next().unwrap_or(name);
        let told = format!("[[{name}]]");
        self.known.push(Known { key, told });
        let Some(value) = self.table.and_then(|table| table.get(key)) else {
            return Vec::new();
        };
        let refuse = |value: &Spanned<DeValue<'_>>| {
            let remedy = format!("write [[{name}]] on a line of its own, its keys below it");
            let wrong = Wrong::kind(value.get_ref(), "a list of sections", remedy);
            self.reading.note(value.span(), name, wrong);
        };
        let Some(many) = value.get_ref().as_array() else {
            refuse(value);
            return Vec::new();
        };
        let mut sections = Vec::new();
        for one in many.iter() {
            match one.get_ref() {
                DeValue::Table(table) => sections.push(Section {
                    reading: self.reading,
                    name,
                    table: Some(table),
                    place: one.span(),
                    known: Vec::new(),
                    has_faults: false,
                }),
                _ => refuse(one),
            }
        }
        sections
    }

    /// The value of `key` as `judge` understands it, or nothing where it is absent or wrong.
    pub fn take<T>(
        &mut self,
        key: &'static str,
        judge: impl FnOnce(&DeValue<'_>) -> Judged<T>,
    ) -> Option<T> {
        let told = key.to_owned();
        self.known.push(Known { key, told });
        self.reading.keys.borrow_mut().push((self.name, key));
        let value = self.table?.get(key)?;
        match judge(value.get_ref()) {
            Ok(meaning) => Some(meaning),
            Err(wrong) => {
                self.reading.note(value.span(), &self.full(key), wrong);
                self.has_faults = true;
                None
            }
        }
    }

    /// The same, into its place; the default that stands there stays where the key is absent.
    pub fn set<T>(
        &mut self,
        key: &'static str,
        place: &mut T,
        judge: impl FnOnce(&DeValue<'_>) -> Judged<T>,
    ) {
        if let Some(meaning) = self.take(key, judge) {
            *place = meaning;
        }
    }

    /// Whether the file says anything of this section.
    pub fn is_present(&self) -> bool {
        self.table.is_some()
    }

    /// Whether the file says anything of `key`.
    pub fn says(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(key))
    }

    /// Whether a value of this section could not be understood, so that comparing it says nothing.
    pub fn has_faults(&self) -> bool {
        self.has_faults
    }

    /// Notes a fault of `key` that only shows when it is seen together with others.
    pub fn complain(&self, key: &str, wrong: Wrong) {
        let span = self
            .table
            .and_then(|table| table.get(key))
            .map_or(self.place.clone(), Spanned::span);
        self.reading.note(span, &self.full(key), wrong);
    }

    /// Refuses every key that nobody took.
    pub fn finish(self) {
        let Some(table) = self.table else { return };
        for (key, value) in table {
            let said = key.get_ref().as_ref();
            if self.known.iter().any(|known| known.key == said) {
                continue;
            }
            let kind = match is_section(value.get_ref()) {
                true => "section",
                false => "key",
            };
            let message = format!("there is no such {kind}");
            let remedy = self.remedy_for(said).unwrap_or_else(|| {
                let index = self.reading.faults.borrow().len();
                let stray = (index, said.to_owned());
                self.reading.strays.borrow_mut().push(stray);
                let known: Vec<_> = self.known.iter().map(|known| &*known.told).collect();
                format!("known here: {}", known.join(", "))
            });
            let wrong = Wrong::new(message, remedy);
            self.reading.note(key.span(), &self.full(said), wrong);
        }
    }

    fn remedy_for(&self, said: &str) -> Option<String> {
        if let Some((_, hint)) = HINTS.iter().find(|(word, _)| *word == said) {
            return Some((*hint).to_owned());
        }
        let likeness = |known: &Known| strsim::jaro_winkler(said, known.key);
        let nearest = self
            .known
            .iter()
            .max_by(|one, two| likeness(one).total_cmp(&likeness(two)))
            .filter(|nearest| likeness(nearest) > 0.7)?;
        Some(match nearest.told.starts_with('[') {
            true => format!("did you mean {}?", nearest.told),
            false => format!("did you mean `{}`?", self.full(nearest.key)),
        })
    }

    fn full(&self, key: &str) -> String {
        match self.name {
            "" => key.to_owned(),
            name => format!("{name}.{key}"),
        }
    }
}

const OPEN_LIST: &str = "put commas between the elements of the list, and close it with `]`";

/// What the parser said, in our words where we have better ones, and what to do about it.
fn syntax(said: &str) -> (&str, &'static str) {
    const QUOTES: &str =
        "only numbers, true and false go without quotes; put it into double quotes";
    match said {
        m if m.contains("duplicate key") => ("the file says it twice", "keep one of them"),
        m if m.contains("must be quoted") => ("a word without quotes", QUOTES),
        m if m.contains("array") => (m, OPEN_LIST),
        m if m.contains("float") || m.contains("integer") => {
            ("neither a number nor a text", QUOTES)
        }
        m if m.contains("expected newline") => (
            "the line goes on where it should end",
            "put what follows on a line of its own, or take it out",
        ),
        m if m.contains("expected `=`") => ("a key without a value", "write it like `key = value`"),
        m if m.contains("string, expected `") => (
            "the text has no end",
            "close it with the quote that opened it",
        ),
        m => (
            m,
            "mend the TOML here; a line is `key = value` or `[section]`",
        ),
    }
}

fn is_section(value: &DeValue<'_>) -> bool {
    match value {
        DeValue::Table(_) => true,
        DeValue::Array(many) => many.iter().any(|one| one.get_ref().is_table()),
        _ => false,
    }
}
