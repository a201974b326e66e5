//! `e`: options.

use std::io::{self, Write};

use serde::{Serialize, Serializer};

use super::{Arg, ArgKind, Command, Example, Family, Run};
use crate::disasm;
use crate::error::{Error, Kind, Result};
use crate::output::{Item, Mode, Style, visible};
use crate::session::options::{self, Default as Initial, OptionSpec};
use crate::session::{Ctx, Value, config};

/// The family.
pub const FAMILY: Family = Family { name: "e", summary: "options: how everything behaves", commands: COMMANDS };

const KEY: Arg = Arg::opt("key", ArgKind::Option);

const COMMANDS: &[Command] = &[
    Command {
        name: "e",
        args: &[Arg::opt("key[=value]", ArgKind::Option).many()],
        summary: "show or set options",
        details: "'e key' shows, 'e key=value' sets, 'e key=?' says what is allowed, 'e space.' lists the options \
                  that start so, 'e' alone lists all. Numbers are expressions; switches take true, false, yes, no, 1 \
                  and 0. Several settings in one line are made together or, if one is wrong, not at all. \
                  'cmd @e:key=value' sets an option for one command.",
        modes: &[Mode::Json, Mode::Commands],
        examples: &[
            Example { line: "e asm.arch", shows: "x86" },
            Example { line: "e hex.cols=0x20 io.cache=yes; e hex.cols io.cache", shows: "32\ntrue" },
            Example {
                line: "e zoom.",
                shows: "zoom.byte = h\nzoom.from = 0\nzoom.in = io.map\nzoom.maxsz = 512\nzoom.to = 0",
            },
            Example { line: "e asm.bits=?", shows: "16\n32\n64" },
            Example { line: "ej asm.bits", shows: r#"{"asm.bits":64}"# },
        ],
        run: Run::Core(e),
        ..Command::DEFAULT
    },
    Command {
        name: "e!",
        args: &[Arg::new("key", ArgKind::Option)],
        summary: "turn a switch to its other position",
        examples: &[Example { line: "e! io.cache; e io.cache", shows: "true" }],
        run: Run::Core(toggle),
        ..Command::DEFAULT
    },
    Command {
        name: "e-",
        args: &[KEY],
        summary: "set an option, or all, back to the default",
        examples: &[Example { line: "e hex.cols=8; e- hex.cols; e hex.cols", shows: "16" }],
        run: Run::Core(reset),
        ..Command::DEFAULT
    },
    Command {
        name: "er",
        args: &[Arg::new("key", ArgKind::Option)],
        summary: "make an option read-only for the rest of the session",
        details: "Only the owner of the session can do this.",
        examples: &[Example { line: "er asm.bytes; e asm.bytes", shows: "false" }],
        run: Run::Core(lock),
        ..Command::DEFAULT
    },
    Command {
        name: "et",
        args: &[Arg::new("key", ArgKind::Option).many()],
        summary: "show the kind of an option: bool, int, addr or str",
        examples: &[Example { line: "et asm.slow asm.bits asm.arch search.from", shows: "bool\nint\nstr\naddr" }],
        run: Run::Core(kind),
        ..Command::DEFAULT
    },
    Command {
        name: "el",
        args: &[KEY],
        summary: "list options with their meaning",
        details: "The argument is a name or the start of one.",
        modes: &[Mode::Json, Mode::Quiet, Mode::Commands],
        examples: &[
            Example { line: "el asm.bits", shows: "            asm.bits: word size in bits" },
            Example { line: "el* asm.bits", shows: r#""e asm.bits = 64""# },
            Example { line: "elq zoom.m", shows: "zoom.maxsz" },
        ],
        run: Run::Core(list),
        ..Command::DEFAULT
    },
    Command {
        name: "ev",
        aliases: &["ell"],
        args: &[KEY],
        summary: "list options with value, meaning and what is allowed",
        modes: &[Mode::Json],
        examples: &[
            Example { line: "ev asm.bits", shows: "asm.bits = 64 ; word size in bits [8, 16, 32, 64]" },
            Example {
                line: "evj hex.cols",
                shows: r#"[{"name":"hex.cols","value":16,"type":"int","desc":"bytes in a row of a dump","ro":false}]"#,
            },
        ],
        run: Run::Core(verbose),
        ..Command::DEFAULT
    },
    Command { name: "elJ", args: &[KEY], summary: "the same as evj", run: Run::Core(verbose_json), ..Command::DEFAULT },
    Command {
        name: "es",
        args: &[Arg::opt("space", ArgKind::Word)],
        summary: "list the first parts of the names, or the options of one",
        examples: &[Example { line: "es time", shows: "time.fmt\ntime.zone" }],
        run: Run::Core(spaces),
        ..Command::DEFAULT
    },
];

/// An option with its value.
struct Entry {
    option: &'static OptionSpec,
    value: Value,
    read_only: bool,
}

impl Entry {
    fn of(ctx: &Ctx<'_, '_>, option: &'static OptionSpec) -> Entry {
        let read_only = ctx.core.config.is_locked(option.name);
        Entry { option, value: ctx.option(option.name), read_only }
    }
}

impl Serialize for Entry {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Record<'a> {
            name: &'a str,
            value: &'a Value,
            r#type: &'a str,
            desc: &'a str,
            ro: bool,
            #[serde(skip_serializing_if = "<[&str]>::is_empty")]
            options: &'a [&'a str],
        }
        let OptionSpec { name, default, summary, choices } = self.option;
        let r#type = default.kind();
        Record { name, value: &self.value, r#type, desc: summary, ro: self.read_only, options: choices }
            .serialize(serializer)
    }
}

