//! Where `main` is: by its symbol, or as what the start-up code hands to the C library.

use super::Core;
use crate::binary::Object;

/// How far into the start-up code is looked.
const START: usize = 96;

impl Core {
    /// The virtual address of `main` in the object file behind `fd`.
    pub fn main_of(&mut self, fd: u32, object: &Object) -> Option<u64> {
        if let Ok(symbols) = self.symbols(fd)
            && let Some(symbol) = symbols.iter().find(|symbol| &*symbol.name == "main" && symbol.is_function())
        {
            return Some(symbol.vaddr);
        }
        let entry = object.entries.iter().find(|entry| entry.kind == "program")?;
        let mut code = [0; START];
        let paddr = object.paddr(entry.vaddr)?;
        let count = self.io.descriptor_mut(fd).ok()?.device().read_at(paddr, &mut code).ok()?;
        let main = by_start(object, entry.vaddr, code.get(..count)?)?;
        object.section_at(main).is_some_and(|section| section.access.execute).then_some(main)
    }
}

/// The first argument of `__libc_start_main` in the start-up code of glibc and musl.
fn by_start(object: &Object, entry: u64, code: &[u8]) -> Option<u64> {
    let word = |at: usize| code.get(at..at + 4)?.first_chunk().map(|bytes| i32::from_le_bytes(*bytes));
    let address = |at: usize| word(at).map(|value| value as u32 as u64);
    match (object.arch, object.bits) {
        ("x86", 64) => (0..code.len()).find_map(|at| match code.get(at..at + 3)? {
            // lea rdi, [rip + main]
            [0x48, 0x8d, 0x3d] => Some(entry.wrapping_add(at as u64 + 7).wrapping_add(i64::from(word(at + 3)?) as u64)),
            // mov rdi, main
            [0x48, 0xc7, 0xc7] => address(at + 3),
            _ => None,
        }),
        // push main; call __libc_start_main
        ("x86", 32) => (0..code.len())
            .filter(|at| code[*at] == 0x68 && code.get(at + 5) == Some(&0xe8))
            .find_map(|at| address(at + 1)),
        // adrp x0, main; add x0, x0, main
        ("arm", 64) => (0..code.len()).step_by(4).find_map(|at| {
            let (adrp, add) = (word(at)? as u32, word(at + 4)? as u32);
            if adrp & 0x9f00_001f != 0x9000_0000 || add & 0xffc0_03ff != 0x9100_0000 {
                return None;
            }
            let immediate = (i64::from((adrp >> 5) & 0x7_ffff) << 2) | i64::from((adrp >> 29) & 3);
            let page = (entry.wrapping_add(at as u64) & !0xfff).wrapping_add(((immediate << 43 >> 43) << 12) as u64);
            Some(page.wrapping_add(u64::from((add >> 10) & 0xfff)))
        }),
        _ => None,
    }
}
