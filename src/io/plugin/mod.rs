//! The table of plugins: each turns a URI into a device. Listing, completion, error hints and docs come from it.

pub mod core;
pub mod debug;
pub mod fd;
pub mod file;
pub mod gdb;
pub mod gzip;
pub mod hex;
pub mod ihex;
pub mod malloc;
pub mod null;
pub mod process;
pub mod rap;
mod sparse;
pub mod srec;
pub mod zip;

use sha2::{Digest, Sha256};

use super::{Device, Open};
use crate::error::{Error, Kind, Result};
use crate::number::{self, Names};
use crate::output::{Cancel, visible};
use crate::uri::Uri;

/// A way to open URIs.
pub struct Plugin {
    /// Short name for `oL`.
    pub name: &'static str,
    /// Schemes it claims, without `://`. The file plugin also takes plain paths.
    pub schemes: &'static [&'static str],
    /// One line for `oL` and the docs.
    pub summary: &'static str,
    /// A URI that shows the form.
    pub example: &'static str,
    /// Whether its devices can be written.
    pub writes: bool,
    /// What opening one reaches, which decides who may.
    pub touches: Touches,
    /// Opens a URI.
    pub open: fn(&Uri, &Open) -> Result<Box<dyn Device>>,
}

/// What is reached on the way to a device's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Touches {
    /// Memory of this program alone.
    Nothing,
    /// Files of this machine, by path.
    Files,
    /// What this program has open, by number.
    Program,
    /// Peers.
    Network,
    /// Processes of this machine.
    Processes,
    /// Processes of other machines, by a socket.
    Debugger,
    /// The same, by a file of this machine.
    DebuggerFile,
    /// The same, by a program that is started for it.
    Command,
}

/// Every plugin. Plain paths go to the first.
pub const PLUGINS: &[&Plugin] = &[
    &file::PLUGIN,
    &malloc::PLUGIN,
    &hex::PLUGIN,
    &null::PLUGIN,
    &fd::PLUGIN,
    &gzip::PLUGIN,
    &zip::PLUGIN,
    &ihex::PLUGIN,
    &srec::PLUGIN,
    &rap::PLUGIN,
    &debug::PLUGIN,
    &core::PLUGIN,
    &process::PLUGIN,
    &gdb::PLUGIN,
    &gdb::PIPE,
    &gdb::SERIAL,
];

/// The plugin that claims `scheme`.
pub fn find(scheme: &str) -> Option<&'static Plugin> {
    PLUGINS.iter().copied().find(|plugin| plugin.schemes.contains(&scheme))
}

/// Opens `uri` with the plugin that claims its scheme.
pub fn open(uri: &Uri, open: &Open) -> Result<Box<dyn Device>> {
    let shown = visible(uri.as_str());
    let plugin = match uri.scheme() {
        None => PLUGINS[0],
        Some(scheme) => find(scheme).ok_or_else(|| {
            let known: Vec<&str> = PLUGINS.iter().flat_map(|plugin| plugin.schemes.iter().copied()).collect();
            Error::new(Kind::UnknownScheme, format!("cannot open '{shown}': unknown scheme '{scheme}'"))
                .hint(format!("known: {}", known.join(", ")))
        })?,
    };
    (plugin.open)(uri, open).map_err(|e| e.context(format_args!("cannot open '{shown}'")))
}

/// The most bytes that a compressed file or member may unpack to: a small file that wants more is a bomb, or needs
/// to be unpacked on disk.
const UNPACK_LIMIT: u64 = 1 << 30;

