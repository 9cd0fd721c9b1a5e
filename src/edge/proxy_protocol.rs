//! The PROXY protocol, versions 1 and 2: who the client is, told by a trusted balancer before TLS begins
//! (haproxy.org, proxy-protocol.txt). The parsing is pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::ground::addr::ClientAddr;

/// What the first bytes of a connection say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// The client is this, told in so many bytes.
    Client(SocketAddr, usize),
    /// The balancer speaks for itself (a health check), in so many bytes.
    Itself(usize),
    /// It may become a header with more bytes.
    More,
    /// It is no header.
    Nothing,
}

/// A balancer that promised a header and sent something else.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Something else came.
    #[error("no PROXY protocol header; a trusted address (edge.proxy_protocol) must send one")]
    Missing,
    /// The connection broke.
    #[error("the connection broke before its PROXY protocol header was whole: {0}")]
    Broken(String),
}

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// The longest header of version 1, with its end of line.
const LONGEST_V1: usize = 107;
/// Version 2 may carry further fields; more than this is nobody's.
const LONGEST: usize = 4096;
/// Between two looks at a header that comes in pieces: a header comes in one.
const AGAIN: Duration = Duration::from_millis(5);

/// Takes the header from the stream and says who the client is; `peer` is the balancer. The caller bounds it.
///
/// # Errors
/// [`HeaderError`].
pub async fn client(stream: &mut TcpStream, peer: ClientAddr) -> Result<ClientAddr, HeaderError> {
    let broken = |error: std::io::Error| HeaderError::Broken(error.to_string());
    let mut seen = vec![0; LONGEST];
    let mut before = 0;
    loop {
        let length = stream.peek(&mut seen).await.map_err(broken)?;
        let (client, length) = match parse(&seen[..length]) {
            Said::Client(client, length) => (ClientAddr(client), length),
            Said::Itself(length) => (peer, length),
            Said::Nothing => return Err(HeaderError::Missing),
            Said::More if length == 0 || length == LONGEST => return Err(HeaderError::Missing),
            Said::More => {
                if length == before {
                    tokio::time::sleep(AGAIN).await;
                }
                before = length;
                continue;
            }
        };
        stream
            .read_exact(&mut seen[..length])
            .await
            .map_err(broken)?;
        return Ok(client);
    }
}

/// What these first bytes of a connection say.
pub fn parse(bytes: &[u8]) -> Said {
    let begins = |with: &[u8]| {
        let common = bytes.len().min(with.len());
        bytes[..common] == with[..common]
    };
    match () {
        () if begins(SIGNATURE) && bytes.len() > SIGNATURE.len() => version_2(bytes),
        () if begins(b"PROXY ") && bytes.len() > 6 => version_1(bytes),
        () if begins(SIGNATURE) || begins(b"PROXY ") => Said::More,
        () => Said::Nothing,
    }
}

fn version_1(bytes: &[u8]) -> Said {
    let Some(end) = bytes.windows(2).position(|pair| pair == b"\r\n") else {
        return match bytes.len() < LONGEST_V1 {
            true => Said::More,
            false => Said::Nothing,
        };
    };
    let length = end + 2;
    let Ok(line) = std::str::from_utf8(&bytes[..end]) else {
        return Said::Nothing;
    };
    if length > LONGEST_V1 {
        return Said::Nothing;
    }
    let words: Vec<&str> = line.split(' ').collect();
    match words[..] {
        ["PROXY", "UNKNOWN", ..] => Said::Itself(length),
        ["PROXY", kind @ ("TCP4" | "TCP6"), from, to, port, to_port] => {
            let address = |text: &str| {
                let ip: IpAddr = text.parse().ok()?;
                (ip.is_ipv4() == (kind == "TCP4")).then_some(ip)
            };
            let is_port = |text: &str| text.parse::<u16>().ok();
            match (address(from), address(to), is_port(port), is_port(to_port)) {
                (Some(ip), Some(_), Some(port), Some(_)) => {
                    Said::Client(SocketAddr::new(ip, port), length)
                }
                _ => Said::Nothing,
            }
        }
        _ => Said::Nothing,
    }
}

