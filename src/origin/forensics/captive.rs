//! A child process for the tests: killed by its number and reaped when it falls, whatever the test did.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::stat::RunState;
use super::vital::vital;
use crate::origin::pid::Pid;

pub(super) struct Captive(pub(super) Child);

impl Captive {
    pub(super) fn start(program: &str, args: &[&str]) -> Self {
        let mut command = Command::new(program);
        command
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        Self(command.spawn().expect("the program exists"))
    }

    pub(super) fn pid(&self) -> Pid {
        Pid::new(self.0.id()).expect("a child has a number")
    }

    pub(super) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, signal).expect("it is our own child");
    }

    /// Waits until it is in `state`: a fresh child first has to load itself.
    pub(super) fn until(&self, state: RunState) {
        wait_until(&format!("process {} is {state}", self.pid()), || {
            vital(self.pid()).state.known() == Some(&state)
        });
    }
}

impl Drop for Captive {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until `what` is so.
pub(super) fn wait_until(what: &str, so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !so() {
        assert!(Instant::now() < deadline, "not in 10 s: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
