//! A field of the evidence: what was seen, or why it could not be.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::origin::pid::Pid;

/// What was seen, or the reason it stayed hidden. Each field of the evidence has its own.
///
/// Serialised as the bare value, or as `{"hidden": "why"}`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Seen<T> {
    /// Why it could not be read: one sentence fragment, fit for a person.
    Hidden(String),
    /// What the kernel said.
    #[serde(untagged)]
    Known(T),
}

impl<T> Seen<T> {
    /// The value, where it was seen.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Hidden(_) => None,
        }
    }

    /// The reason, where it was not seen.
    pub fn hidden(&self) -> Option<&str> {
        match self {
            Self::Known(_) => None,
            Self::Hidden(why) => Some(why),
        }
    }

    /// Whether it stayed hidden because it is not there, as far as this program may see.
    pub fn is_gone(&self) -> bool {
        self.hidden().is_some_and(|why| why.ends_with(GONE))
    }

    /// The same field seen through `view`; a reason stays as it is.
    pub fn map<U>(self, view: impl FnOnce(T) -> U) -> Seen<U> {
        match self {
            Self::Known(value) => Seen::Known(view(value)),
            Self::Hidden(why) => Seen::Hidden(why),
        }
    }

    /// The same field seen through a `view` that may itself find nothing.
    pub fn and_then<U>(self, view: impl FnOnce(T) -> Seen<U>) -> Seen<U> {
        match self {
            Self::Known(value) => view(value),
            Self::Hidden(why) => Seen::Hidden(why),
        }
    }

    /// Borrows the value and keeps the reason, for taking several fields from one reading.
    pub fn part<U>(&self, view: impl FnOnce(&T) -> U) -> Seen<U> {
        match self {
            Self::Known(value) => Seen::Known(view(value)),
            Self::Hidden(why) => Seen::Hidden(why.clone()),
        }
    }

    /// A value where there is one, else `why`.
    pub fn from_option(value: Option<T>, why: impl FnOnce() -> String) -> Self {
        value.map_or_else(|| Self::Hidden(why()), Self::Known)
    }

    /// A value, or the error told as the reason `what` is hidden.
    pub(super) fn from_io(result: io::Result<T>, what: &str) -> Self {
        result.map_or_else(|error| Self::Hidden(reason(what, &error)), Self::Known)
    }
}

/// Reads one small file of /proc. Names of programs are bytes: what is not UTF-8 is replaced, never refused.
pub(super) fn text(path: &str) -> Seen<String> {
    Seen::from_io(fs::read(path), path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// Serialises a duration as a plain number of seconds.
pub(super) fn seconds<S: Serializer>(span: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64(span.as_secs_f64())
}

/// Serialises a duration that may be hidden as a plain number of seconds.
pub(super) fn seen_seconds<S: Serializer>(span: &Seen<Duration>, to: S) -> Result<S::Ok, S::Error> {
    span.part(Duration::as_secs_f64).serialize(to)
}

/// What a look into another process takes.
pub(super) const NOT_PERMITTED: &str = "not permitted (takes the origin's own user and no fewer capabilities than it has, or CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH)";

/// The same for one of its files. Whoever reads a system call must be one who could attach, and Yama lets those alone
/// that are its parents (`scope` 1), or nobody without a privilege.
fn takes(what: &str, scope: &str) -> String {
    match scope {
        "" | "0" => NOT_PERMITTED.to_owned(),
        scope if what.ends_with("/syscall") => format!(
            "not permitted (kernel.yama.ptrace_scope is {scope}: takes an origin that Leeward itself started, or CAP_SYS_PTRACE)"
        ),
        _ => NOT_PERMITTED.to_owned(),
    }
}

/// Whether there is such a process, asked of the kernel and not of /proc, which may hide it or be missing.
pub(super) fn exists(pid: Pid) -> bool {
    let pid = pid.raw();
    let asked = pid.map(rustix::process::test_kill_process);
    asked.is_some_and(|asked| asked != Err(rustix::io::Errno::SRCH))
}

/// Whether a file is missing only because /proc does not show us the process it is about.
fn is_kept_from_us(what: &str) -> bool {
    let number = what
        .strip_prefix("/proc/")
        .and_then(|it| it.split('/').next());
    let pid = number.and_then(|number| Pid::new(number.parse().ok()?));
    pid.is_some_and(|pid| exists(pid) && !Path::new(&format!("/proc/{pid}")).exists())
}

const GONE: &str = "no longer there";

fn reason(what: &str, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound if is_kept_from_us(what) => {
            format!(
                "{what}: /proc does not show the process (it hides other users' by hidepid, or is not mounted)"
            )
        }
        io::ErrorKind::NotFound => format!("{what}: {GONE}"),
        io::ErrorKind::PermissionDenied => {
            let scope = fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope");
            format!("{what}: {}", takes(what, scope.unwrap_or_default().trim()))
        }
        _ => format!("{what}: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{NOT_PERMITTED, Seen, takes, text};

    #[test]
    fn a_field_is_told_bare_and_a_hidden_one_with_its_reason() {
        let known = serde_json::to_string(&Seen::Known(5)).unwrap_or_default();
        let hidden = serde_json::to_string(&Seen::<u32>::Hidden("no".into())).unwrap_or_default();
        assert_eq!(known, "5");
        assert_eq!(hidden, r#"{"hidden":"no"}"#);
    }

    #[test]
    fn what_is_gone_says_so_and_names_the_file() {
        let gone = text("/proc/0/stat");
        assert_eq!(gone.hidden(), Some("/proc/0/stat: no longer there"));
        assert!(gone.is_gone() && !text("/proc/self/stat").is_gone());
    }

    #[test]
    fn what_yama_denies_is_told_apart() {
        let call = "/proc/7/task/7/syscall";
        assert_eq!(takes(call, "0"), NOT_PERMITTED);
        assert_eq!(takes("/proc/7/fd", "1"), NOT_PERMITTED);
        assert!(takes(call, "1").contains("kernel.yama.ptrace_scope is 1"));
    }

    #[test]
    fn a_reason_survives_every_view() {
        let hidden = Seen::<u32>::Hidden("why".into());
        assert_eq!(
            hidden
                .part(|n| n + 1)
                .map(|n| n * 2)
                .and_then(Seen::Known)
                .hidden(),
            Some("why")
        );
    }
}
