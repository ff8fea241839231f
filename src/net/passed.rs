//! Sockets that were opened before this process was started, and passed to it by name: socket activation
//! by systemd, `sd_listen_fds(3)`.

use std::io;

use listenfd::ListenFd;
use rustix::net::sockopt;

use super::{Listener, Ownership};

/// What each socket is called (`FileDescriptorName=`), and the socket, until it is taken.
#[derive(Default)]
pub struct Passed(Vec<(String, Socket)>);

enum Socket {
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener),
}

impl Passed {
    /// Takes the sockets passed to this process; to be called once, before there are other threads.
    ///
    /// # Errors
    /// When what was passed is not described as it should be, or is no listening stream socket.
    pub fn to_process() -> io::Result<Self> {
        // One knows the names, and whether they are meant for this process; the other makes sockets of them.
        let names: Vec<_> = sd_notify::listen_fds_with_names()?
            .map(|(_, name)| name)
            .collect();
        if names.is_empty() {
            return Ok(Self::default());
        }
        let mut descriptors = ListenFd::from_env();
        let sockets = names.into_iter().enumerate().map(|(index, name)| {
            let tcp = descriptors.take_tcp_listener(index);
            let socket = match tcp {
                Ok(socket) => socket.map(Socket::Tcp),
                Err(_) => descriptors.take_unix_listener(index)?.map(Socket::Unix),
            };
            let missing = || io::Error::other(format!("socket {index} is not there"));
            let socket = socket.ok_or_else(missing)?;
            if !socket.listens()? {
                return Err(io::Error::other(format!(
                    "socket {index} (\"{name}\") is a connection: leave Accept=yes out of its unit"
                )));
            }
            Ok((name, socket))
        });
        sockets.collect::<io::Result<_>>().map(Self)
    }

    /// Starts to accept on all sockets of this name, which are several where a unit has several addresses.
    ///
    /// # Errors
    /// What the system says.
    pub fn take(&mut self, name: &str) -> io::Result<Vec<Listener>> {
        let taken = self.0.extract_if(.., |(called, _)| called == name);
        taken.map(|(_, socket)| socket.listen()).collect()
    }

    /// The names of those that nobody has taken.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }
}

impl Socket {
    fn listens(&self) -> io::Result<bool> {
        let listens = match self {
            Self::Tcp(socket) => sockopt::socket_acceptconn(socket),
            Self::Unix(socket) => sockopt::socket_acceptconn(socket),
        };
        Ok(listens?)
    }

    fn listen(self) -> io::Result<Listener> {
        match self {
            Self::Tcp(socket) => {
                socket.set_nonblocking(true)?;
                let socket = tokio::net::TcpListener::from_std(socket)?;
                Ok(Listener::Tcp(socket, Ownership::Passed))
            }
            Self::Unix(socket) => {
                socket.set_nonblocking(true)?;
                let address = socket.local_addr()?;
                let path = address.as_pathname().unwrap_or("".as_ref()).to_owned();
                let socket = tokio::net::UnixListener::from_std(socket)?;
                Ok(Listener::Unix(socket, path, Ownership::Passed))
            }
        }
    }
}
