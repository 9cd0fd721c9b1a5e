//! One value of the TOML at a time: from what was said to what was meant, or why not.

use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use crate::config::settings::Pace;

/// What is wrong with a value, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub remedy: String,
    /// Where in the file, when it is only a part of the value.
    pub part: Option<Range<usize>>,
}

/// How long a script may take.
pub const SCRIPT_TIME: (Duration, Duration) =
    (Duration::from_millis(100), Duration::from_secs(3600));
/// How long a client may keep a file.
pub const KEPT: (Duration, Duration) = (Duration::ZERO, Duration::from_secs(3650 * 86_400));

/// A value, or what is wrong with it.
pub type Judged<T> = Result<T, Wrong>;

impl Wrong {
    /// A complaint with its remedy.
    pub fn new(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            remedy: remedy.into(),
            part: None,
        }
    }

    /// A value of another kind than the one wanted.
    pub fn kind(value: &DeValue<'_>, wanted: &str, remedy: impl Into<String>) -> Self {
        let found = match value.type_str() {
            "string" => "a text",
            "integer" => "an integer",
            "float" => "a float",
            "boolean" => "a boolean",
            "datetime" => "a date",
            "array" => "a list",
            _ => "a table",
        };
        Self::new(format!("{wanted} is wanted here, not {found}"), remedy)
    }
}

/// A part of a value; what is wrong with it is shown in its own place.
pub fn part<T>(
    value: &Spanned<DeValue<'_>>,
    judge: impl FnOnce(&DeValue<'_>) -> Judged<T>,
) -> Judged<T> {
    judge(value.get_ref()).map_err(|wrong| Wrong {
        part: Some(wrong.part.unwrap_or(value.span())),
        ..wrong
    })
}

/// A text; `remedy` is for those who wrote something else.
pub fn text(value: &DeValue<'_>, remedy: &str) -> Judged<String> {
    match value.as_str() {
        Some(text) => Ok(text.to_owned()),
        None => Err(Wrong::kind(value, "a text", remedy)),
    }
}

/// `true` or `false`.
pub fn switch(value: &DeValue<'_>) -> Judged<bool> {
    value
        .as_bool()
        .ok_or_else(|| Wrong::kind(value, "true or false", "write it without quotes"))
}

/// A whole number within bounds.
pub fn number(value: &DeValue<'_>, least: u64, most: u64) -> Judged<u64> {
    let Some(number) = value.as_integer() else {
        let remedy = format!("write one from {least} to {most}, without quotes");
        return Err(Wrong::kind(value, "a whole number", remedy));
    };
    let digits = number.as_str().replace('_', "");
    let told = match u64::from_str_radix(&digits, number.radix()) {
        Ok(found) if (least..=most).contains(&found) => return Ok(found),
        Ok(found) => found.to_string(),
        Err(_) => number.to_string(),
    };
    Err(Wrong::new(
        format!("{told} is out of range"),
        format!("choose one from {least} to {most}"),
    ))
}

/// A duration like `"1.5s"`, within bounds.
pub fn duration(value: &DeValue<'_>, least: Duration, most: Duration) -> Judged<Duration> {
    let Some(text) = value.as_str() else {
        return Err(Wrong::kind(
            value,
            "a duration",
            "write a number and a unit in quotes, like \"10s\" or \"500ms\"",
        ));
    };
    length(text, least, most)
}

/// The same without its quotes: an option of a command line.
pub fn length(text: &str, least: Duration, most: Duration) -> Judged<Duration> {
    let found = parse_duration(text).ok_or_else(|| {
        Wrong::new(
            format!("`{text}` is not a duration"),
            "write a number and a unit: ms, s, m, h or d, like \"10s\" or \"1.5s\"",
        )
    })?;
    if (least..=most).contains(&found) {
        return Ok(found);
    }
    Err(Wrong::new(
        format!("`{text}` is out of range"),
        format!(
            "choose a duration from {} to {}",
            told_duration(least),
            told_duration(most)
        ),
    ))
}

/// A size like `"16MiB"` or a plain number of bytes, within bounds.
pub fn size(value: &DeValue<'_>, least: u64, most: u64) -> Judged<u64> {
    let found = match (value.as_str(), value.as_integer()) {
        (Some(text), _) => parse_size(text).ok_or_else(|| {
            Wrong::new(
                format!("`{text}` is not a size"),
                "write a number and a unit: B, KiB, MiB or GiB, like \"16MiB\"",
            )
        })?,
        (None, Some(_)) => number(value, 0, u64::MAX)?,
        (None, None) => {
            return Err(Wrong::kind(value, "a size", "write it like \"16MiB\""));
        }
    };
    if (least..=most).contains(&found) {
        return Ok(found);
    }
    Err(Wrong::new(
        format!("{} is out of range", told(found)),
        format!("choose a size from {} to {}", told(least), told(most)),
    ))
}

/// `"off"`, or what `parse` makes of it.
pub fn or_off<T>(
    value: &DeValue<'_>,
    parse: impl FnOnce(&DeValue<'_>) -> Judged<T>,
) -> Judged<Option<T>> {
    match value.as_str() {
        Some("off") => Ok(None),
        _ => parse(value).map(Some).map_err(|wrong| Wrong {
            remedy: format!("{}, or \"off\"", wrong.remedy),
            ..wrong
        }),
    }
}

/// A pace like `"500B/s after 20s"`.
pub fn pace(value: &DeValue<'_>) -> Judged<Pace> {
    let wrong = || {
        Wrong::new(
            "a pace is wanted here",
            "write it like \"500B/s after 20s\"",
        )
    };
    let (rate, after) = value
        .as_str()
        .and_then(|text| text.split_once("/s after "))
        .ok_or_else(wrong)?;
    match (parse_size(rate.trim()), parse_duration(after.trim())) {
        (Some(rate), Some(after)) if rate > 0 => Ok(Pace { rate, after }),
        _ => Err(wrong()),
    }
}

/// One of a few words.
pub fn word<T: Copy>(value: &DeValue<'_>, words: &[(&str, T)]) -> Judged<T> {
    let all: Vec<String> = words
        .iter()
        .map(|(word, _)| format!("\"{word}\""))
        .collect();
    let remedy = format!("choose one of {}", all.join(", "));
    let Some(text) = value.as_str() else {
        return Err(Wrong::kind(value, "a text", remedy));
    };
    match words.iter().find(|(word, _)| *word == text) {
        Some((_, meaning)) => Ok(*meaning),
        None => Err(Wrong::new(format!("`{text}` is not known here"), remedy)),
    }
}

/// An address by its own parser, whose error carries the remedy.
pub fn address<T>(value: &DeValue<'_>) -> Judged<T>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    const EXAMPLE: &str = "write it like \"127.0.0.1:8080\"";
    let text = text(value, EXAMPLE)?;
    text.parse().map_err(|error: T::Err| {
        let said = error.to_string();
        match said.split_once("; ") {
            Some((message, remedy)) => Wrong::new(message, remedy),
            None => Wrong::new(said, EXAMPLE),
        }
    })
}

/// A duration within bounds.
pub fn span(least: Duration, most: Duration) -> impl Fn(&DeValue<'_>) -> Judged<Duration> {
    move |value| duration(value, least, most)
}

/// A count within bounds.
pub fn count(least: u64, most: u64) -> impl Fn(&DeValue<'_>) -> Judged<usize> {
    move |value| Ok(number(value, least, most)? as usize)
}

/// A size within bounds that fits into memory.
pub fn bytes(least: u64, most: u64) -> impl Fn(&DeValue<'_>) -> Judged<usize> {
    move |value| Ok(size(value, least, most)? as usize)
}

/// `"auto"`, or what `parse` makes of it.
pub fn or_auto<T>(
    value: &DeValue<'_>,
    parse: impl FnOnce(&DeValue<'_>) -> Judged<T>,
) -> Judged<Option<T>> {
    match value.as_str() {
        Some("auto") => Ok(None),
        Some(other) => Err(Wrong::new(
            format!("`{other}` is not known here"),
            "write \"auto\", or a whole number without quotes",
        )),
        None => parse(value).map(Some).map_err(|wrong| Wrong {
            remedy: format!("{}, or \"auto\"", wrong.remedy),
            ..wrong
        }),
    }
}

/// A pattern of paths: from a slash or a star on.
pub fn kept_pattern(text: &str) -> Judged<String> {
    match text.starts_with(['/', '*']) {
        true => Ok(text.to_owned()),
        false => Err(Wrong::new(
            format!("`{text}` is no pattern of paths"),
            "begin it with a slash or a star, like \"/assets/*\" or \"*.css\"",
        )),
    }
}

/// A path that is not empty.
pub fn path(example: &str) -> impl Fn(&DeValue<'_>) -> Judged<PathBuf> {
    move |value| {
        let remedy = format!("write it like \"{example}\"");
        let said = text(value, &remedy)?;
        match said.is_empty() {
            true => Err(Wrong::new("the path is empty", remedy)),
            false => Ok(PathBuf::from(said)),
        }
    }
}

fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = split_unit(text)?;
    let seconds = match unit {
        "ms" => number / 1000.0,
        "s" => number,
        "m" => number * 60.0,
        "h" => number * 3600.0,
        "d" => number * 86_400.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(seconds).ok()
}

fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = split_unit(text)?;
    let factor: u64 = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    let bytes = number * factor as f64;
    (bytes.fract() == 0.0 && bytes < 1e18).then_some(bytes as u64)
}

fn split_unit(text: &str) -> Option<(f64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit.trim_start()))
}

