//! How a listing looks: the columns of a row, and the lines above it.

use std::fmt::Write as _;

use super::annotations::{Above, Bar};
use super::arrows::{Arrows, glyph};
use crate::disasm::{Family, Instruction, Kind, Text};
use crate::session::Ctx;

/// Blanks between the address and what follows.
const GAP: &str = "      ";

/// The `asm.*` options that say what is shown.
#[derive(Debug, Clone)]
pub struct Layout {
    /// `asm.lines`: arrows.
    pub lines: bool,
    /// `asm.lines.width`: columns for them.
    pub width: usize,
    /// `asm.offset`: addresses.
    pub offset: bool,
    /// `asm.segoff` with `asm.seggrn`: addresses as segment and offset.
    pub segment: Option<u32>,
    /// `asm.bytes`, `asm.nbytes`: how many bytes are shown.
    pub bytes: Option<usize>,
    /// `asm.size`: sizes.
    pub size: bool,
    /// `asm.tabs`: columns for the mnemonic.
    pub tabs: usize,
    /// `asm.ucase`: upper case.
    pub upper: bool,
    /// `asm.comments`: comments.
    pub comments: bool,
    /// `asm.cmt.right`: comments beside instructions, else above.
    pub right: bool,
    /// `asm.cmt.col`: the column of comments.
    pub column: usize,
    /// `asm.describe`: what an instruction does, as a comment.
    pub describe: bool,
    /// `asm.flags`: flags above instructions.
    pub flags: bool,
    /// `asm.functions`: bars.
    pub functions: bool,
    /// `asm.xrefs` and what stands above an instruction.
    pub above: bool,
    /// Colours.
    pub color: bool,
    /// Box characters.
    pub utf8: bool,
}

/// An instruction in a window.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// Its place in the window.
    pub index: usize,
    /// The bar beside it.
    pub bar: Option<Bar>,
    /// Itself.
    pub instruction: &'a Instruction,
    /// Its bytes.
    pub code: &'a [u8],
}

impl Layout {
    /// As the client's options have it.
    pub fn of(ctx: &Ctx<'_, '_>) -> Layout {
        let style = ctx.out.style();
        let number = |name, most: u64| ctx.option_number(name).min(most) as usize;
        Layout {
            lines: ctx.option_bool("asm.lines"),
            width: number("asm.lines.width", 64),
            offset: ctx.option_bool("asm.offset"),
            segment: ctx.option_bool("asm.segoff").then(|| number("asm.seggrn", 63) as u32),
            bytes: ctx.option_bool("asm.bytes").then(|| number("asm.nbytes", 32)),
            size: ctx.option_bool("asm.size"),
            tabs: number("asm.tabs", 64),
            upper: ctx.option_bool("asm.ucase"),
            comments: ctx.option_bool("asm.comments"),
            right: ctx.option_bool("asm.cmt.right"),
            column: number("asm.cmt.col", 512),
            describe: ctx.option_bool("asm.describe"),
            flags: ctx.option_bool("asm.flags"),
            functions: ctx.option_bool("asm.functions"),
            above: ctx.option_bool("asm.xrefs"),
            color: style.color,
            utf8: style.utf8,
        }
    }

    fn painted(&self, into: &mut String, color: &str, text: &str) {
        if self.color && !color.is_empty() {
            into.push_str(color);
            into.push_str(text);
            into.push_str(RESET);
        } else {
            into.push_str(text);
        }
    }

    fn bar(&self, into: &mut String, bar: Option<Bar>) -> usize {
        let bar = bar.filter(|_| self.functions);
        match bar {
            Some(bar) => into.push(glyph(bar.glyph(), self.utf8)),
            None if self.lines => into.push(' '),
            None => return 0,
        }
        if self.lines {
            1
        } else {
            into.push(' ');
            2
        }
    }

    /// A line above the row `index`.
    pub fn above(&self, into: &mut String, arrows: &Arrows, index: usize, line: &Above) {
        self.bar(into, line.bar);
        if line.head {
            if self.lines {
                into.push(' ');
            }
        } else if self.lines {
            arrows.draw_above(index, self.width + 1, self.utf8, into);
            into.push(' ');
        }
        self.painted(into, NOTE, &line.text);
        into.push('\n');
    }

    /// A row: everything up to the comment. Returns the columns that it took.
    pub fn row(&self, into: &mut String, arrows: &Arrows, row: Row<'_>, text: &mut Text) -> usize {
        let Row { index, bar, instruction, code } = row;
        let mut columns = self.bar(into, bar);
        if self.lines {
            arrows.draw(index, self.width + 1, self.utf8, into);
            into.push(' ');
            columns += self.width + 4;
        }
        if self.offset {
            columns += self.address(into, instruction.address);
            into.push_str(GAP);
            columns += GAP.len();
        }
        if self.size {
            // A String takes everything.
            let _ = write!(into, "{:>2} ", instruction.size);
            columns += 3;
        }
        if let Some(most) = self.bytes {
            columns += bytes(into, code, most);
        }
        if self.upper {
            text.mnemonic.make_ascii_uppercase();
            text.operands.make_ascii_uppercase();
        }
        columns + self.instruction(into, instruction.kind, instruction.family, text)
    }

