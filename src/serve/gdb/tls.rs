//! Where thread-local variables are: `qGetTLSAddr`.
//!
//! glibc describes its private structures in symbols that begin with `_thread_db_`, for debuggers: each is three words
//! of 32 bits, the size of a field in bits, how many there are, and where it begins. With those of the C library that
//! the process has loaded, the answer is a few reads; nothing of this program has to match that library.

use std::sync::Arc;

use object::{Object, ObjectSymbol};

use super::conversation::Conversation;
use crate::debug::{Module, ProcessId, Target, ThreadId, number};
use crate::error::{Error, Kind, Result};

/// Longest C library that is looked into.
const LIMIT: u64 = 64 << 20;

/// What an entry of a thread's table says as long as its block was not made.
const NOT_MADE: u64 = u64::MAX;

/// Where the fields are in the C library of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fields {
    /// Of `struct link_map`: which module it is in the threads' tables.
    module: u64,
    /// Of `struct link_map`: how far below the thread pointer its block is, if it was there from the start.
    offset: u64,
    /// Of a thread's structure: its table.
    table: u64,
    /// Size of an entry, and where the address is in it.
    entry: u64,
    value: u64,
}

/// The fields of the C library that was looked into last.
#[derive(Debug, Default)]
pub struct Loader(Option<(ProcessId, String, Arc<Fields>)>);

fn cannot(what: &str) -> Error {
    Error::new(Kind::Unsupported, format!("thread-local storage: {what}"))
}

/// A whole file as the process sees it.
fn file(target: &mut dyn Target, process: ProcessId, path: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut piece = vec![0; 1 << 20];
    while (bytes.len() as u64) < LIMIT {
        match target.read_file(process, path, bytes.len() as u64, &mut piece)? {
            0 => break,
            count => bytes.extend_from_slice(&piece[..count]),
        }
    }
    Ok(bytes)
}

/// A word of the process.
fn word(target: &mut dyn Target, process: ProcessId, address: u64, width: usize, big_endian: bool) -> Result<u64> {
    let mut bytes = [0; 8];
    let bytes = &mut bytes[..width.min(8)];
    match target.read_memory(process, address, bytes)? {
        count if count == bytes.len() => Ok(number(bytes, big_endian) as u64),
        _ => Err(Error::new(Kind::NotFound, format!("cannot read at 0x{address:x}"))),
    }
}

/// Looks the fields up in the C library `module`.
fn fields(target: &mut dyn Target, process: ProcessId, module: &Module, big_endian: bool) -> Result<Fields> {
    let bytes = file(target, process, &module.path)?;
    let library = object::File::parse(&*bytes).map_err(|_| cannot("the C library is no object file"))?;
    let mut field = |name: &str| -> Result<(u64, u64)> {
        let name = format!("_thread_db_{name}");
        let symbol = library.dynamic_symbols().chain(library.symbols()).find(|symbol| symbol.name() == Ok(&name));
        let symbol = symbol.ok_or_else(|| cannot("the C library does not describe it"))?;
        let at = module.bias.wrapping_add(symbol.address());
        let bits = word(target, process, at, 4, big_endian)?;
        Ok((bits / 8, word(target, process, at.wrapping_add(8), 4, big_endian)?))
    };
    let (entry, _) = field("dtv_dtv")?;
    Ok(Fields {
        module: field("link_map_l_tls_modid")?.1,
        offset: field("link_map_l_tls_offset")?.1,
        table: field("pthread_dtvp")?.1,
        entry,
        value: field("dtv_t_pointer_val")?.1,
    })
}

impl Conversation<'_> {
    /// Where the variable at `offset` of the thread-local storage of the module with this `struct link_map` is.
    pub(super) fn local_storage(&mut self, thread: ThreadId, offset: u64, link_map: u64) -> Result<u64> {
        let process = thread.process;
        let layout = self.layout(thread)?;
        let (width, big_endian) = (layout.bits as usize / 8, layout.big_endian);
        let pointer = layout.registers.iter().find(|register| register.name == "fs_base");
        let pointer = pointer.filter(|_| layout.architecture == "i386:x86-64");
        let pointer = pointer.ok_or_else(|| cannot("not known for this processor"))?;
        let known = &self.loader.0;
        let cached = known
            .as_ref()
            .filter(|(of, ..)| *of == process)
            .map(|(_, path, fields)| (path.clone(), Arc::clone(fields)));
        let (found, address) = self.stub.with(|target| {
            let modules = target.modules(process)?;
            let library = modules.iter().find(|module| {
                let name = module.path.rsplit('/').next().unwrap_or_default();
                name.starts_with("libc.so") || name.starts_with("libc-2")
            });
            let library = library.ok_or_else(|| cannot("no C library is loaded"))?;
            let fields = match cached {
                Some((path, fields)) if path == library.path => fields,
                _ => Arc::new(fields(target, process, library, big_endian)?),
            };
            let mut word = |address: u64| word(target, process, address, width, big_endian);
            let index = word(link_map.wrapping_add(fields.module))?;
            if index == 0 {
                return Err(Error::new(Kind::NotFound, "this module has no thread-local storage"));
            }
            let far = word(link_map.wrapping_add(fields.offset))?;
            let bytes = target.read_register(thread, pointer)?;
            let base = number(&bytes, big_endian) as u64;
            let mut word = |address: u64| self::word(target, process, address, width, big_endian);
            let table = word(base.wrapping_add(fields.table))?;
            let entry = index.checked_mul(fields.entry).map(|at| table.wrapping_add(at));
            let entry = entry.ok_or_else(|| cannot("the table is damaged"))?;
            let block = match word(entry.wrapping_add(fields.value))? {
                // Static blocks are below the thread pointer; 0 and -1 stand for those that are made on first use.
                NOT_MADE if far != 0 && far != u64::MAX => base.wrapping_sub(far),
                NOT_MADE => return Err(Error::new(Kind::NotFound, "the thread has not used it yet")),
                block => block,
            };
            Ok(((process, library.path.clone(), fields), block.wrapping_add(offset)))
        })?;
        self.loader.0 = Some(found);
        Ok(address)
    }
}
