//! What a container writes, as it comes, to somebody who may be slower.

use bollard::Docker;
use bollard::errors::Error;
use bollard::query_parameters::{LogsOptions, LogsOptionsBuilder};
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::mpsc;

use crate::runtime::LogsWanted;

/// Pieces that wait for a reader; an engine sends a line, or 16 KiB of one, at a time.
const WAITING: usize = 64;

/// Sends what container `id` writes until it ends or nobody reads any more.
pub(super) fn follow(docker: Docker, id: String, wanted: LogsWanted) -> mpsc::Receiver<Bytes> {
    let (sender, receiver) = mpsc::channel(WAITING);
    tokio::spawn(async move {
        let mut pieces = docker.logs(&id, Some(options(wanted)));
        loop {
            let piece = tokio::select! {
                // Cancel-safe: a stream keeps what it has until it is polled again.
                piece = pieces.next() => piece,
                // Cancel-safe: it only waits.
                () = sender.closed() => return,
            };
            match piece {
                Some(Ok(piece)) => {
                    if sender.send(piece.into_bytes()).await.is_err() {
                        return;
                    }
                }
                Some(Err(error)) => return note(&error),
                None => return,
            }
        }
    });
    receiver
}

fn options(wanted: LogsWanted) -> LogsOptions {
    let tail = wanted.tail.map_or_else(|| "all".to_owned(), |lines| lines.to_string());
    LogsOptionsBuilder::default()
        .stdout(true)
        .stderr(true)
        .follow(wanted.follow)
        .tail(&tail)
        .build()
}

/// The reader sees an end; whether the engine went away is for the next observation to tell.
fn note(error: &Error) {
    tracing::debug!(%error, "a container's log ends");
}
