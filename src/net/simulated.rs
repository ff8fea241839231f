//! A network without sockets, for simulations: what is behind it decides what arrives, and when.

use std::fmt;
use std::future::Future;
use std::hash::{Hash, Hasher};
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};

/// One end of a connection.
pub trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

type Pending<'a, T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send + 'a>>;

/// One place in the simulated network.
pub trait Place: Send + Sync {
    /// Opens a connection to it.
    fn connect(&self) -> Pending<'_, Box<dyn Wire>>;

    /// Takes the next connection to it, with the remote address.
    fn accept(&self) -> Pending<'_, (Box<dyn Wire>, Option<IpAddr>)>;
}

/// The address of a place; clones mean the same one.
#[derive(Clone)]
pub struct Simulated(Arc<dyn Place>);

impl Simulated {
    /// The address of `place`.
    #[must_use]
    pub fn new(place: impl Place + 'static) -> Self {
        Self(Arc::new(place))
    }

    pub(super) async fn connect(&self) -> io::Result<Box<dyn Wire>> {
        self.0.connect().await
    }

    pub(super) async fn accept(&self) -> io::Result<(Box<dyn Wire>, Option<IpAddr>)> {
        self.0.accept().await
    }

    fn key(&self) -> *const () {
        Arc::as_ptr(&self.0).cast()
    }
}

impl PartialEq for Simulated {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Simulated {}

impl Hash for Simulated {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

impl fmt::Debug for Simulated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("simulated")
    }
}
