//! One function: from its start along every jump, until all ends are known.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::function::Block;
use super::memory::Memory;
use super::starts::Starts;
use super::step::{Flow, Step, Stepper};
use super::xrefs::{Kind, Reference};
use crate::error::Result;
use crate::output::Cancel;

/// Most instructions of a function.
const INSTRUCTIONS: usize = 1 << 19;
/// How far from its start a function without known size reaches, in bytes.
const SPAN: u64 = 1 << 20;

/// What a walk works with.
pub struct Walk<'w, 'm> {
    /// Code and data.
    pub memory: &'w mut Memory<'m>,
    /// Steps through instructions.
    pub stepper: &'w mut dyn Stepper,
    /// Where functions are known to start.
    pub starts: &'w Starts,
    /// Functions, stubs and slots of pointers that do not come back.
    pub noreturn: &'w HashSet<u64>,
    /// Whether numbers in instructions may be addresses.
    pub immediates: bool,
    /// Ends it.
    pub cancel: &'w Cancel,
}

/// What a walk found.
#[derive(Debug, Default)]
pub struct Walked {
    /// The blocks, by address; empty: there is no code.
    pub blocks: Vec<Block>,
    /// What its instructions refer to.
    pub references: Vec<Reference>,
    /// What it calls, or jumps to for good: starts of other functions.
    pub callees: Vec<u64>,
    /// Addresses of code that it takes.
    pub pointers: Vec<u64>,
    /// Whether nothing in it returns.
    pub noreturn: bool,
    /// Whether a bound was met.
    pub cut: bool,
}

/// How a block ends.
#[derive(Default)]
struct End {
    jump: Option<u64>,
    fail: Option<u64>,
    switch: Box<[u64]>,
}

/// A walk in progress.
struct State {
    start: u64,
    /// The known size of the function: nothing behind it belongs to it.
    size: Option<u64>,
    /// Sizes of the instructions by address.
    seen: HashMap<u64, u8>,
    leaders: BTreeSet<u64>,
    ends: HashMap<u64, End>,
    work: Vec<u64>,
    /// Whether some path goes back to the caller or nobody knows where.
    returns: bool,
    found: Walked,
}

impl Walk<'_, '_> {
    /// Walks through the function at `start`.
    ///
    /// # Errors
    /// When a device fails, or the walk is cancelled.
    pub fn function(&mut self, start: u64) -> Result<Walked> {
        let mut state = State {
            start,
            size: self.starts.size(start).filter(|size| *size > 0),
            seen: HashMap::new(),
            leaders: BTreeSet::from([start]),
            ends: HashMap::new(),
            work: vec![start],
            returns: false,
            found: Walked::default(),
        };
        while let Some(leader) = state.work.pop() {
            self.cancel.check()?;
            self.block(&mut state, leader)?;
        }
        let mut found = state.found;
        found.noreturn = !state.returns && !found.cut && !state.seen.is_empty();
        found.blocks = blocks(&state.seen, &state.leaders, &mut state.ends);
        Ok(found)
    }

    /// Steps on from `address` to where the code goes elsewhere.
    fn block(&mut self, state: &mut State, mut address: u64) -> Result<()> {
        while !state.seen.contains_key(&address) {
            if state.seen.len() >= INSTRUCTIONS {
                state.found.cut = true;
                return Ok(());
            }
            // What runs into the next function was left by a call that does not come back.
            if address != state.start && self.is_elsewhere(state, address) {
                return Ok(());
            }
            let bytes = self.memory.instruction(address)?;
            let Some(step) = self.stepper.step(address, bytes) else {
                state.found.cut |= state.seen.is_empty();
                return Ok(());
            };
            state.seen.insert(address, step.size);
            self.references(state, address, &step);
            let next = address.wrapping_add(u64::from(step.size));
            if !self.follow(state, address, next, &step)? {
                return Ok(());
            }
            address = next;
        }
        // Another path was here before.
        state.leaders.insert(address);
        Ok(())
    }

    fn references(&mut self, state: &mut State, from: u64, step: &Step) {
        let found = &mut state.found;
        if let Some(to) = step.memory.filter(|to| self.memory.is_mapped(*to)) {
            found.references.push(Reference { from, to, kind: Kind::Data });
            if step.takes_address && self.memory.is_code(to) {
                found.pointers.push(to);
            }
        }
        if let Some(to) = step.immediate.filter(|to| self.immediates && *to >= 0x1000 && self.memory.is_mapped(*to)) {
            found.references.push(Reference { from, to, kind: Kind::Data });
            if self.memory.is_code(to) {
                found.pointers.push(to);
            }
        }
    }

