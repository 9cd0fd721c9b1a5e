//! `ailing`: the sick origin that the tests put behind Leeward.
//!
//! A deliberately primitive web server: blocking sockets, no timeout anywhere, one connection at a time (unless
//! `--threads` says otherwise), each closed after its answer. Whoever holds its one thread holds everybody: that is the
//! disease Leeward cures. The path of a request chooses the symptom: [`answers`] hold the ordinary and odd answers,
//! [`lasting`] those that go on, [`parts`] files in parts, [`goahead`] those of one real server, [`diseases`] and
//! [`blocks`] what never answers,
//! [`hoards`] what is never let go of, and [`request`] reads what was asked.
//!
//! ```text
//! ailing --listen ADDR|unix:PATH|passed|stdin [--threads N] [--start-delay-ms N] [--exit-on-start CODE]
//!        [--ignore-term] [--manners goahead] [--ledger FILE] [--banner TEXT]
//! ```
//!
//! Once it listens it says `ailing: listening on ADDR` (the real port) on standard output.

mod answers;
mod blocks;
mod diseases;
mod goahead;
mod hoards;
mod lasting;
mod ledger;
mod listener;
mod options;
mod parts;
mod request;
#[path = "../../src/exchange/websocket.rs"]
mod websocket;

use std::io;
use std::net::TcpStream;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use goahead::Term;
use ledger::Ledger;
use listener::Listener;
use options::{Manners, Options};
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
    let server = Server {
        ledger: Ledger::open(options.ledger.as_deref())?,
        listener: Listener::bind(&options.listen)?,
        goahead: match options.manners {
            Manners::GoAhead => Some(Term::watched()?),
            Manners::Plain => None,
        },
    };
    println!("ailing: listening on {}", server.listener.address()?);

    for _ in 1..options.threads {
        let server = server.try_clone()?;
        thread::spawn(move || server.accept_for_ever());
    }
    // The main thread serves too, so that a lone accept loop is the process's first thread, as in a real C server.
    server.accept_for_ever();
    Ok(ExitCode::SUCCESS)
}

/// What an accept loop needs.
struct Server {
    listener: Listener,
    ledger: Ledger,
    /// Where it has the manners of GoAhead.
    goahead: Option<Term>,
}

impl Server {
    fn try_clone(&self) -> io::Result<Server> {
        Ok(Server {
            listener: self.listener.try_clone()?,
            ledger: self.ledger.clone(),
            goahead: self.goahead.clone(),
        })
    }

    /// One connection at a time; a failed one is forgotten.
    fn accept_for_ever(&self) {
        loop {
            self.goahead.iter().for_each(Term::between_requests);
            match self.listener.accept() {
                Ok(connection) => {
                    self.goahead.iter().for_each(Term::within_a_request);
                    let _ = self.serve(connection);
                }
                Err(_) => thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    /// Reads one request, notes it, answers it; dropping the connection closes it.
    fn serve(&self, mut connection: TcpStream) -> io::Result<()> {
        let Some(mut request) = Request::read_head(&mut connection)? else {
            return Ok(());
        };
        if request.path() != "/early" {
            request.read_body(&mut connection)?;
        }
        self.ledger.note(&request)?;
        hoards::hoard(&request)?;
        if diseases::fall_ill(&request, &mut connection)? {
            return Ok(());
        }
        let is_answered = match self.goahead {
            Some(_) => goahead::answer(&request, &mut connection)?,
            None => false,
        };
        let is_answered = is_answered
            || parts::answer(&request, &mut connection)?
            || lasting::answer(&request, &mut connection)?;
        if !is_answered {
            answers::answer(&request, &mut connection)?;
        }
        drop(connection);
        if let ["dawdle", count, read, length] = request.pieces()[..] {
            return self.dawdle(count, read, length);
        }
        hoards::fall_ill_afterwards(&request, &self.listener)
    }

    /// Accepts `count` connections, reads so many bytes of each, and goes on with them after `length` milliseconds.
    fn dawdle(&self, count: &str, read: &str, length: &str) -> io::Result<()> {
        let number = |text: &str| text.parse().unwrap_or(0);
        let mut accepted = Vec::new();
        for _ in 0..number(count) {
            let mut connection = self.listener.accept()?;
            io::Read::read_exact(&mut connection, &mut vec![0; number(read)])?;
            accepted.push(connection);
        }
        thread::sleep(Duration::from_millis(number(length) as u64));
        for connection in accepted {
            let _ = self.serve(connection);
        }
        Ok(())
    }
}
