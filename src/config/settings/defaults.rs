//! Every default. `config/leeward.toml` gives the reason for each.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::{
    Edge, EdgeDeadlines, EdgeLimits, Hang, Hold, Identity, Incidents, Manners, Origin,
    OriginDeadlines, OriginLimits, OriginVersion, Pace, Place, Probe, Process, Replay, Restart,
    Spool, Status, Tls, TlsVersion, UnknownName,
};
use crate::ground::addr::{EdgeAddr, OriginAddr};

impl Default for Edge {
    fn default() -> Self {
        Self {
            listen: vec![local(8443)],
            redirect: Vec::new(),
            proxy_protocol: Vec::new(),
            half_close: false,
            threads: None,
            tls: Tls::default(),
            deadlines: EdgeDeadlines::default(),
            limits: EdgeLimits::default(),
        }
    }
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            identity: Identity::SelfSigned,
            others: Vec::new(),
            unknown_name: UnknownName::Default,
            reread_every: Some(Duration::from_secs(10)),
            oldest: TlsVersion::V1_2,
            clients: None,
        }
    }
}

impl Default for EdgeDeadlines {
    fn default() -> Self {
        let pace = |after| {
            Some(Pace {
                rate: 500,
                after: Duration::from_secs(after),
            })
        };
        Self {
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(10),
            body_stall: Duration::from_secs(15),
            body_pace: pace(20),
            body_total: None,
            response_stall: Duration::from_secs(30),
            response_pace: pace(60),
            keep_alive: Duration::from_secs(60),
            half_close: Duration::from_secs(5),
            age: None,
            drain: Duration::from_secs(30),
        }
    }
}

impl Default for EdgeLimits {
    fn default() -> Self {
        Self {
            connections: 4096,
            connections_per_address: Some(100),
            handshakes: Some(1024),
            memory: Some(1 << 30),
            headers: 100,
            head: 32 << 10,
            uri: 8 << 10,
            body: 16 << 20,
            streams: 100,
            resets: 100,
            control_frames: 1000,
        }
    }
}

impl Default for Spool {
    fn default() -> Self {
        Self {
            exchange: 64 << 10,
            memory: 64 << 20,
            directory: None,
            file: 1 << 30,
            disk: 4 << 30,
            floor: 256 << 20,
        }
    }
}

impl Default for Origin {
    fn default() -> Self {
        Self {
            address: OriginAddr::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
            concurrency: None,
            streams: None,
            queue: 256,
            keep_alive: Some(Duration::from_secs(2)),
            manners: Manners::default(),
            process: Process::Bundled(Default::default()),
            deadlines: OriginDeadlines::default(),
            probe: Probe::default(),
            limits: OriginLimits::default(),
        }
    }
}

impl Default for OriginLimits {
    fn default() -> Self {
        Self {
            memory: None,
            descriptors: None,
            close_wait: Some(100),
        }
    }
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            source: None,
            version: OriginVersion::default(),
            title_case: false,
            rewrite_location: true,
            secure_cookies: false,
        }
    }
}

impl Default for OriginDeadlines {
    fn default() -> Self {
        Self {
            queue: Duration::from_secs(15),
            connect: Duration::from_secs(1),
            first_byte: Duration::from_secs(30),
            idle: Duration::from_secs(30),
            total: Duration::from_secs(300),
        }
    }
}

impl Default for Probe {
    fn default() -> Self {
        Self {
            path: "/".to_owned(),
            host: None,
            http2: false,
            every: Duration::from_secs(2),
            suspect_every: Duration::from_millis(500),
            timeout: Duration::from_secs(2),
        }
    }
}

impl Default for Hang {
    fn default() -> Self {
        Self {
            certain: Duration::from_millis(1500),
            silent: Duration::from_secs(10),
        }
    }
}

impl Default for Restart {
    fn default() -> Self {
        Self {
            startup: Duration::from_secs(60),
            grace_certain: Duration::from_millis(300),
            grace: Duration::from_secs(3),
            grace_drain: Duration::from_secs(10),
            leaking: true,
            every: None,
            quiet: Duration::from_secs(3600),
            drain: Duration::from_secs(10),
            core: false,
            backoff: Duration::from_secs(1),
            backoff_most: Duration::from_secs(60),
            forget: Duration::from_secs(600),
            degraded_after: 5,
            degraded_within: Duration::from_secs(600),
            degraded_every: Duration::from_secs(60),
            degraded_watchdog: None,
        }
    }
}

impl Default for Hold {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(20),
            requests: 256,
        }
    }
}

impl Default for Replay {
    fn default() -> Self {
        Self {
            continue_answers: true,
            idempotency_key: false,
        }
    }
}

impl Default for Incidents {
    fn default() -> Self {
        Self {
            directory: None,
            keep: 100,
            max_age: Some(Duration::from_secs(90 * 24 * 3600)),
        }
    }
}

impl Default for Status {
    fn default() -> Self {
        Self {
            listen: Some(local(9180)),
            socket: Place::Usual,
            token_file: None,
        }
    }
}

fn local(port: u16) -> EdgeAddr {
    EdgeAddr(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
}