/// A duration in the form in which it can be written.
pub fn told_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match duration.subsec_nanos() {
        // A single day reads better in hours.
        0 if seconds > 86_400 && seconds.is_multiple_of(86_400) => format!("{}d", seconds / 86_400),
        0 if seconds > 0 && seconds.is_multiple_of(3600) => format!("{}h", seconds / 3600),
        0 if seconds > 0 && seconds.is_multiple_of(60) => format!("{}m", seconds / 60),
        0 => format!("{seconds}s"),
        _ => format!("{duration:?}"),
    }
}

/// A size as people write it.
pub fn told(bytes: u64) -> String {
    match bytes {
        b if b >= 1 << 30 && b % (1 << 30) == 0 => format!("{}GiB", b >> 30),
        b if b >= 1 << 20 && b % (1 << 20) == 0 => format!("{}MiB", b >> 20),
        b if b >= 1 << 10 && b % (1 << 10) == 0 => format!("{}KiB", b >> 10),
        b => format!("{b}B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_want_a_unit() {
        assert_eq!(parse_duration("1.5s"), Some(Duration::from_millis(1500)));
        assert_eq!(parse_duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(parse_duration("5m"), Some(Duration::from_secs(300)));
        assert_eq!(
            parse_duration("90d"),
            Some(Duration::from_secs(90 * 86_400))
        );
        assert_eq!(told_duration(Duration::from_secs(90 * 86_400)), "90d");
        for wrong in ["", "5", "s", "-1s", "1 week", "1..5s", "1e9s"] {
            assert_eq!(parse_duration(wrong), None, "{wrong}");
        }
        assert_eq!(parse_size("16MiB"), Some(16 << 20));
        assert_eq!(parse_size("0.5KiB"), Some(512));
        for wrong in ["16", "16MB", "0.3B", "MiB"] {
            assert_eq!(parse_size(wrong), None, "{wrong}");
        }
    }
}
