//! `?`: evaluate expressions, convert numbers and text, conditions.

mod flow;
mod report;
mod text;
mod value;

use std::io::{self, Write};

use serde::Serialize;

use super::{Arg, ArgKind, Command, Example, Family, Run};
use crate::error::Result;
use crate::number::{self, Evaluated};
use crate::output::{Item, Mode, Style};
use crate::session::scope::Scope;
use crate::session::{Ctx, Permissions};

/// The family.
pub const FAMILY: Family =
    Family { name: "?", summary: "evaluate expressions, convert numbers, conditions", commands: COMMANDS };

const EXPRESSION: &[Arg] = &[Arg::opt("expr", ArgKind::Number)];
const TEXT: &[Arg] = &[Arg::opt("text", ArgKind::Text)];
const COMMAND: &[Arg] = &[Arg::new("cmd", ArgKind::Command)];

/// Prints the value of an expression (or the last one) in one form.
const fn form(
    name: &'static str,
    aliases: &'static [&'static str],
    summary: &'static str,
    examples: &'static [Example],
    run: fn(&mut Ctx<'_, '_>) -> Result<()>,
) -> Command {
    const MODES: &[Mode] = &[Mode::Json];
    let run = Run::Core(run);
    Command {
        name,
        aliases,
        args: EXPRESSION,
        summary,
        modes: MODES,
        needs: Permissions::READ,
        examples,
        run,
        ..Command::DEFAULT
    }
}

/// Works on text or numbers, without modes.
const fn tool(
    name: &'static str,
    aliases: &'static [&'static str],
    args: &'static [Arg],
    summary: &'static str,
    examples: &'static [Example],
    run: fn(&mut Ctx<'_, '_>) -> Result<()>,
) -> Command {
    Command { name, aliases, args, summary, examples, run: Run::Core(run), ..Command::DEFAULT }
}

const fn shows(line: &'static str, shows: &'static str) -> Example {
    Example { line, shows }
}

