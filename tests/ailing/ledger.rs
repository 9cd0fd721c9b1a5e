//! The ledger: one line for each request that was processed, so that a test can count how often one was.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use crate::request::Request;

/// An append-only file that survives the generations of the origin, or nothing at all.
#[derive(Clone)]
pub struct Ledger(Option<Arc<File>>);

impl Ledger {
    /// Opens the file, if one was asked for.
    pub fn open(path: Option<&Path>) -> io::Result<Ledger> {
        let open = |path| OpenOptions::new().create(true).append(true).open(path);
        Ok(Ledger(path.map(open).transpose()?.map(Arc::new)))
    }

    /// Appends `METHOD TARGET BODY-LENGTH` in a single write: the line is there whole or not at all, even after a KILL.
    pub fn note(&self, request: &Request) -> io::Result<()> {
        let Some(file) = &self.0 else { return Ok(()) };
        let line = format!(
            "{} {} {}\n",
            request.method,
            request.target,
            request.body.len()
        );
        (&**file).write_all(line.as_bytes())
    }
}
