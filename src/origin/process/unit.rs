//! A service of systemd's, by `systemctl`: what it is doing, and what is to be done so that it runs. Its own `Restart=`
//! goes first: who comes back by itself is awaited. What somebody stopped stays stopped.

use std::time::Duration;

use rustix::process::Signal;

use crate::origin::group::SIGNALLED;
use crate::origin::hook::{Ran, Remains, carry_out};
use crate::origin::pid::Pid;

/// What systemd says of a service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    load: String,
    active: String,
    sub: String,
    result: String,
    main: Option<Pid>,
    /// It ran since the boot, and ended.
    has_run: bool,
    /// Something is about to be done with it.
    has_job: bool,
    /// How its main process ended last: by itself, by a signal or with a core (waitid(2)), and with which number.
    end: Option<(u32, u32)>,
    /// Another one for each life of it.
    invocation: String,
}

/// In which way it is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Running, unless somebody has stopped it: nothing is known of it yet.
    First,
    /// Running: it was Leeward that ended it, or an operator who wants it.
    Up,
    /// As it is: it ended, or was stopped, while it was looked after.
    AsItIs,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// This is its main process.
    Take(Pid),
    /// It runs, and has no main process: who listens is it.
    Find,
    /// Something is under way.
    Wait,
    /// To start it.
    Start,
    /// To leave it alone, for this reason.
    Rest(String),
    /// Nothing can be done, for this reason.
    Fail(String),
}

/// The properties that are asked for.
const ASKED: &str = "LoadState,ActiveState,SubState,Result,MainPID,Job,InactiveEnterTimestampMonotonic,ExecMainCode,ExecMainStatus,InvocationID";
/// An answer of systemd's is due within this. It answers in milliseconds unless it is in trouble itself.
const DUE: Duration = Duration::from_secs(5);
/// So much of what `systemctl` writes is kept, in bytes.
const KEPT: usize = 8 << 10;

/// Asks systemd of a service.
///
/// # Errors
/// Why it did not answer, in words.
pub async fn show(unit: &str) -> Result<Told, String> {
    let ran = systemctl(&["show", "--no-pager", "-p", ASKED, "--", unit]).await;
    match ran.is_good {
        true => Ok(Told::parse(&ran.output)),
        false => Err(trouble(&ran)),
    }
}

/// Has systemd start a service, and does not wait for it; `told` is what was said of it last.
///
/// # Errors
/// Why it does not, in words.
pub async fn start(unit: &str, told: &Told) -> Result<(), String> {
    if told.result == "start-limit-hit" {
        // How often it may be tried is for Leeward's own backoff to say.
        act(&["reset-failed", "--no-ask-password", "--", unit]).await?;
    }
    act(&["start", "--no-block", "--no-ask-password", "--", unit]).await
}

/// Sends a signal to every process of a service.
///
/// # Errors
/// Why it was not sent, in words.
pub async fn kill(unit: &str, signal: Signal) -> Result<(), String> {
    act(&["kill", "--no-ask-password", "-s", word(signal), "--", unit]).await
}

/// Whether systemd is about to start this very service again, as far as it knows now: a restart is under way, and not a stop.
///
/// # Errors
/// Why that cannot be known, in words.
pub async fn is_being_restarted() -> Result<bool, String> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").map_err(|error| error.to_string())?;
    let unit = own(&groups).ok_or("this is no service")?;
    let ran = systemctl(&["list-jobs", "--no-pager", "--no-legend"]).await;
    match ran.is_good {
        true => Ok(ran.output.iter().any(|line| restarts(line, unit))),
        false => Err(trouble(&ran)),
    }
}

/// The service whose control group, or a part of it, this is.
fn own(groups: &str) -> Option<&str> {
    let mut parts = groups.lines().flat_map(|line| line.rsplit('/'));
    parts.find(|part| part.ends_with(".service"))
}

/// Whether a line of `systemctl list-jobs` (number, unit, kind, state) is about a restart of this unit.
fn restarts(line: &str, unit: &str) -> bool {
    let mut words = line.split_ascii_whitespace().skip(1);
    words.next() == Some(unit) && words.next().is_some_and(|kind| kind.ends_with("restart"))
}

/// As `kill` names it.
fn word(signal: Signal) -> &'static str {
    match signal {
        Signal::TERM => "SIGTERM",
        Signal::ABORT => "SIGABRT",
        Signal::STOP => "SIGSTOP",
        Signal::CONT => "SIGCONT",
        _ => "SIGKILL",
    }
}

async fn act(words: &[&str]) -> Result<(), String> {
    let ran = systemctl(words).await;
    match ran.is_good {
        true => Ok(()),
        false => Err(trouble(&ran)),
    }
}

async fn systemctl(words: &[&str]) -> Ran {
    let words = std::iter::once(&"systemctl").chain(words);
    let words: Vec<String> = words.map(|word| (*word).to_owned()).collect();
    carry_out(&words, Vec::new(), DUE, KEPT, Remains::Ended).await
}

