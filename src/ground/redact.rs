//! Masks what looks like a secret in words that are not ours: an origin's output, a command's arguments. Pure.
//!
//! It knows secrets by their names (`password=`, `Authorization:`, `--token`), so one without a name stays.

/// What stands in a secret's place.
pub const MASK: &str = "***";

/// How the names of secrets end, in lower case, without `-`, `_` and `.`.
const SECRETS: [&str; 19] = [
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "secretkey",
    "token",
    "apikey",
    "accesskey",
    "privatekey",
    "authkey",
    "credential",
    "credentials",
    "sessionid",
    "sessid",
    "signature",
    "otp",
    "jwt",
    "csrf",
];

/// Fields of a head whose whole line is a secret.
const FIELDS: [&str; 4] = ["authorization", "proxyauthorization", "cookie", "setcookie"];

/// A line of text with its secrets masked. At a hundred bytes it takes a microsecond or so.
pub fn line(text: &str) -> String {
    let mut told = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(secret) = first(rest) {
        told.push_str(&rest[..secret.start]);
        told.push_str(MASK);
        rest = &rest[secret.end..];
    }
    told.push_str(rest);
    told
}

/// A command's words with the values of secret options masked: `--password=x`, `--token x`, and as in a [`line()`].
pub fn words<'w>(words: impl IntoIterator<Item = &'w str>) -> Vec<String> {
    let mut is_value = false;
    let mut mask = |word: &str| {
        let was_value = std::mem::take(&mut is_value);
        if was_value && !word.starts_with('-') {
            return MASK.to_owned();
        }
        let Some(option) = word.strip_prefix('-') else {
            return line(word);
        };
        match option.split_once('=') {
            Some((name, _)) if is_secret(name) => format!("-{name}={MASK}"),
            Some(_) => line(word),
            None => {
                is_value = is_secret(option);
                line(word)
            }
        }
    };
    words.into_iter().map(&mut mask).collect()
}

/// Where a secret is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    start: usize,
    end: usize,
}

/// The first secret in `text`; never an empty one.
fn first(text: &str) -> Option<Span> {
    for (at, byte) in text.bytes().enumerate() {
        let found = match byte {
            b'=' => named(text, at),
            b':' if text[at..].starts_with("://") => of_user(text, at + 3),
            b':' => named(text, at),
            b' ' => after_scheme(text, at).or_else(|| after_option(text, at)),
            _ => None,
        };
        if found.is_some_and(|span| span.start < span.end) && !is_masked(text, found) {
            return found;
        }
    }
    None
}

/// The value behind a separator at `at`, if its name is that of a secret.
fn named(text: &str, at: usize) -> Option<Span> {
    let before = text[..at].trim_end_matches([' ', '"', '\'', '\\']);
    let name = last_name(before);
    let rest = &text[at + 1..];
    let spaces = rest.len() - rest.trim_start_matches([' ', '>']).len();
    let start = at + 1 + spaces;
    match normal(name).as_str() {
        name if FIELDS.contains(&name) => Some(value(text, start, |_| false)),
        name if ends_secret(name) => Some(value(text, start, is_end)),
        _ => None,
    }
}

/// The password in `//user:password@host`.
fn of_user(text: &str, start: usize) -> Option<Span> {
    let ends = |letter: char| letter.is_whitespace() || matches!(letter, '/' | '"' | '\'');
    let authority = text[start..].split(ends).next()?;
    let user = &authority[..authority.rfind('@')?];
    let colon = user.find(':')?;
    Some(Span {
        start: start + colon + 1,
        end: start + user.len(),
    })
}

/// The word after `Bearer`.
fn after_scheme(text: &str, at: usize) -> Option<Span> {
    let is_bearer = last_name(&text[..at]).eq_ignore_ascii_case("bearer");
    is_bearer.then(|| value(text, at + 1, is_end))
}

/// The word after `--token`.
fn after_option(text: &str, at: usize) -> Option<Span> {
    let word = text[..at].rsplit(' ').next()?;
    let is_option = word.starts_with('-') && is_secret(word);
    let next_is_option = text[at + 1..].starts_with('-');
    (is_option && !next_is_option).then(|| value(text, at + 1, is_end))
}

