//! `i`, `iI`, `ij`: the file and the object in it, as keys and values.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::{Value, json};

use super::super::{Command, Example, Run};
use crate::binary::{Details, Object};
use crate::error::{Error, Kind, Result};
use crate::output::{Item, Mode, Style, visible};
use crate::session::{Ctx, Permissions};

pub(super) const COMMANDS: &[Command] = &[
    Command {
        name: "i",
        summary: "show what is known of the open file",
        modes: &[Mode::Json, Mode::Quiet, Mode::Commands],
        needs: Permissions::READ,
        examples: &[
            Example {
                line: "i",
                shows: "fd       3\nfile     malloc://512\nsize     0x200\nhumansz  512\nmode     rwx\nformat   any\n\
                        iorw     true\nblock    0x100",
            },
            Example {
                line: "ij",
                shows: r#"{"core":{"type":"","file":"malloc://512","fd":3,"size":512,"humansz":"512","iorw":true,"mode":"rwx","block":256,"format":"any"}}"#,
            },
        ],
        run: Run::Core(information),
        ..Command::DEFAULT
    },
    Command {
        name: "iI",
        summary: "show what the object file says of itself",
        modes: &[Mode::Json, Mode::Quiet, Mode::Commands],
        needs: Permissions::READ,
        examples: &[Example { line: "iI", shows: "" }, Example { line: "iIj", shows: "{}" }],
        run: Run::Core(binary),
        ..Command::DEFAULT
    },
];

/// Keys and values in order.
#[derive(Default)]
struct Facts {
    text: Vec<(&'static str, String)>,
    json: Value,
    commands: Vec<String>,
}

impl Serialize for Facts {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        self.json.serialize(serializer)
    }
}

impl Item for Facts {
    fn text(&self, out: &mut dyn Write, _: Style) -> io::Result<()> {
        self.text.iter().try_for_each(|(key, value)| writeln!(out, "{key:<8} {}", visible(value)))
    }
    fn commands(&self, out: &mut dyn Write) -> io::Result<()> {
        self.commands.iter().try_for_each(|command| writeln!(out, "{command}"))
    }
}

/// A size as people read it: 1K, 138.2K.
fn human(size: u64) -> String {
    const UNITS: [&str; 5] = ["", "K", "M", "G", "T"];
    let mut value = size as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if value.fract() == 0.0 { format!("{value}{}", UNITS[unit]) } else { format!("{value:.1}{}", UNITS[unit]) }
}

fn information(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let fd = ctx.view.descriptor.or(ctx.core.io.current());
    let fd = fd.ok_or_else(|| Error::new(Kind::NotFound, "nothing is open").hint("o FILE opens a file"))?;
    let object = super::object(ctx).map(|(_, object)| object);
    let descriptor = ctx.core.io.descriptor(fd)?;
    let (uri, access, size) = (descriptor.uri.clone(), descriptor.access, descriptor.size());
    let format = object.as_ref().map_or("any", |object| object.format);
    let kind = object.as_ref().map(|object| object.kind_name.clone());
    let block = ctx.view.block_size;
    let mut facts = Facts::default();
    let mut say = |key, value| facts.text.push((key, value));
    say("fd", fd.to_string());
    say("file", uri.clone());
    if let Some(size) = size {
        say("size", format!("0x{size:x}"));
        say("humansz", human(size));
    }
    say("mode", access.to_string());
    say("format", format.to_string());
    say("iorw", access.write.to_string());
    say("block", format!("0x{block:x}"));
    if let Some(kind) = &kind {
        say("type", kind.clone());
    }
    facts.json = json!({"core": {
        "type": kind.unwrap_or_default(),
        "file": uri,
        "fd": fd,
        "size": size,
        "humansz": size.map(human),
        "iorw": access.write,
        "mode": access.to_string(),
        "block": block,
        "format": format,
    }});
    if let Some(object) = &object {
        let details = ctx.core.details(fd)?;
        let bin = describe(object, &details);
        facts.text.extend(bin.text);
        facts.commands = bin.commands;
        if let Value::Object(map) = &mut facts.json {
            map.insert("bin".to_string(), bin.json);
        }
    }
    super::warn(ctx);
    ctx.out.value(&facts)
}

fn binary(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let facts = match super::object(ctx) {
        Some((fd, object)) => describe(&object, &*ctx.core.details(fd)?),
        None => Facts { json: json!({}), ..Facts::default() },
    };
    super::warn(ctx);
    ctx.out.value(&facts)
}

/// What `iIj` says of `object`.
pub(super) fn described(object: &Object, details: &Details) -> Value {
    describe(object, details).json
}

