//! The line to the origin: one that was kept, or a new one.

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use super::forward::{Way, broken};
use super::pool::Line;
use super::sending::Sending;
use crate::ground::deadline::Deadline;
use crate::ground::failure::{Cause, Failure, Phase};
use crate::origin::dial::{self, OriginStream};

/// A connection that is driven beside the visit it serves.
pub type Connection = http1::Connection<TokioIo<OriginStream>, Sending>;

/// What hyper reads at once.
const READ_BUFFER: usize = 64 << 10;

/// A connection to send over. One that may be kept is driven by a task of its own, any other beside the visit.
pub async fn obtain(
    way: &Way<'_>,
    total: Deadline,
    keeps: bool,
) -> Result<(Line, Option<Connection>), Failure> {
    if keeps
        && !way.is_fresh
        && let Some(line) = way.pool.take(way.slot.generation())
    {
        return Ok((line, None));
    }
    let stream = dial(way, total).await?;
    let local = stream.local();
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(READ_BUFFER)
        .title_case_headers(way.manners.title_case)
        .handshake(stream.into_io())
        .await
        .map_err(|error| broken(Phase::Send, &error))?;
    let line = Line {
        sender,
        local,
        is_used: false,
    };
    if !keeps {
        return Ok((line, Some(connection)));
    }
    // It ends with its sender, or when the origin closes it.
    tokio::spawn(connection);
    Ok((line, None))
}

async fn dial(way: &Way<'_>, total: Deadline) -> Result<dial::OriginStream, Failure> {
    let deadline = way.terms.connect.deadline().min(total);
    match deadline
        .bound(dial::open(
            &way.slot.generation().address,
            way.manners.source,
        ))
        .await
    {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(Failure::origin(
            Phase::Connect,
            match error.kind() {
                std::io::ErrorKind::ConnectionRefused | std::io::ErrorKind::NotFound => {
                    Cause::Refused
                }
                _ => Cause::Broken(error.to_string()),
            },
        )),
        Err(_) => Err(Failure::origin(Phase::Connect, way.terms.connect.missed())),
    }
}
