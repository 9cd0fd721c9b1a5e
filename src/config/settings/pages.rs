//! `[pages]`: pages of the operator's in place of ours.

use std::path::PathBuf;

/// Where they are; a page that is not set is ours.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pages {
    /// Where the origin gives no good answer, or cannot be asked: 502, 503 and 504.
    pub unavailable: Option<PathBuf>,
    /// While requests are refused for maintenance, or because this server is taken out of service.
    pub maintenance: Option<PathBuf>,
    /// Pages by their status, like `404.html`.
    pub directory: Option<PathBuf>,
}
