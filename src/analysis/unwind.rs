//! Where functions lie, as the tables for unwinding the stack say (.eh_frame: Linux Standard Base, Core, chapter 10).

use gimli::{BaseAddresses, CieOrFde, EhFrame, LittleEndian, UnwindSection};

use crate::output::Cancel;

/// Most functions that are taken from one table.
const MOST: usize = 1 << 20;

/// Start and size of each stretch of code that the section `bytes`, loaded at `address`, describes. What is damaged
/// ends the list.
pub fn functions(bytes: &[u8], address: u64, text: u64, word: u8, cancel: &Cancel) -> Vec<(u64, u64)> {
    let mut section = EhFrame::new(bytes, LittleEndian);
    section.set_address_size(word);
    let bases = BaseAddresses::default().set_eh_frame(address).set_text(text);
    let mut found = Vec::new();
    let mut entries = section.entries(&bases);
    while let Ok(Some(entry)) = entries.next() {
        if found.len() >= MOST || cancel.is_set() {
            break;
        }
        let CieOrFde::Fde(partial) = entry else { continue };
        let Ok(fde) = partial.parse(|section, bases, offset| section.cie_from_offset(bases, offset)) else { continue };
        if fde.len() > 0 {
            found.push((fde.initial_address(), fde.len()));
        }
    }
    found
}
