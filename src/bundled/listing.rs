//! A directory told as a page.

use std::fmt::Write;
use std::io;
use std::path::Path;
use std::time::SystemTime;

use super::confined::Door;
use super::path::encoded;

/// More names than that are no page for a person, and a directory must not fill our memory.
const MOST: usize = 10_000;

/// The page of the directory `inside` the root, whose real path is `real`; `told` is its path as people read it. May
/// wait for a disk.
///
/// # Errors
/// It can't be read.
pub(super) fn page(door: &Door, inside: &Path, real: &Path, told: &str) -> io::Result<String> {
    let mut entries = Vec::new();
    let mut is_cut = false;
    for entry in real.read_dir()? {
        let name = entry?.file_name();
        if !door.tells(&inside.join(&name)) {
            continue;
        }
        if entries.len() == MOST {
            is_cut = true;
            break;
        }
        // Through links, as it would be served.
        let Ok(metadata) = real.join(&name).metadata() else {
            continue;
        };
        entries.push((!metadata.is_dir(), name, metadata));
    }
    entries.sort_by(|one, two| (one.0, &one.1).cmp(&(two.0, &two.1)));
    let mut rows = String::new();
    if !inside.as_os_str().is_empty() {
        rows.push_str("<tr><td><a href=\"../\">../</a><td><td>\n");
    }
    for (is_file, name, metadata) in entries {
        let slash = if is_file { "" } else { "/" };
        let link = encoded(name.as_encoded_bytes());
        let name = escaped(&name.to_string_lossy());
        let size = match is_file {
            true => metadata.len().to_string(),
            false => String::new(),
        };
        let changed = metadata.modified().map(date).unwrap_or_default();
        let _ = writeln!(
            rows,
            "<tr><td><a href=\"./{link}{slash}\">{name}{slash}</a><td class=\"n\">{size}<td>{changed}"
        );
    }
    let cut = if is_cut { "<p>There are more." } else { "" };
    let told = escaped(told);
    Ok(format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><meta name=\"color-scheme\" content=\"light dark\">\
         <title>{told}</title><style>body{{font:1rem/1.5 system-ui,sans-serif;margin:2rem}}\
         th,td{{text-align:left;padding:0 1rem 0 0}}.n{{text-align:right}}</style></head>\n\
         <body><h1>{told}</h1><table><thead><tr><th>Name<th class=\"n\">Bytes<th>Changed</thead><tbody>\n\
         {rows}</tbody></table>{cut}</body></html>\n"
    ))
}

fn date(time: SystemTime) -> String {
    let time = time.max(SystemTime::UNIX_EPOCH);
    httpdate::fmt_http_date(time)
}

/// A text within a page: names are whatever their makers chose.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            '"' => safe.push_str("&quot;"),
            letter if letter.is_control() => safe.push('\u{fffd}'),
            letter => safe.push(letter),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundled::options::{Hidden, Links};

    #[test]
    fn names_cannot_write_the_page_and_what_is_not_served_is_not_told() {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().canonicalize().unwrap();
        for name in ["b", "<script>", ".secret", "a b?#%"] {
            std::fs::write(root.join(name), "12345").unwrap();
        }
        std::fs::create_dir(root.join("z")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", root.join("out")).unwrap();
        let door = Door::to(root.clone(), Links::Inside, Hidden::Refused, None).unwrap();
        let page = page(&door, Path::new(""), &root, "/<x>").unwrap();
        assert!(
            page.contains("href=\"./%3Cscript%3E\">&lt;script&gt;<"),
            "{page}"
        );
        assert!(page.contains("href=\"./a%20b%3F%23%25\">"), "{page}");
        assert!(page.contains("<h1>/&lt;x&gt;</h1>"), "{page}");
        assert!(!page.contains("secret") && !page.contains("out"), "{page}");
        // Directories first.
        assert!(page.find("z/").unwrap() < page.find("./b").unwrap());
    }
}
