//! The terminal as a place to write to: whether it takes colours, how large it is, and a screen of its own.

use std::io::{self, IsTerminal, Write};

use rustix::termios::tcgetwinsize;
use tokio::signal::unix::{SignalKind, signal};

use crate::ground::ink::Ink;

/// Whether what is printed may be coloured: on a terminal that is not dumb, unless NO_COLOR asks for none
/// (<https://no-color.org>).
pub fn ink() -> Ink {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    match io::stdout().is_terminal() && !is_set("NO_COLOR") && !is_dumb {
        true => Ink::Coloured,
        false => Ink::Plain,
    }
}

/// Returns when somebody has seen enough: at Ctrl-C, or a request to end.
pub async fn enough() {
    let (Ok(mut interrupt), Ok(mut terminate)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) else {
        return;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

/// The second screen of a terminal, left again on `Drop`: what stood on the first is there then.
pub struct Screen(());

/// What a terminal has that does not tell.
const USUAL: (usize, usize) = (24, 80);

impl Screen {
    /// Goes to it.
    ///
    /// # Errors
    /// Where standard output is no terminal.
    pub fn open() -> io::Result<Self> {
        if !io::stdout().is_terminal() {
            return Err(io::Error::other("standard output is none"));
        }
        // The second screen, without a cursor.
        write!(io::stdout(), "\x1b[?1049h\x1b[?25l")?;
        Ok(Self(()))
    }

    /// Shows as much of `text` as there is room for.
    ///
    /// # Errors
    /// What the system said: the terminal is gone.
    pub fn show(&mut self, text: &str) -> io::Result<()> {
        let (rows, columns) = match tcgetwinsize(io::stdout()) {
            Ok(size) if size.ws_row > 0 && size.ws_col > 0 => {
                (size.ws_row.into(), size.ws_col.into())
            }
            _ => USUAL,
        };
        let mut shown = String::from("\x1b[H");
        for line in text.lines().take(rows) {
            // Each line is cleared to its end before the next one: nothing flickers.
            shown.push_str(&fitted(line, columns));
            shown.push_str("\x1b[K\r\n");
        }
        shown.truncate(shown.trim_end_matches("\r\n").len());
        shown.push_str("\x1b[J");
        let mut out = io::stdout();
        out.write_all(shown.as_bytes())?;
        out.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = write!(io::stdout(), "\x1b[?25h\x1b[?1049l");
        let _ = io::stdout().flush();
    }
}

/// A line cut to so many columns; colours take none.
fn fitted(line: &str, columns: usize) -> String {
    let mut fitted = String::new();
    let mut taken = 0;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        if letter == '\u{1b}' {
            fitted.push(letter);
            fitted.extend(letters.by_ref().take_while(|letter| *letter != 'm'));
            fitted.push('m');
        } else if taken < columns {
            fitted.push(letter);
            taken += 1;
        }
    }
    fitted
}

#[cfg(test)]
mod tests {
    use super::fitted;

    #[test]
    fn a_line_is_cut_and_its_colours_are_not() {
        assert_eq!(
            fitted("\u{1b}[1;31mHUNG\u{1b}[0m for 2 s", 6),
            "\u{1b}[1;31mHUNG\u{1b}[0m f"
        );
        assert_eq!(fitted("été", 2), "ét");
    }
}
