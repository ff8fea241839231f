//! Addresses: where to listen and whom to connect to, over TCP or a Unix socket.
//!
//! A socket to listen on may also be passed to the process by whoever started it.

mod passed;
#[doc(hidden)]
pub mod simulated;
mod stream;

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream, lookup_host};

pub use passed::Passed;
use simulated::Simulated;
pub use stream::Stream;

/// A TCP host and port, the path of a Unix socket, or the name of a socket passed to this process.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// `host:port`; the host may be a name.
    Tcp {
        /// Name or IP address, an IPv6 one without its brackets.
        host: Box<str>,
        /// Port; 0 lets the system choose when listening.
        port: u16,
    },
    /// Path of the socket file.
    Unix(PathBuf),
    /// By its name; only to listen on.
    Passed(Box<str>),
    /// Not outside this process: the network of a simulation.
    #[doc(hidden)]
    Simulated(Simulated),
}

impl Address {
    /// Whether only this machine can be at the other end.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Self::Unix(_) | Self::Simulated(_) => true,
            Self::Passed(_) => false, // nobody knows before it is there
            Self::Tcp { host, .. } => {
                &**host == "localhost"
                    || host
                        .parse::<IpAddr>()
                        .is_ok_and(|address| address.is_loopback())
            }
        }
    }

    /// Whether both cannot be listened on at the same time.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let other_is_local = other.is_local();
        match (self, other) {
            (Self::Unix(one), Self::Unix(other)) => one == other,
            (Self::Passed(one), Self::Passed(other)) => one == other,
            (
                Self::Tcp { host: one, port },
                Self::Tcp {
                    host: other,
                    port: same,
                },
            ) => {
                let any = |host: &str| matches!(host, "0.0.0.0" | "::");
                let named = |host: &str| host.eq_ignore_ascii_case("localhost");
                let by_name = (named(one) && other_is_local) || (named(other) && self.is_local());
                let host = one == other || any(one) || any(other) || by_name;
                host && port == same && *port != 0
            }
            _ => false,
        }
    }

    /// What to write into the `Host` header of a request to this address.
    #[must_use]
    pub fn authority(&self) -> String {
        match self {
            Self::Unix(_) | Self::Passed(_) | Self::Simulated(_) => "localhost".to_owned(),
            Self::Tcp { .. } => self.to_string(),
        }
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// What the system says: refused, no such file, no route, no such name.
    pub async fn connect(&self) -> io::Result<Stream> {
        match self {
            Self::Unix(path) => UnixStream::connect(path).await.map(Stream::Unix),
            Self::Tcp { host, port } => {
                let stream = TcpStream::connect((&**host, *port)).await?;
                stream.set_nodelay(true)?;
                Ok(Stream::Tcp(stream))
            }
            Self::Passed(_) => Err(only_to_listen_on()),
            Self::Simulated(network) => network.connect().await.map(Stream::Simulated),
        }
    }

    /// Starts to listen. A socket file that nobody listens on any more is replaced. What was passed to the
    /// process is not bound but taken, with [`Passed::take`].
    ///
    /// # Errors
    /// What the system says; [`io::ErrorKind::AddrInUse`] when another process listens there.
    pub async fn bind(&self) -> io::Result<Listener> {
        match self {
            Self::Tcp { host, port } => {
                let listener = listen((&**host, *port)).await?;
                Ok(Listener::Tcp(listener, Ownership::Own))
            }
            Self::Unix(path) => {
                remove_stale_socket(path).await?;
                let listener = UnixListener::bind(path)?;
                Ok(Listener::Unix(listener, path.clone(), Ownership::Own))
            }
            Self::Passed(_) => Err(io::ErrorKind::Unsupported.into()),
            Self::Simulated(network) => Ok(Listener::Simulated(network.clone())),
        }
    }
}

fn only_to_listen_on() -> io::Error {
    let problem = "\"systemd:NAME\" is a socket to listen on, not one to connect to";
    io::Error::new(io::ErrorKind::Unsupported, problem)
}

/// Connections that the system keeps until they are accepted; it may have a lower limit of its own.
/// Whoever comes when they are so many is only told so by silence, and tries again a second later.
const BACKLOG: u32 = 4096;

/// On the first address of the name that can be listened on.
async fn listen(name: (&str, u16)) -> io::Result<TcpListener> {
    let mut refused = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in lookup_host(name).await? {
        match listen_on(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

fn listen_on(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?; // so that a restart need not wait for old connections
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

async fn remove_stale_socket(path: &Path) -> io::Result<()> {
    match UnixStream::connect(path).await {
        Ok(_) => Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "another process listens on this socket",
        )),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            use std::os::unix::fs::FileTypeExt;
            if std::fs::symlink_metadata(path)?.file_type().is_socket() {
                std::fs::remove_file(path)
            } else {
                Err(io::Error::new(
                    io::ErrorKind::AlreadyExists,
                    "the path is a file, not a socket",
                ))
            }
        }
        Err(_) => Ok(()), // nothing there; if it is anything else, binding says so
    }
}

/// The text is not an address.
#[derive(Debug, thiserror::Error)]
#[error("write an address as \"host:port\" (an IPv6 host in brackets) or \"unix:/path\"")]
pub struct NotAnAddress;

impl FromStr for Address {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return if path.is_empty() {
                Err(NotAnAddress)
            } else {
                Ok(Self::Unix(path.into()))
            };
        }
        if let Some(name) = text.strip_prefix("systemd:") {
            // What systemd takes for a FileDescriptorName=.
            let fits = |byte: u8| byte.is_ascii_graphic() && byte != b':';
            return if (1..256).contains(&name.len()) && name.bytes().all(fits) {
                Ok(Self::Passed(name.into()))
            } else {
                Err(NotAnAddress)
            };
        }
        let (host, port) = text.rsplit_once(':').ok_or(NotAnAddress)?;
        let bracketed = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let host = match bracketed {
            Some(host) => host
                .parse::<std::net::Ipv6Addr>()
                .map_err(|_| NotAnAddress)?
                .to_string(),
            None if host.is_empty() || !host.bytes().all(in_a_name) => return Err(NotAnAddress),
            None => host.to_owned(),
        };
        Ok(Self::Tcp {
            host: host.into(),
            port: port.parse().map_err(|_| NotAnAddress)?,
        })
    }
}

