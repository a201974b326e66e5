//! `/P`: blocks that are much like the one at the seek.

use std::io::{self, Write};

use serde::Serialize;

use super::hunt::Memory;
use super::range;
use crate::error::{Error, Kind, Result};
use crate::io::scan::{Extent, Source, Stretch};
use crate::output::{Item, Out, Style};
use crate::session::context::Args;
use crate::session::{Ctx, Session};

/// The largest block that others are compared with.
const LARGEST: u64 = 1 << 20;

#[derive(Serialize)]
struct Row {
    offset: u64,
    equal: usize,
    size: usize,
    #[serde(skip)]
    number: u64,
}

impl Item for Row {
    fn text(&self, out: &mut dyn Write, _style: Style) -> io::Result<()> {
        let percent = self.equal * 100 / self.size;
        writeln!(out, "0x{:08x} {}/{} {percent}%", self.offset, self.equal, self.size)
    }
    fn quiet(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "0x{:08x}", self.offset)
    }
    fn commands(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "f similar_{} {} 0x{:08x}", self.number, self.size, self.offset)
    }
}

/// Compares the blocks of the range with the one at the seek.
pub fn blocks(session: &mut Session, args: &Args, out: &mut Out<'_>) -> Result<()> {
    let (least, model, here, extents) = session.with(|core, view| {
        let mut ctx = Ctx { core, view, out, args };
        let (least, size) = (ctx.required(0)?, ctx.view.block_size);
        if least == 0 || least > size || size > LARGEST {
            return Err(Error::new(Kind::Usage, format!("blocks of {size} bytes cannot share {least}"))
                .hint(format!("from 1 to the block size, which is at most {LARGEST}")));
        }
        let here = ctx.view.seek;
        Ok((least as usize, ctx.read(here, size)?, here, range::extents(&ctx)?))
    })?;
    let mut block = vec![0; model.len()];
    let mut number = 0;
    for Extent { first, last } in extents {
        let mut next = Some(first);
        while let Some(address) =
            next.filter(|address| last.checked_sub(*address).is_some_and(|left| left >= model.len() as u64 - 1))
        {
            out.cancel().check()?;
            let valid = session.with(|core, view| Ctx { core, view, out, args }.read_into(address, &mut block))?;
            let equal = model.iter().zip(&block).filter(|(a, b)| a == b).count();
            if valid == block.len() && equal >= least && address != here {
                out.item(&Row { offset: address, equal, size: model.len(), number })?;
                number += 1;
            }
            let size = model.len() as u64;
            next = address.checked_add(size);
            if valid == 0
                && let Stretch::Hole(length) = (Memory { session, first: None }).stretch(address, &mut [0])?
            {
                // Whole blocks, to stay in step.
                next = (length / size).max(1).checked_mul(size).and_then(|skip| address.checked_add(skip));
            }
        }
    }
    session.view.last = number;
    Ok(())
}