    /// Mnemonic and operands in their columns.
    fn instruction(&self, into: &mut String, kind: Kind, family: Family, text: &Text) -> usize {
        let color = if self.color { color(kind, family) } else { "" };
        self.painted(into, color, &text.mnemonic);
        let mut columns = text.mnemonic.len();
        if !text.operands.is_empty() {
            let blanks = self.tabs.saturating_sub(columns).max(1);
            (0..blanks).for_each(|_| into.push(' '));
            into.push_str(&text.operands);
            columns += blanks + width(&text.operands);
        }
        columns
    }

    fn address(&self, into: &mut String, address: u64) -> usize {
        if self.color {
            into.push_str(ADDRESS);
        }
        let shown = into.len();
        match self.segment {
            Some(shift) => {
                let segment = (address >> shift) & 0xf000;
                let offset = address.wrapping_sub(segment << shift) & 0xffff;
                let _ = write!(into, "{segment:04x}:{offset:04x}");
            }
            None => push_hex(into, address, 8),
        }
        let columns = into.len() - shown;
        if self.color {
            into.push_str(RESET);
        }
        columns
    }

    /// Appends `comment` to a row of `columns`, or puts it above it.
    pub fn comment(&self, into: &mut String, columns: usize, comment: &str) {
        let blanks = self.column.saturating_sub(columns).max(1);
        (0..blanks).for_each(|_| into.push(' '));
        if self.color {
            into.push_str(NOTE);
        }
        into.push_str(comment);
        if self.color {
            into.push_str(RESET);
        }
    }
}

/// Appends `code` in a field for `most` bytes; what is longer ends in dots.
fn bytes(into: &mut String, code: &[u8], most: usize) -> usize {
    let field = most * 2 + 3;
    let shown = if code.len() > most { most.saturating_sub(1) } else { code.len() };
    code[..shown].iter().for_each(|byte| push_byte(into, *byte));
    let mut columns = shown * 2;
    if shown < code.len() {
        into.push_str("..");
        columns += 2;
    }
    let blanks = field.saturating_sub(columns).max(1);
    (0..blanks).for_each(|_| into.push(' '));
    columns + blanks
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Appends two digits.
pub fn push_byte(into: &mut String, byte: u8) {
    into.push(DIGITS[usize::from(byte >> 4)] as char);
    into.push(DIGITS[usize::from(byte & 15)] as char);
}

/// Appends `value` with `least` digits or more.
pub fn push_hex(into: &mut String, value: u64, least: usize) {
    let digits = (16 - value.leading_zeros() as usize / 4).max(least);
    let mut buffer = *b"0x0000000000000000";
    for place in 0..digits.min(16) {
        buffer[2 + place] = DIGITS[(value >> ((digits - 1 - place) * 4)) as usize & 15];
    }
    // Digits are ASCII.
    into.push_str(std::str::from_utf8(&buffer[..2 + digits.min(16)]).unwrap_or_default());
}

/// Columns of `text`.
fn width(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.chars().count() }
}

const RESET: &str = "\x1b[0m";
const ADDRESS: &str = "\x1b[32m";
const NOTE: &str = "\x1b[31m";

/// The colour of a mnemonic.
fn color(kind: Kind, family: Family) -> &'static str {
    match kind {
        Kind::Invalid | Kind::Trap | Kind::Swi => "\x1b[91m",
        Kind::Call | Kind::Ucall | Kind::Rcall | Kind::Ccall => "\x1b[92m",
        Kind::Jmp | Kind::Ujmp | Kind::Rjmp | Kind::Cjmp => "\x1b[32m",
        Kind::Ret | Kind::Cret => "\x1b[31m",
        Kind::Push | Kind::Upush | Kind::Rpush | Kind::Pop | Kind::Leave => "\x1b[95m",
        Kind::Cmp | Kind::Acmp => "\x1b[36m",
        Kind::Nop => "\x1b[34m",
        Kind::Add | Kind::Sub | Kind::Mul | Kind::Div | Kind::Mod | Kind::Shl | Kind::Shr | Kind::Sal | Kind::Sar => {
            "\x1b[33m"
        }
        Kind::Or | Kind::And | Kind::Xor | Kind::Nor | Kind::Not | Kind::Rol | Kind::Ror => "\x1b[96m",
        _ if family == Family::Priv => "\x1b[91m",
        _ => "\x1b[37m",
    }
}
