//! `rap://host:port/file`: a file, or any URI, of another session.

use super::Plugin;
use crate::error::{Error, Kind, Result};
use crate::io::{Access, Device, Info, Latency, Open, Read};
use crate::link::rap::{Client, Piece, Target};
use crate::link::{self};
use crate::output::Executor;
use crate::uri::{Authority, Uri};

/// The plugin.
pub const PLUGIN: Plugin = Plugin {
    name: "rap",
    schemes: &["rap"],
    summary: "files of another session, over the network",
    example: "rap://127.0.0.1:1234//bin/ls",
    writes: true,
    open,
};

/// Connects to the rap server that `authority` names and opens its file there, for what `open` asks.
///
/// # Errors
/// [`Kind::Usage`] for the listening form `:port` and for a missing port, [`Kind::Unreachable`],
/// [`Kind::NotFound`] when the server cannot open the file.
pub fn connect(authority: &Authority, flags: u8, open: &Open) -> Result<Client> {
    if authority.host.is_empty() {
        return Err(Error::new(Kind::Usage, format!("'rap://{}' is where a server listens", authority.endpoint()))
            .hint("to connect, name a host: rap://127.0.0.1:1234//bin/ls"));
    }
    let target = Target {
        place: authority.endpoint(),
        path: authority.file.clone().unwrap_or_default(),
        flags,
        timeout: open.timeout,
        cancel: open.cancel.clone(),
    };
    let (authority, timeout) = (authority.clone(), open.timeout);
    Client::connect(Box::new(move |cancel| link::connect(&authority, timeout, cancel)), target)
}

/// The permission bits as OPEN carries them.
pub fn flags(access: Access) -> u8 {
    let bit = |on, bit| if on { bit } else { 0 };
    bit(access.read, 4) | bit(access.write, 2) | bit(access.execute, 1)
}

/// A file at the other end of a rap connection.
pub struct Remote {
    client: Client,
    access: Access,
}

impl Remote {
    /// The file that `client` has opened for `access`.
    pub fn new(client: Client, access: Access) -> Remote {
        Remote { client, access }
    }
}

fn open(uri: &Uri, open: &Open) -> Result<Box<dyn Device>> {
    let client = connect(&Authority::parse(uri.rest())?, flags(open.access), open)?;
    Ok(Box::new(Remote::new(client, open.access)))
}

impl Device for Remote {
    fn info(&self) -> Info {
        Info { size: self.client.size(), access: self.access, latency: Latency::Remote }
    }

    fn read_at(&mut self, address: u64, buffer: &mut [u8]) -> Result<usize> {
        let mut piece = [Piece { address, buffer, done: 0 }];
        self.client.read(&mut piece)?;
        Ok(piece[0].done)
    }

    fn read_many(&mut self, reads: &mut [Read<'_>]) -> Result<()> {
        let mut pieces: Vec<Piece<'_>> =
            reads.iter_mut().map(|read| Piece { address: read.address, buffer: &mut *read.buffer, done: 0 }).collect();
        self.client.read(&mut pieces)?;
        let done: Vec<usize> = pieces.iter().map(|piece| piece.done).collect();
        for (read, done) in reads.iter_mut().zip(done) {
            read.done = done;
        }
        Ok(())
    }

    fn write_at(&mut self, address: u64, data: &[u8]) -> Result<usize> {
        self.client.write(address, data)
    }

    fn executor(&mut self) -> Option<&mut dyn Executor> {
        Some(&mut self.client)
    }
}
