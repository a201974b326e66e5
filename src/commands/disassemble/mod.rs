//! `pd` and its kin: bytes as instructions, and back.

mod annotations;
mod arrows;
mod assemble;
mod comments;
mod layout;
mod listing;
mod names;
mod record;
mod text;
mod walk;

pub use annotations::{Above, Annotations, Bar};
pub use listing::list;
pub use names::FlagNames;
pub use record::{Record, records};
pub use text::lines;
pub use walk::{Limit, Window, walk};

use super::{Arg, ArgKind, Command, Example, Family, Run, seek};
use crate::error::{Error, Kind, Result};
use crate::output::Mode;
use crate::session::context::LENGTH_LIMIT;
use crate::session::{Ctx, Permissions};

/// The family.
pub const FAMILY: Family = Family { name: "pd", summary: "disassemble and assemble", commands: COMMANDS };

const COUNT: &[Arg] = &[Arg::opt("n", ArgKind::Number)];
const LENGTH: &[Arg] = &[Arg::opt("len", ArgKind::Number)];
const HEX: &[Arg] = &[Arg::new("hex", ArgKind::Hex)];
const ASSEMBLY: &[Arg] = &[Arg::new("instructions", ArgKind::Text)];
const JSON: &[Mode] = &[Mode::Json];