impl Item for Entry {
    fn text(&self, out: &mut dyn Write, _style: Style) -> io::Result<()> {
        write!(out, "{} = {} ; {}", self.option.name, self.value, self.option.summary)?;
        if !self.option.choices.is_empty() {
            write!(out, " [{}]", self.option.choices.join(", "))?;
        }
        writeln!(out, "{}", if self.read_only { " (read-only)" } else { "" })
    }
}

/// How [`Listing`] looks as text.
#[derive(Clone, Copy)]
enum Look {
    Value,
    Assignment,
    Meaning,
}

/// Options, in JSON one object with their values.
struct Listing(Vec<(Look, Entry)>);

impl Serialize for Listing {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(_, entry)| (entry.option.name, &entry.value)))
    }
}

impl Item for Listing {
    fn text(&self, out: &mut dyn Write, _style: Style) -> io::Result<()> {
        self.0.iter().try_for_each(|(look, Entry { option, value, .. })| match look {
            Look::Value => writeln!(out, "{value}"),
            Look::Assignment => writeln!(out, "{} = {value}", option.name),
            Look::Meaning => writeln!(out, "{:>20}: {}", option.name, option.summary),
        })
    }
    fn quiet(&self, out: &mut dyn Write) -> io::Result<()> {
        self.0.iter().try_for_each(|(_, entry)| writeln!(out, "{}", entry.option.name))
    }
    fn commands(&self, out: &mut dyn Write) -> io::Result<()> {
        // Quoted as a whole, so that no sign in a value means anything to the shell.
        self.0.iter().try_for_each(|(_, Entry { option, value, .. })| {
            let value = value.to_string().replace('"', "\\\"");
            writeln!(out, "\"e {} = {}\"", option.name, visible(&value))
        })
    }
}

/// What one part of an `e` line asks for.
#[derive(Debug, PartialEq, Eq)]
enum Request {
    Show(String),
    ShowAll(String),
    Allowed(String),
    Set(String, String),
}

