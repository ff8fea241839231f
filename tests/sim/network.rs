//! Connections in memory: senders reach the gate, the gate reaches the app.

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use hookgate::net::Address;
use hookgate::net::simulated::{Place, Simulated, Wire};
use tokio::io::{DuplexStream, duplex};
use tokio::sync::{Mutex, mpsc};

use crate::app::App;
use crate::schedule::Mood;

/// Connections that wait to be taken.
const WAITING: usize = 64;

/// How senders reach the gate.
#[derive(Clone)]
pub(crate) struct Door {
    connections: mpsc::Sender<DuplexStream>,
    wire_bytes: usize,
}

impl Door {
    /// A door, and the address that the gate listens on.
    pub(crate) fn new(wire_bytes: usize) -> (Self, Address) {
        let (connections, taken) = mpsc::channel(WAITING);
        let gate = GateSide(Mutex::new(taken));
        let door = Self {
            connections,
            wire_bytes,
        };
        (door, Address::Simulated(Simulated::new(gate)))
    }

    /// Opens a connection, if the gate is there.
    pub(crate) async fn connect(&self) -> Option<DuplexStream> {
        let (ours, theirs) = duplex(self.wire_bytes);
        self.connections.send(theirs).await.ok()?;
        Some(ours)
    }
}

struct GateSide(Mutex<mpsc::Receiver<DuplexStream>>);

type Pending<'a, T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send + 'a>>;

impl Place for GateSide {
    fn connect(&self) -> Pending<'_, Box<dyn Wire>> {
        Box::pin(async { Err(io::ErrorKind::Unsupported.into()) })
    }

    fn accept(&self) -> Pending<'_, (Box<dyn Wire>, Option<IpAddr>)> {
        Box::pin(async {
            match self.0.lock().await.recv().await {
                Some(stream) => Ok((Box::new(stream) as Box<dyn Wire>, None)),
                None => std::future::pending().await,
            }
        })
    }
}

/// The address of the app.
pub(crate) fn app_address(app: &Arc<App>) -> Address {
    Address::Simulated(Simulated::new(AppSide(Arc::clone(app))))
}

struct AppSide(Arc<App>);

impl Place for AppSide {
    fn connect(&self) -> Pending<'_, Box<dyn Wire>> {
        Box::pin(async {
            match self.0.mood() {
                Mood::Down => return Err(io::ErrorKind::ConnectionRefused.into()),
                Mood::Deaf => return std::future::pending().await,
                Mood::Fine
                | Mood::Hanging
                | Mood::Failing
                | Mood::Busy
                | Mood::Slow
                | Mood::Wild => {}
            }
            let (ours, theirs) = duplex(self.0.wire_bytes());
            self.0.open(theirs);
            Ok(Box::new(ours) as Box<dyn Wire>)
        })
    }

    fn accept(&self) -> Pending<'_, (Box<dyn Wire>, Option<IpAddr>)> {
        Box::pin(std::future::pending())
    }
}