fn trouble(ran: &Ran) -> String {
    let said = ran.said().map(|said| format!(": {said}"));
    format!("`{}` {}{}", ran.command, ran.end, said.unwrap_or_default())
}

impl Told {
    fn parse(lines: &[String]) -> Self {
        let mut it = Self::default();
        let mut end = (0, 0);
        for (name, text) in lines.iter().filter_map(|line| line.split_once('=')) {
            match name {
                "LoadState" => it.load = text.to_owned(),
                "ActiveState" => it.active = text.to_owned(),
                "SubState" => it.sub = text.to_owned(),
                "Result" => it.result = text.to_owned(),
                "MainPID" => it.main = text.parse().ok().and_then(Pid::new),
                "Job" => it.has_job = !matches!(text, "" | "0"),
                "InactiveEnterTimestampMonotonic" => it.has_run = !matches!(text, "" | "0"),
                "ExecMainCode" => end.0 = text.parse().unwrap_or(0),
                "InvocationID" => it.invocation = text.to_owned(),
                "ExecMainStatus" => end.1 = text.parse().unwrap_or(0),
                _ => {}
            }
        }
        it.end = (end.0 != 0).then_some(end);
        it
    }

    /// What is to be done for it to be as it is `wanted`; `was_started`: systemd was told already to start it.
    pub fn step(&self, wanted: Wanted, was_started: bool) -> Step {
        let state = self.state();
        match self.load.as_str() {
            "loaded" => {}
            "not-found" => return Step::Fail("systemd knows no such unit".to_owned()),
            "masked" => return Step::Fail("it is masked".to_owned()),
            other => return Step::Fail(format!("systemd cannot load it ({other})")),
        }
        let was_stopped = match self.active.as_str() {
            "active" | "reloading" | "refreshing" => {
                return self.main.map_or(Step::Find, Step::Take);
            }
            // Of a unit that nothing needs, systemd forgets that it ran. Who has seen it run remembers.
            "inactive" => self.has_run || wanted == Wanted::AsItIs,
            // It took too long over its end, after it had served.
            "failed" => self.result == "timeout" && wanted == Wanted::AsItIs,
            _ => return Step::Wait,
        };
        match (self.has_job, was_started, wanted) {
            (true, ..) => Step::Wait,
            (false, true, _) => Step::Fail(format!("it was started and is {state}")),
            (false, false, Wanted::First | Wanted::AsItIs) if was_stopped => Step::Rest(state),
            (false, false, _) => Step::Start,
        }
    }

    /// Which life of it this is, where systemd says so.
    pub fn life(&self) -> Option<String> {
        Some(self.invocation.clone()).filter(|it| !it.is_empty())
    }

    /// Whether it has a process that serves or is about to end, and is in this life still, where that is known.
    pub fn lives(&self, life: Option<&String>) -> bool {
        let is_there = matches!(
            self.active.as_str(),
            "active" | "reloading" | "refreshing" | "deactivating"
        );
        let is_another = life.is_some() && self.life().is_some() && self.life().as_ref() != life;
        is_there && !is_another
    }

    /// Whether somebody is about to end it, or to start it anew.
    pub fn is_being_ended(&self) -> bool {
        self.active == "deactivating"
    }

    /// Whether systemd ended it because somebody wanted that, or is about to start it anew for the same reason. A process
    /// that ended well by itself, and is not to be restarted, looks the same.
    pub fn was_asked_to_end(&self) -> bool {
        self.result == "success" && self.sub != "auto-restart"
    }

    /// How its main process ended, in words, when it just has.
    pub fn obituary(&self) -> String {
        let state = self.state();
        match self.end {
            Some((1, status)) => format!("exited with {status}; the unit is {state}"),
            Some((2, signal)) => format!("{SIGNALLED}{signal}; the unit is {state}"),
            Some((3, signal)) => {
                format!("{SIGNALLED}{signal}, core dumped; the unit is {state}")
            }
            _ => format!("ended; the unit is {state}"),
        }
    }

