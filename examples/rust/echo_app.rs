//! An app behind hookgate, on hyper.
//!
//! ```sh
//! cargo run --example echo_app -- [SOCKET]
//! ```
//!
//! hookgate has verified the signature and stored the event before it comes here. Any 2xx settles
//! the event; everything else brings it back later, with the same `Hookgate-Event-Id`.

#![expect(clippy::print_stdout, reason = "an example shows what it received")]

use std::convert::Infallible;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

#[tokio::main]
async fn main() -> io::Result<()> {
    let path = std::env::args_os()
        .nth(1)
        .or_else(|| std::env::var_os("APP_SOCKET"));
    let path = path.map_or_else(
        || PathBuf::from("/tmp/hookgate-example.sock"),
        PathBuf::from,
    );
    let mut terminate = signal(SignalKind::terminate())?;

    remove_socket(&path)?;
    let listener = UnixListener::bind(&path)?;
    // hookgate runs as the same user or in the same group.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o660))?;
    println!("listening on {}", path.display());

    let connections = TaskTracker::new();
    let stop = CancellationToken::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                connections.spawn(serve(accepted?.0, stop.clone()));
            }
            _ = terminate.recv() => break,
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    stop.cancel();
    connections.close();
    connections.wait().await;
    remove_socket(&path)
}

/// Answers requests until hookgate closes the connection or `stop` asks for the end; a request that
/// is being answered then is finished first.
async fn serve(stream: UnixStream, stop: CancellationToken) {
    let connection =
        http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(handle));
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        println!("connection: {error}"); // no answer was sent, so the event comes again
    }
}

async fn handle(request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let mut response = Response::new(Empty::new());
    match (hookgate(&head.headers, "event-id"), body.collect().await) {
        // Not from hookgate.
        ("-", _) => *response.status_mut() = StatusCode::BAD_REQUEST,
        // Cut off: hookgate sends it again.
        (_, Err(_)) => *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR,
        (id, Ok(body)) => println!(
            "{id} {} {} attempt={} bytes={}",
            hookgate(&head.headers, "source"),
            hookgate(&head.headers, "event-type"),
            hookgate(&head.headers, "attempt"),
            body.to_bytes().len(),
        ),
    }
    Ok(response)
}

/// The header `hookgate-NAME`, or `-`.
fn hookgate<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    let value = headers.get(format!("hookgate-{name}"));
    value.and_then(|value| value.to_str().ok()).unwrap_or("-")
}

/// A socket file outlives its process when that is killed; a new one cannot be bound over it.
fn remove_socket(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => fs::remove_file(path),
        Ok(_) => Ok(()), // not ours to remove: bind will fail and say so
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}