    /// Takes in where an instruction leads. Whether the next one follows.
    fn follow(&mut self, state: &mut State, from: u64, next: u64, step: &Step) -> Result<bool> {
        match (step.flow, step.target) {
            (Flow::Next, _) => Ok(true),
            (Flow::Trap, _) => {
                state.ends.insert(from, End::default());
                Ok(false)
            }
            (Flow::Return, _) => {
                state.returns = true;
                state.ends.insert(from, End::default());
                Ok(false)
            }
            (Flow::Call, Some(to)) => {
                state.found.references.push(Reference { from, to, kind: Kind::Call });
                // A call of the next instruction only asks where it is.
                if to != next && self.memory.is_code(to) {
                    state.found.callees.push(to);
                }
                let comes_back = !self.noreturn.contains(&to);
                if !comes_back {
                    state.ends.insert(from, End::default());
                }
                Ok(comes_back)
            }
            (Flow::IndirectCall | Flow::Call, _) => {
                let comes_back = !step.memory.is_some_and(|slot| self.noreturn.contains(&slot));
                if !comes_back {
                    state.ends.insert(from, End::default());
                }
                Ok(comes_back)
            }
            (Flow::Branch, Some(to)) => {
                self.jump(state, from, to);
                state.leaders.insert(next);
                state.ends.insert(from, End { jump: Some(to), fail: Some(next), ..End::default() });
                Ok(true)
            }
            (Flow::Jump, Some(to)) => {
                self.jump(state, from, to);
                state.ends.insert(from, End { jump: Some(to), ..End::default() });
                Ok(false)
            }
            (Flow::Jump | Flow::Branch | Flow::IndirectJump, _) => {
                self.indirect(state, from, step)?;
                Ok(false)
            }
        }
    }

    /// A direct jump: within the function, or for good into another.
    fn jump(&mut self, state: &mut State, from: u64, to: u64) {
        state.found.references.push(Reference { from, to, kind: Kind::Code });
        if !self.memory.is_code(to) {
            state.returns = true;
        } else if to == state.start || !self.is_elsewhere(state, to) {
            if state.leaders.insert(to) {
                state.work.push(to);
            }
        } else {
            // Into the middle of another function: that is a part of it, not one of its own.
            if self.starts.around(to).is_none_or(|around| around == to) {
                state.found.callees.push(to);
            }
            state.returns |= !self.noreturn.contains(&to);
        }
    }

    fn indirect(&mut self, state: &mut State, from: u64, step: &Step) -> Result<()> {
        let table = self.stepper.table(self.memory)?;
        let mut targets = Vec::new();
        if let Some(table) = &table {
            state.found.references.push(Reference { from, to: table.address, kind: Kind::Data });
            let mut known = HashSet::new();
            for &to in &table.targets {
                if known.insert(to) && (to == state.start || !self.is_elsewhere(state, to)) {
                    targets.push(to);
                    state.found.references.push(Reference { from, to, kind: Kind::Code });
                    if state.leaders.insert(to) {
                        state.work.push(to);
                    }
                }
            }
        }
        if targets.is_empty() {
            state.returns |= !step.memory.is_some_and(|slot| self.noreturn.contains(&slot));
        }
        state.ends.insert(from, End { switch: targets.into(), ..End::default() });
        Ok(())
    }

    /// Whether `address` cannot belong to the function.
    fn is_elsewhere(&self, state: &State, address: u64) -> bool {
        if let Some(size) = state.size {
            return address.wrapping_sub(state.start) >= size
                || (address != state.start && self.starts.is_named(address));
        }
        if address.abs_diff(state.start) > SPAN || self.starts.contains(address) {
            return true;
        }
        self.starts.around(address).is_some_and(|around| around != state.start)
    }
}

/// Cuts what was stepped over into blocks.
fn blocks(seen: &HashMap<u64, u8>, leaders: &BTreeSet<u64>, ends: &mut HashMap<u64, End>) -> Vec<Block> {
    let mut order: Vec<(u64, u8)> = seen.iter().map(|(address, size)| (*address, *size)).collect();
    order.sort_unstable();
    let mut blocks: Vec<Block> = Vec::new();
    let mut open: Option<Block> = None;
    for (address, size) in order {
        if let Some(mut block) =
            open.take_if(|block| leaders.contains(&address) || block.address.wrapping_add(block.size) != address)
        {
            let next = block.address.wrapping_add(block.size);
            block.jump = seen.contains_key(&next).then_some(next);
            blocks.push(block);
        }
        let block = open.get_or_insert_with(|| Block {
            address,
            size: 0,
            instructions: 0,
            last: address,
            jump: None,
            fail: None,
            switch: Box::default(),
        });
        block.size += u64::from(size);
        block.instructions += 1;
        block.last = address;
        if let Some(end) = ends.remove(&address)
            && let Some(mut block) = open.take()
        {
            (block.jump, block.fail, block.switch) = (end.jump, end.fail, end.switch);
            blocks.push(block);
        }
    }
    blocks.extend(open);
    blocks
}
