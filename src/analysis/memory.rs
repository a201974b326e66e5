//! What analysis reads: code and data in large blocks that are kept, so that a far device is asked seldom and a
//! near one is not asked for each instruction.

use std::collections::HashMap;

use crate::error::Result;

/// A stretch of addresses; `last` belongs to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// First address.
    pub first: u64,
    /// Last address.
    pub last: u64,
}

impl Extent {
    /// Whether `address` lies in it.
    pub fn contains(self, address: u64) -> bool {
        (self.first..=self.last).contains(&address)
    }
}

/// Where bytes come from: the session's address space.
pub trait Source {
    /// Reads `buffer` at `address`; what is not there is filled. An error means that a device failed.
    fn read(&mut self, address: u64, buffer: &mut [u8]) -> Result<()>;
}

impl<F: FnMut(u64, &mut [u8]) -> Result<()>> Source for F {
    fn read(&mut self, address: u64, buffer: &mut [u8]) -> Result<()> {
        self(address, buffer)
    }
}

/// Bytes read at a time: few round trips for a far device, little waste for a small program.
const BLOCK: usize = 1 << 18;
/// Bytes behind a block that are kept with it, so that what starts in a block lies whole in it.
pub const TAIL: usize = 64;
/// Blocks kept: 256 MiB.
const MOST: usize = 1024;

/// Reads of one analysis.
pub struct Memory<'a> {
    source: &'a mut dyn Source,
    /// What can be executed, rising and disjoint.
    code: Vec<Extent>,
    /// What can be read, rising and disjoint.
    mapped: Vec<Extent>,
    blocks: HashMap<u64, Box<[u8]>>,
    /// The block of the last read.
    here: Option<(u64, Box<[u8]>)>,
    /// The stretch of code that the last lookup found.
    last_code: Option<Extent>,
}

impl<'a> Memory<'a> {
    /// Reads from `source`, where `code` can be executed and `mapped` can be read.
    pub fn new(source: &'a mut dyn Source, code: Vec<Extent>, mapped: Vec<Extent>) -> Memory<'a> {
        Memory { source, code, mapped, blocks: HashMap::new(), here: None, last_code: None }
    }

    /// Whether `address` can be executed.
    pub fn is_code(&mut self, address: u64) -> bool {
        self.code_room(address) > 0
    }

    /// Whether something can be read at `address`.
    pub fn is_mapped(&self, address: u64) -> bool {
        find(&self.mapped, address).is_some()
    }

    /// What can be executed.
    pub fn code(&self) -> &[Extent] {
        &self.code
    }

    /// Bytes from `address` to the end of the executable stretch around it.
    fn code_room(&mut self, address: u64) -> u64 {
        if !self.last_code.is_some_and(|extent| extent.contains(address)) {
            match find(&self.code, address) {
                Some(extent) => self.last_code = Some(extent),
                None => return 0,
            }
        }
        self.last_code.map_or(0, |extent| (extent.last - address).saturating_add(1))
    }

    /// Up to [`TAIL`] bytes of code at `address`; empty where nothing can be executed.
    pub fn instruction(&mut self, address: u64) -> Result<&[u8]> {
        let room = self.code_room(address).min(TAIL as u64) as usize;
        if room == 0 {
            return Ok(&[]);
        }
        let bytes = self.bytes(address)?;
        let room = room.min(bytes.len());
        Ok(&bytes[..room])
    }

    /// A little-endian number of `size` bytes (at most 8) at `address`; `None` where nothing is mapped.
    pub fn number(&mut self, address: u64, size: usize) -> Result<Option<u64>> {
        let last = address.checked_add(size as u64 - 1);
        if !last.is_some_and(|last| self.is_mapped(address) && self.is_mapped(last)) {
            return Ok(None);
        }
        let bytes = self.bytes(address)?;
        let Some(bytes) = bytes.get(..size.min(8)) else { return Ok(None) };
        Ok(Some(bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))))
    }

    /// The bytes from `address` to the end of its block and some more; at least [`TAIL`].
    fn bytes(&mut self, address: u64) -> Result<&[u8]> {
        let base = address & !(BLOCK as u64 - 1);
        if self.here.as_ref().is_none_or(|(here, _)| *here != base) {
            if let Some((old, block)) = self.here.take() {
                if self.blocks.len() >= MOST {
                    self.blocks.clear();
                }
                self.blocks.insert(old, block);
            }
            let block = match self.blocks.remove(&base) {
                Some(block) => block,
                None => {
                    let mut block = vec![0; BLOCK + TAIL].into_boxed_slice();
                    self.source.read(base, &mut block)?;
                    block
                }
            };
            self.here = Some((base, block));
        }
        let block = self.here.as_ref().map_or(&[][..], |(_, block)| block);
        Ok(block.get((address - base) as usize..).unwrap_or(&[]))
    }
}

fn find(extents: &[Extent], address: u64) -> Option<Extent> {
    let index = extents.partition_point(|extent| extent.last < address);
    extents.get(index).copied().filter(|extent| extent.contains(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_read_once_and_ends_are_seen() {
        let mut reads = Vec::new();
        let mut source = |address: u64, buffer: &mut [u8]| {
            reads.push(address);
            for (at, byte) in buffer.iter_mut().enumerate() {
                *byte = (address.wrapping_add(at as u64) >> 12) as u8;
            }
            Ok(())
        };
        let code = vec![Extent { first: 0x3ff00, last: 0x400ff }];
        let mut memory = Memory::new(&mut source, code.clone(), code);
        assert_eq!(memory.instruction(0x3fffe).unwrap()[..4], [0x3f, 0x3f, 0x40, 0x40]);
        assert_eq!(memory.instruction(0x400fe).unwrap(), [0x40, 0x40]);
        assert_eq!(memory.instruction(0x3ff00).unwrap().len(), TAIL);
        assert!(memory.instruction(0x40100).unwrap().is_empty() && !memory.is_code(0x3feff));
        assert_eq!(memory.number(0x3fffe, 4).unwrap(), Some(0x4040_3f3f));
        assert_eq!(memory.number(0x400fe, 4).unwrap(), None);
        assert_eq!(memory.number(u64::MAX, 8).unwrap(), None);
        assert_eq!(reads, [0, 0x40000]);
    }
}