fn version_2(bytes: &[u8]) -> Said {
    const FIXED: usize = 16;
    let Some(fixed) = bytes.first_chunk::<FIXED>() else {
        return Said::More;
    };
    let [.., version, family, high, low] = *fixed;
    let length = FIXED + usize::from(u16::from_be_bytes([high, low]));
    if version >> 4 != 2 || length > LONGEST {
        return Said::Nothing;
    }
    if bytes.len() < length {
        return Said::More;
    }
    let rest = &bytes[FIXED..length];
    match (version & 0xf, family) {
        (0, _) => Said::Itself(length),
        (1, 0x11) => match rest.first_chunk::<12>() {
            Some([a, b, c, d, _, _, _, _, high, low, _, _]) => {
                let ip = Ipv4Addr::new(*a, *b, *c, *d);
                let port = u16::from_be_bytes([*high, *low]);
                Said::Client(SocketAddr::from((ip, port)), length)
            }
            None => Said::Nothing,
        },
        (1, 0x21) => match (rest.first_chunk::<16>(), rest.get(32..34)) {
            (Some(ip), Some([high, low])) => {
                let port = u16::from_be_bytes([*high, *low]);
                Said::Client(SocketAddr::from((Ipv6Addr::from(*ip), port)), length)
            }
            _ => Said::Nothing,
        },
        // A unix socket, a datagram, or nothing told: the balancer's own address has to do.
        (1, _) => Said::Itself(length),
        _ => Said::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let mut header = SIGNATURE.to_vec();
        header.extend([0x20 | command, family]);
        header.extend((rest.len() as u16).to_be_bytes());
        header.extend(rest);
        header
    }

    #[test]
    fn version_1_names_the_client() {
        let header = b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n\x16\x03";
        let client = "192.0.2.7:56324".parse().unwrap();
        assert_eq!(parse(header), Said::Client(client, header.len() - 2));
        let header = b"PROXY TCP6 2001:db8::7 2001:db8::1 1 443\r\n";
        let client = "[2001:db8::7]:1".parse().unwrap();
        assert_eq!(parse(header), Said::Client(client, header.len()));
        assert_eq!(parse(b"PROXY UNKNOWN\r\n"), Said::Itself(15));
    }

    #[test]
    fn version_2_names_the_client() {
        let mut rest = vec![192, 0, 2, 7, 198, 51, 100, 1, 0xdc, 0x04, 1, 187];
        rest.extend([4, 0, 1, 0]);
        let header = v2(1, 0x11, &rest);
        let client = "192.0.2.7:56324".parse().unwrap();
        assert_eq!(parse(&header), Said::Client(client, header.len()));
        let mut rest = [0; 36];
        rest[15] = 7;
        rest[33] = 9;
        let header = v2(1, 0x21, &rest);
        assert_eq!(
            parse(&header),
            Said::Client("[::7]:9".parse().unwrap(), header.len())
        );
        let local = v2(0, 0, &[]);
        assert_eq!(parse(&local), Said::Itself(16));
    }

    #[test]
    fn every_beginning_asks_for_more_and_never_panics() {
        let whole = [
            b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n".to_vec(),
            v2(1, 0x11, &[1; 12]),
        ];
        for header in whole {
            for length in 0..header.len() {
                assert_eq!(parse(&header[..length]), Said::More, "{length}");
            }
        }
    }

    #[test]
    fn what_is_no_header_is_not_guessed_at() {
        let long = [b"PROXY TCP4 ".as_slice(), &[b'1'; 200]].concat();
        for bytes in [
            b"\x16\x03\x01".as_slice(),
            b"GET / HTTP/1.1\r\n",
            b"PROXY TCP4 192.0.2.7 198.51.100.1 56324\r\n",
            b"PROXY TCP4 2001:db8::7 2001:db8::1 1 443\r\n",
            b"PROXY TCP4 192.0.2.7 198.51.100.1 99999 443\r\n",
            b"PROXY  TCP4 192.0.2.7 198.51.100.1 1 443\r\n",
            b"PROXY TCP4 \xff\xff\r\n",
            &long,
            &v2(1, 0x11, &[1; 5]),
            &v2(7, 0x11, &[1; 12]),
        ] {
            assert_eq!(parse(bytes), Said::Nothing, "{bytes:?}");
        }
        let mut wrong_version = v2(1, 0x11, &[1; 12]);
        wrong_version[12] = 0x31;
        assert_eq!(parse(&wrong_version), Said::Nothing);
    }
}
