//! Names for the strings of an object file that was loaded: `str.*` in the flagspace `strings`.

use super::{Core, Value, config};
use crate::binary::{Object, strings};
use crate::io::Latency;
use crate::io::scan::text;

/// Most names that one file gives to its strings: more would help nobody, and cost memory.
pub const NAMED: usize = 1 << 18;

impl Core {
    /// Names the strings in the data sections of `object`, the file behind `fd`, when that is near, and its sections
    /// are no larger than `bin.maxstrbuf`. `far`: also when it is far away, whatever that costs.
    pub fn name_strings(&mut self, fd: u32, object: &Object, far: bool) {
        let option = |name| config::lookup(&config::Config::default(), &self.config, name);
        let largest = match option("bin.maxstrbuf") {
            Value::Number(size) | Value::Address(size) => size,
            _ => 0,
        };
        if option("bin.strings") != Value::Bool(true) {
            return;
        }
        let mut found = Vec::new();
        let Ok(descriptor) = self.io.descriptor_mut(fd) else { return };
        let (info, device) = (descriptor.info(), descriptor.device());
        if info.latency == Latency::Remote && !far {
            return;
        }
        for section in strings::sections(object).filter(|section| section.size <= largest) {
            // What the section says it holds is no reason to make room for it.
            let size = info.size.map_or(section.size, |end| section.size.min(end.saturating_sub(section.paddr)));
            let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
            let Ok(there) = device.read_at(section.paddr, &mut bytes) else { continue };
            bytes.truncate(there);
            let mut at = 0;
            while let Ok(text) = text::find(&bytes, at, bytes.len(), strings::SHORTEST) {
                at = text.place.end;
                let unit = text.encoding.unit();
                let ends = bytes.get(at..at + unit).is_some_and(|end| end.iter().all(|byte| *byte == 0));
                let size = text.place.len() + if ends { unit } else { 0 };
                found.push((text.decode(&bytes).into_owned(), section.vaddr + text.place.start as u64, size as u64));
                if found.len() >= NAMED {
                    break;
                }
            }
        }
        for (text, address, size) in found {
            self.name_string(&text, address, size);
        }
    }

    /// Names one string. A second one of the same name gets its address behind the name.
    pub fn name_string(&mut self, text: &str, address: u64, size: u64) {
        let mut name = strings::flag_name(text);
        if self.flags.get(&name).is_some_and(|flag| flag.address != address) {
            name = format!("{name}_{address:x}");
        }
        self.flags.set(&name, address, size);
        self.flags.set_space(&name, Some("strings"));
    }
}