const COMMANDS: &[Command] = &[
    Command {
        name: "pd",
        args: COUNT,
        summary: "disassemble n instructions, or the block; a negative n: those before",
        details: "What is shown, and where, is in the options asm.*: the architecture in asm.arch and asm.bits. Arrows \
                  are drawn between instructions that are less than 1024 apart.",
        modes: JSON,
        needs: Permissions::READ,
        examples: &[
            Example {
                line: "wx 554889e5c3; f main; pd 3",
                shows: "            ;-- main:\n            0x00000000      push  rbp\n            0x00000001      mov   rbp, rsp\n            0x00000004      ret",
            },
            Example {
                line: "wx 7400ff @ 4; e asm.lines=false; e asm.bytes=true; pd 1 @ 4",
                shows: "0x00000004      7400           je    6",
            },
            Example {
                line: "wx 9090c3; pd -2 @ 3",
                shows: "            0x00000001      nop\n            0x00000002      ret",
            },
            Example {
                line: "wx 90; pdj 1",
                shows: r#"[{"offset":0,"esil":"","refptr":false,"fcn_addr":0,"fcn_last":0,"size":1,"opcode":"nop","disasm":"nop","bytes":"90","family":"cpu","type":"nop","reloc":false,"type_num":8,"type2_num":0}]"#,
            },
        ],
        run: Run::Core(pd),
        ..Command::DEFAULT
    },
    Command {
        name: "pD",
        args: LENGTH,
        summary: "disassemble the instructions in len bytes, or in the block",
        modes: JSON,
        needs: Permissions::READ,
        examples: &[Example {
            line: "wx 90c3; pD 2",
            shows: "            0x00000000      nop\n            0x00000001      ret",
        }],
        run: Run::Core(pd_bytes),
        ..Command::DEFAULT
    },
    Command {
        name: "pi",
        args: COUNT,
        summary: "the text of n instructions, or of the block; a negative n: those before",
        modes: JSON,
        needs: Permissions::READ,
        examples: &[Example { line: "wx 554889e5; pi 2", shows: "push rbp\nmov rbp, rsp" }],
        run: Run::Core(pi),
        ..Command::DEFAULT
    },
    Command {
        name: "pI",
        args: LENGTH,
        summary: "the text of the instructions in len bytes, or in the block",
        modes: JSON,
        needs: Permissions::READ,
        examples: &[Example { line: "wx 9090c3; pI 3", shows: "nop\nnop\nret" }],
        run: Run::Core(pi_bytes),
        ..Command::DEFAULT
    },
    Command {
        name: "pdi",
        args: COUNT,
        summary: "addresses, bytes (asm.bytes) and text of n instructions",
        modes: JSON,
        needs: Permissions::READ,
        examples: &[
            Example { line: "wx 90c3; pdi 2", shows: "0x00000000 nop\n0x00000001 ret" },
            Example { line: "wx 90; e asm.bytes=true; pdi 1", shows: "0x00000000                   90  nop" },
        ],
        run: Run::Core(pdi),
        ..Command::DEFAULT
    },
    Command {
        name: "pdl",
        args: COUNT,
        summary: "the sizes of n instructions, in bytes",
        modes: JSON,
        needs: Permissions::READ,
        examples: &[
            Example { line: "wx 904889e5; pdl 2", shows: "1\n3" },
            Example { line: "wx 904889e5; pdlj 2", shows: "[1,3]" },
        ],
        run: Run::Core(pdl),
        ..Command::DEFAULT
    },
    Command {
        name: "so",
        args: COUNT,
        summary: "seek n instructions forward (or, negative, back), or one",
        needs: Permissions::READ,
        examples: &[
            Example { line: "wx 4883c668; so; s", shows: "0x4" },
            Example { line: "wx 9090c3; s 3; so -2; s", shows: "0x1" },
        ],
        run: Run::Core(so),
        ..Command::DEFAULT
    },
    Command {
        name: "pad",
        aliases: &["pdx"],
        args: HEX,
        summary: "disassemble hexadecimal digits, as if they stood at the current address",
        examples: &[
            Example { line: "pad 554889e5c3", shows: "push rbp\nmov rbp, rsp\nret" },
            Example { line: "pad 488b05c02e0000", shows: "mov rax, qword [rip + 0x2ec0]" },
        ],
        run: Run::Core(pad),
        ..Command::DEFAULT
    },
    Command {
        name: "paD",
        args: HEX,
        summary: "disassemble hexadecimal digits, with addresses",
        examples: &[Example { line: "paD 90c3", shows: "0x00000000 nop\n0x00000001 ret" }],
        run: Run::Core(pad_addresses),
        ..Command::DEFAULT
    },
    Command {
        name: "pa",
        args: ASSEMBLY,
        summary: "assemble, and show the bytes",
        details: "Instructions are separated by ';' (in quotes: \"pa nop; ret\"), written as pd shows them.",
        examples: &[
            Example { line: "pa nop", shows: "90" },
            Example { line: "pa mov eax, 1", shows: "b801000000" },
            Example { line: "\"pa push rbp; mov rbp, rsp\"", shows: "554889e5" },
        ],
        run: Run::Core(assemble::pa),
        ..Command::DEFAULT
    },
    Command {
        name: "wa",
        args: ASSEMBLY,
        summary: "assemble, and write the bytes",
        modes: &[Mode::Commands],
        needs: Permissions::WRITE,
        examples: &[
            Example { line: "wa mov eax, 33; pi 1; p8 5", shows: "mov eax, 0x21\nb821000000" },
            Example { line: "wa* mov eax, 33", shows: "wx b821000000" },
            Example { line: "\"wa nop;nop\"; pi 3", shows: "nop\nnop\nadd byte [rax], al" },
        ],
        run: Run::Core(assemble::wa),
        ..Command::DEFAULT
    },
    Command {
        name: "wai",
        args: ASSEMBLY,
        summary: "assemble, and write over the instruction here: filled up with nops, and never more than it",
        needs: Permissions::READ.and(Permissions::WRITE),
        examples: &[Example { line: "wx b801000000; wai xor eax, eax; pi 4", shows: "xor eax, eax\nnop\nnop\nnop" }],
        run: Run::Core(assemble::wai),
        ..Command::DEFAULT
    },
    Command {
        name: "waf",
        args: &[Arg::new("file", ArgKind::File)],
        summary: "assemble a file, and write the bytes",
        needs: Permissions::WRITE.and(Permissions::FILES),
        run: Run::Core(assemble::waf),
        ..Command::DEFAULT
    },
    Command {
        name: "wao",
        args: &[Arg::new(
            "what",
            ArgKind::Choice(&["nop", "inf", "jz", "jnz", "nocj", "recj", "trap", "ret0", "ret1"]),
        )],
        summary: "change the instruction here: nop, inf (jump to itself), jz, jnz, nocj (always jump), recj (reverse), trap, ret0, ret1",
        needs: Permissions::READ.and(Permissions::WRITE),
        examples: &[
            Example { line: "wx b801000000; wao nop; p8 5", shows: "9090909090" },
            Example { line: "wx 7405; wao jnz; pi 1", shows: "jne 7" },
            Example { line: "wx 7405; wao recj; pi 1", shows: "jne 7" },
            Example { line: "wx 7405; wao nocj; pi 1", shows: "jmp 7" },
            Example { line: "wx 6690; wao inf; pi 1", shows: "jmp 0" },
        ],
        run: Run::Core(assemble::wao),
        ..Command::DEFAULT
    },
];

