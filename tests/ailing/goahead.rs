//! The manners of GoAhead (`--manners goahead`), seen in its versions 2.5.0, 5.1.3 and 6.1.0: what it does unlike
//! other servers, and what somebody who stands in front of it therefore has to do.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::SIGTERM;
use signal_hook::flag;

use crate::answers::whole;
use crate::request::Request;

/// SIGTERM as GoAhead takes it: the handler sets a flag, and the flag is looked at between two requests.
#[derive(Clone)]
pub struct Term {
    asked: Arc<AtomicBool>,
    idle: Arc<AtomicBool>,
}

impl Term {
    /// Begins to catch it.
    pub fn watched() -> io::Result<Term> {
        let term = Term {
            asked: Arc::default(),
            idle: Arc::default(),
        };
        flag::register_conditional_shutdown(SIGTERM, 0, term.idle.clone())?;
        flag::register(SIGTERM, term.asked.clone())?;
        Ok(term)
    }

    /// A request is done: the process ends if it was asked to meanwhile, and if it is asked to from now on.
    pub fn between_requests(&self) {
        self.idle.store(true, Ordering::SeqCst);
        if self.asked.load(Ordering::SeqCst) {
            process::exit(0);
        }
    }

    /// A request is here: until it is done, nobody looks at the flag.
    pub fn within_a_request(&self) {
        self.idle.store(false, Ordering::SeqCst);
    }
}

/// Writes what GoAhead would. `false`: it has no manners of its own about this path.
pub fn answer(request: &Request, to: &mut TcpStream) -> io::Result<bool> {
    if request.method == "POST" && request.field("content-length").is_none() {
        // 2.5.0: it waits for a body, for a minute.
        while to.read(&mut [0; 4096])? > 0 {}
        return Ok(true);
    }
    match request.pieces()[..] {
        ["redirect", version] => redirect(version, request, to)?,
        ["located"] => {
            let place = format!("Content-Location: http://{}/here", host(request));
            whole(request, to, "200 OK", &place, b"located\n")?;
        }
        ["login"] => {
            // 5.1.3 and 6.1.0, letter by letter.
            let name = host(request)
                .split(':')
                .next()
                .unwrap_or_default()
                .to_owned();
            let cookie = format!(
                "Set-Cookie: -goahead-session-=::webs.session::61ce0e56; path=/; domain={name}; httponly; SameSite=Lax"
            );
            whole(request, to, "200 OK", &cookie, b"welcome\n")?;
        }
        ["private"] => private(request, to)?,
        ["dynamic"] => dynamic(request, to)?,
        _ => return Ok(false),
    }
    Ok(true)
}

/// Redirects are absolute and name plain HTTP; each version has another idea of where.
fn redirect(version: &str, request: &Request, to: &mut TcpStream) -> io::Result<()> {
    let own_port = to.local_addr()?.port();
    let authority = match version {
        // As the client named it.
        "2.5.0" => host(request),
        // The same, with its own port where the client named none.
        "5.1.3" if host(request).contains(':') => host(request),
        "5.1.3" => format!("{}:{own_port}", host(request)),
        // 6.1.0: the address of the client, not its own.
        _ => format!("{}:{own_port}", to.peer_addr()?.ip()),
    };
    let location = format!("Location: http://{authority}/page?a=b");
    whole(request, to, "302 Redirect", &location, b"moved\n")
}

/// 2.5.0: whoever comes from 127.0.0.1 is taken for the device itself and asked for nothing.
fn private(request: &Request, to: &mut TcpStream) -> io::Result<()> {
    let is_local = to.peer_addr()?.ip() == IpAddr::V4(Ipv4Addr::LOCALHOST);
    // joe, and his password is pw.
    let is_known = request.field("authorization").as_deref() == Some("Basic am9lOnB3");
    if is_local || is_known {
        return whole(request, to, "200 OK", "X-Private: 1", b"private\n");
    }
    let challenge = "WWW-Authenticate: Basic realm=\"GoAhead\"";
    whole(request, to, "401 Unauthorized", challenge, b"who?\n")
}

/// 5.1.3 and 6.1.0 answer in the version they are asked in, and in chunks, which HTTP/1.0 does not have.
fn dynamic(request: &Request, to: &mut TcpStream) -> io::Result<()> {
    let is_old = String::from_utf8_lossy(&request.head)
        .lines()
        .next()
        .is_some_and(|line| line.ends_with(" HTTP/1.0"));
    let version = if is_old { "HTTP/1.0" } else { "HTTP/1.1" };
    to.write_all(
        format!(
            "{version} 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n\
             4\r\nmade\r\n8\r\n by jst\n\r\n0\r\n\r\n"
        )
        .as_bytes(),
    )
}

fn host(request: &Request) -> String {
    request.field("host").unwrap_or_default()
}
