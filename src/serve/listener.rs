//! What servers listen at: TCP addresses and Unix sockets.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use crate::error::{Error, Kind, Result};
use crate::link::Link;
use crate::link::dial::Place;
use crate::link::tcp::Tcp;
use crate::link::unix::{self, Unix};

/// Something that clients come to.
pub enum Listener {
    /// A TCP address.
    Tcp(TcpListener, SocketAddr),
    /// A Unix socket.
    Unix(UnixListener, Socket),
}

/// The file of a Unix socket.
pub struct Socket {
    path: PathBuf,
    /// Device and inode: a file that has taken its place since is not ours to remove.
    identity: Option<(u64, u64)>,
}

/// Who came.
pub struct Guest {
    /// The line to it.
    pub link: Box<dyn Link>,
    /// Where it came from.
    pub from: String,
    /// The user of its process, when that is on this machine and known.
    pub user: Option<u32>,
}

impl Listener {
    /// Listens at `place`, which stands for `addresses`.
    pub fn bind(place: &Place, addresses: &[SocketAddr]) -> Result<Listener> {
        match place {
            Place::Unix(path) => Listener::bind_socket(path),
            Place::Tcp(_) | Place::Tls(_) => {
                let shown = addresses.first().map_or_else(|| place.to_string(), SocketAddr::to_string);
                let failed = |e: io::Error| Error::system(format_args!("cannot listen at {shown}"), &e);
                let listener = TcpListener::bind(addresses).map_err(failed)?;
                listener.set_nonblocking(true).map_err(failed)?;
                let address = listener.local_addr().map_err(failed)?;
                Ok(Listener::Tcp(listener, address))
            }
        }
    }

    /// Makes the socket at `path` for this user alone. A directory that is not there is made, for this user alone, too.
    fn bind_socket(path: &Path) -> Result<Listener> {
        let failed = |e: io::Error| Error::system(format_args!("cannot listen at {}", path.display()), &e);
        if let Some(directory) = path.parent().filter(|directory| !directory.exists()) {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
        }
        clear(path)?;
        let listener = UnixListener::bind(path).map_err(failed)?;
        let identity = fs::symlink_metadata(path).ok().map(|facts| (facts.dev(), facts.ino()));
        // Whoever comes before this is asked for its user all the same.
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        Ok(Listener::Unix(listener, Socket { path: path.to_path_buf(), identity }))
    }

    /// The address, when it is one of the network.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Listener::Tcp(_, address) => Some(*address),
            Listener::Unix(..) => None,
        }
    }

    /// What stands behind the service's name in the scheme.
    pub fn transport(&self, encrypted: bool) -> &'static str {
        match self {
            Listener::Unix(..) => "+unix",
            Listener::Tcp(..) if encrypted => "s",
            Listener::Tcp(..) => "",
        }
    }

    /// The next client, if one waits.
    pub fn accept(&self) -> io::Result<Guest> {
        match self {
            Listener::Tcp(listener, _) => {
                let (stream, peer) = listener.accept()?;
                // Some systems hand the listener's mode on.
                stream.set_nonblocking(false)?;
                let from = peer.to_string();
                Ok(Guest { link: Box::new(Tcp::new(stream, from.clone())?), from, user: None })
            }
            Listener::Unix(listener, Socket { path, .. }) => {
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(false)?;
                let user = Some(unix::peer_uid(&stream).map_err(io::Error::other)?);
                let from = path.display().to_string();
                Ok(Guest { link: Box::new(Unix::new(stream, from.clone())?), from, user })
            }
        }
    }

    /// Removes the file of a Unix socket.
    pub fn remove(&self) {
        if let Listener::Unix(_, Socket { path, identity }) = self {
            let now = fs::symlink_metadata(path).ok().map(|facts| (facts.dev(), facts.ino()));
            if now.is_some() && now == *identity {
                // It may have gone in this moment: that is what was wanted.
                let _ = fs::remove_file(path);
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.remove();
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Listener::Tcp(listener, _) => listener.as_fd(),
            Listener::Unix(listener, _) => listener.as_fd(),
        }
    }
}

impl std::fmt::Display for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Listener::Tcp(_, address) => write!(f, "{address}"),
            Listener::Unix(_, Socket { path, .. }) => write!(f, "{}", path.display()),
        }
    }
}

/// Removes a socket at `path` that a server has left behind. Whatever else is there stays.
fn clear(path: &Path) -> Result<()> {
    let facts = match fs::symlink_metadata(path) {
        Ok(facts) => facts,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(Error::system(format_args!("cannot listen at {}", path.display()), &e)),
    };
    let occupied = |why: &str| Err(Error::new(Kind::System, format!("cannot listen at {}: {why}", path.display())));
    if !facts.file_type().is_socket() {
        return occupied("there is a file, which is no socket");
    }
    match UnixStream::connect(path) {
        Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => {}
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Ok(_) => return occupied("a server answers there already"),
        Err(e) => return occupied(&crate::error::plain(&e)),
    }
    fs::remove_file(path).map_err(|e| Error::system(format_args!("cannot remove the old {}", path.display()), &e))
}
