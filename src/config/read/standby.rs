//! The keys of `[standby]`.

use std::time::Duration;

use crate::config::raw::Section;
use crate::config::settings::{Command, OnExit, Origin, Process, Socket, Standby};
use crate::config::value::{self, Wrong, span};
use crate::ground::addr::OriginAddr;

use super::DAY;

/// `[standby]`, beside the origin that it is for.
pub fn standby(mut section: Section<'_, '_, '_>, origin: &Origin) -> Standby {
    let mut it = Standby::default();
    section.set("address", &mut it.address, |v| {
        value::or_off(v, value::address)
    });
    section.set("keep", &mut it.keep, |v| {
        value::or_off(v, span(Duration::from_secs(1), DAY))
    });
    if let Some(address) = &it.address
        && let Some(wrong) = obstacle(address, origin)
    {
        section.complain("address", wrong);
    }
    if it.keep.is_some() && it.address.is_none() && !section.has_faults() {
        let message = "without a standby, a hung generation must go before another can serve";
        let remedy = "set standby.address, or take this out";
        section.complain("keep", Wrong::new(message, remedy));
    }
    section.finish();
    it
}

/// Why there can be no standby there.
fn obstacle(address: &OriginAddr, origin: &Origin) -> Option<Wrong> {
    let wrong = |message: &str, remedy: &str| Some(Wrong::new(message, remedy));
    let is_told = |command: &Command| {
        let mut told = command.arguments.iter().chain(command.environment.values());
        told.any(|text| text.contains("{port}") || text.contains("{address}"))
    };
    match &origin.process {
        Process::Observed => wrong(
            "Leeward starts no standby of an origin that somebody else starts",
            "add [origin.process] with its command, or take this out",
        ),
        Process::Unit(_) | Process::Hooked(_) => wrong(
            "Leeward starts no standby of an origin that somebody else starts",
            "have Leeward start it, by `command` in [origin.process], or take this out",
        ),
        Process::Daemon(_) => wrong(
            "a command that makes itself a daemon has no standby",
            "have it stay in the foreground, or take this out",
        ),
        Process::Command(command) if command.socket != Socket::Own => wrong(
            "a standby that were passed the same socket would take its requests already",
            "take out origin.process.socket or this",
        ),
        Process::Command(command) if command.on_exit == OnExit::Keep => wrong(
            "an origin that outlives Leeward has no standby",
            "take out origin.process.on_exit or this",
        ),
        Process::Command(command) if !is_told(command) => wrong(
            "the command is not told where to listen, so two of it cannot run",
            "put {port} or {address} into origin.process.command",
        ),
        _ if *address == origin.address && !address.is_open() => wrong(
            "the same as origin.address, where the other one listens",
            "name another port, or port 0 for any free one",
        ),
        _ if !is_like(address, &origin.address) => wrong(
            "not of the same kind as origin.address",
            "name an IPv4 address beside an IPv4 address, an IPv6 address beside an IPv6 address, a unix socket beside a unix socket",
        ),
        _ => None,
    }
}

fn is_like(one: &OriginAddr, other: &OriginAddr) -> bool {
    match (one, other) {
        (OriginAddr::Tcp(one), OriginAddr::Tcp(other)) => one.is_ipv4() == other.is_ipv4(),
        (OriginAddr::Unix(_), OriginAddr::Unix(_)) => true,
        _ => false,
    }
}
