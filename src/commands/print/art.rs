//! `pk`: a picture that makes two blocks of bytes easy to compare at a glance.

use super::LENGTH;
use super::rows::push_address;
use crate::commands::{Command, Example, Run};
use crate::error::Result;
use crate::session::{Ctx, Permissions};

const WIDTH: usize = 17;
const HEIGHT: usize = 9;

/// What a field looks like by the number of visits.
const SHADES: &[u8; 15] = b" .o+=*BOX@%&#/^";

/// The commands.
pub const COMMANDS: &[Command] = &[Command {
    name: "pk",
    args: LENGTH,
    summary: "print the bytes as a random-art picture, as ssh does with keys",
    needs: Permissions::READ,
    examples: &[Example {
        line: "pk 1",
        shows: "+--[0x00000000]---+\n|    E            |\n\
                |     .           |\n\
                |      .          |\n\
                |       .         |\n\
                |        S        |\n\
                |                 |\n\
                |                 |\n\
                |                 |\n\
                |                 |\n+-----------------+",
    }],
    run: Run::Core(pk),
    ..Command::DEFAULT
}];

/// A walk over a board, two bits of the bytes for each diagonal step.
struct Walk {
    visits: [[u8; WIDTH]; HEIGHT],
    x: usize,
    y: usize,
}

impl Walk {
    fn step(&mut self, bits: u8) {
        let toward = |at: usize, forward: bool, size: usize| {
            if forward { (at + 1).min(size - 1) } else { at.saturating_sub(1) }
        };
        self.x = toward(self.x, bits & 1 != 0, WIDTH);
        self.y = toward(self.y, bits & 2 != 0, HEIGHT);
        let visits = &mut self.visits[self.y][self.x];
        *visits = (*visits + 1).min(SHADES.len() as u8 - 1);
    }

    fn shade(&self, x: usize, y: usize) -> u8 {
        if (x, y) == (self.x, self.y) {
            b'E'
        } else if (x, y) == (WIDTH / 2, HEIGHT / 2) {
            b'S'
        } else {
            SHADES[usize::from(self.visits[y][x])]
        }
    }
}

fn pk(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let (address, length) = ctx.range(0)?;
    let mut walk = Walk { visits: [[0; WIDTH]; HEIGHT], x: WIDTH / 2, y: HEIGHT / 2 };
    ctx.read_chunks(address, length, |_, _, bytes| {
        for byte in bytes {
            for step in 0..4 {
                walk.step(byte >> (2 * step) & 3);
            }
        }
        Ok(())
    })?;
    let mut text = b"+--[".to_vec();
    push_address(&mut text, address);
    text.push(b']');
    text.resize(text.len().max(WIDTH + 1), b'-');
    text.extend_from_slice(b"+\n");
    for y in 0..HEIGHT {
        text.push(b'|');
        text.extend((0..WIDTH).map(|x| walk.shade(x, y)));
        text.extend_from_slice(b"|\n");
    }
    text.extend_from_slice(b"+-----------------+\n");
    ctx.out.write_all(&text)
}
