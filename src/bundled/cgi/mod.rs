//! CGI/1.1 scripts (RFC 3875): programs that answer, each request a process of its own.
//!
//! `find` says which program a path means, `environment` what it is told, `run` starts it and ends it, with all that is in
//! its group, `output` takes what it writes, and `reply` reads the head of that. A script whose name begins with
//! `nph-` is one like any other: what it writes goes through us, because a connection carries more than one answer.

use std::fmt::Display;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use http::{Method, Request, Response, StatusCode, Uri, request};
use http_body::Body;
use http_body_util::Empty;
use tokio::sync::Semaphore;

use super::ServeError;
use super::content::{self, Content};
use super::options::ScriptOptions;
use super::path::{Asked, Refused};

mod environment;
mod find;
mod output;
mod reply;
mod run;

use environment::Facts;
use find::Missing;
use reply::Reply;
use run::Failed;

pub(super) use output::Output;

/// A directory of scripts, and the places for those that run.
pub(super) struct Scripts {
    options: ScriptOptions,
    /// Resolved.
    directory: PathBuf,
    prefix: Asked,
    /// The directory of the files, for scripts that look at them.
    root: Option<PathBuf>,
    seats: Arc<Semaphore>,
}

/// What came of a script: an answer, or another place of this site to look for one.
enum Outcome {
    Answer(Response<Content>),
    Elsewhere(Uri),
}

/// A script may send us to a script that sends us on, but not for ever.
const REDIRECTS: usize = 5;

impl Scripts {
    /// # Errors
    /// The directory can't be resolved or read, or is none; the path is none.
    pub(super) fn open(options: ScriptOptions) -> Result<Scripts, ServeError> {
        let given = options.directory.clone();
        let unreadable = |cause| ServeError::ScriptsUnreadable {
            directory: given.clone(),
            cause,
        };
        let directory = given.canonicalize().map_err(unreadable)?;
        directory.read_dir().map_err(unreadable)?;
        let prefix = Asked::of(&options.path)
            .ok()
            .filter(|prefix| !prefix.segments.is_empty());
        let Some(prefix) = prefix else {
            let path = options.path;
            return Err(ServeError::ScriptsPath { path });
        };
        let seats = Arc::new(Semaphore::new(options.at_once));
        Ok(Scripts {
            options,
            directory,
            prefix,
            root: None,
            seats,
        })
    }

    /// The directory, resolved.
    pub(super) fn directory(&self) -> &PathBuf {
        &self.directory
    }

    /// The same, its scripts told where the files are.
    pub(super) fn beside(mut self, root: Option<PathBuf>) -> Self {
        self.root = root;
        self
    }

    /// Whether a path is one of ours. What is malformed is for whoever says so.
    pub(super) fn takes(&self, path: &str) -> bool {
        Asked::of(path).is_ok_and(|asked| asked.below(&self.prefix).is_some())
    }

    /// Answers, or says where on this site else the answer is, with the head to ask for it by.
    pub(super) async fn answer<B>(
        &self,
        request: Request<B>,
        peer: IpAddr,
    ) -> Result<Response<Content>, Box<request::Parts>>
    where
        B: Body<Data = Bytes> + Unpin + Send + 'static,
        B::Error: Display + Send,
    {
        let (mut head, body) = request.into_parts();
        let mut outcome = self.run(&head, body, peer).await;
        for _ in 0..REDIRECTS {
            let uri = match outcome {
                Outcome::Answer(response) => return Ok(response),
                Outcome::Elsewhere(uri) => uri,
            };
            // The body was the first one's.
            if head.method != Method::HEAD {
                head.method = Method::GET;
            }
            for field in [CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING] {
                head.headers.remove(field);
            }
            head.uri = uri;
            if !self.takes(head.uri.path()) {
                return Err(Box::new(head));
            }
            outcome = self.run(&head, Empty::<Bytes>::new(), peer).await;
        }
        Ok(match outcome {
            Outcome::Answer(response) => response,
            Outcome::Elsewhere(uri) => {
                tracing::error!(to = %uri, "scripts send each other in a circle");
                refusal(Failed::Garbage("scripts send each other in a circle"))
            }
        })
    }

    async fn run<B>(&self, head: &request::Parts, body: B, peer: IpAddr) -> Outcome
    where
        B: Body<Data = Bytes> + Unpin + Send + 'static,
        B::Error: Display + Send,
    {
        let asked = match Asked::of(head.uri.path()) {
            Ok(asked) => asked,
            Err(Refused::Absent | Refused::Malformed) => {
                return Outcome::Answer(content::not_found());
            }
        };
        let below = asked.below(&self.prefix).unwrap_or_default();
        let script = match find::find(&self.directory, &self.prefix, below, asked.is_folder).await {
            Ok(script) => script,
            Err(missing) => return Outcome::Answer(told(missing)),
        };
        if matches!(head.method, Method::CONNECT | Method::TRACE) {
            return Outcome::Answer(content::not_allowed(
                "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS",
            ));
        }
        // CONTENT_LENGTH must be told, and only a length that is known can be.
        if head.headers.contains_key(TRANSFER_ENCODING) {
            return Outcome::Answer(content::refusal(
                StatusCode::LENGTH_REQUIRED,
                "A script must know the length of a body before it comes.",
            ));
        }
        let Ok(seat) = self.seats.clone().try_acquire_owned() else {
            tracing::warn!(script = %script.name, "as many scripts run as may; refused");
            return Outcome::Answer(content::busy("Too many scripts run at the moment."));
        };
        let facts = Facts {
            script: &script,
            head,
            peer,
            client: self.options.client,
            root: self.root.as_deref(),
        };
        let environment = environment::of(&facts);
        let begun = run::start(&script, environment, body, self.options.timeout, seat);
        let answered = match begun {
            Ok(run) => run.head().await,
            Err(failed) => Err(failed),
        };
        match answered {
            Ok((Reply::Elsewhere(uri), output)) => {
                output.finish();
                Outcome::Elsewhere(uri)
            }
            Ok((Reply::Page(page), output)) => Outcome::Answer(output.with(page, &head.method)),
            Err(failed) => {
                tracing::error!(script = %script.name, "{failed}");
                Outcome::Answer(refusal(failed))
            }
        }
    }
}

fn told(missing: Missing) -> Response<Content> {
    match missing {
        Missing::Absent => content::not_found(),
        Missing::NotExecutable => {
            content::refusal(StatusCode::FORBIDDEN, "This script may not be executed.")
        }
    }
}

fn refusal(failed: Failed) -> Response<Content> {
    match failed {
        Failed::NotStarted(_) => content::refusal(
            StatusCode::INTERNAL_SERVER_ERROR,
            "The script behind this address cannot be started.",
        ),
        Failed::TooSlow(_) => content::refusal(
            StatusCode::GATEWAY_TIMEOUT,
            "The script behind this address took too long and was ended.",
        ),
        Failed::Garbage(_) | Failed::Broken(_) => content::refusal(
            StatusCode::BAD_GATEWAY,
            "The script behind this address did not give an answer that can be understood.",
        ),
    }
}
