//! `pf`: bytes as structures.
//!
//! A format string is parsed ([`parse`]), read where it is applied ([`read`]), perhaps narrowed to some fields
//! ([`path`]), and shown ([`show`]). Formats with names are the session's.

mod known;
mod parse;
mod path;
mod read;
mod show;

use std::io::{self, Write};

use serde::Serialize;

use self::path::Request;
use self::show::{Graph, InC, Structure, Values};
use super::{Arg, ArgKind, Command, Example, Family, Run};
use crate::error::{Error, Kind, Result};
use crate::output::{Item, Mode, Style, visible};
use crate::session::{Ctx, Permissions};

/// The family.
pub const FAMILY: Family = Family { name: "pf", summary: "print bytes as structures", commands: COMMANDS };

const FORMAT: &[Arg] = &[Arg::new("format", ArgKind::Text)];

const LETTERS: &str = "\
Format: [count|{expression}|0] letters, then a name for each field. 0 makes a union, a count numbered elements.
  b c C    byte: hexadecimal, character, decimal     w        2 bytes, hexadecimal
  d i      4 bytes, signed                           x o      4 bytes: hexadecimal, octal
  q Q      8, 16 bytes, hexadecimal                  p        address (asm.bits)
  n1 2 4 8 signed number of so many bytes            N1 2 4 8 unsigned number
  f F      floating point: 4, 8 bytes                t        4 bytes, seconds since 1970
  z Z      string: bytes, 2-byte characters          s S      4-, 8-byte address of a string
  u        ULEB128                                   D r      instruction; register: '(rip)field' as name
  X T      bytes: one or [n], ten
  E B      number: enumeration, bit field            ?        another format: '(format)field' as name
  [n]      in front: an array of n, or n bytes of z Z X E B; n may be '*address'
  *        in front: a pointer to it                 e        the other order of bytes from here
  +        flags at the values                       . : , ;  skip 1, 4; back 1, 4";

