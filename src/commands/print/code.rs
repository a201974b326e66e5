//! `pc`: bytes as source code.

use std::io::Write;

use super::LENGTH;
use super::bytes::Base64;
use super::layout::{Layout, number};
use super::words::push_word;
use crate::commands::{Command, Example, Run};
use crate::error::Result;
use crate::output::Mode;
use crate::session::{Ctx, Permissions};

const fn code(name: &'static str, summary: &'static str, examples: &'static [Example], run: Run) -> Command {
    Command { name, args: LENGTH, summary, needs: Permissions::READ, examples, run, ..Command::DEFAULT }
}

/// The commands.
pub const COMMANDS: &[Command] = &[
    Command {
        modes: &[Mode::Json, Mode::Commands],
        ..code(
            "pc",
            "print bytes as a C array",
            &[
                Example {
                    line: "w ABCD; pc 4",
                    shows: "#define _BUFFER_SIZE 4\nconst uint8_t buffer[_BUFFER_SIZE] = {\n  0x41, 0x42, 0x43, 0x44\n};",
                },
                Example { line: "w ABCD; pcj 4", shows: "[65,66,67,68]" },
                Example { line: "w ABCD; pc* 4", shows: "wx 41424344;sd +4\nsd -4" },
            ],
            Run::Core(pc),
        )
    },
    code(
        "pch",
        "print 2-byte words as a C array",
        &[Example {
            line: "w ABCD; pch 4",
            shows: "#define _BUFFER_SIZE 2\nconst uint16_t buffer[_BUFFER_SIZE] = {\n  0x4241, 0x4443\n};",
        }],
        Run::Core(|ctx| c_array(ctx, 2, "")),
    ),
    code(
        "pcw",
        "print 4-byte words as a C array",
        &[Example {
            line: "w ABCD; pcw 4",
            shows: "#define _BUFFER_SIZE 1\nconst uint32_t buffer[_BUFFER_SIZE] = {\n  0x44434241U\n};",
        }],
        Run::Core(|ctx| c_array(ctx, 4, "U")),
    ),
    code(
        "pcd",
        "print 8-byte words as a C array",
        &[Example {
            line: "w ABCD; pcd 8",
            shows: "#define _BUFFER_SIZE 1\nconst uint64_t buffer[_BUFFER_SIZE] = {\n  0x0000000044434241ULL\n};",
        }],
        Run::Core(|ctx| c_array(ctx, 8, "ULL")),
    ),
    code(
        "pca",
        "print bytes for the GNU assembler",
        &[Example { line: "w ABCD; pca 4", shows: "shellcode:\n.byte 0x41, 0x42, 0x43, 0x44\n.equ shellcode_len, 4" }],
        Run::Core(pca),
    ),
    code(
        "pcJ",
        "print bytes as a JavaScript buffer",
        &[Example { line: "w ABCD; pcJ 4", shows: r#"var buffer = new Buffer("QUJDRA==", 'base64');"# }],
        Run::Core(pc_javascript),
    ),
    code(
        "pck",
        "print bytes as a Kotlin array",
        &[Example { line: "w AB; pck 2", shows: "val arr = byteArrayOfInts(0x41,0x42)" }],
        Run::Core(|ctx| list(ctx, &List::hex("val arr = byteArrayOfInts(", ",", ")\n"))),
    ),
    code(
        "pco",
        "print bytes as Objective-C data",
        &[Example { line: "w AB; pco 2", shows: "NSData *endMarker = [[NSData alloc] initWithBytes:{\n0x41,0x42}];" }],
        Run::Core(|ctx| list(ctx, &List::hex("NSData *endMarker = [[NSData alloc] initWithBytes:{\n", ",", "}];\n"))),
    ),
    code(
        "pcp",
        "print bytes as a Python call of struct.pack",
        &[Example {
            line: "w ABCD; pcp 4",
            shows: "import struct\nbuf = struct.pack (\"4B\", *[\n0x41,0x42,0x43,0x44])",
        }],
        Run::Core(pc_python),
    ),
    code(
        "pcr",
        "print bytes as a Rust array",
        &[Example { line: "w ABCD; pcr 4", shows: "let _: [u8; 4] = [\n0x41,0x42,0x43,0x44];" }],
        Run::Core(|ctx| {
            let (_, length) = ctx.range(0)?;
            list(ctx, &List::hex(&format!("let _: [u8; {length}] = [\n"), ",", "];\n"))
        }),
    ),
    code(
        "pcs",
        "print bytes as a C string",
        &[Example { line: "w ABCD; pcs 4", shows: r#""\x41\x42\x43\x44""# }],
        Run::Core(|ctx| {
            list(
                ctx,
                &List { head: "\"", tail: "\"\n", push: |text, byte| write!(text, "\\x{byte:02x}"), ..List::EMPTY },
            )
        }),
    ),
    code(
        "pcS",
        "print shell commands that write the bytes to a file",
        &[Example { line: "w ABCD; pcS 4", shows: r#"printf "\101\102\103\104" > bin"# }],
        Run::Core(pc_shell),
    ),
    code(
        "pcv",
        "print bytes as a Java array",
        &[Example { line: "wx 41fe; pcv 2", shows: "byte[] ba = {65,-2};" }],
        Run::Core(|ctx| {
            // Bytes are signed in Java: 254 would not compile.
            let push = |text: &mut Vec<u8>, byte: u8| write!(text, "{}", byte as i8);
            list(ctx, &List { head: "byte[] ba = {", comma: ",", tail: "};\n", push, ..List::EMPTY })
        }),
    ),
    code(
        "pcV",
        "print bytes as a V array",
        &[Example { line: "w ABC; pcV 3", shows: "data := [ byte(65),\n  66, 67\n]" }],
        Run::Core(pc_v),
    ),
    code(
        "pcy",
        "print bytes as a Yara pattern",
        &[Example { line: "w ABCD; pcy 4", shows: "$hex_0 = { 41 42 43 44 }" }],
        Run::Core(|ctx| {
            let (address, _) = ctx.range(0)?;
            let head = format!("$hex_{address:x} = {{");
            list(
                ctx,
                &List { head: &head, tail: " }\n", push: |text, byte| write!(text, " {byte:02x}"), ..List::EMPTY },
            )
        }),
    ),
    code(
        "pcz",
        "print bytes as a Swift array",
        &[Example { line: "w AB; pcz 2", shows: "let byteArray : [UInt8] = [0x41, 0x42]" }],
        Run::Core(|ctx| list(ctx, &List::hex("let byteArray : [UInt8] = [", ", ", "]\n"))),
    ),
];

/// A language's way to write a list of bytes.
struct List<'a> {
    head: &'a str,
    comma: &'a str,
    tail: &'a str,
    /// Numbers in a line before it is broken; 0: all of them.
    line: usize,
    push: fn(&mut Vec<u8>, u8) -> std::io::Result<()>,
}

impl<'a> List<'a> {
    const EMPTY: List<'static> = List { head: "", comma: "", tail: "", line: 0, push: |_, _| Ok(()) };

    fn hex(head: &'a str, comma: &'a str, tail: &'a str) -> List<'a> {
        List { head, comma, tail, line: 0, push: |text, byte| write!(text, "0x{byte:x}") }
    }
}

/// Numbers of `size` bytes, one after another, with what each needs around it. `push` gets the text, the index of
/// the number, whether it is the last, and its bytes.
fn each(
    ctx: &mut Ctx<'_, '_>,
    size: usize,
    mut push: impl FnMut(&mut Vec<u8>, u64, bool, &[u8]) -> Result<()>,
) -> Result<()> {
    let (address, length) = ctx.range(0)?;
    let count = length / size as u64;
    let (mut index, mut text) = (0, Vec::new());
    ctx.read_chunks(address, count * size as u64, |out, _, bytes| {
        for number in bytes.chunks_exact(size) {
            push(&mut text, index, index + 1 == count, number)?;
            index += 1;
            if text.len() > 1 << 16 {
                out.write_all(&text)?;
                text.clear();
            }
        }
        out.write_all(&text)?;
        text.clear();
        Ok(())
    })
}

fn list(ctx: &mut Ctx<'_, '_>, list: &List<'_>) -> Result<()> {
    ctx.out.write_all(list.head.as_bytes())?;
    each(ctx, 1, |text, index, last, bytes| {
        if list.line != 0 && index % list.line as u64 == 0 {
            text.push(b'\n');
        }
        (list.push)(text, bytes[0])?;
        if !last {
            text.extend_from_slice(list.comma.as_bytes());
        }
        Ok(())
    })?;
    ctx.out.write_all(list.tail.as_bytes())
}

fn pc(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    match ctx.out.mode() {
        Mode::Json => {
            let (address, length) = ctx.range(0)?;
            ctx.read_chunks(address, length, |out, _, bytes| out.json_elements(bytes))
        }
        Mode::Commands => write_commands(ctx),
        _ => c_array(ctx, 1, ""),
    }
}

fn c_array(ctx: &mut Ctx<'_, '_>, size: usize, suffix: &str) -> Result<()> {
    let (_, length) = ctx.range(0)?;
    let layout = Layout::new(ctx);
    let line = match size {
        1 => layout.columns * 2 / 3,
        2 => layout.columns / 2,
        4 => layout.columns / 3,
        _ => layout.columns / 5,
    };
    let line = line.max(1) as u64;
    let bits = 8 * size;
    ctx.out.line(format_args!("#define _BUFFER_SIZE {}", length / size as u64))?;
    ctx.out.write_all(format!("const uint{bits}_t buffer[_BUFFER_SIZE] = {{").as_bytes())?;
    each(ctx, size, |text, index, last, bytes| {
        text.extend_from_slice(if index % line == 0 { b"\n  " } else { b" " });
        push_word(text, number(bytes, layout.big_endian), size);
        text.extend_from_slice(suffix.as_bytes());
        if !last {
            text.push(b',');
        }
        Ok(())
    })?;
    ctx.out.write_all(b"\n};\n")
}

fn pca(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let (_, length) = ctx.range(0)?;
    ctx.out.write_all(b"shellcode:")?;
    each(ctx, 1, |text, index, _, bytes| {
        text.extend_from_slice(if index % 8 == 0 { b"\n.byte " } else { b", " });
        push_word(text, bytes[0].into(), 1);
        Ok(())
    })?;
    ctx.out.write_all(format!("\n.equ shellcode_len, {length}\n").as_bytes())
}

fn pc_javascript(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let (address, length) = ctx.range(0)?;
    ctx.out.write_all(b"var buffer = new Buffer(\"")?;
    let mut base64 = Base64::default();
    ctx.read_chunks(address, length, |out, _, bytes| base64.push(out, bytes))?;
    base64.finish(ctx.out)?;
    ctx.out.write_all(b"\", 'base64');\n")
}

fn pc_python(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let (_, length) = ctx.range(0)?;
    let head = format!("import struct\nbuf = struct.pack (\"{length}B\", *[");
    let line = (Layout::new(ctx).columns * 7 / 10).max(1);
    let push = |text: &mut Vec<u8>, byte: u8| write!(text, "0x{byte:02x}");
    list(ctx, &List { head: &head, comma: ",", tail: "])\n", line, push })
}

fn pc_shell(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    each(ctx, 1, |text, index, last, bytes| {
        if index % 16 == 0 {
            text.extend_from_slice(b"printf \"");
        }
        write!(text, "\\{:03o}", bytes[0])?;
        if last || index % 16 == 15 {
            text.extend_from_slice(if index < 16 { b"\" > bin\n" } else { b"\" >> bin\n" });
        }
        Ok(())
    })
}

fn pc_v(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    ctx.out.write_all(b"data := [")?;
    each(ctx, 1, |text, index, last, bytes| {
        match index {
            0 => write!(text, " byte({})", bytes[0])?,
            _ if index % 10 == 1 => write!(text, "\n  {}", bytes[0])?,
            _ => write!(text, " {}", bytes[0])?,
        }
        if !last {
            text.push(b',');
        }
        Ok(())
    })?;
    ctx.out.write_all(b"\n]\n")
}

/// Commands that write the same bytes elsewhere and end where they began.
fn write_commands(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let (_, length) = ctx.range(0)?;
    each(ctx, 1, |text, index, last, bytes| {
        if index % 16 == 0 {
            text.extend_from_slice(b"wx ");
        }
        write!(text, "{:02x}", bytes[0])?;
        if last || index % 16 == 15 {
            writeln!(text, ";sd +{}", index % 16 + 1)?;
        }
        Ok(())
    })?;
    ctx.out.line(format_args!("sd -{length}"))
}
