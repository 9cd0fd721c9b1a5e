//! What the TOML said: sections that hand out their keys once, and complain about those nobody took.

use std::cell::RefCell;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::{Fault, Faults};
use super::value::{Judged, Wrong};

/// Words of other programs, and what they are called here.
const HINTS: [(&str, &str); 12] = [
    ("upstream", "it is called [origin] here"),
    (
        "upstreams",
        "there is one origin; it is called [origin] here",
    ),
    ("backend", "it is called [origin] here"),
    (
        "server",
        "clients are met in [edge], the server behind us is [origin]",
    ),
    ("frontend", "it is called [edge] here"),
    ("bind", "it is called edge.listen here"),
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
    ("ssl", "it is called [edge.tls] here"),
    ("cmd", "it is called origin.process.command here"),
];

/// A text being read, and the faults found in it so far.
pub struct Reading<'t> {
    file: &'t str,
    text: &'t str,
    faults: RefCell<Vec<Fault>>,
}

/// One table of the TOML; a missing one yields only defaults.
pub struct Section<'r, 'v, 't> {
    reading: &'r Reading<'t>,
    name: &'static str,
    table: Option<&'v DeTable<'v>>,
    place: Range<usize>,
    known: Vec<&'static str>,
}

impl<'t> Reading<'t> {
    /// Begins to read `text`; `file` is what its faults call it.
    pub fn new(file: &'t str, text: &'t str) -> Self {
        let faults = RefCell::default();
        Self { file, text, faults }
    }

    /// Parses as much as can be parsed; faults of the syntax are noted.
    pub fn parse(&self) -> Spanned<DeTable<'t>> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        for error in errors {
            let span = error.span().unwrap_or(0..0);
            let remedy = "mend the TOML here; `key = value`, texts in double quotes";
            self.note(span, "", Wrong::new(error.message(), remedy));
        }
        table
    }

    /// The outermost section.
    pub fn root<'r, 'v>(&'r self, table: &'v DeTable<'v>) -> Section<'r, 'v, 't> {
        Section {
            reading: self,
            name: "",
            table: Some(table),
            place: 0..0,
            known: Vec::new(),
        }
    }

    /// `settings`, unless there were faults.
    pub fn finish<T>(self, settings: T) -> Result<T, Faults> {
        let mut faults = self.faults.into_inner();
        if faults.is_empty() {
            return Ok(settings);
        }
        faults.sort_by_key(|fault| (fault.line, fault.column));
        faults.dedup();
        let file = self.file.to_owned();
        Err(Faults { file, faults })
    }

    fn note(&self, span: Range<usize>, key: &str, wrong: Wrong) {
        let Wrong { message, remedy } = wrong;
        let fault = Fault::at(self.text, span, key, message, remedy);
        self.faults.borrow_mut().push(fault);
    }
}

impl<'r, 'v, 't> Section<'r, 'v, 't> {
    /// A table inside this one. `name` is its whole name, like `edge.tls`.
    pub fn section(&mut self, name: &'static str) -> Section<'r, 'v, 't> {
        let key = name.rsplit('.').next().unwrap_or(name);
        self.known.push(key);
        let mut table = None;
        let mut place = self.place.clone();
        if let Some(value) = self.table.and_then(|table| table.get(key)) {
            place = value.span();
            match value.get_ref() {
                DeValue::Table(inner) => table = Some(inner),
                other => {
                    let message = format!("a section is wanted here, not {}", other.type_str());
                    let remedy = format!("write [{name}] on a line of its own");
                    let wrong = Wrong::new(message, remedy);
                    self.reading.note(value.span(), name, wrong);
                }
            }
        }
        Section {
            reading: self.reading,
            name,
            table,
            place,
            known: Vec::new(),
        }
    }

    /// The value of `key` as `judge` understands it, or nothing where it is absent or wrong.
    pub fn take<T>(
        &mut self,
        key: &'static str,
        judge: impl FnOnce(&DeValue<'_>) -> Judged<T>,
    ) -> Option<T> {
        self.known.push(key);
        let value = self.table?.get(key)?;
        match judge(value.get_ref()) {
            Ok(meaning) => Some(meaning),
            Err(wrong) => {
                self.reading.note(value.span(), &self.full(key), wrong);
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
        for (key, _) in table {
            let said = key.get_ref().as_ref();
            if self.known.contains(&said) {
                continue;
            }
            let wrong = Wrong::new("there is no such key", self.remedy_for(said));
            self.reading.note(key.span(), &self.full(said), wrong);
        }
    }

    fn remedy_for(&self, said: &str) -> String {
        if let Some((_, hint)) = HINTS.iter().find(|(word, _)| *word == said) {
            return (*hint).to_owned();
        }
        let nearest = self
            .known
            .iter()
            .map(|known| (strsim::jaro_winkler(said, known), known))
            .max_by(|one, two| one.0.total_cmp(&two.0));
        match nearest {
            Some((likeness, known)) if likeness > 0.7 => {
                format!("did you mean `{}`?", self.full(known))
            }
            _ => format!("known here: {}", self.known.join(", ")),
        }
    }

    fn full(&self, key: &str) -> String {
        match self.name {
            "" => key.to_owned(),
            name => format!("{name}.{key}"),
        }
    }
}