/// Splits an `e` line: `k`, `k=v`, `k = v`, `prefix.`, `k=?`. A value may hold blanks: it reaches to the next word
/// that starts another setting.
fn requests(words: &[String]) -> Vec<Request> {
    let mut requests = Vec::new();
    let mut at = 0;
    while let Some(word) = words.get(at) {
        let (key, first) = match word.split_once('=') {
            Some((key, first)) if !key.is_empty() => (key, first),
            _ => match words.get(at + 1).and_then(|next| next.strip_prefix('=')) {
                Some(first) => {
                    at += 1;
                    (word.as_str(), first)
                }
                None => {
                    requests.push(match word.strip_suffix('*').unwrap_or(word) {
                        prefix if prefix.ends_with('.') => Request::ShowAll(prefix.to_string()),
                        _ => Request::Show(word.clone()),
                    });
                    at += 1;
                    continue;
                }
            },
        };
        at += 1;
        let is_text = options::find(key).is_some_and(|option| matches!(option.default, Initial::Text(_)));
        let mut value = first.to_string();
        while let Some(next) = words.get(at).filter(|_| !starts_setting(&words[at..], is_text)) {
            if !value.is_empty() {
                value.push(' ');
            }
            value.push_str(next);
            at += 1;
        }
        requests.push(match value.trim() {
            "?" | "??" => Request::Allowed(key.to_string()),
            _ => Request::Set(key.to_string(), value),
        });
    }
    requests
}

/// Whether the first of `words` begins a new part of an `e` line rather than going on with a value.
fn starts_setting(words: &[String], in_text: bool) -> bool {
    let dotted = |key: &str| {
        key.contains('.') && key.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "._".contains(c))
    };
    match words[0].split_once('=') {
        Some((key, _)) => dotted(key),
        None if words.get(1).is_some_and(|next| next.starts_with('=')) => dotted(&words[0]),
        None => !in_text && options::find(&words[0]).is_some(),
    }
}

fn e(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let requests = requests(&ctx.args.words);
    if requests.is_empty() {
        return show(ctx, options::OPTIONS.iter().map(|option| (Look::Assignment, option)));
    }
    let settings = requests.iter().filter_map(|request| match request {
        Request::Set(key, value) => Some((key.as_str(), value.as_str())),
        _ => None,
    });
    config::assign(ctx.core, ctx.view, settings)?;
    let mut shown = Vec::new();
    for request in &requests {
        match request {
            Request::Set(..) => {}
            Request::Show(key) => shown.push((Look::Value, config::find(key)?)),
            Request::ShowAll(prefix) => shown.extend(matching(prefix)?.into_iter().map(|one| (Look::Assignment, one))),
            Request::Allowed(key) => allowed(ctx, config::find(key)?)?,
        }
    }
    if shown.is_empty() { Ok(()) } else { show(ctx, shown.into_iter()) }
}

fn show(ctx: &mut Ctx<'_, '_>, options: impl Iterator<Item = (Look, &'static OptionSpec)>) -> Result<()> {
    let listing = Listing(options.map(|(look, option)| (look, Entry::of(ctx, option))).collect());
    ctx.out.value(&listing)
}

/// The options that start with `prefix`; that none does is an error.
fn matching(prefix: &str) -> Result<Vec<&'static OptionSpec>> {
    let found: Vec<_> = options::starting_with(prefix).collect();
    if found.is_empty() { config::find(prefix).map(|option| vec![option]) } else { Ok(found) }
}

fn allowed(ctx: &mut Ctx<'_, '_>, option: &OptionSpec) -> Result<()> {
    if option.name == "asm.bits"
        && let Ok(architecture) = disasm::architecture(&ctx.option_text("asm.arch"))
    {
        let mut bits = architecture.bits.to_vec();
        bits.sort_unstable();
        return bits.iter().try_for_each(|bits| ctx.out.line(bits));
    }
    match option.default {
        _ if !option.choices.is_empty() => option.choices.iter().try_for_each(|choice| ctx.out.line(choice)),
        Initial::Bool(_) => ctx.out.line("true\nfalse"),
        Initial::Number(_) => ctx.out.line("a number"),
        Initial::Address(_) => ctx.out.line("an address"),
        Initial::Text(_) => ctx.out.line("text"),
    }
}

fn toggle(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let option = config::find(ctx.word(0).unwrap_or_default())?;
    let value = match ctx.option(option.name) {
        Value::Bool(value) => (!value).to_string(),
        Value::Number(value) if option.choices.is_empty() => u64::from(value == 0).to_string(),
        _ => return Err(Error::new(Kind::Usage, format!("'{}' is not a switch", option.name))),
    };
    config::assign(ctx.core, ctx.view, [(option.name, value.as_str())])
}

