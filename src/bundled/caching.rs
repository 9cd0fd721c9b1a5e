//! How long clients may keep what: patterns of paths, each with its age. Pure.

use std::time::Duration;

/// A rule: what matches this pattern may be kept for so long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keep {
    /// A path from its slash on, decoded, in which each `*` stands for any letters, slashes too.
    pub pattern: String,
    /// Zero: it is kept, and asked for anew each time.
    pub age: Duration,
}

/// What `Cache-Control` says of `path`: by the longest pattern that matches, nothing where none does.
pub(super) fn control(rules: &[Keep], path: &[u8]) -> Option<String> {
    let fits = |rule: &&Keep| matches(rule.pattern.as_bytes(), path);
    let rule = rules
        .iter()
        .filter(fits)
        .max_by_key(|rule| rule.pattern.len())?;
    Some(match rule.age.as_secs() {
        0 => "no-cache".to_owned(),
        seconds => format!("max-age={seconds}"),
    })
}

/// In time that grows with the product of both lengths at the most: on a mismatch only the last star is tried again.
fn matches(pattern: &[u8], path: &[u8]) -> bool {
    let (mut at, mut seen) = (0, 0);
    let mut star = None;
    while seen < path.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, seen));
                at += 1;
            }
            Some(letter) if *letter == path[seen] => {
                at += 1;
                seen += 1;
            }
            _ => {
                let Some((behind, from)) = star else {
                    return false;
                };
                star = Some((behind, from + 1));
                at = behind + 1;
                seen = from + 1;
            }
        }
    }
    pattern[at..].iter().all(|letter| *letter == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_letters() {
        for (pattern, path, is_match) in [
            ("/a", "/a", true),
            ("/a", "/ab", false),
            ("/assets/*", "/assets/b/c.css", true),
            ("/assets/*", "/asset", false),
            ("*.css", "/a/b.css", true),
            ("*.css", "/a/b.css.map", false),
            ("/*/x*z", "/a/b/xyz", true),
            ("*", "", true),
            ("", "/", false),
        ] {
            assert_eq!(
                matches(pattern.as_bytes(), path.as_bytes()),
                is_match,
                "{pattern} {path}"
            );
        }
    }

    #[test]
    fn the_longest_pattern_decides() {
        let rule = |pattern: &str, age| Keep {
            pattern: pattern.to_owned(),
            age: Duration::from_secs(age),
        };
        let rules = [
            rule("*", 60),
            rule("/assets/*", 31_536_000),
            rule("*.html", 0),
        ];
        let told = |path: &[u8]| control(&rules, path);
        assert_eq!(told(b"/assets/a.js").as_deref(), Some("max-age=31536000"));
        assert_eq!(told(b"/index.html").as_deref(), Some("no-cache"));
        assert_eq!(told(b"/a.png").as_deref(), Some("max-age=60"));
        assert_eq!(control(&rules[1..], b"/a.png"), None);
    }
}
