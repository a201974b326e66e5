//! The core files among the open files: read when they are first asked for, and kept as long as they are open.

use std::collections::HashMap;
use std::sync::Arc;

use super::Core;
use crate::binary::core::CoreFile;
use crate::error::Result;

/// What was read, by descriptor, with the opening of the descriptor it was read of.
#[derive(Debug, Default)]
pub struct CoreFiles {
    known: HashMap<u32, (u64, Option<Arc<CoreFile>>)>,
}

impl Core {
    /// The core file behind `fd`; `None` when it is none.
    ///
    /// # Errors
    /// When it is too damaged to say anything, once: after that there is none.
    pub fn core_file(&mut self, fd: u32) -> Result<Option<Arc<CoreFile>>> {
        let descriptor = self.io.descriptor_mut(fd)?;
        let serial = descriptor.serial();
        if let Some((known, core)) = self.core_files.known.get(&fd)
            && *known == serial
        {
            return Ok(core.clone());
        }
        let read = CoreFile::read(descriptor.device());
        let core = read.as_ref().ok().cloned().flatten().map(Arc::new);
        self.core_files.known.insert(fd, (serial, core.clone()));
        read.map(|_| core)
    }

    /// Maps the memory that a core file without segments (a minidump) keeps. Returns where its thread stopped;
    /// `None`: `fd` is no such file.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn map_dump(&mut self, fd: u32) -> Result<Option<u64>> {
        let Some(core) = self.core_file(fd)?.filter(|core| !core.memory.is_empty()) else { return Ok(None) };
        for (index, memory) in core.memory.iter().enumerate() {
            let name = Some(format!("fmap.MEMORY{index}"));
            self.io.space.add(fd, memory.start, memory.size, memory.offset, memory.access, name);
        }
        let (counter, _) = crate::binary::registers::roles(core.arch, core.bits);
        let thread = core.threads.first();
        let value = |name| thread?.named.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        Ok(Some(value(counter).unwrap_or(core.memory[0].start)))
    }
}
