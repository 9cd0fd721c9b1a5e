//! gRPC as its own library speaks it, through a route that is a stream over HTTP/2, to a server that Leeward started.

use std::process::Command;

use crate::house::{DUE, in_front_of};
use crate::skip;
use crate::support::process::Running;

const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/origins/grpc_echo.py");

const STREAMS: &str = "[origin.probe]\nhttp_version = \"2\"\npath = \"/grpc.health.v1.Health/Check\"\n\
    [[route]]\npath = \"/leeward.Echo\"\nstream = true\nhttp_version = \"2\"\n";

#[test]
fn every_kind_of_call_passes_both_ways() {
    let there = Command::new("python3").args(["-c", "import grpc"]).output();
    if !there.is_ok_and(|output| output.status.success()) {
        skip!("python3 with grpcio is not installed");
    }
    let openssl = Command::new("openssl").arg("version").output();
    if openssl.is_err() {
        skip!("openssl is not installed");
    }
    let files = tempfile::tempdir().expect("a directory");
    let file = |name: &str| files.path().join(name).display().to_string();
    let (certificate, key) = (file("cert.pem"), file("key.pem"));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
        ])
        .args(["-nodes", "-days", "2", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost"])
        .args(["-keyout", &key, "-out", &certificate])
        .output();
    assert!(made.is_ok_and(|it| it.status.success()), "a certificate");
    let command = ["python3", PROGRAM, "serve", "{address}"].map(str::to_owned);
    let tls = format!("[edge.tls]\ncertificate = \"{certificate}\"\nkey = \"{key}\"\n");
    let leeward = in_front_of(&command, &format!("{tls}{STREAMS}"));
    let edge = leeward.edge().to_string();
    let mut asks = Command::new("python3");
    let mut asked = Running::start(asks.args([PROGRAM, "ask", &edge, &certificate]));
    let status = asked.wait(DUE);
    assert!(status.is_some_and(|it| it.success()), "{}", asked.told());
    let wanted = "unary hello 5\nlarge 1000000\nfails NOT_FOUND no such thing\nmany 998999\n\
        total 1000000\nboth <one> <two> <three>\n";
    assert_eq!(asked.stdout.whole(DUE), wanted);
}
