//! Asking before acting: whether a range can be written, without writing it.

use super::{Io, Settings};
use crate::error::{Error, Kind, Result};

impl Io {
    /// Whether `length` bytes at `address` can be written: each of them is mapped (or physical) and open for writing.
    /// The error names the first address that is not. With `io.cache` everything can be.
    pub fn check_writable(&self, settings: &Settings, address: u64, length: u64) -> Result<()> {
        if settings.cache {
            return Ok(());
        }
        let mut done = 0;
        while done < length {
            let here = address.wrapping_add(done);
            let (target, count) = self.piece(settings, here, length - done);
            let Some((fd, physical, access)) = target else {
                let what = format!("cannot write at 0x{here:08x}: nothing is mapped there");
                return Err(Error::new(Kind::NotFound, what));
            };
            let descriptor = self.descriptor(fd)?;
            if !access.write || !descriptor.access.write {
                let what = format!("cannot write at 0x{here:08x}: '{}' is open read-only", descriptor.uri);
                return Err(Error::new(Kind::Permission, what).hint("reopen with oo+ or -w, or set io.cache=true"));
            }
            if !settings.virtual_addresses
                && let Some(size) = descriptor.size()
                && physical.checked_add(count).is_none_or(|end| end > size)
            {
                let what =
                    format!("cannot write at 0x{:08x}: past the end of '{}'", physical.max(size), descriptor.uri);
                return Err(Error::new(Kind::NotFound, what));
            }
            done += count;
        }
        Ok(())
    }
}
