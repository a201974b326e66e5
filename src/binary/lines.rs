//! Line numbers: from an address to the place in the source, and back. DWARF, in the file itself or in a separate one
//! that is found by the build id or by `.gnu_debuglink`.
//!
//! Addresses are those of the session, see [`Object::shift`].

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gimli::{EndianArcSlice, RunTimeEndian, SectionId};
use object::{CompressionFormat, Object as _, ObjectSection as _};
use serde::Serialize;

use super::{Details, Object, Reader};
use crate::error::{Error, Kind, Result};
use crate::io::Device;

/// Most bytes of debug information that are taken from one file, after decompression.
const LARGEST: u64 = 1 << 30;

/// Most rows of the way back, from lines to addresses.
const ROWS: usize = 1 << 24;

/// Largest separate debug file whose checksum is computed.
const CHECKED: u64 = 4 << 30;

/// Where separate debug files are installed.
const INSTALLED: &str = "/usr/lib/debug";

type Slice = EndianArcSlice<RunTimeEndian>;

/// A place in the source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// First address of the code.
    pub addr: u64,
    /// Bytes of code.
    pub size: u64,
    /// The file, with its directory as the compiler knew it.
    #[serde(serialize_with = "as_text")]
    pub file: Arc<str>,
    /// The line, from 1; 0: none in particular.
    pub line: u32,
    /// The column, from 1; 0: all of the line.
    pub column: u32,
}

fn as_text<S: serde::Serializer>(text: &Arc<str>, to: S) -> std::result::Result<S::Ok, S::Error> {
    to.serialize_str(text)
}

/// The line numbers of one object file.
pub struct Lines {
    context: addr2line::Context<Slice>,
    shift: u64,
    /// Where they were found, when that is another file.
    pub origin: Option<PathBuf>,
}

impl std::fmt::Debug for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lines").field("origin", &self.origin).finish_non_exhaustive()
    }
}

/// Opens the file of this machine that may hold the debug information of another; `None` when there is none, or the
/// client may not read it.
pub type Opener<'a> = &'a dyn Fn(&Path) -> Option<Box<dyn Device>>;

impl Lines {
    /// The line numbers of `object`, which is the file in `device`. `path` is where that lies on this machine, if it
    /// does. `None`: there are none.
    ///
    /// # Errors
    /// When the debug information is damaged, or too large.
    pub fn load(
        device: &mut dyn Device,
        object: &Object,
        details: &Details,
        path: Option<&Path>,
        open: Opener<'_>,
    ) -> Result<Option<Lines>> {
        if object.line_numbers
            && let Some(context) = context(device, object.offset, object.size)?
        {
            return Ok(Some(Lines { context, shift: object.shift, origin: None }));
        }
        for (candidate, check) in candidates(details, path) {
            let Some(mut found) = open(&candidate) else { continue };
            if let Some(crc) = check
                && checksum(&mut *found) != Some(crc)
            {
                continue;
            }
            if let Some(context) = context(&mut *found, 0, u64::MAX)? {
                return Ok(Some(Lines { context, shift: object.shift, origin: Some(candidate) }));
            }
        }
        Ok(None)
    }

    /// The place in the source of the instruction at `address`.
    pub fn at(&self, address: u64) -> Option<Place> {
        let probe = address.wrapping_sub(self.shift);
        let end = probe.checked_add(1)?;
        let (start, size, location) = self.context.find_location_range(probe, end).ok()?.next()?;
        Some(place(start.wrapping_add(self.shift), size, &location, &mut Names::default()))
    }

    /// Calls `each` with every row, unit by unit. A row without a file is left out.
    ///
    /// # Errors
    /// Those of `each`.
    pub fn each(&self, each: &mut dyn FnMut(Place) -> Result<()>) -> Result<()> {
        let mut names = Names::default();
        let Ok(rows) = self.context.find_location_range(0, u64::MAX) else { return Ok(()) };
        for (start, size, location) in rows.take(ROWS) {
            if location.file.is_some() {
                each(place(start.wrapping_add(self.shift), size, &location, &mut names))?;
            }
        }
        Ok(())
    }

    /// The code of `line` in the files whose path ends with `file`, sorted by address.
    pub fn find(&self, file: &str, line: u32) -> Vec<Place> {
        let mut found = Vec::new();
        let fits = |path: &str| {
            path.strip_suffix(file).is_some_and(|rest| rest.is_empty() || rest.ends_with('/') || file.starts_with('/'))
        };
        // Not to be interrupted, and bounded by ROWS.
        let _ = self.each(&mut |place| {
            if place.line == line && fits(&place.file) {
                found.push(place);
            }
            Ok(())
        });
        found.sort_by_key(|place| place.addr);
        found
    }
}

/// The name of a file that was shared last: neighbours have the same.
#[derive(Default)]
struct Names(Option<Arc<str>>);

fn place(addr: u64, size: u64, location: &addr2line::Location<'_>, names: &mut Names) -> Place {
    let file = location.file.unwrap_or_default();
    let shared = match &names.0 {
        Some(last) if **last == *file => Arc::clone(last),
        _ => names.0.insert(file.into()).clone(),
    };
    Place { addr, size, file: shared, line: location.line.unwrap_or(0), column: location.column.unwrap_or(0) }
}

