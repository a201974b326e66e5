//! `rap://host:port/file`: a file, or any URI, of another session.

pub mod process;

use sha2::{Digest, Sha256};

use super::debug::{self, Wanted};
use super::{Plugin, Touches, short};
use crate::debug::Launch;
use crate::error::{Error, Kind, Result};
use crate::io::{Access, Device, Info, Latency, Open, Read, SearchRequest};
use crate::link::dial::{Place, dial_with_token};
use crate::link::rap::{Client, Compression, Piece, Sought, Target};
use crate::output::{Cancel, Executor, visible};
use crate::uri::Uri;

/// The plugin.
pub const PLUGIN: Plugin = Plugin {
    name: "rap",
    schemes: &["rap", "raps", "rap+unix"],
    summary: "files of another session, over the network",
    example: "rap://127.0.0.1:1234//bin/ls",
    writes: true,
    touches: Touches::Network,
    open,
};

/// Connects to the rap server that `uri` names (`rap://`, `raps://`, `rap+unix://`) and opens its file there, for what
/// `open` asks.
///
/// # Errors
/// [`Kind::Usage`] for the listening forms and for a missing port, [`Kind::Unreachable`],
/// [`Kind::NotFound`] when the server cannot open the file.
pub fn connect(uri: &Uri, flags: u8, open: &Open) -> Result<Client> {
    let (place, file) = Place::parse("rap", uri)?
        .filter(|(place, _)| !matches!(place, Place::Tcp(at) | Place::Tls(at) if at.host.is_empty()))
        .ok_or_else(|| {
            Error::new(Kind::Usage, format!("'{}' is where a server listens", visible(uri.as_str())))
                .hint("to connect, name a host: rap://127.0.0.1:1234//bin/ls")
        })?;
    let target = Target {
        place: place.to_string(),
        path: file.unwrap_or_default(),
        flags,
        timeout: open.timeout,
        cancel: open.cancel.clone(),
    };
    // How far bytes shrink tells about them to whoever counts what travels inside TLS.
    let compression = match (open.security.compression, &place) {
        (Compression::Auto, Place::Tls(_)) => Compression::Never,
        (chosen, _) => chosen,
    };
    let (security, notices, timeout) = (open.security.clone(), open.notices.clone(), open.timeout);
    let dial = move |cancel: &Cancel| {
        let (link, first_use) = dial_with_token(&place, &security, timeout, cancel)?;
        if let Some(first) = first_use {
            notices.push(first.to_string());
        }
        Ok(link)
    };
    let mut client = Client::connect(Box::new(dial), target)?;
    client.set_compression(compression);
    Ok(client)
}

/// What is to be started over there, when it is a program and not in the usual way.
fn launch(uri: &Uri, open: &Open) -> Result<Option<Launch>> {
    if open.start.is_usual() {
        return Ok(None);
    }
    let file = Place::parse("rap", uri)?.and_then(|(_, file)| file).unwrap_or_default();
    match file.strip_prefix("dbg://") {
        Some(_) => match debug::wanted(&Uri::parse(&file), &open.start)? {
            Wanted::Program(launch) => Ok(Some(*launch)),
            Wanted::Process(_) | Wanted::Named(_) => Ok(None),
        },
        None => Ok(None),
    }
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
    // How a program is started is said in words of its own, and not in the URI.
    let launch = launch(uri, open)?;
    let bare = launch.as_ref().and_then(|_| uri.as_str().find("dbg://"));
    let shorter = bare.map(|at| Uri::parse(&uri.as_str()[..at + "dbg://".len()]));
    let client = connect(shorter.as_ref().unwrap_or(uri), flags(open.access), open)?;
    // What is opened by a URI there may be a process; a path is a file.
    if client.target().path.contains("://") && client.reaches_processes() {
        return process::open(client, open, launch.as_ref());
    }
    if launch.is_some() {
        return Err(Error::new(Kind::Unsupported, "that server cannot start programs in the way of dbg.*")
            .hint("set these options back, or start the program there with its own"));
    }
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

    fn resize(&mut self, size: u64) -> Result<()> {
        self.client.resize(size)
    }

    fn search(
        &mut self,
        request: &SearchRequest,
        cancel: &Cancel,
        found: &mut dyn FnMut(u64) -> bool,
    ) -> Option<Result<()>> {
        let SearchRequest { address, length, align, limit, ref needle, ref mask } = *request;
        let sought = Sought { address, length, align, limit, needle, mask: mask.as_deref() };
        let mut any = false;
        let outcome = self.client.search(&sought, cancel, &mut |hit| {
            any = true;
            found(hit)
        });
        possible(outcome, any)
    }

    fn digest(&mut self, algorithm: &str, address: u64, length: u64, cancel: &Cancel) -> Option<Result<String>> {
        possible(self.client.digest(algorithm, address, length, cancel), false)
    }

    /// Different files may have the same content there, and the same number at two servers.
    fn version(&self) -> Option<u128> {
        let Target { place, path, .. } = self.client.target();
        self.client.version().map(|version| {
            let mut hash = Sha256::new();
            hash.update(version.to_be_bytes());
            hash.update(place.as_bytes());
            hash.update([0]);
            hash.update(path.as_bytes());
            short(hash)
        })
    }

    fn will_read(&mut self, address: u64, length: u64) {
        self.client.will_read(address, length);
    }

    fn executor(&mut self) -> Option<&mut dyn Executor> {
        Some(&mut self.client)
    }
}

/// What the server made of something that can be done here instead: nothing, when it cannot do it and has reported
/// nothing either (`begun`).
fn possible<T>(outcome: Result<T>, begun: bool) -> Option<Result<T>> {
    match outcome {
        Err(error) if error.kind() == Kind::Unsupported && !begun => None,
        outcome => Some(outcome),
    }
}