/// A size in a URI: a number expression without names, with a `K`, `M`, `G` or `T` behind it.
fn size(text: &str) -> Result<u64> {
    /// Names mean nothing here: a URI is opened outside of any session.
    struct NoNames;
    impl Names for NoNames {
        fn name(&mut self, _name: &str) -> Option<u64> {
            None
        }
        fn variable(&mut self, _variable: &str) -> Result<u64> {
            Err(Error::new(Kind::Expression, "no variables in a size"))
        }
        fn memory(&mut self, _address: u64, _size: Option<u8>) -> Result<u64> {
            Err(Error::new(Kind::Expression, "no memory to read a size from"))
        }
        fn seek(&mut self) -> u64 {
            0
        }
    }
    let bad = |_| {
        Error::new(Kind::Usage, format!("bad size '{}'", visible(text))).hint("a number of bytes: 512, 0x1000, 64K, 1M")
    };
    let units = [('k', 10), ('m', 20), ('g', 30), ('t', 40)];
    let unit = units.iter().find(|(letter, _)| text.ends_with([*letter, letter.to_ascii_uppercase()]));
    let (digits, shift) = match unit {
        Some((_, shift)) if text.len() > 1 => (&text[..text.len() - 1], *shift),
        _ => (text, 0),
    };
    let count = number::evaluate(digits, &mut NoNames).map_err(bad)?;
    count.checked_mul(1 << shift).ok_or_else(|| Error::new(Kind::Limit, format!("the size '{text}' is too large")))
}

/// The first half of a hash, as a [`Device::version`].
fn short(hash: Sha256) -> u128 {
    hash.finalize().iter().take(16).fold(0, |number, byte| number << 8 | u128::from(*byte))
}

/// Refuses to open for writing what is unpacked from a file: the writes would never reach it.
fn refuse_writes(open: &Open) -> Result<()> {
    if open.access.write {
        return Err(Error::new(Kind::Permission, "writes would be lost: they cannot be packed into the file again")
            .hint("open it read-only; with io.cache=true changes are kept in memory"));
    }
    Ok(())
}

/// Appends all of `source` to `bytes`, which hold at most `limit` then, unless `cancel` ends it.
fn unpack(mut source: impl std::io::Read, bytes: &mut Vec<u8>, limit: u64, cancel: &Cancel) -> Result<()> {
    let mut chunk = vec![0; 256 * 1024];
    loop {
        cancel.check()?;
        let count = match source.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => {
                let text = format!("damaged after 0x{:x} bytes: {}", bytes.len(), crate::error::plain(&error));
                return Err(Error::new(Kind::Format, text));
            }
        };
        if (bytes.len() + count) as u64 > limit {
            return Err(Error::new(Kind::Limit, format!("unpacks to more than {limit} bytes"))
                .hint("unpack it to a file first"));
        }
        bytes
            .try_reserve(count)
            .map_err(|_| Error::new(Kind::Limit, format!("not enough memory for more than {} bytes", bytes.len())))?;
        bytes.extend_from_slice(&chunk[..count]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_sizes() {
        assert_eq!(size("512").unwrap(), 512);
        assert_eq!(size("0x10").unwrap(), 16);
        assert_eq!(size("2K").unwrap(), 2048);
        assert_eq!(size("3m").unwrap(), 3 << 20);
        assert_eq!(size("1T").unwrap(), 1 << 40);
        for bad in ["", "K", "x", "1Q", "99999999999999999999", "0x400000000G", "\u{e9}"] {
            assert!(size(bad).is_err(), "{bad}");
        }
        assert_eq!(size("0x400000000G").unwrap_err().kind(), Kind::Limit);
    }

    #[test]
    fn every_example_names_a_scheme_of_its_plugin() {
        let mut seen = std::collections::HashSet::new();
        for plugin in PLUGINS {
            let uri = Uri::parse(plugin.example);
            assert!(uri.scheme().is_none_or(|scheme| plugin.schemes.contains(&scheme)), "{}", plugin.example);
            for scheme in plugin.schemes {
                assert!(seen.insert(scheme), "{scheme} is claimed twice");
            }
        }
    }

    #[test]
    fn unpacking_ends_at_the_limit_and_when_asked_to() {
        let mut bytes = Vec::new();
        let error = unpack(std::io::repeat(0), &mut bytes, 1 << 20, &Cancel::new()).unwrap_err();
        assert_eq!(error.kind(), Kind::Limit);
        bytes.clear();
        unpack(&[7; 10][..], &mut bytes, 10, &Cancel::new()).unwrap();
        assert_eq!(bytes, [7; 10]);
        assert!(unpack(&[7; 1][..], &mut bytes, 10, &Cancel::new()).is_err());
        let cancel = Cancel::new();
        cancel.set();
        assert_eq!(unpack(std::io::repeat(0), &mut bytes, 1 << 20, &cancel).unwrap_err().kind(), Kind::Interrupted);
    }
}
