//! The keys of `[origin.bundled]`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeValue;

use crate::config::raw::Section;
use crate::config::settings::{Bundled, Links};
use crate::config::value::{self, Judged, Wrong, count, path};

/// What is only for files, and what is only for scripts.
const OF_ROOT: [&str; 5] = ["listing", "links", "hidden", "not_found", "cache"];
const OF_CGI: [&str; 3] = ["cgi_path", "cgi_timeout", "cgi_at_once"];

/// `[origin.bundled]`; `None` where it is not there.
pub fn bundled(mut section: Section<'_, '_, '_>) -> Option<Bundled> {
    let mut it = Bundled::default();
    let links = [Links::Off, Links::Inside, Links::Anywhere].map(|links| (links.word(), links));
    section.set("root", &mut it.root, |v| directory(v, "/srv/www"));
    section.set("listing", &mut it.listing, value::switch);
    section.set("links", &mut it.links, |v| value::word(v, &links));
    section.set("hidden", &mut it.hidden, value::switch);
    section.set("not_found", &mut it.not_found, |v| {
        site_path(v, "/errors/404.html").map(Some)
    });
    section.set("cache", &mut it.cache, cache);
    section.set("cgi", &mut it.cgi, |v| directory(v, "/srv/cgi-bin"));
    section.set("cgi_path", &mut it.cgi_path, |v| site_path(v, "/cgi-bin"));
    section.set("cgi_timeout", &mut it.cgi_timeout, |v| {
        let (least, most) = value::SCRIPT_TIME;
        value::duration(v, least, most)
    });
    section.set("cgi_at_once", &mut it.cgi_at_once, count(1, 1000));
    for (home, keys) in [("root", &OF_ROOT[..]), ("cgi", &OF_CGI[..])] {
        let lonely = keys.iter().find(|key| section.says(key));
        if let Some(key) = lonely
            && !section.says(home)
            && !section.has_faults()
        {
            let message = format!("`{key}` without `{home}`, which it is for");
            let remedy = format!("add `{home}`, or take `{key}` out");
            section.complain(home, Wrong::new(message, remedy));
        }
    }
    if let (Some(root), Some(cgi)) = (&it.root, &it.cgi)
        && root.starts_with(cgi)
    {
        let message = format!("{} is within the directory of scripts", root.display());
        let remedy = "keep the scripts below the root, or beside it";
        section.complain("root", Wrong::new(message, remedy));
    }
    let is_present = section.is_present();
    section.finish();
    is_present.then_some(it)
}

/// A whole path: nobody knows where a relative one would begin for who writes it.
fn directory(value: &DeValue<'_>, example: &str) -> Judged<Option<PathBuf>> {
    let directory = path(example)(value)?;
    match directory.is_absolute() {
        true => Ok(Some(directory)),
        false => Err(Wrong::new(
            format!("`{}` is no whole path", directory.display()),
            format!("write it like \"{example}\""),
        )),
    }
}

/// A path of the site: from its slash on, and only down.
fn site_path(value: &DeValue<'_>, example: &str) -> Judged<String> {
    let remedy = format!("write it like \"{example}\"");
    let text = value::text(value, &remedy)?;
    let is_down = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(['%', '?', '#']);
    match text
        .strip_prefix('/')
        .is_some_and(|below| below.split('/').all(is_down))
    {
        true => Ok(text),
        false => Err(Wrong::new(
            format!("`{text}` is no path of a file on the site"),
            remedy,
        )),
    }
}

fn cache(value: &DeValue<'_>) -> Judged<BTreeMap<String, Duration>> {
    let Some(table) = value.as_table() else {
        let remedy = "write it like { \"/assets/*\" = \"365d\" }";
        return Err(Wrong::kind(value, "a table of texts", remedy));
    };
    let rule = |(pattern, age): (&toml::Spanned<_>, &toml::Spanned<DeValue<'_>>)| {
        let pattern: &std::borrow::Cow<'_, str> = pattern.get_ref();
        let (least, most) = value::KEPT;
        let age = value::part(age, |v| value::duration(v, least, most))?;
        Ok((value::kept_pattern(pattern)?, age))
    };
    table.iter().map(rule).collect()
}