// Expressions read memory (`[addr]`), hence the permission of everything that takes one.
const COMMANDS: &[Command] = &[
    Command {
        name: "?",
        args: &[Arg::new("expr", ArgKind::Number).many()],
        summary: "show expressions in every form",
        details: "One block for each blank-separated expression; blanks around an operator do not separate. With the \
                  suffix j every value is text, and several expressions make a list.",
        modes: &[Mode::Json],
        needs: Permissions::READ,
        examples: &[
            shows(
                "? 0x4142",
                "int32   16706\nuint32  16706\nhex     0x4142\noctal   040502\nunit    16.3K\nsegment 0000:0142\n\
                 string  \"BA\"\nfvalue: 16706.0\nfloat:  0.000000f\ndouble: 0.000000\nbinary  0b0100000101000010\n\
                 trits   0t211220202",
            ),
            shows(
                "?j 5",
                r#"{"int32":"5","uint32":"5","int64":"5","uint64":"5","hex":"0x00000005","octal":"05","unit":"5","segment":"0000:0005","fvalue":"5.0","float":"0.000000f","double":"0.000000","binary":"0b00000101","trits":"0t12"}"#,
            ),
        ],
        run: Run::Core(report::report),
        ..Command::DEFAULT
    },
    form(
        "?v",
        &["%v"],
        "value in hexadecimal; without an expression the last one in decimal",
        &[shows("?v 10", "0xa"), shows("?v (1+3)*2", "0x8"), shows("?v 7; ?v", "0x7\n7"), shows("?vj 10", "10")],
        value::hex,
    ),
    form("?vi", &["%vi"], "value in signed decimal", &[shows("?vi 0x10 - 17", "-1")], value::signed),
    form("?vi1", &["%vi1"], "value as a signed byte", &[shows("?vi1 0xf8", "-8")], value::signed_8),
    form("?vi2", &["%vi2"], "value as a signed 16-bit number", &[shows("?vi2 0xfff8", "-8")], value::signed_16),
    form("?vi4", &["%vi4"], "value as a signed 32-bit number", &[shows("?vi4 0xfffffff8", "-8")], value::signed_32),
    form("?vi8", &["%vi8"], "value as a signed 64-bit number", &[shows("?vi8 -8", "-8")], value::signed),
    form("?vx", &["%vx"], "value in hexadecimal, at least 8 digits", &[shows("?vx 10", "0x0000000a")], value::wide_hex),
    form("?X", &[], "value in hexadecimal without 0x", &[shows("?X 255", "ff")], value::bare_hex),
    form("?b", &["%b"], "value in binary", &[shows("?b 10", "1010b")], value::binary),
    form("?o", &["%o"], "value in octal", &[shows("?o 8", "010")], value::octal),
    form("?u", &["%u"], "value as a size with a unit", &[shows("?u 1536", "1.5K"), shows("?u 1M", "1M")], value::unit),
    Command {
        name: "?q",
        aliases: &["%q"],
        args: &[Arg::new("expr", ArgKind::Number)],
        summary: "evaluate silently: only '$?' changes",
        needs: Permissions::READ,
        examples: &[shows("?q 5; ?v $?", "0x5")],
        run: Run::Core(value::quietly),
        ..Command::DEFAULT
    },
    Command {
        name: "?=",
        args: &[Arg::new("condition", ArgKind::Text)],
        summary: "evaluate a condition silently: '$?' becomes its value",
        details: "Terms joined by ',' must all hold; each compares two expressions with == != < <= > >= (unsigned). A \
                  single expression keeps its value.",
        needs: Permissions::READ,
        examples: &[shows("?= 1+1==2,3!=4; ?v", "1"), shows("?= 0; ?! ?v 5", "0x5")],
        run: Run::Core(value::condition),
        ..Command::DEFAULT
    },
    Command {
        name: "?btw",
        aliases: &["%btw"],
        args: &[Arg::new("low", ArgKind::Number), Arg::new("expr", ArgKind::Number), Arg::new("high", ArgKind::Number)],
        summary: "set '$?' to 1 if low <= expr <= high, else 0",
        needs: Permissions::READ,
        examples: &[shows("?btw 1 5 9; ?v", "1"), shows("?btw 1 10 9; ?v", "0")],
        run: Run::Core(value::between),
        ..Command::DEFAULT
    },
    Command {
        name: "?s",
        aliases: &["%s"],
        args: &[Arg::new("from", ArgKind::Number), Arg::new("to", ArgKind::Number), Arg::opt("step", ArgKind::Number)],
        summary: "numbers from one to another, both included",
        needs: Permissions::READ,
        examples: &[shows("?s 1 10 3", "1 4 7 10 ")],
        run: Run::Core(value::sequence),
        ..Command::DEFAULT
    },
    Command {
        name: "?r",
        aliases: &["%r"],
        args: &[Arg::opt("from", ArgKind::Number), Arg::opt("to", ArgKind::Number)],
        summary: "random number in a range, both ends included (default: 32 bits)",
        needs: Permissions::READ,
        examples: &[shows("?r 7 7", "0x7")],
        run: Run::Core(value::random),
        ..Command::DEFAULT
    },
    form("?p", &["%p"], "file offset of a virtual address", &[shows("?p 0x10", "0x00000010")], value::physical),
    form(
        "?P",
        &[],
        "virtual address of an offset in the current file",
        &[shows("?P 0x10", "0x00000010")],
        value::virtually,
    ),
    Command {
        name: "?$",
        aliases: &["%$"],
        summary: "list the $ variables with their values ('-': none here)",
        modes: &[Mode::Json, Mode::Quiet],
        needs: Permissions::READ,
        run: Run::Core(value::variables),
        ..Command::DEFAULT
    },
    Command {
        name: "?x+",
        aliases: &["%x+"],
        args: &[Arg::new("expr", ArgKind::Number)],
        summary: "bytes of a number (4, or 8 when it needs them) as hexpairs, in the order of cfg.bigendian",
        needs: Permissions::READ,
        examples: &[shows("?x+0x11223344", "44332211"), shows("?x+ 0x1122334455", "5544332211000000")],
        run: Run::Core(value::number_bytes),
        ..Command::DEFAULT
    },
    Command {
        name: "?f",
        args: &[Arg::new("expr", ArgKind::Number), Arg::new("letters", ArgKind::Text)],
        summary: "letters whose bit is set in a number, the first for bit 0",
        needs: Permissions::READ,
        examples: &[shows("?f 5 abcdefgh", "AC")],
        run: Run::Core(value::flag_letters),
        ..Command::DEFAULT
    },
    Command {
        name: "?e=",
        args: &[Arg::new("percent", ArgKind::Number)],
        summary: "progress bar",
        needs: Permissions::READ,
        examples: &[shows("?e=50", "  50% [################################---------------------------------]")],
        run: Run::Core(value::progress),
        ..Command::DEFAULT
    },
    tool(
        "?e",
        &["echo"],
        TEXT,
        "print text; \\n, \\t and \\xHH are expanded",
        &[shows("?e hello world", "hello world"), shows("?e a\\x41\\tb", "aA\tb")],
        text::echo,
    ),
    tool(
        "?en",
        &["?n", "echon"],
        TEXT,
        "print text without a line end",
        &[shows("?en a; ?e b", "ab")],
        text::echo_open,
    ),
    tool(
        "?x",
        &["%x"],
        TEXT,
        "text as hexpairs",
        &[shows("?x 255", "323535"), shows("?x foo", "666f6f")],
        text::hexpairs,
    ),
    tool(
        "?x-",
        &["%x-"],
        &[Arg::new("hexpairs", ArgKind::Hex)],
        "hexpairs as text",
        &[shows("?x-414243", "ABC")],
        text::from_hexpairs,
    ),
    tool("?b64", &["%b64"], TEXT, "text in base64", &[shows("?b64 foo", "Zm9v")], text::base64),
    tool(
        "?b64-",
        &["%b64-"],
        &[Arg::new("base64", ArgKind::Text)],
        "base64 as text",
        &[shows("?b64- Zm9v", "foo")],
        text::from_base64,
    ),
    tool("?h", &["%h"], TEXT, "32-bit hash of text", &[shows("?h foo", "0x0ad5b423")], text::hash),
    Command {
        modes: &[Mode::Quiet],
        details: "With the suffix q nothing is printed; '$?' is the length either way.",
        ..tool(
            "?l",
            &["%l"],
            TEXT,
            "length of text in bytes",
            &[shows("?l hello", "5"), shows("?lq abc; ?v", "3")],
            text::length,
        )
    },
    tool(
        "?==",
        &[],
        &[Arg::new("text", ArgKind::Word), Arg::new("text", ArgKind::Word)],
        "compare two words: '$?' becomes 0 when they are equal, 1 or -1 otherwise",
        &[shows("?== a a; ?vi", "0"), shows("?== a b; ?vi", "-1")],
        text::compare,
    ),
    tool(
        "?y",
        &["%y"],
        TEXT,
        "yank text, or show what is yanked as text",
        &[shows("?y hello; ?y", "hello")],
        text::yank,
    ),
    tool("?a", &["%a"], &[], "table of the ASCII characters", &[], text::ascii),
    Command {
        modes: &[Mode::Json, Mode::Quiet],
        ..tool(
            "?V",
            &[],
            &[],
            "version of the program and its platform",
            &[shows("?Vq", env!("CARGO_PKG_VERSION"))],
            text::version,
        )
    },
    Command {
        name: "??",
        args: &[Arg::opt("cmd", ArgKind::Command)],
        summary: "run a command if '$?' is not 0, or show '$?'",
        examples: &[shows("?q 1; ?? ?v 5", "0x5"), shows("?q 0; ?? ?v 5", ""), shows("?q 3; ??", "3")],
        run: Run::Session(flow::if_true),
        ..Command::DEFAULT
    },
    Command {
        name: "?!",
        args: COMMAND,
        summary: "run a command if '$?' is 0",
        examples: &[shows("?q 0; ?! ?v 5", "0x5"), shows("?q 1; ?! ?v 5", "")],
        run: Run::Session(flow::if_false),
        ..Command::DEFAULT
    },
    Command {
        name: "?+",
        args: COMMAND,
        summary: "run a command if '$?' is above 0 (signed)",
        examples: &[shows("?q 1; ?+ ?v 5", "0x5"), shows("?q -1; ?+ ?v 5", "")],
        run: Run::Session(flow::if_positive),
        ..Command::DEFAULT
    },
    Command {
        name: "?-",
        args: COMMAND,
        summary: "run a command if '$?' is below 0 (signed)",
        examples: &[shows("?q -1; ?- ?v 5", "0x5"), shows("?q 0; ?- ?v 5", "")],
        run: Run::Session(flow::if_negative),
        ..Command::DEFAULT
    },
    Command {
        name: "?t",
        aliases: &["%t"],
        args: COMMAND,
        summary: "run a command, then print how many seconds it took",
        run: Run::Session(flow::timed),
        ..Command::DEFAULT
    },
];

/// A value with the text of one of its forms; JSON holds the value.
#[derive(Serialize)]
#[serde(transparent)]
struct Shown<T: Serialize> {
    value: T,
    #[serde(skip)]
    text: String,
}

impl<T: Serialize> Item for Shown<T> {
    fn text(&self, out: &mut dyn Write, _: Style) -> io::Result<()> {
        writeln!(out, "{}", self.text)
    }
}

/// Evaluates `text`; the value becomes `$?`, a failure makes it 1.
fn calculate(ctx: &mut Ctx<'_, '_>, text: &str) -> Result<Evaluated> {
    let result = number::calculate(text, &mut Scope { core: ctx.core, view: ctx.view });
    ctx.view.last = result.as_ref().map_or(1, |evaluated| evaluated.value);
    result
}

/// The number at `index`, if that word is there; it becomes `$?`.
fn optional(ctx: &mut Ctx<'_, '_>, index: usize) -> Result<Option<u64>> {
    match ctx.word(index).map(str::to_string) {
        Some(word) => calculate(ctx, &word).map(|evaluated| Some(evaluated.value)),
        None => Ok(None),
    }
}
