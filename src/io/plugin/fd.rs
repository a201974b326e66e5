//! `fd://N`: an operating-system descriptor that this program inherited, as in `remora fd://3 3<file`.

use std::fs::File;

use rustix::fs::OFlags;
use rustix::process::{PidfdFlags, PidfdGetfdFlags};

use super::file::OnDisk;
use super::{Plugin, Touches};
use crate::error::{Error, Kind, Result};
use crate::io::{Access, Device, Open};
use crate::uri::Uri;

/// The plugin.
pub const PLUGIN: Plugin = Plugin {
    name: "fd",
    schemes: &["fd"],
    summary: "a file descriptor that was inherited",
    example: "fd://0",
    writes: true,
    touches: Touches::Program,
    open,
};

fn open(uri: &Uri, open: &Open) -> Result<Box<dyn Device>> {
    let number: i32 = uri.rest().parse().ok().filter(|number| *number >= 0).ok_or_else(|| {
        Error::new(Kind::Usage, "the descriptor is not a number").hint("fd://0 is the standard input")
    })?;
    inherited(number)?;
    let file = duplicate(number)?;
    let flags = rustix::fs::fcntl_getfl(&file).map_err(|error| Error::os(&error.into()))? & OFlags::ACCMODE;
    let access = Access {
        read: flags != OFlags::WRONLY,
        write: open.access.write && flags != OFlags::RDONLY,
        execute: open.access.execute,
    };
    if open.access.write && !access.write {
        return Err(Error::new(Kind::Permission, "the descriptor was opened read-only")
            .hint("with io.cache=true changes are kept in memory"));
    }
    Ok(Box::new(OnDisk::new(file, access, true)?))
}

/// Refuses the program's own descriptors (connections, logs): those close on exec, inherited ones did not.
fn inherited(number: i32) -> Result<()> {
    let Ok(facts) = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}")) else {
        return match std::fs::exists("/proc/self/fdinfo") {
            Ok(true) => Err(Error::new(Kind::NotFound, "Bad file descriptor")),
            _ => Ok(()),
        };
    };
    let flags = facts.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok()).unwrap_or(0);
    if flags & libc::O_CLOEXEC as u32 != 0 {
        return Err(Error::new(Kind::Permission, "the descriptor is the program's own, not inherited"));
    }
    Ok(())
}

/// A duplicate that closes on its own. Taking it from a handle on this process needs no trust in the number, unlike
/// `dup`; where the system does not allow that, the file is opened again.
fn duplicate(number: i32) -> Result<File> {
    let taken = rustix::process::pidfd_open(rustix::process::getpid(), PidfdFlags::empty())
        .and_then(|own| rustix::process::pidfd_getfd(own, number, PidfdGetfdFlags::empty()));
    match taken {
        Ok(descriptor) => Ok(File::from(descriptor)),
        Err(rustix::io::Errno::BADF) => Err(Error::new(Kind::NotFound, "Bad file descriptor")),
        Err(_) => {
            let path = format!("/proc/self/fd/{number}");
            let both = File::options().read(true).write(true).open(&path);
            both.or_else(|_| File::open(&path)).map_err(|error| Error::os(&error))
        }
    }
}