const COMMANDS: &[Command] = &[
    Command {
        name: "pf",
        args: FORMAT,
        summary: "print the bytes here as a structure",
        details: LETTERS,
        modes: &[Mode::Json, Mode::Quiet, Mode::Commands],
        needs: Permissions::READ,
        examples: &[
            Example {
                line: "wx 4142434401; pf xb id n",
                shows: " id : 0x00000000 = 0x44434241\n  n : 0x00000004 = 0x01",
            },
            Example { line: "wx 41424344; pf [4]c name", shows: " name : 0x00000000 = [ 'A', 'B', 'C', 'D' ]" },
            Example {
                line: "wx 01000200; pf 2w n",
                shows: "0x00000000 [0] {\n   n : 0x00000000 = 0x0001\n}\n0x00000002 [1] {\n   n : 0x00000002 = 0x0002\n}",
            },
            Example {
                line: "w Hi; pfj wz id name",
                shows: "[{\"name\":\"id\",\"type\":\"w\",\"offset\":0,\"value\":26952},\
                        {\"name\":\"name\",\"type\":\"z\",\"offset\":2,\"value\":\"\"}]",
            },
            Example { line: "wx 0102; pfq bb", shows: "0x01\n0x02" },
            Example {
                line: "wx 4889e5c3; pf DD first then",
                shows: " first : 0x00000000 = mov rbp, rsp\n  then : 0x00000003 = ret",
            },
            Example { line: "pf* x id", shows: "f id=0x00000000\nfl 4 @ 0x00000000\nCd 4 @ 0x00000000" },
        ],
        run: Run::Core(pf),
        ..Command::DEFAULT
    },
    Command {
        name: "pf.",
        args: &[Arg::opt("name", ArgKind::Text)],
        summary: "list named formats, define one, apply it or some of its fields, show how to set a field",
        details: "'pf.' lists; 'pf.name FORMAT' defines; 'pf.name' applies; 'pf.name.field', 'pf.name.field[2].field' \
                  show fields; 'pf.name.field=5' shows the command that sets one ('.pf.name.field=5' runs it). The \
                  other pf commands take '.name' too: pfj.name, pfs.name.",
        needs: Permissions::READ,
        examples: &[
            Example { line: "pf.st xz id name; pf.", shows: "pf.st xz id name" },
            Example { line: "pf.st xw id n; wv4 7; pf.st.id", shows: " id : 0x00000000 = 0x00000007" },
            Example { line: "pf.st xz id name; pf.st.id=5", shows: "wv4 5 @ 0x00000000" },
        ],
        run: Run::Core(pf_named),
        ..Command::DEFAULT
    },
    Command {
        name: "pf?",
        args: &[Arg::new("name", ArgKind::Word)],
        summary: "show the format string of a named format",
        examples: &[Example { line: "pf.st xz id name; pf?st", shows: "xz id name" }],
        run: Run::Core(pf_definition),
        ..Command::DEFAULT
    },
    Command {
        name: "pf-",
        args: &[Arg::new("name|*", ArgKind::Word)],
        summary: "forget a named format, or all",
        examples: &[Example { line: "pf.st x id; pf-st; pf.", shows: "" }],
        run: Run::Core(pf_forget),
        ..Command::DEFAULT
    },
    Command {
        name: "pfs",
        args: FORMAT,
        summary: "print the size of a structure in bytes",
        needs: Permissions::READ,
        examples: &[Example { line: "pfs xzq", shows: "13" }, Example { line: "pf.st xz id name; pfs.st", shows: "5" }],
        run: Run::Core(pfs),
        ..Command::DEFAULT
    },
    Command {
        name: "pfo",
        args: &[Arg::opt("set", ArgKind::Word)],
        summary: "list the sets of formats that come with the program, or make one known to the session",
        modes: &[Mode::Json, Mode::Quiet],
        examples: &[
            Example { line: "pfo elf32; pfs.elf_header", shows: "52" },
            Example { line: "pfo elf64; pfs.elf_phdr", shows: "56" },
            Example { line: "pfoq", shows: "elf32\nelf64" },
        ],
        run: Run::Core(pfo),
        ..Command::DEFAULT
    },
    Command {
        name: "pfv",
        args: FORMAT,
        summary: "print the values of a structure alone",
        needs: Permissions::READ,
        examples: &[Example { line: "wx 41424344; pf.st x id; pfv.st", shows: "0x44434241" }],
        run: Run::Core(pfv),
        ..Command::DEFAULT
    },
    Command {
        name: "pfc",
        args: FORMAT,
        summary: "print a structure as a declaration in C",
        needs: Permissions::READ,
        examples: &[Example {
            line: "wx 41424344; pfc xN2 id n",
            shows: "struct {\n    int32_t id; // 0x44434241\n    uint16_t n; // 0\n}",
        }],
        run: Run::Core(pfc),
        ..Command::DEFAULT
    },
    Command {
        name: "pfd",
        args: FORMAT,
        summary: "print a structure as a graph for Graphviz",
        needs: Permissions::READ,
        examples: &[Example {
            line: "wv4 0x100; pfd.test i var0; pfd.test",
            shows: "digraph g { graph [ rank=same; rankdir=LR; ];\nroot [ rank=1; shape=record\n\
                    label=\"test|{0x0|i|var0|<var0>0x00000100}\"];\n}",
        }],
        run: Run::Core(pfd),
        ..Command::DEFAULT
    },
];

/// A set of formats that comes with the program.
#[derive(Serialize)]
struct Listed {
    name: &'static str,
    summary: &'static str,
}

impl Item for Listed {
    fn text(&self, out: &mut dyn Write, _style: Style) -> io::Result<()> {
        writeln!(out, "{:<8} {}", self.name, self.summary)
    }
    fn quiet(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.name)
    }
}

/// A format with a name.
#[derive(Serialize)]
struct Named<'a> {
    name: &'a str,
    format: &'a str,
}

impl Item for Named<'_> {
    fn text(&self, out: &mut dyn Write, _style: Style) -> io::Result<()> {
        writeln!(out, "pf.{} {}", self.name, self.format)
    }
    fn quiet(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.name)
    }
    fn commands(&self, out: &mut dyn Write) -> io::Result<()> {
        self.text(out, Style::default())
    }
}

