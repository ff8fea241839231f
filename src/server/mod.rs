//! The accept loop and the hyper glue that ingress and admin share.
//!
//! A connection costs a slot from before it is accepted until it ends, and every phase of its life
//! has a deadline: TLS handshake, first byte, headers, idling, writing, total age. The request body
//! has its own deadlines, in `ingress::receive`, where the source is known.

mod accept;
pub mod bench;
mod connection;
mod frames;
mod framing;
mod guarded;
mod handler;
mod linger;
mod place;
mod slots;
mod tls;
mod turns;

pub use accept::{Metrics, Server};
pub use place::{AtWork, Place, Unweighed};
pub use tls::{Files as TlsFiles, TlsError};

use std::net::IpAddr;

use ipnet::IpNet;

/// How connections are limited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Open connections; towards the limit, those that have shown the least go first.
    pub connections_max: usize,
    /// Open connections of one peer; more are closed at once.
    pub connections_per_peer_max: usize,
    /// Peers that speak for many senders, and have as many connections as there are.
    pub trusted_proxies: Vec<IpNet>,
    /// TLS, if this listener speaks it.
    pub tls: Option<TlsFiles>,
}

/// The remote address of a connection, in the extensions of each of its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub Option<IpAddr>);