fn describe(object: &Object, details: &Details) -> Facts {
    let endian = if object.big_endian { "big" } else { "little" };
    let (widest, narrowest, alignment) = instructions(object);
    let compiler = details.compiler.join(" ");
    let interpreter = object.interpreter.clone().unwrap_or_default();
    let rpath = details.rpath.clone().unwrap_or_else(|| "NONE".to_string());
    let bintype = match object.format {
        "elf64" | "elf" => "elf",
        "pe64" | "pe" => "pe",
        "mach064" | "mach0" => "mach0",
        other => other,
    };
    let relocs = object.kind == crate::binary::Kind::Relocatable || !object.stripped;
    let guid = details.build_id.as_deref().map(hex).unwrap_or_default();
    let code = object.sections.iter().any(|section| section.access.execute)
        || object.segments.iter().any(|segment| segment.loaded && segment.access.execute);
    let flag = |value: bool| value.to_string();
    let mut text = vec![
        ("arch", object.arch.to_string()),
        ("baddr", format!("0x{:x}", object.base)),
        ("binsz", object.size.to_string()),
        ("bintype", bintype.to_string()),
        ("bits", object.bits.to_string()),
        ("canary", flag(details.canary)),
        ("class", object.class.to_string()),
    ];
    if !compiler.is_empty() {
        text.push(("compiler", compiler.clone()));
    }
    text.extend([("crypto", flag(false)), ("endian", endian.to_string()), ("havecode", flag(code))]);
    if !interpreter.is_empty() {
        text.push(("intrp", interpreter.clone()));
    }
    text.extend([
        ("laddr", "0x0".to_string()),
        ("lang", details.language.to_string()),
        ("linenum", flag(object.line_numbers)),
        ("lsyms", flag(!object.stripped)),
        ("machine", object.machine.clone()),
        ("maxopsz", widest.to_string()),
        ("minopsz", narrowest.to_string()),
        ("nx", flag(object.nx)),
        ("os", object.os.to_string()),
        ("pcalign", alignment.to_string()),
        ("pic", flag(object.pic)),
        ("relocs", flag(relocs)),
        ("relro", details.relro.to_string()),
        ("rpath", rpath.clone()),
        ("sanitiz", flag(details.sanitized)),
        ("static", flag(object.is_static)),
        ("stripped", flag(object.stripped)),
        ("subsys", object.subsystem.clone()),
        ("va", flag(true)),
    ]);
    let json = json!({
        "arch": object.arch,
        "baddr": object.base,
        "binsz": object.size,
        "bintype": bintype,
        "bits": object.bits,
        "canary": details.canary,
        "class": object.class,
        "compiled": "",
        "compiler": compiler,
        "crypto": false,
        "dbg_file": details.debug_link.as_ref().map_or("", |(name, _)| name),
        "endian": endian,
        "havecode": code,
        "guid": guid,
        "intrp": interpreter,
        "laddr": 0,
        "lang": details.language,
        "linenum": object.line_numbers,
        "lsyms": !object.stripped,
        "machine": object.machine,
        "maxopsz": widest,
        "minopsz": narrowest,
        "nx": object.nx,
        "os": object.os,
        "cc": "",
        "pcalign": alignment,
        "pic": object.pic,
        "relocs": relocs,
        "relro": details.relro,
        "rpath": rpath,
        "sanitiz": details.sanitized,
        "static": object.is_static,
        "stripped": object.stripped,
        "subsys": object.subsystem,
        "va": true,
        "checksums": {},
    });
    let commands = vec![
        format!("e cfg.bigendian={}", object.big_endian),
        format!("e asm.arch={}", object.arch),
        format!("e asm.bits={}", object.bits),
        format!("e asm.os={}", object.os),
    ];
    Facts { text, json, commands }
}

/// The longest and shortest instruction of the machine, and what instructions are aligned to, in bytes.
fn instructions(object: &Object) -> (u32, u32, u32) {
    match (object.arch, object.bits) {
        ("x86", _) => (16, 1, 0),
        ("arm", 64) | ("mips" | "ppc" | "sparc", _) => (4, 4, 4),
        ("arm", _) => (4, 2, 4),
        ("riscv", _) => (4, 2, 2),
        ("sysz", _) => (6, 2, 2),
        ("m68k", _) => (10, 2, 2),
        _ => (16, 1, 0),
    }
}

/// Bytes as pairs of digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    faster_hex::hex_string(bytes)
}

#[cfg(test)]
mod tests {
    use super::human;

    #[test]
    fn sizes_for_people() {
        for (size, shown) in
            [(0, "0"), (512, "512"), (1024, "1K"), (151_344, "147.8K"), (7 << 20, "7M"), (u64::MAX, "16777216T")]
        {
            assert_eq!(human(size), shown);
        }
    }
}
