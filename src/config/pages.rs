//! The operator's own pages, read once, so that none is missing when it is needed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::settings;

/// A page, to be served as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Its `Content-Type`.
    pub kind: &'static str,
    /// Its text.
    pub text: Bytes,
}

/// All pages of the operator's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pages {
    unavailable: Option<Page>,
    maintenance: Option<Page>,
    by_status: BTreeMap<u16, Page>,
}

/// What is wrong with pages, each with its key; always all at once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct PageFaults(pub Vec<String>);

/// Bytes of one page. It must bring its pictures with it, and all pages stay in memory.
const LARGEST: u64 = 256 << 10;
/// The statuses of answers that are ours.
const STATUSES: [u16; 10] = [400, 408, 413, 414, 417, 431, 501, 502, 503, 504];

/// Reads every page that the settings name.
///
/// # Errors
/// [`PageFaults`]: a page that is missing, too large, neither HTML nor text, or of a status that is never ours.
pub fn read(settings: &settings::Pages) -> Result<Pages, PageFaults> {
    let mut faults = Vec::new();
    let mut one = |key: &str, path: &Option<PathBuf>| {
        let path = path.as_ref()?;
        page(path)
            .map_err(|why| faults.push(told(key, path, &why)))
            .ok()
    };
    let unavailable = one("pages.unavailable", &settings.unavailable);
    let maintenance = one("pages.maintenance", &settings.maintenance);
    let by_status = match &settings.directory {
        Some(directory) => all(directory, &mut faults),
        None => BTreeMap::new(),
    };
    match faults.is_empty() {
        true => Ok(Pages {
            unavailable,
            maintenance,
            by_status,
        }),
        false => Err(PageFaults(faults)),
    }
}

impl Pages {
    /// The page for an answer of ours with this status, if there is one; `is_closed` while requests are refused because
    /// an operator wants it so.
    pub fn of(&self, status: u16, is_closed: bool) -> Option<&Page> {
        let closed = self.maintenance.as_ref().filter(|_| is_closed);
        let general = || {
            let is_general = matches!(status, 502..=504);
            self.unavailable.as_ref().filter(|_| is_general)
        };
        closed
            .or_else(|| self.by_status.get(&status))
            .or_else(general)
    }
}

/// Every page of a directory: `STATUS.html` or `STATUS.txt`. Other names, such as a README, are left alone.
fn all(directory: &Path, faults: &mut Vec<String>) -> BTreeMap<u16, Page> {
    const KEY: &str = "pages.directory";
    let mut pages = BTreeMap::new();
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) => {
            faults.push(told(KEY, directory, &unreadable(&error)));
            return pages;
        }
    };
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|file| named(file).is_some());
    files.sort();
    if files.is_empty() {
        let why = "there is no page in it; name them by their status, like 503.html";
        faults.push(told(KEY, directory, why));
    }
    for file in files {
        let Some(status) = named(&file) else {
            continue;
        };
        let page = match (STATUSES.contains(&status), pages.contains_key(&status)) {
            (false, _) => Err(format!(
                "Leeward never answers {status} by itself; its own are {STATUSES:?}"
            )),
            (true, true) => Err(format!("there is another page for {status}; keep one")),
            (true, false) => page(&file),
        };
        match page {
            Ok(page) => drop(pages.insert(status, page)),
            Err(why) => faults.push(told(KEY, &file, &why)),
        }
    }
    pages
}

/// The status a file is named for: three digits, and an ending that pages have.
fn named(file: &Path) -> Option<u16> {
    let stem = file.file_stem()?.to_str()?;
    let is_status = stem.len() == 3 && stem.bytes().all(|byte| byte.is_ascii_digit());
    stem.parse().ok().filter(|_| is_status)
}

