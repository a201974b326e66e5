//! `/`: search: text, bytes, numbers, expressions.

mod code;
mod constants;
mod gadgets;
mod hunt;
mod magic;
mod query;
mod range;
mod run;
mod similar;

use super::{Arg, ArgKind, Command, Example, Family, Run, resolve};
use crate::error::{Error, Kind, Result};
use crate::output::{Mode, Out};
use crate::session::context::Args;
use crate::session::{Permissions, Session, options};
pub use hunt::Memory;
use query::Query;
pub use run::Work;

/// The family.
pub const FAMILY: Family =
    Family { name: "/", summary: "search: text, bytes, numbers, expressions", commands: COMMANDS };

const TEXT: &[Arg] = &[Arg::new("text", ArgKind::Text)];
const EXPRESSION: &[Arg] = &[Arg::new("/expression/", ArgKind::Text)];
const HEX: &[Arg] = &[Arg::new("hex[:mask]", ArgKind::Text)];
const NUMBERS: &[Arg] = &[Arg::new("n", ArgKind::Number).many()];
const ADDRESS: &[Arg] = &[Arg::opt("address", ArgKind::Number)];
const EXPRESSIONS: &[Arg] = &[Arg::new("expression[;...]", ArgKind::Text)];
const BETWEEN: &[Arg] = &[Arg::new("min", ArgKind::Word), Arg::new("max", ArgKind::Number)];
const BLOCK: &[Arg] = &[Arg::new("n", ArgKind::Number)];

const MODES: &[Mode] = &[Mode::Json, Mode::Quiet, Mode::Commands];

/// What search commands have in common.
const SEARCH: Command = Command { modes: MODES, needs: Permissions::READ, ..Command::DEFAULT };

/// A search command that reads its own name.
macro_rules! search {
    ($name:literal, $args:expr, $summary:literal, [$($example:expr),* $(,)?]) => {
        Command {
            name: $name,
            args: $args,
            summary: $summary,
            examples: &[$($example),*],
            run: Run::Session(|session, args, out| run::command(session, $name, args, out, None)),
            ..SEARCH
        }
    };
}

const fn example(line: &'static str, shows: &'static str) -> Example {
    Example { line, shows }
}

