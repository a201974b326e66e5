//! Devices that are lent out: a command that waits for the other end of a device must not keep everybody waiting.

use super::{Device, Info, Io};
use crate::error::{Error, Kind, Result};

/// Stands where a lent device was.
struct Lent(Info);

impl Device for Lent {
    fn info(&self) -> Info {
        self.0.clone()
    }
    fn read_at(&mut self, _address: u64, _buffer: &mut [u8]) -> Result<usize> {
        Err(busy())
    }
    fn write_at(&mut self, _address: u64, _data: &[u8]) -> Result<usize> {
        Err(busy())
    }
    fn is_lent(&self) -> bool {
        true
    }
}

fn busy() -> Error {
    Error::new(Kind::Timeout, "the device is busy with a command ('=!')").hint("try again when that has ended")
}

impl Io {
    /// Takes the device of `fd` away; until [`Io::give_back`] reads and writes of it fail at once.
    pub fn lend(&mut self, fd: u32) -> Result<Box<dyn Device>> {
        let descriptor = self.descriptor_mut(fd)?;
        if descriptor.device.is_lent() {
            return Err(busy());
        }
        let info = descriptor.device.info();
        Ok(std::mem::replace(&mut descriptor.device, Box::new(Lent(info))))
    }

    /// Puts a lent device back. One whose descriptor was closed or opened again in the meantime is dropped.
    pub fn give_back(&mut self, fd: u32, device: Box<dyn Device>) {
        if let Some(descriptor) = self.descriptors.get_mut(&fd)
            && descriptor.device.is_lent()
        {
            descriptor.device = device;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::{Open, Settings};
    use crate::uri::Uri;

    #[test]
    fn a_lent_device_answers_at_once_and_comes_back() {
        let mut io = Io::default();
        let fd = io.open(&Uri::parse("hex://4142"), &Open::default()).unwrap();
        io.map_whole(fd, 0).unwrap();
        let device = io.lend(fd).unwrap();
        assert!(io.lend(fd).is_err());
        let mut bytes = [0; 2];
        assert_eq!(io.read(&Settings::default(), 0, &mut bytes).unwrap_err().kind(), Kind::Timeout);
        io.give_back(fd, device);
        io.read(&Settings::default(), 0, &mut bytes).unwrap();
        assert_eq!(&bytes, b"AB");
        let device = io.lend(fd).unwrap();
        io.close(fd).unwrap();
        io.give_back(fd, device);
        assert!(io.descriptor(fd).is_err());
    }
}