/// Two digits for each byte.
fn hex(bytes: &[u8]) -> String {
    faster_hex::hex_string(bytes)
}

/// Where a command of `n` instructions begins and ends: argument 0, which may be negative, or else the block.
fn counted(ctx: &mut Ctx<'_, '_>) -> Result<(u64, Limit)> {
    let seek = ctx.view.seek;
    let Some(count) = ctx.number(0)? else { return Ok((seek, Limit::Bytes(ctx.view.block_size))) };
    let signed = count as i64;
    if signed < 0 && signed > -(LENGTH_LIMIT as i64) {
        let start = walk::back(ctx, seek, signed.unsigned_abs())?;
        return Ok((start, Limit::Bytes(seek - start)));
    }
    if count > LENGTH_LIMIT {
        return Err(too_many(count));
    }
    Ok((seek, Limit::Count(count)))
}

fn too_many(count: u64) -> Error {
    Error::new(Kind::Limit, format!("{count} instructions are too many"))
}

fn pd(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let (start, limit) = counted(ctx)?;
    show(ctx, start, limit)
}

fn pd_bytes(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let (start, length) = ctx.range(0)?;
    show(ctx, start, Limit::Bytes(length))
}

fn show(ctx: &mut Ctx<'_, '_>, start: u64, limit: Limit) -> Result<()> {
    if ctx.out.mode() == Mode::Json { record::list(ctx, start, limit) } else { list(ctx, start, limit) }
}

fn pi(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let (start, limit) = counted(ctx)?;
    lines(ctx, start, limit, false)
}

fn pi_bytes(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let (start, length) = ctx.range(0)?;
    lines(ctx, start, Limit::Bytes(length), false)
}

fn pdi(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let (start, limit) = counted(ctx)?;
    lines(ctx, start, limit, true)
}

fn pdl(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let (start, limit) = counted(ctx)?;
    walk(ctx, start, limit, |ctx, window| {
        if ctx.out.mode() == Mode::Json {
            return ctx.out.json_elements(window.instructions.iter().map(|instruction| instruction.size));
        }
        window.instructions.iter().try_for_each(|instruction| ctx.out.line(instruction.size))
    })
}

fn so(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let count = ctx.number(0)?.unwrap_or(1);
    if count > LENGTH_LIMIT && (count as i64) > 0 {
        return Err(too_many(count));
    }
    let signed = count as i64;
    let seek = ctx.view.seek;
    let mut target = seek;
    if signed < 0 {
        target = walk::back(ctx, seek, signed.unsigned_abs())?;
    } else if count > 0 {
        walk(ctx, seek, Limit::Count(count), |_, window| {
            target = window.instructions.last().map_or(target, |last| last.next());
            Ok(())
        })?;
    }
    seek::go(ctx, target)
}

fn pad(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    text::given(ctx, false)
}

fn pad_addresses(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    text::given(ctx, true)
}
