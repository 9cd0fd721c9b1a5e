//! `ailing`: the sick origin that the tests put behind Leeward.
//!
//! A deliberately primitive web server: blocking sockets, no timeout anywhere, one connection at a time (unless
//! `--threads` says otherwise), each closed after its answer. Whoever holds its one thread holds everybody: that is the
//! disease Leeward cures. The path of a request chooses the symptom: [`answers`] hold the ordinary and odd answers,
//! [`lasting`] those that go on, [`diseases`] and [`blocks`] what never answers, [`hoards`] what is never let go of, and
//! [`request`] reads what was asked.
//!
//! ```text
//! ailing --listen ADDR|unix:PATH [--threads N] [--start-delay-ms N] [--exit-on-start CODE]
//!        [--ignore-term] [--ledger FILE] [--banner TEXT]
//! ```
//!
//! Once it listens it says `ailing: listening on ADDR` (the real port) on standard output.

mod answers;
mod blocks;
mod diseases;
mod hoards;
mod lasting;
mod ledger;
mod listener;
mod options;
mod request;
#[path = "../../src/exchange/websocket.rs"]
mod websocket;

use std::io;
use std::net::TcpStream;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use ledger::Ledger;
use listener::Listener;
use options::Options;
use request::Request;

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(fault) => {
            eprintln!("ailing: {fault}");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("ailing: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The life of the origin: start (slowly, or not at all), listen, serve for ever.
fn run(options: &Options) -> io::Result<ExitCode> {
    if options.ignore_term {
        diseases::ignore_term()?;
    }
    if let Some(banner) = &options.banner {
        println!("{banner}");
    }
    thread::sleep(options.start_delay);
    if let Some(code) = options.exit_on_start {
        return Ok(ExitCode::from(code));
    }
    let ledger = Ledger::open(options.ledger.as_deref())?;
    let listener = Listener::bind(&options.listen)?;
    println!("ailing: listening on {}", listener.address()?);

    for _ in 1..options.threads {
        let (listener, ledger) = (listener.try_clone()?, ledger.clone());
        thread::spawn(move || accept_for_ever(&listener, &ledger));
    }
    // The main thread serves too, so that a lone accept loop is the process's first thread, as in a real C server.
    accept_for_ever(&listener, &ledger);
    Ok(ExitCode::SUCCESS)
}

/// One connection at a time; a failed one is forgotten.
fn accept_for_ever(listener: &Listener, ledger: &Ledger) {
    loop {
        match listener.accept() {
            Ok(connection) => {
                let _ = serve(connection, listener, ledger);
            }
            Err(_) => thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// Reads one request, notes it, answers it; dropping the connection closes it.
fn serve(mut connection: TcpStream, door: &Listener, ledger: &Ledger) -> io::Result<()> {
    let Some(mut request) = Request::read_head(&mut connection)? else {
        return Ok(());
    };
    if request.path() != "/early" {
        request.read_body(&mut connection)?;
    }
    ledger.note(&request)?;
    hoards::hoard(&request)?;
    if diseases::fall_ill(&request, &mut connection)? {
        return Ok(());
    }
    if !lasting::answer(&request, &mut connection)? {
        answers::answer(&request, &mut connection)?;
    }
    drop(connection);
    hoards::fall_ill_afterwards(&request, door)
}