fn in_a_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_')
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Passed(name) => write!(f, "systemd:{name}"),
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Simulated(_) => f.write_str("simulated"),
        }
    }
}

/// Who counts as one where senders share something that is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Party(IpAddr);

impl Party {
    /// An IPv4 address, or an IPv6 /64, which whoever has one address of it usually has whole. Over
    /// loopback and Unix sockets a proxy of this machine speaks for everybody, so nobody is counted.
    #[must_use]
    pub fn of(peer: Option<IpAddr>) -> Option<Self> {
        let peer = peer.filter(|peer| !peer.is_loopback())?;
        Some(Self(match peer {
            IpAddr::V4(_) => peer,
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
        }))
    }
}

/// Who looks after a listening socket, and the file of a Unix socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// This process made it, and removes it.
    Own,
    /// Whoever passed the socket.
    Passed,
}

/// A listening socket.
pub enum Listener {
    /// TCP.
    Tcp(TcpListener, Ownership),
    /// A Unix socket, and its path.
    Unix(UnixListener, PathBuf, Ownership),
    /// Of a simulation.
    #[doc(hidden)]
    Simulated(Simulated),
}

impl Listener {
    /// Whether whoever passed the socket holds it open when this process has ended.
    #[must_use]
    pub fn is_passed(&self) -> bool {
        matches!(
            self,
            Self::Tcp(_, Ownership::Passed) | Self::Unix(_, _, Ownership::Passed)
        )
    }

    /// The next connection and the remote address, which a Unix socket does not have.
    ///
    /// # Errors
    /// What the system says, such as too many open files; the caller backs off and goes on.
    pub async fn accept(&self) -> io::Result<(Stream, Option<IpAddr>)> {
        match self {
            Self::Tcp(listener, _) => {
                let (stream, peer) = listener.accept().await?;
                // Fails only for a connection that is gone already, which shows soon enough.
                let _ = stream.set_nodelay(true);
                Ok((Stream::Tcp(stream), Some(peer.ip().to_canonical())))
            }
            Self::Unix(listener, ..) => listener
                .accept()
                .await
                .map(|(stream, _)| (Stream::Unix(stream), None)),
            Self::Simulated(network) => {
                let (stream, peer) = network.accept().await?;
                Ok((Stream::Simulated(stream), peer))
            }
        }
    }

    /// The address really bound, with the port that the system chose.
    ///
    /// # Errors
    /// What the system says.
    pub fn address(&self) -> io::Result<Address> {
        match self {
            Self::Tcp(listener, _) => {
                let bound = listener.local_addr()?;
                Ok(Address::Tcp {
                    host: bound.ip().to_string().into(),
                    port: bound.port(),
                })
            }
            Self::Unix(_, path, _) => Ok(Address::Unix(path.clone())),
            Self::Simulated(network) => Ok(Address::Simulated(network.clone())),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Self::Unix(_, path, Ownership::Own) = self {
            // A leftover file is harmless: the next start replaces it.
            let _ = std::fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_and_print_the_same() {
        for text in [
            "127.0.0.1:8080",
            "[::1]:80",
            "app.internal:3000",
            "unix:/run/app.sock",
            "systemd:webhooks",
            "systemd:hookgate.socket",
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        for bad in [
            "",
            "8080",
            "localhost",
            "host:port",
            "::1:80",
            "unix:",
            "systemd:",
            "systemd:a:1",
            "systemd:a b",
            "http://x:1",
            "a b:1",
            "a?b:1",
            "127.0.0.1:65536",
        ] {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses_overlap_when_only_one_can_be_listened_on() {
        let overlap = |one: &str, other: &str| {
            let (one, other): (Address, Address) = (one.parse().unwrap(), other.parse().unwrap());
            assert_eq!(one.overlaps(&other), other.overlaps(&one));
            one.overlaps(&other)
        };
        assert!(overlap("127.0.0.1:80", "127.0.0.1:80") && overlap("unix:/a", "unix:/a"));
        assert!(overlap("systemd:a", "systemd:a") && !overlap("systemd:a", "systemd:b"));
        assert!(overlap("0.0.0.0:80", "127.0.0.1:80") && overlap("localhost:80", "127.0.0.1:80"));
        assert!(!overlap("127.0.0.1:80", "127.0.0.1:81") && !overlap("unix:/a", "unix:/b"));
        assert!(!overlap("127.0.0.1:0", "127.0.0.1:0") && !overlap("10.0.0.1:80", "10.0.0.2:80"));
    }

    #[test]
    fn only_loopback_and_unix_sockets_are_local() {
        let local = |text: &str| text.parse::<Address>().unwrap().is_local();
        assert!(
            local("127.0.0.2:1") && local("[::1]:1") && local("localhost:1") && local("unix:/x")
        );
        assert!(!local("0.0.0.0:1") && !local("10.0.0.1:1") && !local("localhost.example:1"));
        assert!(!local("systemd:webhooks"));
    }
}
