//! What a function is made of.

use super::frame::Frame;

/// A stretch of instructions that is entered at its start and left at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Address of the first instruction.
    pub address: u64,
    /// Bytes.
    pub size: u64,
    /// How many instructions.
    pub instructions: u32,
    /// Address of the last instruction.
    pub last: u64,
    /// Where its last instruction jumps, or what follows when another block starts there.
    pub jump: Option<u64>,
    /// Where it goes on when a conditional jump is not taken.
    pub fail: Option<u64>,
    /// Where the entries of its jump table lead, in the table's order, each once.
    pub switch: Box<[u64]>,
}

impl Block {
    /// Whether `address` lies in it.
    pub fn contains(&self, address: u64) -> bool {
        address.checked_sub(self.address).is_some_and(|offset| offset < self.size)
    }

    /// Where it may go on, each place once.
    pub fn successors(&self) -> impl Iterator<Item = u64> {
        let fail = self.fail.filter(|fail| Some(*fail) != self.jump);
        let switch = self.switch.iter().copied().filter(move |to| Some(*to) != self.jump && Some(*to) != self.fail);
        self.jump.into_iter().chain(fail).chain(switch)
    }
}

/// Where the knowledge of a function comes from; also decides how it is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A symbol, an entry point or the user named it.
    Symbol,
    /// The stub of an imported function.
    Import,
    /// Found by calls, jumps, pointers or unwind tables.
    Found,
}

/// A function.
#[derive(Debug, Clone)]
pub struct Function {
    /// Where it is entered.
    pub address: u64,
    /// Its name, which is also a flag's.
    pub name: String,
    /// Where the knowledge of it comes from.
    pub origin: Origin,
    /// Its blocks, by address; never empty.
    pub blocks: Vec<Block>,
    /// Whether it never returns to its caller.
    pub noreturn: bool,
    /// Whether a bound was met, so that something of it is missing.
    pub cut: bool,
    /// Its variables and arguments; `None`: nobody asked yet.
    pub frame: Option<Frame>,
}

impl Function {
    /// The lowest address of its blocks.
    pub fn first(&self) -> u64 {
        self.blocks.first().map_or(self.address, |block| block.address)
    }

    /// The address behind its highest byte.
    pub fn end(&self) -> u64 {
        self.blocks.iter().map(|block| block.address.saturating_add(block.size)).max().unwrap_or(self.address)
    }

    /// Bytes from its first to its last, with what lies between its blocks.
    pub fn size(&self) -> u64 {
        self.end() - self.first()
    }

    /// Bytes of its blocks.
    pub fn real_size(&self) -> u64 {
        self.blocks.iter().map(|block| block.size).sum()
    }

    /// How many instructions it has.
    pub fn instructions(&self) -> u64 {
        self.blocks.iter().map(|block| u64::from(block.instructions)).sum()
    }

    /// The block that `address` lies in.
    pub fn block_at(&self, address: u64) -> Option<&Block> {
        let index = self.blocks.partition_point(|block| block.address <= address);
        // Blocks overlap only in code that is made to deceive; the one that starts last is meant.
        self.blocks[..index].iter().rev().take(8).find(|block| block.contains(address))
    }

    /// Edges between its blocks.
    pub fn edges(&self) -> usize {
        self.blocks.iter().map(|block| block.successors().filter(|to| self.has_block(*to)).count()).sum()
    }

    /// Whether a block starts at `address`.
    pub fn has_block(&self, address: u64) -> bool {
        self.blocks.binary_search_by_key(&address, |block| block.address).is_ok()
    }

    /// Blocks that nothing of the function follows.
    pub fn exits(&self) -> usize {
        self.blocks.iter().filter(|block| !block.successors().any(|to| self.has_block(to))).count()
    }

    /// Cyclomatic complexity: edges - blocks + 2 · exits, at least 1 (McCabe, 1976).
    pub fn complexity(&self) -> usize {
        (self.edges() + 2 * self.exits()).saturating_sub(self.blocks.len()).max(1)
    }

    /// How many blocks enter the block at `address`.
    pub fn inputs(&self, address: u64) -> usize {
        self.blocks.iter().filter(|block| block.successors().any(|to| to == address)).count()
    }
}