/// Where the separate debug file may be, with the checksum that tells the right one.
fn candidates(details: &Details, path: Option<&Path>) -> Vec<(PathBuf, Option<u32>)> {
    let mut found = Vec::new();
    if let Some([first, rest @ ..]) = details.build_id.as_deref()
        && !rest.is_empty()
    {
        let name = format!(".build-id/{first:02x}/{}.debug", faster_hex::hex_string(rest));
        found.push((Path::new(INSTALLED).join(name), None));
    }
    if let Some((name, crc)) = &details.debug_link
        && !name.is_empty()
        // A name that the file chose must not lead anywhere else.
        && !name.contains('/')
        && name != ".."
        && let Some(directory) = path.and_then(Path::parent)
    {
        found.push((directory.join(".debug").join(name), Some(*crc)));
        if path.and_then(Path::file_name).is_some_and(|own| own != name.as_str()) {
            found.push((directory.join(name), Some(*crc)));
        }
        if let Ok(inner) = directory.strip_prefix("/") {
            found.push((Path::new(INSTALLED).join(inner).join(name), Some(*crc)));
        }
    }
    found
}

/// The CRC-32 of a whole file.
fn checksum(device: &mut dyn Device) -> Option<u32> {
    let size = device.info().size.filter(|size| *size <= CHECKED)?;
    let mut hasher = crc32fast::Hasher::new();
    let mut buffer = vec![0; 1 << 18];
    let mut at = 0;
    while at < size {
        let count = device.read_at(at, &mut buffer).ok().filter(|count| *count > 0)?;
        hasher.update(&buffer[..count]);
        at += count as u64;
    }
    Some(hasher.finalize())
}

/// The debug information in `size` bytes of `device` from `offset` on; `None`: there is none.
fn context(device: &mut dyn Device, offset: u64, size: u64) -> Result<Option<addr2line::Context<Slice>>> {
    let mut reader = Reader::new(device);
    reader.restrict(offset, size);
    let parsed = object::File::parse(&reader);
    let file = match parsed {
        Ok(file) => file,
        Err(error) => {
            return Err(reader
                .failure()
                .unwrap_or_else(|| Error::new(Kind::Format, format!("the debug information is damaged: {error}"))));
        }
    };
    if file.section_by_name(".debug_line").is_none() {
        return Ok(None);
    }
    let endian = if file.is_little_endian() { RunTimeEndian::Little } else { RunTimeEndian::Big };
    let mut budget = LARGEST;
    let sections = gimli::DwarfSections::load(|id| section(&file, id, &mut budget))?;
    if let Some(failure) = reader.failure() {
        return Err(failure);
    }
    let dwarf = sections.borrow(|bytes| EndianArcSlice::new(Arc::clone(bytes), endian));
    let damaged = |error| Error::new(Kind::Format, format!("the debug information is damaged: {error}"));
    addr2line::Context::from_dwarf(dwarf).map(Some).map_err(damaged)
}

/// The bytes of a section, decompressed; empty when there is none.
fn section<'d>(file: &object::File<'d, &'d Reader<'_>>, id: SectionId, budget: &mut u64) -> Result<Arc<[u8]>> {
    // What has nothing to do with lines is not read.
    let wanted = matches!(
        id,
        SectionId::DebugAbbrev
            | SectionId::DebugAddr
            | SectionId::DebugAranges
            | SectionId::DebugInfo
            | SectionId::DebugLine
            | SectionId::DebugLineStr
            | SectionId::DebugRanges
            | SectionId::DebugRngLists
            | SectionId::DebugStr
            | SectionId::DebugStrOffsets
    );
    let Some(section) = file.section_by_name(id.name()).filter(|_| wanted) else { return Ok(Arc::from([])) };
    let damaged = |what: &dyn std::fmt::Display| Error::new(Kind::Format, format!("section {}: {what}", id.name()));
    let data = section.compressed_data().map_err(|error| damaged(&error))?;
    let size = data.uncompressed_size;
    *budget = budget
        .checked_sub(size)
        .ok_or_else(|| Error::new(Kind::Limit, format!("section {}: {size} bytes are too many", id.name())))?;
    let unpack = |from: &mut dyn std::io::Read| -> Result<Arc<[u8]>> {
        // What the section says it holds is believed only as far as it comes true.
        let mut bytes = Vec::new();
        from.take(size).read_to_end(&mut bytes).map_err(|error| damaged(&error))?;
        if bytes.len() as u64 != size {
            return Err(damaged(&format_args!("{} of {size} bytes are there", bytes.len())));
        }
        Ok(bytes.into())
    };
    match data.format {
        CompressionFormat::None => Ok(data.data.into()),
        CompressionFormat::Zlib => unpack(&mut flate2::read::ZlibDecoder::new(data.data)),
        CompressionFormat::Zstandard => {
            unpack(&mut zstd::stream::read::Decoder::with_buffer(data.data).map_err(|error| damaged(&error))?)
        }
        _ => Err(damaged(&"compressed in an unknown way")),
    }
}