fn pf(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let request = path::request(&ctx.args.text)?;
    print(ctx, request)
}

fn pf_named(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let request = path::named(&ctx.args.text)?;
    print(ctx, request)
}

fn print(ctx: &mut Ctx<'_, '_>, request: Request) -> Result<()> {
    match structure(ctx, request)? {
        Some((structure, _)) => ctx.out.value(&structure),
        None => Ok(()),
    }
}

/// The structure that a request asks for, with the name of its format; `None` when the request was answered here
/// (a list, a definition, a command that sets a field).
fn structure(ctx: &mut Ctx<'_, '_>, request: Request) -> Result<Option<(Structure, Option<String>)>> {
    let address = ctx.view.seek;
    match request {
        Request::List => {
            for (name, format) in &ctx.core.formats {
                ctx.out.item(&Named { name, format })?;
            }
            Ok(None)
        }
        Request::Define(name, format) => {
            parse::parse(&format)?;
            ctx.core.formats.insert(name, format);
            Ok(None)
        }
        Request::Inline(format) => Ok(Some((Structure(read::read(ctx, &format, address)?), None))),
        Request::Named(name, hops) => {
            let format = definition(ctx, &name)?;
            let mut read = read::read(ctx, &format, address)?;
            path::select(&mut read.instances, &hops)?;
            Ok(Some((Structure(read), Some(name))))
        }
        Request::Set(name, hops, value) => {
            let format = definition(ctx, &name)?;
            let mut read = read::read(ctx, &format, address)?;
            path::select(&mut read.instances, &hops)?;
            let command = path::assignment(ctx, &read.instances, &hops, &value)?;
            ctx.out.line(command)?;
            Ok(None)
        }
    }
}

fn definition(ctx: &Ctx<'_, '_>, name: &str) -> Result<String> {
    ctx.core.formats.get(name).cloned().ok_or_else(|| read::unknown(name))
}

fn pf_definition(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let format = definition(ctx, &ctx.args.words[0])?;
    ctx.out.line(format)
}

fn pf_forget(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let name = ctx.args.words[0].trim_start_matches('.');
    if name == "*" {
        ctx.core.formats.clear();
        return Ok(());
    }
    ctx.core.formats.remove(name).map(|_| ()).ok_or_else(|| read::unknown(name))
}

fn pfs(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let format = match path::request(&ctx.args.text)? {
        Request::Inline(format) => format,
        Request::Named(name, hops) if hops.is_empty() => definition(ctx, &name)?,
        _ => {
            return Err(
                Error::new(Kind::Usage, "pfs takes a format or a named one").hint("as in 'pfs xzq', 'pfs.name'")
            );
        }
    };
    let size = read::size(ctx, &format)?;
    ctx.out.line(size)
}

fn pfo(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let Some(name) = ctx.word(0) else {
        return known::SETS.iter().try_for_each(|set| ctx.out.item(&Listed { name: set.name, summary: set.summary }));
    };
    let set = known::SETS.iter().find(|set| set.name == name).ok_or_else(|| {
        let names: Vec<&str> = known::SETS.iter().map(|set| set.name).collect();
        Error::new(Kind::NotFound, format!("no set of formats is called '{}'", visible(name)))
            .hint(format!("there are {}", names.join(", ")))
    })?;
    for (name, format) in set.formats {
        ctx.core.formats.insert((*name).to_string(), (*format).to_string());
    }
    Ok(())
}

fn pfv(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let request = path::request(&ctx.args.text)?;
    match structure(ctx, request)? {
        Some((structure, _)) => ctx.out.value(&Values(structure)),
        None => Ok(()),
    }
}

fn pfc(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let request = path::request(&ctx.args.text)?;
    match structure(ctx, request)? {
        Some((structure, name)) => ctx.out.value(&InC { name, structure }),
        None => Ok(()),
    }
}

fn pfd(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let request = path::request(&ctx.args.text)?;
    match structure(ctx, request)? {
        Some((structure, name)) => {
            ctx.out.value(&Graph { name: name.unwrap_or_else(|| "structure".into()), structure })
        }
        None => Ok(()),
    }
}
