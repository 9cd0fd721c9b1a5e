//! The edge threads: a runtime each, all accepting from the same listeners, so that a busy one strands nobody.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;

use http::{Request, Response};
use hyper::body::Incoming;

use crate::config::Settings;
use crate::config::pages::Pages;
use crate::edge::admission::Admission;
use crate::edge::connection::Edge;
use crate::edge::redirect::{self, Redirect};
use crate::edge::tls::Spoken;
use crate::edge::{Handler, listener};
use crate::exchange::{AnswerBody, Exchanges, Shared};
use crate::ground::addr::Client;
use crate::ground::drain::Drain;
use crate::ground::fate::Fate;
use crate::ground::heartbeat::{Heart, Hearts};
use crate::ground::ledger::Ledger;
use crate::ground::published::Published;

/// What the edge threads are made of.
pub struct Parts {
    /// All settings.
    pub settings: Arc<Settings>,
    /// How to speak TLS.
    pub tls: Spoken,
    /// Who is connected.
    pub admission: Admission,
    /// What the exchanges share.
    pub shared: Shared,
    /// Where each opens its tally.
    pub ledger: Ledger,
    /// Where each beats.
    pub hearts: Hearts,
    /// What all of them accept from.
    pub listeners: Vec<TcpListener>,
    /// What all of them accept from, to send clients to HTTPS at the port named.
    pub redirects: (Vec<TcpListener>, u16),
    /// Each connection keeps a share.
    pub drain: Drain,
}

/// More threads than this only help where TLS handshakes are the bottleneck.
const USUAL_MOST: usize = 4;

/// How many there are.
pub fn count(settings: &Settings) -> usize {
    let cores = thread::available_parallelism().map_or(1, |cores| cores.get());
    settings.edge.threads.unwrap_or(cores.min(USUAL_MOST))
}

/// What the edge threads serve by, to be changed while they run.
pub struct Edges {
    admission: Admission,
    threads: Vec<(Published<Edge<Front>>, Exchanges)>,
}

impl Edges {
    /// Exchanges that begin from now on go by these settings and pages, and so do connections that are accepted.
    pub fn take(&self, settings: &Arc<Settings>, pages: &Arc<Pages>) {
        self.admission.take(&settings.edge.limits);
        for (edge, exchanges) in &self.threads {
            exchanges.take(settings, pages);
            let before = edge.now();
            edge.replace(Arc::new(Edge {
                settings: settings.edge.clone(),
                longest: settings.longest(),
                tls: before.tls.clone(),
                admission: before.admission.clone(),
                tally: before.tally.clone(),
                handler: before.handler.clone(),
            }));
        }
    }
}

/// Starts them; they end with the drain.
///
/// # Errors
/// What the system said.
pub fn start(parts: Parts) -> io::Result<Edges> {
    let mut edges = Edges {
        admission: parts.admission.clone(),
        threads: Vec::new(),
    };
    let threads = count(&parts.settings);
    for number in 0..threads {
        let listeners: io::Result<Vec<_>> =
            parts.listeners.iter().map(TcpListener::try_clone).collect();
        let listeners = listeners?;
        let (redirects, port) = &parts.redirects;
        let redirects: io::Result<Vec<_>> = redirects.iter().map(TcpListener::try_clone).collect();
        let redirects = redirects?;
        let name = format!("edge-{number}");
        let heart = parts.hearts.add(name.clone());
        let exchanges = Exchanges::new(parts.shared.clone(), &parts.ledger, threads);
        let front = Front(exchanges.clone());
        let front_tally = exchanges.tally();
        let edge = Edge {
            settings: parts.settings.edge.clone(),
            longest: parts.settings.longest(),
            tls: parts.tls.clone(),
            admission: parts.admission.clone(),
            tally: front_tally.clone(),
            handler: Arc::new(front),
        };
        let edge = Published::new(Arc::new(edge));
        edges.threads.push((edge.clone(), exchanges));
        let redirect = Redirect {
            port: *port,
            admission: parts.admission.clone(),
            tally: front_tally,
        };
        let drain = parts.drain.clone();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        thread::Builder::new().name(name).spawn(move || {
            runtime.block_on(async {
                for listener in redirects {
                    redirect_from(listener, redirect.clone(), drain.clone());
                }
                serve(listeners, edge, heart, drain).await;
            })
        })?;
    }
    Ok(edges)
}

async fn serve(
    listeners: Vec<TcpListener>,
    edge: Published<Edge<Front>>,
    heart: Arc<Heart>,
    drain: Drain,
) {
    for listener in listeners {
        match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => {
                tokio::spawn(listener::accept(listener, edge.clone(), drain.clone()));
            }
            Err(error) => tracing::error!(%error, "a listener cannot be used by an edge thread"),
        }
    }
    drop(drain);
    // The process ends this thread: errands may still be under way when the last connection is gone.
    heart.beat_on().await;
}

fn redirect_from(listener: TcpListener, redirect: Redirect, drain: Drain) {
    match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => {
            tokio::spawn(redirect::accept(listener, redirect, drain));
        }
        Err(error) => tracing::error!(%error, "a listener cannot be used by an edge thread"),
    }
}

/// Hands the requests of the edge to the exchanges, so that neither knows the other.
struct Front(Exchanges);

impl Handler for Front {
    type Body = AnswerBody;

    fn handle(
        self: Arc<Self>,
        request: Request<Incoming>,
        client: Client,
        fate: Fate,
    ) -> impl Future<Output = Response<AnswerBody>> + Send + 'static {
        self.0.serve(request, client, fate)
    }
}
