//! `ph`: hash bytes.

mod algorithms;

use std::io::{self, Write};

use serde::Serialize;

use super::{Arg, ArgKind, Command, Example, Family, Run};
use crate::error::{Error, Kind, Result};
use crate::output::{Item, Mode, Style, visible};
use crate::session::{Ctx, Permissions, scope};
use algorithms::{ALGORITHMS, Algorithm};

pub use algorithms::Hasher;

/// The family.
pub const FAMILY: Family = Family { name: "ph", summary: "hash bytes", commands: COMMANDS };

const COMMANDS: &[Command] = &[Command {
    name: "ph",
    args: &[Arg::opt("algorithm", ArgKind::Word), Arg::opt("len", ArgKind::Number)],
    summary: "hash bytes from the current address, or list the algorithms",
    details: "The length is the block size when none is given; it may be larger than memory. What is not mapped counts \
              with the fill byte (io.0xff), as the other commands show it.",
    modes: &[Mode::Json],
    needs: Permissions::READ,
    examples: &[
        Example { line: "ph md5 4", shows: "f1d3ff8443297732862df21dc4e57262" },
        Example { line: "ph crc32 4", shows: "2144df1c" },
        Example { line: "ph entropy", shows: "0.000000" },
        Example { line: "phj crc32 4", shows: r#"{"algorithm":"crc32","offset":0,"length":4,"digest":"2144df1c"}"# },
    ],
    run: Run::Core(ph),
    ..Command::DEFAULT
}];

#[derive(Serialize)]
struct Listed {
    name: &'static str,
}

impl Item for Listed {
    fn text(&self, out: &mut dyn Write, _: Style) -> io::Result<()> {
        writeln!(out, "{}", self.name)
    }
}

#[derive(Serialize)]
struct Hashed {
    algorithm: &'static str,
    offset: u64,
    length: u64,
    digest: String,
}

impl Item for Hashed {
    fn text(&self, out: &mut dyn Write, _: Style) -> io::Result<()> {
        writeln!(out, "{}", self.digest)
    }
}

/// Begins a hash by the algorithm called `name`.
///
/// # Errors
/// [`Kind::NotFound`] when there is none.
pub fn hasher(name: &str) -> Result<Box<dyn Hasher>> {
    find(name).map(|algorithm| (algorithm.start)())
}

fn find(name: &str) -> Result<&'static Algorithm> {
    ALGORITHMS.iter().find(|algorithm| algorithm.name == name).ok_or_else(|| {
        Error::new(Kind::NotFound, format!("no hash algorithm is called '{}'", visible(name))).hint("'ph' lists them")
    })
}

fn ph(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let Some(name) = ctx.word(0) else {
        return ALGORITHMS.iter().try_for_each(|algorithm| ctx.out.item(&Listed { name: algorithm.name }));
    };
    let algorithm = find(name)?;
    let (offset, length) = ctx.range(1)?;
    if let Some(digest) = elsewhere(ctx, algorithm.name, offset, length) {
        return ctx.out.value(&Hashed { algorithm: algorithm.name, offset, length, digest: digest? });
    }
    let mut hasher = (algorithm.start)();
    ctx.read_chunks(offset, length, |_, _, bytes| {
        hasher.update(bytes);
        Ok(())
    })?;
    ctx.out.value(&Hashed { algorithm: algorithm.name, offset, length, digest: hasher.finish() })
}

/// The digest made where the bytes lie, when they lie in one piece on a device that can have that done.
fn elsewhere(ctx: &mut Ctx<'_, '_>, algorithm: &str, offset: u64, length: u64) -> Option<Result<String>> {
    if ctx.view.patch.is_some() {
        return None;
    }
    let settings = scope::settings(ctx.core, ctx.view);
    let (fd, physical) = ctx.core.io.untouched(&settings, offset, length)?;
    let cancel = ctx.out.cancel().clone();
    ctx.core.io.descriptor_mut(fd).ok()?.device().digest(algorithm, physical, length, &cancel)
}
