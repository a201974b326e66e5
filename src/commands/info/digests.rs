//! `it`: digests of the whole file.

use std::io::{self, Write};

use serde::{Serialize, Serializer, ser::SerializeMap};

use super::super::hash::hasher;
use super::super::{Command, Example, Run};
use crate::error::{Error, Kind, Result};
use crate::output::{Item, Mode, Style};
use crate::session::context::CHUNK;
use crate::session::{Ctx, Permissions};

pub(super) const COMMANDS: &[Command] = &[Command {
    name: "it",
    aliases: &["iT"],
    summary: "show digests of the whole file",
    modes: &[Mode::Json, Mode::Quiet],
    needs: Permissions::READ,
    examples: &[Example {
        line: "o hex://616263; it",
        shows: "md5 900150983cd24fb0d6963f7d28e17f72\n\
                sha1 a9993e364706816aba3e25717850c26c9cd0d89d\n\
                sha256 ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    }],
    run: Run::Core(digests),
    ..Command::DEFAULT
}];

const ALGORITHMS: [&str; 3] = ["md5", "sha1", "sha256"];

struct Digests(Vec<(&'static str, String)>);

impl Serialize for Digests {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, digest) in &self.0 {
            map.serialize_entry(name, digest)?;
        }
        map.end()
    }
}

impl Item for Digests {
    fn text(&self, out: &mut dyn Write, _: Style) -> io::Result<()> {
        self.0.iter().try_for_each(|(name, digest)| writeln!(out, "{name} {digest}"))
    }
}

fn digests(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let fd = ctx.view.descriptor.or(ctx.core.io.current());
    let fd = fd.ok_or_else(|| Error::new(Kind::NotFound, "nothing is open").hint("o FILE opens a file"))?;
    let descriptor = ctx.core.io.descriptor_mut(fd)?;
    let size = descriptor.size().ok_or_else(|| Error::new(Kind::Limit, "the file has no end, and so no digest"))?;
    let device = descriptor.device();
    let mut digests = Vec::new();
    let mut here = Vec::new();
    for name in ALGORITHMS {
        // A far device may have it made where the bytes lie.
        match device.digest(name, 0, size, ctx.out.cancel()) {
            Some(digest) => digests.push((name, digest?)),
            None => here.push((name, hasher(name)?)),
        }
    }
    let mut buffer = vec![0; CHUNK];
    let mut at = 0;
    if !here.is_empty() {
        device.will_read(0, size);
    }
    while !here.is_empty() && at < size {
        ctx.out.cancel().check()?;
        let count = usize::try_from(size - at).unwrap_or(CHUNK).min(CHUNK);
        let done = device.read_at(at, &mut buffer[..count])?;
        buffer[done..count].fill(0);
        here.iter_mut().for_each(|(_, hasher)| hasher.update(&buffer[..count]));
        at += count as u64;
    }
    digests.extend(here.into_iter().map(|(name, hasher)| (name, hasher.finish())));
    ctx.out.value(&Digests(digests))
}
