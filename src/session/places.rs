//! Variables that speak of the code at an address: its section, its function, its block and what that refers to.

use super::scope::missing;
use super::{Core, View};
use crate::analysis::{Block, Function, Kind};
use crate::error::Result;

/// Most references of a function that are counted.
const REFERENCES: usize = 1 << 16;

/// The value of `variable` (without its `$`) at the client's seek; `None`: it is none of these.
pub(super) fn value(core: &mut Core, view: &View, variable: &str) -> Option<Result<u64>> {
    let seek = view.seek;
    let absent = |why: String| missing(format!("'${variable}' has no value: {why}"));
    if matches!(variable, "S" | "SS") {
        let fd = view.descriptor.or(core.io.current());
        let object = fd.and_then(|fd| core.object(fd));
        let section = object.as_ref().and_then(|object| object.section_at(seek));
        return Some(match section {
            Some(section) => Ok(if variable == "S" { section.vaddr } else { section.vsize }),
            None => Err(absent(format!("0x{seek:08x} is in no section"))),
        });
    }
    if variable == "e" {
        let ends = |function: &Function| function.block_at(seek).is_some_and(|block| block.last == seek);
        return Some(Ok(core.analysis.all_containing(seek).any(ends).into()));
    }
    let listed = variable.get(1..).filter(|_| variable.starts_with(['C', 'J', 'D', 'X']));
    let index = listed.and_then(|digits| digits.parse::<usize>().ok());
    let known = matches!(variable, "F" | "FB" | "FE" | "FS" | "FSS" | "FI" | "Fb" | "Fe" | "Fs" | "Fi" | "Fj" | "Ff");
    if !known && index.is_none() {
        return None;
    }
    let Some(function) = core.analysis.containing(seek) else {
        return Some(Err(absent(format!("no function is known at 0x{seek:08x}")).hint("'aa' or 'af' finds functions")));
    };
    if let Some(index) = index {
        return Some(Ok(nth(core, function, variable, index)));
    }
    let block = || function.block_at(seek).ok_or_else(|| absent(format!("0x{seek:08x} is in no block")));
    Some(match variable {
        "FE" => Ok(function.end()),
        "FS" => Ok(function.size()),
        "FSS" => Ok(function.real_size()),
        "FI" => Ok(function.instructions()),
        "F" | "FB" => Ok(function.address),
        _ => block().map(|block| of_block(block, variable)),
    })
}

fn of_block(block: &Block, variable: &str) -> u64 {
    match variable {
        "Fb" => block.address,
        "Fe" => block.address.wrapping_add(block.size),
        "Fs" => block.size,
        "Fi" => block.instructions.into(),
        "Fj" => block.jump.unwrap_or(u64::MAX),
        _ => block.fail.unwrap_or(u64::MAX),
    }
}

/// Where the reference number `index` of `function` leads, in the order of its addresses; of `X`: where it is.
fn nth(core: &Core, function: &Function, variable: &str, index: usize) -> u64 {
    let references = &core.analysis.xrefs;
    if variable.starts_with('X') {
        return references.to(function.address).nth(index).map_or(u64::MAX, |found| found.from);
    }
    let blocks = &function.blocks;
    let inside = |address: u64| function.has_block(address);
    let mut found: Vec<_> = blocks
        .iter()
        .flat_map(|block| {
            references.from_between(block.address, block.address.saturating_add(block.size.saturating_sub(1)))
        })
        .filter(|found| match found.kind {
            Kind::Call => variable.starts_with('C'),
            Kind::Code => variable.starts_with('J') && !inside(found.to),
            Kind::Data | Kind::Text => variable.starts_with('D'),
        })
        .take(REFERENCES)
        .collect();
    found.sort_by_key(|found| found.from);
    found.get(index).map_or(u64::MAX, |found| found.to)
}