const COMMANDS: &[Command] = &[
    Command {
        details: "Escapes (\\n, \\x41) stand for bytes; quote what has several blanks. Hits become flags hitN_0, \
                  hitN_1, ... in the flagspace 'search', and $? is their number. The options search.* say where and \
                  how ('e search.'), cmd.hit is run at each hit; '@(from to)' limits one search, '@@/ text' runs a \
                  command at each hit. Ctrl-C keeps what was found.",
        ..search!(
            "/",
            TEXT,
            "find text",
            [
                example("w some words @ 4; / me w", "0x00000006 hit0_0 \"some words\""),
                example(
                    "w AB; w AB @ 8; /j AB",
                    r#"[{"offset":0,"type":"string","data":"ABAB"},{"offset":8,"type":"string","data":"ABAB"}]"#
                ),
                example("wx 410a42; / A\\nB", "0x00000000 hit0_0 \"A\\x0aB\""),
                example("w AB @ 9; /q AB; f hit0_0; ?vi $?", "0x00000009\n1"),
                example("w AB @ 9; /* AB", "f hit0_0 2 0x00000009"),
            ]
        )
    },
    search!(
        "/i",
        TEXT,
        "find text, letters of ASCII in either case",
        [example("w HeLLo; /i hello", "0x00000000 hit0_0 \"HeLLo\""),]
    ),
    search!(
        "/w",
        TEXT,
        "find text as UTF-16, low byte first",
        [example("ww wide; /w wide", "0x00000000 hit0_0 \"wide\""),]
    ),
    search!(
        "/wi",
        TEXT,
        "find text as UTF-16, letters of ASCII in either case",
        [example("ww Wide; /wi wIDE", "0x00000000 hit0_0 \"Wide\""),]
    ),
    Command {
        details: "Bytes are matched, not characters: '.' is one byte but a line end, \\xff is a byte. Letters behind \
                  the expression: i for letters in either case, s to let '.' be a line end too, x to ignore blanks. \
                  A match is at most 64 KiB long; quote what has characters of the shell in it.",
        ..search!(
            "/e",
            EXPRESSION,
            "find what a regular expression matches",
            [
                example("w tel. 555-0100; /e /[0-9]+-[0-9]+/", "0x00000005 hit0_0 \"tel. 555-0100\""),
                example("w HAL; /e /h.l/i", "0x00000000 hit0_0 \"HAL\""),
            ]
        )
    },
    Command {
        details: "'.' stands for any digit. A mask behind ':' says which bits count. Blanks do not matter.",
        ..search!(
            "/x",
            HEX,
            "find bytes",
            [
                example("wx 41424344 @ 5; /x 41 .2 43", "0x00000005 hit0_0 414243"),
                example("wx a5a5bf @ 2; /x a5e3bf:ff81ff", "0x00000002 hit0_0 a5a5bf"),
            ]
        )
    },
    search!(
        "/v",
        NUMBERS,
        "find numbers of asm.bits bits that follow each other, in the order of cfg.bigendian",
        [example("wv8 0x1122 @ 8; /v 0x1122", "0x00000008 hit0_0 2211000000000000"),]
    ),
    search!(
        "/v1",
        NUMBERS,
        "find numbers of 1 byte that follow each other",
        [example("wx 0703 @ 8; /v1 7 3", "0x00000008 hit0_0 0703"),]
    ),
    search!(
        "/v2",
        NUMBERS,
        "find numbers of 2 bytes that follow each other",
        [example("wv2 0x1234 @ 8; /v2 0x1234", "0x00000008 hit0_0 3412"),]
    ),
    search!(
        "/v4",
        NUMBERS,
        "find numbers of 4 bytes that follow each other",
        [example("wx 0102030405060708; /v4 0x04030201 0x08070605", "0x00000000 hit0_0 0102030405060708"),]
    ),
    search!(
        "/v8",
        NUMBERS,
        "find numbers of 8 bytes that follow each other",
        [example("wv8 -2; /v8 -2", "0x00000000 hit0_0 feffffffffffffff"),]
    ),
    search!(
        "/V",
        BETWEEN,
        "find numbers of asm.bits bits between two others",
        [example("e search.align=8; wv8 7 @ 8; /V 5 10", "0x00000008 hit0_0 0x7"),]
    ),
    search!(
        "/V1",
        BETWEEN,
        "find numbers of 1 byte between two others",
        [example("wx 0709 @ 8; /V1 5 8", "0x00000008 hit0_0 0x7"),]
    ),
    search!(
        "/V2",
        BETWEEN,
        "find numbers of 2 bytes between two others",
        [example("wv2 0x1234 @ 8; /V2 0x1230 0x123f", "0x00000008 hit0_0 0x1234"),]
    ),
    search!(
        "/V4",
        BETWEEN,
        "find numbers of 4 bytes between two others",
        [example("wv4 0x12345678 @ 8; /V4j 0x12345670 0x1234567f", r#"[{"offset":8,"value":305419896}]"#),]
    ),
    search!(
        "/V8",
        BETWEEN,
        "find numbers of 8 bytes between two others",
        [example("wv8 -2; /V8 -3 -1", "0x00000000 hit0_0 0xfffffffffffffffe"),]
    ),
    search!(
        "/z",
        BETWEEN,
        "find printable strings by their length",
        [example("w one; w three @ 8; w fourteen @ 16; /z 4 6", "0x00000008 hit0_0 \"onethreefourteen\""),]
    ),
    Command {
        details: "The range is looked at in steps as long as the text: '/! AB' skips ABABAB.",
        ..search!(
            "/!",
            TEXT,
            "find the first place that is not this text",
            [example("w ABABABBA; /! AB", "0x00000006 hit0_0 \"ABABABBA\""),]
        )
    },
    search!(
        "/!x",
        HEX,
        "find the first place that is not these bytes, in steps of their length",
        [example("wx 90 @ 10; /!x 00", "0x0000000a hit0_0 90"),]
    ),
    search!(
        "/b",
        TEXT,
        "find text backwards, from the end",
        [example("w AB; w AB @ 9; /b AB", "0x00000009 hit0_0 \"ABAB\"\n0x00000000 hit0_1 \"ABAB\""),]
    ),
    search!(
        "/bi",
        TEXT,
        "find text backwards, letters of ASCII in either case",
        [example("w Ab; /bi aB", "0x00000000 hit0_0 \"Ab\""),]
    ),
    search!("/bw", TEXT, "find text as UTF-16 backwards", []),
    search!("/bwi", TEXT, "find text as UTF-16 backwards, letters of ASCII in either case", []),
    search!(
        "/be",
        EXPRESSION,
        "find what a regular expression matches backwards",
        [example("w a1 a2; /be /a[0-9]/", "0x00000003 hit0_0 \"a1 a2\"\n0x00000000 hit0_1 \"a1 a2\""),]
    ),
    search!(
        "/bx",
        HEX,
        "find bytes backwards",
        [example("wx 4100; wx 41 @ 9; /bx 41", "0x00000009 hit0_0 41\n0x00000000 hit0_1 41"),]
    ),
    search!("/bv1", NUMBERS, "find numbers of 1 byte backwards", []),
    search!("/bv2", NUMBERS, "find numbers of 2 bytes backwards", []),
    search!("/bv4", NUMBERS, "find numbers of 4 bytes backwards", []),
    search!("/bv8", NUMBERS, "find numbers of 8 bytes backwards", []),
    Command {
        details: "A signature is looked for at every place; what follows it must fit too.",
        ..search!(
            "/m",
            &[],
            "find files of known types by their signatures",
            [
                example("wx 89504e470d0a1a0a @ 7; /m", "0x00000007 hit0_0 image/png png"),
                example("wx 89504e470d0a1a0a; /mj", r#"[{"offset":0,"type":"file","data":"image/png png"}]"#),
            ]
        )
    },
    search!("/mb", &[], "find object files", [example("wx cffaedfe; /mb", "0x00000000 hit0_0 mach064"),]),
    search!(
        "/c",
        &[],
        "find the constants of ciphers and digests",
        [example("wx 637c777bf26b6fc53001672bfed7ab76 @ 4; /c", "0x00000004 hit0_0 AES S-box"),]
    ),
    Command {
        details: "What is found is a key with all of its round keys, as programs keep it while they use it.",
        ..search!("/ca", &[], "find expanded AES keys", [])
    },
    search!("/cd", &[], "find X.509 certificates (DER)", []),
    search!("/cr", &[], "find private keys (DER and PEM)", []),
    Command {
        details: "Instructions are decoded one after the other in what may be executed (or in search.in, when that is \
                  another place than io.maps). Without an address it is the seek that is referred to.",
        ..search!(
            "/r",
            ADDRESS,
            "find the instructions that refer to an address: calls, jumps, data",
            [
                example(
                    "wx e80b0000000f84050000004883c001 @ 0; /r 0x10",
                    "0x00000000 hit0_0 [CALL] call 0x10\n0x00000005 hit0_1 [CODE] je 0x10"
                ),
                example(
                    "wx 488b05f9000000 @ 0; /rj 0x100",
                    r#"[{"offset":0,"type":"DATA","data":"mov rax, qword [rip + 0xf9]"}]"#
                ),
            ]
        )
    },
    search!(
        "/rc",
        ADDRESS,
        "find the calls of an address",
        [example("wx e80b000000eb09; /rc 0x10", "0x00000000 hit0_0 [CALL] call 0x10")]
    ),
    search!("/rx", ADDRESS, "find the calls of an address and the jumps to it", []),
    search!("/rr", ADDRESS, "find the instructions that read an address", []),
    search!("/rw", ADDRESS, "find the instructions that write to an address", []),
    search!("/ra", &[], "find all references to what is mapped", []),
    Command {
        details: "The bytes are those that 'pa' shows: of several ways to write an instruction the shortest, and jumps as \
                  from the seek. '/ac' looks at what bytes mean instead.",
        ..search!(
            "/a",
            &[Arg::new("instruction[;...]", ArgKind::Text)],
            "assemble instructions and find their bytes",
            [
                example("wx 90c3 @ 7; /a ret", "0x00000008 hit0_0 c3"),
                example(
                    "wx 554889e5 @ 16; /aj \"push rbp; mov rbp, rsp\"",
                    r#"[{"offset":16,"type":"hexpair","data":"554889e5"}]"#
                ),
            ]
        )
    },
    search!(
        "/ac",
        TEXT,
        "find instructions by a part of their text; with ';' several in a row",
        [example("wx 9058c3; /ac \"pop;ret\"", "0x00000001 hit0_0 [asm] pop rax; ret")]
    ),
    search!(
        "/ad",
        EXPRESSIONS,
        "find instructions whose text regular expressions match; with ';' several in a row",
        [example("wx 90415859c3 @ 0; /ad \"pop r[89];pop\"", "0x00000001 hit0_0 [asm] pop r8; pop rcx")]
    ),
    Command {
        name: "/R",
        args: &[Arg::opt("text", ArgKind::Text)],
        summary: "find ROP gadgets (that have an instruction with this text)",
        details: "A gadget is at most 5 instructions that end in a return, or in a jump or call through a register. \
                  Each text is shown once. search.in and search.maxhits hold.",
        modes: &[Mode::Json, Mode::Quiet],
        examples: &[
            Example {
                line: "wx 83c4085dc3; e asm.bits=32; /R esp @(0 5)",
                shows: "  0x00000000             83c408  add esp, 8\n  0x00000003                 5d  pop ebp\n  0x00000004                 c3  ret\n",
            },
            Example { line: "wx 5fc3; /Rq pop @(0 2)", shows: "0x00000000: pop rdi; ret;" },
            Example {
                line: "wx 5fc3; /Rj @(0 2)",
                shows: r#"[{"opcodes":[{"offset":0,"size":1,"opcode":"pop rdi","type":"pop"},{"offset":1,"size":1,"opcode":"ret","type":"ret"}],"retaddr":1,"size":2}]"#,
            },
        ],
        run: Run::Session(|session, args, out| gadgets::list(session, args, out, false)),
        ..SEARCH
    },
    Command {
        name: "/R/",
        args: &[Arg::new("expression", ArgKind::Text)],
        summary: "find ROP gadgets that have an instruction which a regular expression matches",
        modes: &[Mode::Json, Mode::Quiet],
        examples: &[Example { line: "wx 5f5ec3; /R/q r[ds]i @(0 3)", shows: "0x00000000: pop rdi; pop rsi; ret;" }],
        run: Run::Session(|session, args, out| gadgets::list(session, args, out, true)),
        ..SEARCH
    },
    Command {
        name: "//",
        summary: "repeat the last search",
        examples: &[example("w A @ 3; / A; //", "0x00000003 hit0_0 \"A\"\n0x00000003 hit1_0 \"A\"")],
        run: Run::Session(again),
        ..SEARCH
    },
    Command {
        name: "/+",
        args: TEXT,
        summary: "find the pieces of a text: the longest that are all there",
        details: "Each piece is a search of its own. Useful to put a text together from what a file has.",
        examples: &[example(
            "w xxhello; w _world @ 0x20; /+ helloworld",
            "0x00000002 hit0_0 68656c6c6f\n0x00000021 hit1_0 776f726c64",
        )],
        run: Run::Session(pieces),
        ..SEARCH
    },
    Command {
        name: "/P",
        args: BLOCK,
        summary: "find blocks that share at least n bytes with the block at the seek",
        details: "Steps by the block size. Each row says how many bytes are the same.",
        examples: &[example("b 4; wx 01020304; wx 01020305 @ 8; /P 3 @(0 16)", "0x00000008 3/4 75%")],
        run: Run::Session(similar::blocks),
        ..SEARCH
    },
    Command {
        needs: Permissions::READ.and(Permissions::FILES),
        ..search!(
            "/F",
            &[Arg::new("file", ArgKind::File), Arg::opt("offset", ArgKind::Word), Arg::opt("size", ArgKind::Number)],
            "find what a file holds (from an offset, so many bytes)",
            []
        )
    },
];

/// Runs the search that `text` (without the `@@`) stands for, and `work` at each hit, with the seek there.
pub fn each(session: &mut Session, text: &str, out: &mut Out<'_>, work: Work<'_>) -> Result<()> {
    let found = resolve(text).filter(|(command, ..)| FAMILY.commands.iter().any(|own| own.name == command.name));
    let Some((command, mode, rest)) = found.filter(|(command, ..)| Query::is_simple(command.name)) else {
        return Err(Error::new(Kind::Usage, format!("'@@{}' is no search", crate::output::visible(text)))
            .hint("@@/ text, @@/x hexpairs, ... ('/?' lists them)"));
    };
    if !session.view.permissions.allow(command.needs) {
        let missing = command.needs.without(session.view.permissions).names();
        return Err(Error::new(
            Kind::Permission,
            format!("'@@{}' is not permitted here: it needs {missing}", command.name),
        ));
    }
    let rest = rest.trim();
    if rest.is_empty() {
        return Err(Error::new(Kind::Usage, format!("'@@{}' looks for nothing", command.name))
            .hint(format!("usage: {}", command.usage())));
    }
    let args = Args { words: rest.split_whitespace().map(str::to_string).collect(), text: rest.to_string() };
    let mut out = out.with_mode(if mode == Mode::Json { Mode::Text } else { mode });
    run::command(session, command.name, &args, &mut out, Some(work))
}

fn again(session: &mut Session, _args: &Args, out: &mut Out<'_>) -> Result<()> {
    let (name, args) = session
        .view
        .search
        .clone()
        .ok_or_else(|| Error::new(Kind::NotFound, "there was no search before").hint("'/ text' is one"))?;
    // A file may have been searched for when that was still allowed.
    let allowed = resolve(name).is_some_and(|(command, ..)| session.view.permissions.allow(command.needs));
    if !allowed {
        return Err(Error::new(Kind::Permission, format!("'{name}' is not permitted here any more")));
    }
    run::command(session, name, &args, out, None)
}

/// Goes to the first hit behind the seek of the search command `name`: `s/` and `s/x`.
pub fn seek(session: &mut Session, name: &'static str, args: &Args, out: &mut Out<'_>) -> Result<()> {
    let from = options::find("search.from");
    let before = session.view.overrides.clone();
    let behind = session.view.seek.wrapping_add(1);
    if let Some(from) = from {
        session.view.overrides.put(from, crate::session::Value::Address(behind));
    }
    let query = session.with(|core, view| Query::read(&mut crate::session::Ctx { core, view, out, args }, name));
    let hit = query.and_then(|query| run::first(session, &query, args, out));
    session.view.overrides = before;
    let hit = hit?.ok_or_else(|| {
        Error::new(Kind::NotFound, format!("nothing found behind 0x{:08x}", session.view.seek))
            .hint("'/' searches everywhere")
    })?;
    session.view.jump(hit.address);
    Ok(())
}

/// The longest text that is put together from pieces: all of their lengths are tried.
const LONGEST_TEXT: usize = 256;

fn pieces(session: &mut Session, args: &Args, out: &mut Out<'_>) -> Result<()> {
    let text = super::literal::unescape(&args.text)?;
    if text.len() > LONGEST_TEXT {
        return Err(Error::new(Kind::Limit, format!("a text of {} bytes is too long", text.len()))
            .hint(format!("at most {LONGEST_TEXT}")));
    }
    for size in (1..=text.len()).rev() {
        let queries: Vec<Query> = text
            .chunks(size)
            .map(|piece| Ok(Query { first_only: true, ..Query::bytes(piece.to_vec())? }))
            .collect::<Result<_>>()?;
        let mut missing = false;
        for query in &queries {
            if run::first(session, query, args, out)?.is_none() {
                missing = true;
                break;
            }
        }
        if missing {
            continue;
        }
        if out.is_terminal() {
            out.note(format_args!("Using chunksize: {size}"));
        }
        for query in &queries {
            run::run(session, query, args, out, None)?;
        }
        session.view.last = queries.len() as u64;
        return Ok(());
    }
    session.view.last = 0;
    Err(Error::new(Kind::NotFound, "some of the bytes are nowhere"))
}