/// From `start` to the quote that closes, or to the first letter that `ends` it.
fn value(text: &str, start: usize, ends: fn(char) -> bool) -> Span {
    let rest = &text[start..];
    // A quote within a quoted text is told with a backslash before it.
    let bare = rest.strip_prefix('\\').unwrap_or(rest);
    let quote = bare.chars().next().filter(|it| matches!(it, '"' | '\''));
    match quote {
        Some(quote) => {
            let start = start + rest.len() - bare.len() + 1;
            let inside = &text[start..];
            let length = inside.find(quote).unwrap_or(inside.len());
            let inside = &inside[..length];
            let end = start + inside.strip_suffix('\\').unwrap_or(inside).len();
            Span { start, end }
        }
        None => {
            let length = rest.find(ends).unwrap_or(rest.len());
            let end = start + length;
            Span { start, end }
        }
    }
}

fn is_end(letter: char) -> bool {
    letter.is_whitespace() || matches!(letter, '&' | ';' | ',' | '"' | '\'' | ')' | ']' | '}' | '<')
}

/// Whether it was masked already: a mask is no secret.
fn is_masked(text: &str, found: Option<Span>) -> bool {
    found.is_some_and(|span| text[span.start..span.end].starts_with(MASK))
}

fn last_name(text: &str) -> &str {
    let is_part =
        |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
    let start = text
        .char_indices()
        .rev()
        .take_while(|(_, letter)| is_part(*letter))
        .last();
    start.map_or("", |(start, _)| &text[start..])
}

fn is_secret(name: &str) -> bool {
    ends_secret(&normal(name))
}

fn ends_secret(normal: &str) -> bool {
    SECRETS.iter().any(|secret| normal.ends_with(secret))
}

fn normal(name: &str) -> String {
    let letters = name.chars().filter(char::is_ascii_alphanumeric);
    letters.map(|letter| letter.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_with_a_name_is_masked_in_a_line() {
        for (said, told) in [
            ("Authorization: Basic dXNlcjpwYXNz", "Authorization: ***"),
            (
                "> proxy-authorization: x y\\r\\nHost: a",
                "> proxy-authorization: ***",
            ),
            ("Cookie: a=1; b=2", "Cookie: ***"),
            ("got Set-Cookie=sid=7; Path=/", "got Set-Cookie=***"),
            (
                "{'Authorization': 'Bearer x y', 'n': 1}",
                "{'Authorization': '***', 'n': 1}",
            ),
            (
                r#"{"password": "p w", "n": 1}"#,
                r#"{"password": "***", "n": 1}"#,
            ),
            (
                r#"{\"password\":\"x\",\"n\":1}"#,
                r#"{\"password\":\"***\",\"n\":1}"#,
            ),
            ("password=hunter2 user=me", "password=*** user=me"),
            ("DB_PASSWORD = hunter2", "DB_PASSWORD = ***"),
            ("userPassword: hunter2, x", "userPassword: ***, x"),
            (
                "GET /a?user=me&token=abc&n=1 200",
                "GET /a?user=me&token=***&n=1 200",
            ),
            ("x-api-key: abc", "x-api-key: ***"),
            ("sent Bearer eyJhbGciOi.x.y to b", "sent Bearer *** to b"),
            ("run --token abc --n 1", "run --token *** --n 1"),
            ("postgres://me:hunter2@db/x", "postgres://me:***@db/x"),
            ("password=a password=b", "password=*** password=***"),
            ("PHPSESSID=ä; x", "PHPSESSID=***; x"),
            ("password=\"never closed", "password=\"***"),
        ] {
            assert_eq!(line(said), told);
            assert_eq!(line(told), told, "masking twice changes nothing");
        }
    }

    #[test]
    fn what_is_no_secret_stays() {
        for said in [
            "",
            "listening on 127.0.0.1:8080",
            "GET /passwords 200",
            "a=b c: d https://example.org/x?y=z",
            "12:30:01 é: token",
            "password=",
            "--no-password --token",
            "mail to me:you@example.org",
        ] {
            assert_eq!(line(said), said);
        }
    }

    #[test]
    fn the_value_of_a_secret_option_is_masked_whole() {
        let said = [
            "app",
            "--password=two words",
            "--token",
            "abc",
            "--secret",
            "--port=80",
            "-H",
            "Authorization: Basic x",
            "PASSWORD=x",
            "file",
        ];
        let told = [
            "app",
            "--password=***",
            "--token",
            "***",
            "--secret",
            "--port=80",
            "-H",
            "Authorization: ***",
            "PASSWORD=***",
            "file",
        ];
        assert_eq!(words(said), told);
    }
}
