//! With what text is written for a terminal.

/// With colours or without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ink {
    /// As text alone, so that it can be piped.
    Plain,
    /// With the colours of a terminal (ECMA-48, 8.3.117), never colours alone.
    Coloured,
}

/// What a piece of text is to a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// To be read first.
    Bold,
    /// Beside the point.
    Faint,
    /// On its way to being so.
    Passing,
    /// As it should be.
    Good,
    /// To be looked at.
    Doubtful,
    /// Not as it should be.
    Bad,
}

impl Ink {
    /// `text` in that tone.
    pub fn tell(self, tone: Tone, text: &str) -> String {
        let (begin, end) = self.around(tone);
        format!("{begin}{text}{end}")
    }

    /// What stands before such text, and what behind it; nothing without colours.
    pub fn around(self, tone: Tone) -> (&'static str, &'static str) {
        match self {
            Self::Plain => ("", ""),
            Self::Coloured => (tone.begins(), "\x1b[0m"),
        }
    }
}

impl Tone {
    fn begins(self) -> &'static str {
        match self {
            Self::Bold => "\x1b[1m",
            Self::Faint => "\x1b[2m",
            Self::Passing => "\x1b[1;34m",
            Self::Good => "\x1b[1;32m",
            Self::Doubtful => "\x1b[1;33m",
            Self::Bad => "\x1b[1;31m",
        }
    }
}
