//! The manners of real origins, and the profiles that bundle them.

use std::net::IpAddr;

/// The manners of an origin: `origin.profile` sets all of them, each key one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manners {
    /// The address we connect from; `None` is the system's choice.
    pub source: Option<IpAddr>,
    /// The version of HTTP it is spoken to in.
    pub version: OriginVersion,
    /// Field names are sent `Like-This`, for servers that compare them letter by letter.
    pub title_case: bool,
    /// `Location` and `Content-Location` that name the origin, loopback or the client's host are mended.
    pub rewrite_location: bool,
    /// Cookies without `Secure` get it.
    pub secure_cookies: bool,
}

/// The version of HTTP an origin is spoken to in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OriginVersion {
    /// RFC 1945: no chunks, no interim answers.
    V1_0,
    /// RFC 9112.
    #[default]
    V1_1,
}

impl From<OriginVersion> for http::Version {
    fn from(version: OriginVersion) -> Self {
        match version {
            OriginVersion::V1_0 => Self::HTTP_10,
            OriginVersion::V1_1 => Self::HTTP_11,
        }
    }
}

/// A kind of origin whose manners are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Nothing special.
    Generic,
    /// GoAhead, 2.1 to 6.1.
    GoAhead,
    /// Boa 0.94.
    Boa,
    /// uhttpd of OpenWrt.
    Uhttpd,
    /// A WSGI application behind the reference server.
    Wsgi,
}

impl Profile {
    /// The manners it stands for.
    pub fn manners(self) -> Manners {
        let mended = Manners {
            secure_cookies: true,
            ..Manners::default()
        };
        match self {
            Self::Generic => Manners::default(),
            // In 2.x, whoever comes from 127.0.0.1 skips its access control (measured).
            Self::GoAhead => Manners {
                source: Some(IpAddr::from([127, 0, 0, 2])),
                title_case: true,
                ..mended
            },
            Self::Boa => Manners {
                version: OriginVersion::V1_0,
                title_case: true,
                ..mended
            },
            Self::Uhttpd | Self::Wsgi => mended,
        }
    }
}
