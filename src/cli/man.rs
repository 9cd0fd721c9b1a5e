//! `leeward man`: the manual pages, made from the definitions of the command line,
//! and of what no definition says: `man.roff`.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use clap::CommandFactory;
use clap_mangen::Man;

use super::{FAILED, FINE, Line};

/// What follows on the page of the program: the first steps, and where things are.
const MORE: &str = include_str!("man.roff");

/// Prints the page of the program, or writes the pages of all commands into a directory.
pub fn man(directory: Option<&Path>) -> u8 {
    let done = match directory {
        None => page(&Line::command()).map(|page| {
            // A reader that has read enough is no failure.
            let _ = io::stdout().write_all(&page);
        }),
        Some(directory) => all(directory),
    };
    match done {
        Ok(()) => FINE,
        Err(error) => {
            let place = directory.map_or_else(String::new, |it| format!("{}: ", it.display()));
            eprintln!("leeward man: {place}{error}");
            FAILED
        }
    }
}

fn page(command: &clap::Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(command.clone()).render(&mut page)?;
    page.extend_from_slice(MORE.as_bytes());
    Ok(page)
}

fn all(directory: &Path) -> io::Result<()> {
    let line = Line::command().disable_help_subcommand(true);
    clap_mangen::generate_to(line.clone(), directory)?;
    fs::write(directory.join("leeward.1"), page(&line)?)
}