    /// What it is doing, in the words of systemd.
    pub fn state(&self) -> String {
        let Self {
            active,
            sub,
            result,
            ..
        } = self;
        match result.as_str() {
            "" | "success" => format!("{active} ({sub})"),
            _ => format!("{active} ({sub}, result {result})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(active: &str, more: &[&str]) -> Told {
        let first = ["LoadState=loaded", active];
        let lines = first.iter().chain(more);
        let lines: Vec<String> = lines.map(|line| (*line).to_owned()).collect();
        Told::parse(&lines)
    }

    const RUN: &str = "InactiveEnterTimestampMonotonic=71";
    const ALL: [Wanted; 3] = [Wanted::First, Wanted::Up, Wanted::AsItIs];

    #[test]
    fn a_restart_is_told_from_a_stop_and_from_another_s() {
        let groups = "1:name=x:/\n0::/system.slice/leeward.service/leeward\n";
        assert_eq!(own(groups), Some("leeward.service"));
        assert_eq!(own("0::/user.slice/session-1.scope\n"), None);
        let is = |line| restarts(line, "leeward.service");
        assert!(
            is(" 123 leeward.service restart running")
                && is("1 leeward.service try-restart waiting")
        );
        assert!(!is("123 leeward.service stop running") && !is("1 other.service restart running"));
    }

    #[test]
    fn what_runs_is_taken_and_what_comes_is_awaited() {
        for wanted in ALL {
            for was_started in [false, true] {
                let step = |told: Told| told.step(wanted, was_started);
                let running = told("ActiveState=active", &["MainPID=7"]);
                assert_eq!(step(running), Step::Take(Pid::new(7).expect("positive")));
                assert_eq!(step(told("ActiveState=active", &["MainPID=0"])), Step::Find);
                for active in ["activating", "deactivating", "maintenance"] {
                    let active = format!("ActiveState={active}");
                    assert_eq!(step(told(&active, &["SubState=auto-restart"])), Step::Wait);
                }
                let restarted = told("ActiveState=inactive", &[RUN, "Job=12"]);
                assert_eq!(step(restarted), Step::Wait);
            }
        }
    }

    #[test]
    fn a_life_is_over_when_nothing_runs_or_another_one_does() {
        let lives = |active: &str, id: &str| {
            let id = format!("InvocationID={id}");
            let told = told(&format!("ActiveState={active}"), &[id.as_str()]);
            let (same, other) = ("a1".to_owned(), "b2".to_owned());
            [None, Some(&same), Some(&other)].map(|life| told.lives(life))
        };
        assert_eq!(lives("active", "a1"), [true, true, false]);
        assert_eq!(lives("deactivating", "a1"), [true, true, false]);
        assert_eq!(lives("active", ""), [true, true, true], "an old systemd");
        for over in ["activating", "inactive", "failed"] {
            assert_eq!(lives(over, "a1"), [false; 3], "{over}");
        }
    }

    #[test]
    fn what_somebody_stopped_is_left_alone() {
        let stopped = told("ActiveState=inactive", &[RUN, "SubState=dead", "Job="]);
        let rests = Step::Rest("inactive (dead)".to_owned());
        assert_eq!(stopped.step(Wanted::First, false), rests);
        assert_eq!(stopped.step(Wanted::AsItIs, false), rests);
        assert_eq!(stopped.step(Wanted::Up, false), Step::Start);
        let forgotten = told("ActiveState=inactive", &["SubState=dead"]);
        assert_eq!(forgotten.step(Wanted::AsItIs, false), rests);
        let killed = told("ActiveState=failed", &[RUN, "Result=timeout"]);
        assert!(matches!(killed.step(Wanted::AsItIs, false), Step::Rest(_)));
        assert_eq!(killed.step(Wanted::First, false), Step::Start);
        assert_eq!(killed.step(Wanted::Up, false), Step::Start);
    }

    #[test]
    fn an_end_that_somebody_wanted_is_told_from_a_failure() {
        let was_asked = |lines: &[&str]| told("ActiveState=inactive", lines).was_asked_to_end();
        assert!(was_asked(&["SubState=dead", "Result=success"]));
        assert!(was_asked(&[
            "SubState=stop-sigterm",
            "Result=success",
            "Job=7"
        ]));
        assert!(!was_asked(&["SubState=auto-restart", "Result=success"]));
        assert!(!was_asked(&["SubState=failed", "Result=signal"]));
        assert!(!was_asked(&[]), "systemd said nothing");
    }

    #[test]
    fn what_failed_or_never_ran_is_started_once() {
        let never = told(
            "ActiveState=inactive",
            &["InactiveEnterTimestampMonotonic=0"],
        );
        let failed = told("ActiveState=failed", &[RUN, "Result=exit-code"]);
        assert_eq!(failed.step(Wanted::AsItIs, false), Step::Start);
        for wanted in [Wanted::First, Wanted::Up] {
            for told in [&never, &failed] {
                assert_eq!(told.step(wanted, false), Step::Start);
                assert!(matches!(told.step(wanted, true), Step::Fail(_)));
            }
            for load in ["not-found", "masked", "bad-setting"] {
                let told = Told::parse(&[format!("LoadState={load}")]);
                assert!(matches!(told.step(wanted, false), Step::Fail(_)), "{load}");
            }
        }
    }

    #[test]
    fn how_it_ended_is_told_as_systemd_has_it() {
        let of = |code, status| {
            let lines = [
                format!("ExecMainCode={code}"),
                format!("ExecMainStatus={status}"),
            ];
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            told(
                "ActiveState=failed",
                &[&lines[..], &["SubState=failed", "Result=signal"]].concat(),
            )
            .obituary()
        };
        let unknown = "ended; the unit is failed (failed, result signal)";
        assert_eq!(of(0, 0), unknown);
        let killed = "was ended by signal 9; the unit is failed (failed, result signal)";
        assert_eq!(of(2, 9), killed);
        assert!(of(1, 3).starts_with("exited with 3; "));
    }
}
