//! The rap server: a listener whose clients open files and run commands here.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use super::ServeOptions;
use crate::error::{Error, Result};
use crate::uri::Authority;

/// A listening server; clones are handles on the same one.
#[derive(Clone)]
pub struct Server {
    listener: Arc<TcpListener>,
    address: SocketAddr,
}

/// Starts to listen at `authority`; an empty host means loopback.
pub fn listen(authority: &Authority, _options: ServeOptions) -> Result<Server> {
    let host = if authority.host.is_empty() { "127.0.0.1" } else { &authority.host };
    let what = format!("cannot listen at {}", authority.endpoint());
    let listener =
        TcpListener::bind((host, authority.port.unwrap_or(0))).map_err(|error| Error::system(&what, &error))?;
    let address = listener.local_addr().map_err(|error| Error::system(&what, &error))?;
    Ok(Server { listener: Arc::new(listener), address })
}

impl Server {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until [`Server::stop`].
    pub fn run(&self) {
        eprintln!("rap: listening at {}", self.address);
        while self.listener.accept().is_ok() {}
    }

    /// Ends [`Server::run`].
    pub fn stop(&self) {
        let _ = rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both);
    }
}
