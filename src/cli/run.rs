//! `leeward run`: the main job.

use std::path::PathBuf;

use super::{BAD_CONFIG, FAILED, FINE, log};
use crate::app;
use crate::config::{self, Settings};
use crate::ground::ledger::Ledger;

/// Runs until a signal ends it.
pub fn run(file: Option<PathBuf>) -> u8 {
    let settings = match &file {
        None => Settings::default(),
        Some(file) => match config::load(file) {
            Ok(settings) => settings,
            Err(error) => {
                eprintln!("{error}");
                return BAD_CONFIG;
            }
        },
    };
    let ledger = Ledger::default();
    let (_log, level) = log::begin(&settings.log, ledger.open_aside());
    let set_level = Box::new(move |log: &_| level.take(log));
    match app::run(settings, file, ledger, set_level) {
        Ok(()) => FINE,
        Err(error) => {
            eprintln!("leeward: {error}");
            match error {
                app::AppError::Tls(_) | app::AppError::Pages(_) => BAD_CONFIG,
                app::AppError::Bind(_)
                | app::AppError::Door { .. }
                | app::AppError::Passed { .. }
                | app::AppError::System { .. }
                | app::AppError::Unwatched => FAILED,
            }
        }
    }
}
