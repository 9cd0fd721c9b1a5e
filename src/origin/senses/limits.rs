//! By what a silence is judged.

use crate::config::settings::Settings;
use crate::origin::verdict::Limits;

/// How long silence lasts before it is a hang.
pub fn limits(settings: &Settings) -> Limits {
    Limits {
        certain: settings.hang.certain,
        silent: settings.hang.silent,
        startup: settings.restart.startup,
        processors: std::thread::available_parallelism().map_or(1.0, |it| it.get() as f64),
    }
}
