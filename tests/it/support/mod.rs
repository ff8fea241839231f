//! What the tests are made of: a gate on free ports in a directory of its own, an app that follows a
//! script and keeps what it got byte for byte, senders that sign as providers do, and a client that
//! writes raw bytes.
//!
//! Nothing here sleeps to let something happen: it waits for conditions, and fails after
//! [`PATIENCE`].

pub(crate) mod app;
pub(crate) mod gate;
pub(crate) mod http;
pub(crate) mod keys;
pub(crate) mod sender;
#[path = "../../senders/mod.rs"]
pub(crate) mod senders;

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::{Instant, timeout};

/// Far longer than anything takes on a slow machine; reaching it is a failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The result of `work`, or a failure that says what did not happen.
pub(crate) async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    match timeout(PATIENCE, work).await {
        Ok(result) => result,
        Err(_) => panic!("{what} did not happen within {PATIENCE:?}"),
    }
}

/// Looks again and again until `condition` holds.
pub(crate) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(
            Instant::now() < deadline,
            "{what} did not happen within {PATIENCE:?}"
        );
        tokio::time::sleep(Duration::from_millis(2)).await; // between two looks
    }
}

/// Where something that is not part of this repository is; without it the test is skipped.
#[expect(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "not the program's configuration; says what is skipped"
)]
pub(crate) fn setting(name: &str) -> Option<PathBuf> {
    let found = std::env::var(name).ok().map(PathBuf::from);
    if found.is_none() {
        eprintln!("skipped: {name} is not set");
    }
    found
}