fn page(path: &Path) -> Result<Page, String> {
    let ending = path.extension().and_then(|ending| ending.to_str());
    let kind = match ending {
        Some("html" | "htm") => "text/html; charset=utf-8",
        Some("txt") => "text/plain; charset=utf-8",
        _ => return Err("is neither .html nor .txt; clients that want JSON get it anyhow".into()),
    };
    // Not opened unless it is a file: a pipe would never end.
    let what = path.metadata().map_err(|error| unreadable(&error))?;
    if !what.is_file() {
        return Err("is no file; name a page like \"/etc/leeward/sorry.html\"".to_owned());
    }
    let mut text = Vec::new();
    File::open(path)
        .and_then(|file| file.take(LARGEST + 1).read_to_end(&mut text))
        .map_err(|error| unreadable(&error))?;
    match &text {
        text if text.len() as u64 > LARGEST => {
            let most = super::value::told(LARGEST);
            Err(format!(
                "is larger than {most}; it stays in memory, so make it smaller"
            ))
        }
        text if text.is_empty() => Err("is empty; write a page, or take the key out".to_owned()),
        text if std::str::from_utf8(text).is_err() => {
            Err("is not UTF-8; save it in that encoding".to_owned())
        }
        _ => Ok(Page {
            kind,
            text: text.into(),
        }),
    }
}

fn unreadable(error: &io::Error) -> String {
    format!("cannot be read: {error}; name one that Leeward's user may read")
}

fn told(key: &str, path: &Path, why: &str) -> String {
    format!("{key}: {} {why}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(text: &str) -> Option<Page> {
        Some(Page {
            kind: "text/plain; charset=utf-8",
            text: Bytes::copy_from_slice(text.as_bytes()),
        })
    }

    #[test]
    fn the_most_special_page_wins() {
        let mut pages = Pages::default();
        assert_eq!(pages.of(503, true), None);
        pages.unavailable = page("sorry");
        for (status, has) in [(400, false), (502, true), (503, true), (504, true)] {
            assert_eq!(pages.of(status, false).is_some(), has, "{status}");
        }
        pages.by_status.extend(page("busy").map(|page| (503, page)));
        assert_eq!(pages.of(503, true), page("busy").as_ref());
        pages.maintenance = page("works");
        assert_eq!(pages.of(503, true), page("works").as_ref());
        assert_eq!(pages.of(503, false), page("busy").as_ref());
        assert_eq!(pages.of(502, false), page("sorry").as_ref());
    }

    #[test]
    fn every_fault_of_every_page_is_told_with_its_key() {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(name);
        let write = |name: &str, text: &[u8]| std::fs::write(at(name), text).unwrap();
        write("large.html", &vec![b' '; LARGEST as usize + 1]);
        write("picture.png", b"x");
        std::fs::create_dir(at("pages")).unwrap();
        write("pages/200.html", b"x");
        write("pages/502.html", b"");
        write("pages/503.html", b"\xff");
        write("pages/README", b"left alone");
        let settings = settings::Pages {
            unavailable: Some(at("large.html")),
            maintenance: Some(at("picture.png")),
            directory: Some(at("pages")),
        };
        let told = read(&settings).unwrap_err().to_string();
        let lines: Vec<_> = told.lines().collect();
        for (line, part) in lines.iter().zip([
            "pages.unavailable: ",
            "pages.maintenance: ",
            "never answers 200",
            "is empty",
            "is not UTF-8",
        ]) {
            assert!(line.contains(part), "{part}: {line}");
        }
        assert_eq!(lines.len(), 5, "{told}");
    }

    #[test]
    fn pages_are_read_by_their_status() {
        let home = tempfile::tempdir().unwrap();
        let directory = Some(home.path().to_owned());
        let settings = settings::Pages {
            directory,
            ..settings::Pages::default()
        };
        assert!(read(&settings).unwrap_err().to_string().contains("no page"));
        std::fs::write(home.path().join("503.html"), "<p>soon").unwrap();
        let pages = read(&settings).unwrap();
        assert_eq!(pages.of(503, false).unwrap().text, "<p>soon");
        assert_eq!(pages.of(502, false), None);
    }
}
