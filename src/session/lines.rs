//! The line numbers of the open files: read when they are first asked for, and kept as long as the files are open.

use std::collections::HashMap;
use std::path::Path;

use super::{Core, View, reach};
use crate::binary::lines::{Lines, Place};
use crate::error::Result;
use crate::io::{Access, Device, plugin};
use crate::output::Cancel;
use crate::uri::Uri;

/// What was read, by descriptor.
#[derive(Debug, Default)]
pub struct LineTables {
    known: HashMap<u32, Known>,
}

#[derive(Debug)]
struct Known {
    /// Which opening of the descriptor it was.
    serial: u64,
    /// Whether separate debug files were looked for.
    everywhere: bool,
    lines: Option<Lines>,
}

impl Core {
    /// The line numbers of the object file behind `fd`; `None` when it has none. Separate debug files are read as
    /// `view`'s client may read files.
    ///
    /// # Errors
    /// When the debug information is damaged, once: after that there is none.
    pub fn lines(&mut self, view: &View, fd: u32) -> Result<Option<&Lines>> {
        let everywhere = view.permissions.allow(super::Permissions::FILES);
        let serial = self.io.descriptor(fd)?.serial();
        let fresh =
            self.lines.known.get(&fd).is_some_and(|known| {
                known.serial == serial && (known.everywhere || !everywhere || known.lines.is_some())
            });
        if !fresh {
            let loaded = self.load_lines(view, fd);
            let (lines, failure) = match loaded {
                Ok(lines) => (lines, None),
                Err(error) => (None, Some(error)),
            };
            self.lines.known.insert(fd, Known { serial, everywhere, lines });
            if let Some(error) = failure {
                return Err(error);
            }
        }
        Ok(self.lines.known.get(&fd).and_then(|known| known.lines.as_ref()))
    }

    /// The place in the source of the instruction at `address`, in the file that is mapped there, or else in the
    /// current one.
    pub fn line(&mut self, view: &View, address: u64) -> Option<Place> {
        let library = self.library_file(view, address);
        let mapped = self.io.space.at(address).map(|map| map.fd);
        let fd = library.or(mapped).or(view.descriptor).or(self.io.current())?;
        self.lines(view, fd).ok()??.at(address)
    }

    fn load_lines(&mut self, view: &View, fd: u32) -> Result<Option<Lines>> {
        let Some(object) = self.object(fd) else { return Ok(None) };
        let details = self.details(fd)?;
        let uri = Uri::parse(&self.io.descriptor(fd)?.uri);
        let local = matches!(uri.scheme(), None | Some("file"));
        let path = Path::new(uri.rest()).to_path_buf();
        // Opened like everything that the client opens: with its permissions, beneath its root.
        let allowed = reach::opening(self, view, &Uri::parse("/"), Access::R, &Cancel::new()).ok();
        let open = |path: &Path| -> Option<Box<dyn Device>> {
            plugin::open(&Uri::parse(path.to_str()?), allowed.as_ref()?).ok()
        };
        let path = local.then_some(path.as_path());
        Lines::load(self.io.descriptor_mut(fd)?.device(), &object, &details, path, &open)
    }
}
