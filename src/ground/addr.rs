//! Addresses that carry a promise: who they belong to, and what was checked of them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// Where a client connects from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientAddr(pub SocketAddr);

/// Who asks, and how it is spoken with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    /// Where it connects from.
    pub addr: ClientAddr,
    /// The version of TLS, as its number.
    pub tls: &'static str,
}

/// Where the edge or the status page listens. Port 0 means "any free one".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EdgeAddr(pub SocketAddr);

/// Where the origin listens: a loopback address or a unix socket, by construction.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum OriginAddr {
    /// A TCP port of a loopback address. Port 0 means "choose a free one and tell the command".
    Tcp(SocketAddr),
    /// The path of a unix stream socket.
    Unix(PathBuf),
}

/// A network, like `10.0.0.0/8`; one address alone is a network of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Net {
    first: IpAddr,
    bits: u8,
}

/// Why a text is no address for its purpose; the message carries the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddrError {
    /// Not `ADDRESS:PORT` at all.
    #[error(
        "`{0}` is not an address with a port; write it like \"127.0.0.1:8080\" or \"[::1]:8080\""
    )]
    Form(String),
    /// A good address, but one that other machines can be behind.
    #[error(
        "`{0}` is not a loopback address; the origin must listen where no network can reach it, like \"127.0.0.1:8080\" or \"unix:/run/origin.sock\""
    )]
    NotLoopback(String),
    /// Neither an address nor a network.
    #[error(
        "`{0}` is not a network; write it like \"10.0.0.0/8\", \"192.0.2.7\" or \"2001:db8::/32\""
    )]
    Net(String),
    /// `unix:` without an absolute path behind it.
    #[error("`{0}` needs an absolute path, like \"unix:/run/origin.sock\"")]
    UnixPath(String),
}

impl ClientAddr {
    /// The address without its port, an IPv4 address mapped into IPv6 told as IPv4.
    pub fn ip(&self) -> IpAddr {
        self.0.ip().to_canonical()
    }
}

impl OriginAddr {
    /// Whether the port is still to be chosen.
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Tcp(addr) if addr.port() == 0)
    }

    /// The TCP port, if there is one.
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Tcp(addr) => Some(addr.port()),
            Self::Unix(_) => None,
        }
    }

    /// What a `Host` field says for this origin when nobody else says it.
    pub fn authority(&self) -> String {
        match self {
            Self::Tcp(addr) => addr.to_string(),
            Self::Unix(_) => "localhost".to_owned(),
        }
    }
}

impl Net {
    /// Whether an address is one of this network's; an IPv4 address mapped into IPv6 is that IPv4 address.
    pub fn holds(&self, ip: IpAddr) -> bool {
        let mask = |bits: u8, width: u8| match bits {
            0 => 0,
            bits => u128::MAX << (width - bits),
        };
        match (self.first, ip.to_canonical()) {
            (IpAddr::V4(first), IpAddr::V4(ip)) => {
                let mask = mask(self.bits, 32) as u32;
                u32::from(first) & mask == u32::from(ip) & mask
            }
            (IpAddr::V6(first), IpAddr::V6(ip)) => {
                let mask = mask(self.bits, 128);
                u128::from(first) & mask == u128::from(ip) & mask
            }
            _ => false,
        }
    }
}

impl fmt::Display for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.bits)
    }
}

impl FromStr for Net {
    type Err = AddrError;

    fn from_str(text: &str) -> Result<Self, AddrError> {
        let wrong = || AddrError::Net(text.to_owned());
        let (first, bits) = match text.split_once('/') {
            Some((first, bits)) => (first, Some(bits)),
            None => (text, None),
        };
        let first: IpAddr = first.parse().map_err(|_| wrong())?;
        let most = if first.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), |bits| bits.parse().map_err(|_| wrong()))?;
        match bits <= most {
            true => Ok(Self { first, bits }),
            false => Err(wrong()),
        }
    }
}

impl FromStr for EdgeAddr {
    type Err = AddrError;

    fn from_str(text: &str) -> Result<Self, AddrError> {
        parse_socket(text).map(Self)
    }
}

impl FromStr for OriginAddr {
    type Err = AddrError;

    fn from_str(text: &str) -> Result<Self, AddrError> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = PathBuf::from(path);
            return match path.is_absolute() {
                true => Ok(Self::Unix(path)),
                false => Err(AddrError::UnixPath(text.to_owned())),
            };
        }
        let addr = parse_socket(text)?;
        match addr.ip().is_loopback() {
            true => Ok(Self::Tcp(addr)),
            false => Err(AddrError::NotLoopback(text.to_owned())),
        }
    }
}

impl fmt::Display for ClientAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SocketAddr::new(self.ip(), self.0.port()).fmt(f)
    }
}

impl fmt::Display for EdgeAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for OriginAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addr) => addr.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

fn parse_socket(text: &str) -> Result<SocketAddr, AddrError> {
    let wrong = || AddrError::Form(text.to_owned());
    match text.strip_prefix("localhost:") {
        Some(port) => {
            let port = port.parse().map_err(|_| wrong())?;
            Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        }
        None => text.parse().map_err(|_| wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_on_loopback_or_a_unix_socket() {
        assert!("127.0.0.1:80".parse::<OriginAddr>().is_ok());
        assert!("127.9.9.9:80".parse::<OriginAddr>().is_ok());
        assert!("[::1]:80".parse::<OriginAddr>().is_ok());
        assert!("localhost:80".parse::<OriginAddr>().is_ok());
        assert!("unix:/run/x".parse::<OriginAddr>().is_ok());
        for (text, wanted) in [
            ("192.168.1.1:80", "not a loopback"),
            ("0.0.0.0:80", "not a loopback"),
            ("unix:run/x", "absolute path"),
            ("8080", "not an address"),
            ("127.0.0.1", "not an address"),
            ("example.org:80", "not an address"),
        ] {
            let said = text.parse::<OriginAddr>().unwrap_err().to_string();
            assert!(said.contains(wanted), "{text}: {said}");
        }
    }

    #[test]
    fn a_network_holds_its_own() {
        let holds = |net: &str, ip: &str| net.parse::<Net>().unwrap().holds(ip.parse().unwrap());
        assert!(holds("10.0.0.0/8", "10.255.0.1") && !holds("10.0.0.0/8", "11.0.0.1"));
        assert!(holds("192.0.2.7", "192.0.2.7") && !holds("192.0.2.7", "192.0.2.8"));
        assert!(holds("192.0.2.7", "::ffff:192.0.2.7"));
        assert!(holds("0.0.0.0/0", "1.2.3.4") && !holds("0.0.0.0/0", "::1"));
        assert!(holds("2001:db8::/32", "2001:db8:9::1") && !holds("2001:db8::/32", "2001:db9::1"));
        for wrong in [
            "",
            "10.0.0.0/33",
            "10.0.0.0/",
            "x/8",
            "10.0.0.0/-1",
            "::/129",
        ] {
            assert!(wrong.parse::<Net>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_mapped_client_address_is_told_as_ipv4() {
        let mapped = ClientAddr("[::ffff:10.0.0.7]:5".parse().unwrap());
        assert_eq!(mapped.to_string(), "10.0.0.7:5");
    }
}
