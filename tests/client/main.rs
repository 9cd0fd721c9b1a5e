//! `client`: a web client that can stop reading and stay, so that a test can pull its cable.
//!
//! ```text
//! client tls|plain ADDR PATH --read N --then hold [--timeout-ms N]
//! client tls|plain ADDR PATH --whole [--timeout-ms N]
//! ```
//!
//! The first reads N bytes of the answer (head and body), says `holding` on standard output and then reads no more,
//! ever. The second reads the whole answer and says `STATUS LENGTH`. Any certificate will do. A fault is told on
//! standard error, with exit code 1.

#[path = "../support/h1.rs"]
#[allow(dead_code, reason = "the client uses less of it than the tests do")]
mod h1;
#[path = "../support/response.rs"]
#[allow(dead_code, reason = "the client uses less of it than the tests do")]
mod response;
#[path = "../support/tls.rs"]
mod tls;

use std::process::ExitCode;
use std::thread;
use std::time::Duration;

const USAGE: &str =
    "usage: client tls|plain ADDR PATH (--read N --then hold | --whole) [--timeout-ms N]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match Plan::parse(&arguments)
        .ok_or(USAGE.to_owned())
        .and_then(|plan| run(&plan))
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("client: {fault}");
            ExitCode::FAILURE
        }
    }
}

/// What to do.
struct Plan {
    tls: bool,
    address: String,
    path: String,
    /// How much to read before holding; `None`: all of it.
    read: Option<usize>,
    timeout: Duration,
}

impl Plan {
    fn parse(arguments: &[String]) -> Option<Plan> {
        let [protocol, address, path, rest @ ..] = arguments else {
            return None;
        };
        let mut plan = Plan {
            tls: protocol == "tls",
            address: address.clone(),
            path: path.clone(),
            read: None,
            timeout: Duration::from_secs(30),
        };
        let mut rest = rest.iter().map(String::as_str);
        let (mut whole, mut hold) = (false, false);
        while let Some(name) = rest.next() {
            match name {
                "--whole" => whole = true,
                "--read" => plan.read = Some(rest.next()?.parse().ok()?),
                "--then" => hold = rest.next()? == "hold",
                "--timeout-ms" => plan.timeout = Duration::from_millis(rest.next()?.parse().ok()?),
                _ => return None,
            }
        }
        let sound = matches!(protocol.as_str(), "tls" | "plain")
            && whole != hold
            && hold == plan.read.is_some();
        sound.then_some(plan)
    }
}

fn run(plan: &Plan) -> Result<(), String> {
    let connected = match plan.tls {
        true => h1::Connection::connect(&plan.address, plan.timeout),
        false => h1::Connection::connect_plain(&plan.address, plan.timeout),
    };
    let mut connection = connected.map_err(|error| format!("can't connect: {error}"))?;
    let request = format!("GET {} HTTP/1.1\r\nHost: localhost\r\n\r\n", plan.path);
    connection
        .send(request.as_bytes())
        .map_err(|error| format!("can't send: {error}"))?;
    let Some(count) = plan.read else {
        let response = connection
            .read_response()
            .map_err(|error| format!("no answer: {error}"))?;
        println!("{} {}", response.status, response.body.len());
        return Ok(());
    };
    connection
        .read_exact(count)
        .map_err(|error| format!("not {count} bytes: {error}"))?;
    println!("holding");
    hold();
    drop(connection);
    Ok(())
}

/// Stays without reading; ten minutes is for ever to a test, and leaves nothing behind an interrupted one.
fn hold() {
    thread::sleep(Duration::from_secs(600));
}
