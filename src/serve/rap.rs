//! The rap server: a listener whose clients open files and run commands here.

use std::net::{SocketAddr, TcpListener};

use crate::error::{Error, Result};
use crate::uri::Authority;

/// What clients of a server may do.
#[derive(Debug, Clone, Default)]
pub struct ServeOptions {}

/// A listening server.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
}

/// Starts to listen at `authority`; an empty host means loopback.
pub fn listen(authority: &Authority, _options: ServeOptions) -> Result<Server> {
    let host = if authority.host.is_empty() { "127.0.0.1" } else { &authority.host };
    let what = format!("cannot listen at {}", authority.endpoint());
    let listener =
        TcpListener::bind((host, authority.port.unwrap_or(0))).map_err(|error| Error::system(&what, &error))?;
    let address = listener.local_addr().map_err(|error| Error::system(&what, &error))?;
    Ok(Server { listener, address })
}

impl Server {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until [`Server::stop`].
    pub fn run(&self) -> Result<()> {
        while self.listener.accept().is_ok() {}
        Ok(())
    }

    /// Ends [`Server::run`].
    pub fn stop(&self) {
        let _ = rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both);
    }
}
