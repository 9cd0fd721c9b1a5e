//! From the text of a configuration to settings that hold, or to every fault in it at once.
//!
//! [`pages`] reads the pages that a file names. [`raw`] walks the TOML and knows places; [`read`] names the keys; [`settings`] says what is so, and
//! [`proof`] what follows from that.

pub mod change;
mod effective;
pub mod fault;
pub mod fixed;
mod obstacle;
pub mod pages;
pub mod proof;
mod raw;
mod read;
pub mod settings;
pub mod value;

pub use effective::effective;
pub use fault::{Fault, Faults};
pub use obstacle::{obstacle, obstacles};
pub use settings::Settings;

use std::path::Path;

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file itself cannot be read.
    #[error("{path}: cannot read the configuration: {cause}; name a readable text file")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system said.
        cause: std::io::Error,
    },
    /// It can be read, and this is what is wrong in it.
    #[error(transparent)]
    Faulty(#[from] Faults),
}

/// Reads and judges the configuration in a file.
///
/// # Errors
/// [`ConfigError`], with all faults at once.
pub fn load(path: &Path) -> Result<Settings, ConfigError> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|cause| ConfigError::Unreadable {
        path: name.clone(),
        cause,
    })?;
    Ok(parse(&name, &text)?)
}

/// Judges a configuration's text; `name` is what its faults call it.
///
/// # Errors
/// [`Faults`]: all of them, in the order of their places.
pub fn parse(name: &str, text: &str) -> Result<Settings, Faults> {
    read::settings(name, text)
}
