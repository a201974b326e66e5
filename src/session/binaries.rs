//! What the open files say of themselves: parsed when it is first asked for, and kept as long as they are open.

use std::collections::HashMap;
use std::sync::Arc;

use super::Core;
use crate::binary::{self, Details, Object, Placement, Relocation, Symbol};
use crate::error::{Error, Kind, Result};

/// What was read of the files behind the descriptors.
#[derive(Debug, Default)]
pub struct Binaries {
    known: HashMap<u32, Known>,
    /// Descriptors whose symbols and relocations have no flags yet.
    pub(super) unnamed: Vec<u32>,
    /// What was opened along with another descriptor, by serial numbers.
    pub(super) companions: HashMap<u64, Vec<u64>>,
}

/// What is known of one file. A field that is `None` was not asked for.
#[derive(Debug, Default)]
struct Known {
    /// Which opening of a descriptor with this number it was: see [`crate::io::Descriptor::serial`].
    serial: u64,
    placement: Placement,
    object: Option<Option<Arc<Object>>>,
    symbols: Option<Arc<[Symbol]>>,
    relocations: Option<Arc<[Relocation]>>,
    details: Option<Arc<Details>>,
    /// What could not be read, until somebody shows it.
    warnings: Vec<String>,
}

/// Object files.
impl Core {
    /// The object file behind `fd`; `None` when it is none, or too damaged to say anything.
    pub fn object(&mut self, fd: u32) -> Option<Arc<Object>> {
        let known = self.known(fd)?;
        if let Some(object) = &known.object {
            return object.clone();
        }
        let placement = known.placement;
        let device = self.io.descriptor_mut(fd).ok()?.device();
        let (object, warnings) = match binary::object(device, placement) {
            Ok(object) => {
                let warnings = object.as_ref().map(|object| object.warnings.clone()).unwrap_or_default();
                (object.map(Arc::new), warnings)
            }
            Err(error) => (None, vec![error.to_string()]),
        };
        let known = self.known(fd)?;
        known.object = Some(object.clone());
        known.warnings.extend(warnings);
        object
    }

    /// The object file behind the current descriptor.
    pub fn current_object(&mut self) -> Option<(u32, Arc<Object>)> {
        let fd = self.io.current()?;
        self.object(fd).map(|object| (fd, object))
    }

    /// Says where the file behind `fd` is to be loaded; what was read of it before is read again.
    pub fn place_object(&mut self, fd: u32, placement: Placement) {
        if let Some(known) = self.known(fd) {
            *known = Known { serial: known.serial, placement, ..Known::default() };
        }
    }

    /// Takes the file behind `fd` for plain bytes, whatever it is.
    pub fn ignore_object(&mut self, fd: u32) {
        if let Some(known) = self.known(fd) {
            known.object = Some(None);
        }
    }

    /// The symbols of the object file behind `fd`; see [`binary::symbols`].
    ///
    /// # Errors
    /// When it is no object file, or the device fails.
    pub fn symbols(&mut self, fd: u32) -> Result<Arc<[Symbol]>> {
        if let Some(found) = self.known(fd).and_then(|known| known.symbols.clone()) {
            return Ok(found);
        }
        let object = self.object(fd).ok_or_else(none)?;
        let read = binary::symbols(self.io.descriptor_mut(fd)?.device(), &object)?;
        let list: Arc<[Symbol]> = read.list.into();
        if let Some(known) = self.known(fd) {
            known.warnings.extend(read.warnings);
            known.symbols = Some(Arc::clone(&list));
        }
        Ok(list)
    }

    /// The relocations of the object file behind `fd`.
    ///
    /// # Errors
    /// When it is no object file, or the device fails.
    pub fn relocations(&mut self, fd: u32) -> Result<Arc<[Relocation]>> {
        if let Some(found) = self.known(fd).and_then(|known| known.relocations.clone()) {
            return Ok(found);
        }
        let object = self.object(fd).ok_or_else(none)?;
        let read = binary::relocations(self.io.descriptor_mut(fd)?.device(), &object)?;
        let list: Arc<[Relocation]> = read.list.into();
        if let Some(known) = self.known(fd) {
            known.warnings.extend(read.warnings);
            known.relocations = Some(Arc::clone(&list));
        }
        Ok(list)
    }

    /// What takes a closer look at the object file behind `fd`: libraries, build id, compiler.
    ///
    /// # Errors
    /// When it is no object file, or the device fails.
    pub fn details(&mut self, fd: u32) -> Result<Arc<Details>> {
        if let Some(found) = self.known(fd).and_then(|known| known.details.clone()) {
            return Ok(found);
        }
        let object = self.object(fd).ok_or_else(none)?;
        let details = Arc::new(binary::details(self.io.descriptor_mut(fd)?.device(), &object)?);
        if let Some(known) = self.known(fd) {
            known.warnings.extend(details.warnings.iter().cloned());
            known.details = Some(Arc::clone(&details));
        }
        Ok(details)
    }

    /// What could not be read of the file behind `fd`; each warning comes once.
    pub fn take_warnings(&mut self, fd: u32) -> Vec<String> {
        self.known(fd).map(|known| std::mem::take(&mut known.warnings)).unwrap_or_default()
    }

    /// Adds to what [`Core::take_warnings`] tells.
    pub(super) fn warn(&mut self, fd: u32, warning: String) {
        if let Some(known) = self.known(fd) {
            known.warnings.push(warning);
        }
    }

    /// What is known of the file behind `fd` as it is open now.
    fn known(&mut self, fd: u32) -> Option<&mut Known> {
        let Ok(descriptor) = self.io.descriptor(fd) else {
            self.binaries.known.remove(&fd);
            return None;
        };
        let serial = descriptor.serial();
        let known = self.binaries.known.entry(fd).or_default();
        if known.serial != serial {
            *known = Known { serial, ..Known::default() };
        }
        Some(known)
    }
}

/// The error when there is no object file.
pub fn none() -> Error {
    Error::new(Kind::Format, "the current file is no object file").hint("'o' lists what is open, 'i' says what it is")
}