fn reset(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    match ctx.word(0) {
        Some(key) => {
            let option = config::find(key)?;
            config::reset(ctx.core, ctx.view, option)
        }
        None => {
            config::layer(ctx.core, ctx.view).clear();
            ctx.view.overrides.clear();
            Ok(())
        }
    }
}

fn lock(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let option = config::find(ctx.word(0).unwrap_or_default())?;
    if !ctx.view.owner {
        return Err(Error::new(Kind::Permission, "only the owner of the session can make options read-only"));
    }
    ctx.core.config.lock(option);
    Ok(())
}

fn kind(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    for key in &ctx.args.words {
        ctx.out.line(config::find(key)?.default.kind())?;
    }
    Ok(())
}

fn chosen(ctx: &Ctx<'_, '_>) -> Result<Vec<&'static OptionSpec>> {
    match ctx.word(0) {
        Some(key) if options::find(key).is_some() => Ok(vec![config::find(key)?]),
        Some(prefix) => matching(prefix),
        None => Ok(options::OPTIONS.iter().collect()),
    }
}

fn list(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let options = chosen(ctx)?;
    show(ctx, options.into_iter().map(|option| (Look::Meaning, option)))
}

fn verbose(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    for option in chosen(ctx)? {
        let entry = Entry::of(ctx, option);
        ctx.out.item(&entry)?;
    }
    Ok(())
}

fn verbose_json(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let options = chosen(ctx)?;
    let entries: Vec<Entry> = options.into_iter().map(|option| Entry::of(ctx, option)).collect();
    let mut out = ctx.out.with_mode(Mode::Json);
    entries.iter().try_for_each(|entry| out.item(entry))?;
    out.finish()
}

fn spaces(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    if let Some(space) = ctx.word(0).map(str::to_string) {
        let mut found = options::OPTIONS.iter().filter(|option| option.space() == space).peekable();
        if found.peek().is_none() {
            return Err(Error::new(Kind::NotFound, format!("no option starts with '{space}.'")).hint("'es' lists them"));
        }
        return found.try_for_each(|option| ctx.out.line(option.name));
    }
    let mut spaces: Vec<&str> = options::OPTIONS.iter().map(OptionSpec::space).collect();
    spaces.dedup();
    spaces.into_iter().try_for_each(|space| ctx.out.line(space))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(line: &str) -> Vec<Request> {
        requests(&line.split_whitespace().map(str::to_string).collect::<Vec<_>>())
    }

    fn set(key: &str, value: &str) -> Request {
        Request::Set(key.to_string(), value.to_string())
    }

    #[test]
    fn lines_are_split_where_a_setting_starts() {
        assert_eq!(split("hex.cols"), [Request::Show("hex.cols".into())]);
        assert_eq!(split("hex. hex.*"), [Request::ShowAll("hex.".into()), Request::ShowAll("hex.".into())]);
        assert_eq!(split("hex.cols=?"), [Request::Allowed("hex.cols".into())]);
        assert_eq!(split("a.b=1 c.d=2"), [set("a.b", "1"), set("c.d", "2")]);
        for line in ["hex.cols=8 + 8", "hex.cols = 8 + 8", "hex.cols =8 + 8", "hex.cols= 8 + 8"] {
            assert_eq!(split(line), [set("hex.cols", "8 + 8")], "{line}");
        }
        assert_eq!(split("hex.cols=8 asm.bits"), [set("hex.cols", "8"), Request::Show("asm.bits".into())]);
        assert_eq!(split("cmd.hit=e asm.bits"), [set("cmd.hit", "e asm.bits")]);
        assert_eq!(split("cmd.hit= hex.cols = 4"), [set("cmd.hit", ""), set("hex.cols", "4")]);
        assert_eq!(split("cmd.hit=?e a=b"), [set("cmd.hit", "?e a=b")]);
        assert_eq!(split("=x"), [Request::Show("=x".into())]);
    }
}
