//! From the arguments of a search command to what is looked for.

use std::io::{Read, Seek, SeekFrom};

use regex::bytes::RegexBuilder;

use super::code::CodeQuery;
use super::{constants, magic};
use crate::commands::literal;
use crate::commands::local;
use crate::disasm;
use crate::error::{Error, Kind, Result};
use crate::io::scan::{Keyword, LONGEST, Pattern, REACH};
use crate::session::{Ctx, disassembly};

/// The kind and the name of what the bytes are, if they are what is looked for.
pub type Recognise = fn(&[u8]) -> Option<(&'static str, String)>;

/// How hits are shown.
#[derive(Debug, Clone, Copy)]
pub enum Shown {
    /// As text, with the characters around it.
    Text,
    /// As hexpairs.
    Hex,
    /// By the name of what it is, if it really is: what is read at the hit decides.
    Named(Recognise),
    /// As instructions.
    Code,
    /// As a number.
    Value {
        /// The high byte stands first.
        big_endian: bool,
    },
}

/// A search as its command line asks for it.
#[derive(Debug, Clone)]
pub struct Query {
    /// What is looked for.
    pub pattern: Pattern,
    /// Which instructions are looked for, instead.
    pub code: Option<CodeQuery>,
    /// How hits are shown.
    pub shown: Shown,
    /// From high to low addresses.
    pub backward: bool,
    /// One hit is enough.
    pub first_only: bool,
}

impl Query {
    /// What the command `name` (with its `/`, without a suffix for its mode) looks for.
    pub fn read(ctx: &mut Ctx<'_, '_>, name: &str) -> Result<Query> {
        let kind = name.strip_prefix('/').unwrap_or(name);
        if let Some(code) = CodeQuery::read(ctx, kind)? {
            let pattern = Pattern::Test(0, |_| None);
            return Ok(Query { pattern, code: Some(code), shown: Shown::Code, backward: false, first_only: false });
        }
        let (kind, backward) = kind.strip_prefix('b').map_or((kind, false), |kind| (kind, true));
        let (kind, other) = kind.strip_prefix('!').map_or((kind, false), |kind| (kind, true));
        let (pattern, shown) = read(ctx, kind)?;
        let pattern = match pattern {
            Pattern::Bytes(keyword) if other => Pattern::Other(keyword),
            pattern => pattern,
        };
        Ok(Query { pattern, code: None, shown, backward, first_only: other })
    }

    /// Whether the command `name` is one search that its arguments describe.
    pub fn is_simple(name: &str) -> bool {
        !matches!(name, "//" | "/+" | "/P" | "/R" | "/R/")
    }

    /// A search for exactly `bytes`.
    pub fn bytes(bytes: Vec<u8>) -> Result<Query> {
        let pattern = Pattern::Bytes(Keyword::new(bytes, None, 0)?);
        Ok(Query { pattern, code: None, shown: Shown::Hex, backward: false, first_only: false })
    }
}

fn read(ctx: &mut Ctx<'_, '_>, kind: &str) -> Result<(Pattern, Shown)> {
    let big_endian = ctx.option_bool("cfg.bigendian");
    let text = ctx.args.text.clone();
    Ok(match kind {
        "" => (keyword(ctx, literal::unescape(&text)?, None)?, Shown::Text),
        "i" => (caseless(ctx, literal::unescape(&text)?, 1)?, Shown::Text),
        "w" => (keyword(ctx, literal::unescape_wide(&text)?, None)?, Shown::Text),
        "wi" => (caseless(ctx, literal::unescape_wide(&text)?, 2)?, Shown::Text),
        "e" => (expression(&text)?, Shown::Text),
        "x" => {
            let (value, mask) = masked(&text)?;
            (keyword(ctx, value, mask)?, Shown::Hex)
        }
        "a" => {
            let code = disasm::assemble(&disassembly::settings(ctx.core, ctx.view), ctx.view.seek, &text)?;
            (keyword(ctx, code, None)?, Shown::Hex)
        }
        "z" => (strings(ctx)?, Shown::Text),
        "m" => magic::files()?,
        "mb" => magic::objects()?,
        "c" => constants::tables()?,
        "ca" => constants::keys(),
        "cd" => constants::certificates()?,
        "cr" => constants::private_keys()?,
        "F" => {
            let bytes = file(ctx)?;
            (keyword(ctx, bytes, None)?, Shown::Hex)
        }
        _ => {
            let width = match kind.get(1..) {
                Some("1") => 1,
                Some("2") => 2,
                Some("4") => 4,
                Some("8") => 8,
                _ => (ctx.option_number("asm.bits") / 8).clamp(1, 8) as usize,
            };
            if kind.starts_with('V') {
                let (min, max) = (number(ctx, 0, width)?, number(ctx, 1, width)?);
                if max < min {
                    return Err(Error::new(Kind::Usage, format!("no number lies between 0x{min:x} and 0x{max:x}"))
                        .hint("the lesser one stands first"));
                }
                (Pattern::Values { width, min, max, big_endian }, Shown::Value { big_endian })
            } else {
                let mut bytes = Vec::new();
                for index in 0..ctx.args.words.len() {
                    bytes.extend(literal::number(number(ctx, index, width)?, width, big_endian));
                }
                (keyword(ctx, bytes, None)?, Shown::Hex)
            }
        }
    })
}

/// The number at `index`, cut to `width` bytes.
fn number(ctx: &mut Ctx<'_, '_>, index: usize, width: usize) -> Result<u64> {
    let value = literal::fitting(ctx.required(index)?, width)?;
    Ok(value & (u64::MAX >> (64 - 8 * width)))
}

fn keyword(ctx: &Ctx<'_, '_>, value: Vec<u8>, mask: Option<Vec<u8>>) -> Result<Pattern> {
    let distance = usize::try_from(ctx.option_number("search.distance")).unwrap_or(usize::MAX);
    if distance >= value.len().max(1) {
        return Err(Error::new(
            Kind::Usage,
            format!("search.distance={distance} would find {} bytes anywhere", value.len()),
        )
        .hint("e search.distance=0"));
    }
    Keyword::new(value, mask, distance).map(Pattern::Bytes)
}

/// Letters of ASCII match in either case. Characters are `unit` bytes wide, the low byte first.
fn caseless(ctx: &Ctx<'_, '_>, value: Vec<u8>, unit: usize) -> Result<Pattern> {
    let letter = |unit: &[u8]| unit[0].is_ascii_alphabetic() && unit[1..].iter().all(|high| *high == 0);
    let mask = value.chunks(unit).flat_map(|unit| {
        let low = if letter(unit) { 0xdf } else { 0xff };
        std::iter::once(low).chain(std::iter::repeat_n(0xff, unit.len() - 1))
    });
    let mask = mask.collect();
    keyword(ctx, value, Some(mask))
}

/// `/re/`, with the letters `i`, `s`, `x` behind it as in Perl.
fn expression(text: &str) -> Result<Pattern> {
    let usage = |what: &str| Error::new(Kind::Usage, what).hint("/e /expression/ or /e /expression/i");
    let mut chars = text.chars();
    let border = chars.next().filter(|c| !c.is_alphanumeric()).ok_or_else(|| usage("the expression is missing"))?;
    let (expression, flags) = chars.as_str().rsplit_once(border).ok_or_else(|| usage("the expression has no end"))?;
    let mut builder = RegexBuilder::new(expression);
    builder.unicode(false).size_limit(10 << 20);
    for flag in flags.trim().chars() {
        match flag {
            'i' => builder.case_insensitive(true),
            's' => builder.dot_matches_new_line(true),
            'x' => builder.ignore_whitespace(true),
            _ => {
                return Err(usage(&format!(
                    "'{}' is no option of an expression",
                    crate::output::visible(&flag.to_string())
                )));
            }
        };
    }
    let regex = builder.build().map_err(|error| {
        let text = error.to_string();
        let last = text.lines().last().unwrap_or_default();
        let why = last.strip_prefix("error: ").unwrap_or(last).to_string();
        Error::new(Kind::Usage, format!("bad regular expression '{}': {why}", crate::output::visible(expression)))
    })?;
    Ok(Pattern::Regex(Box::new(regex)))
}

/// `41..4.` or `value:mask`, blanks ignored.
fn masked(text: &str) -> Result<(Vec<u8>, Option<Vec<u8>>)> {
    let (value, mask) = match text.split_once(':') {
        Some((value, mask)) => (value, Some(literal::hexpairs(mask)?)),
        None => (text, None),
    };
    let pattern = literal::pattern(value)?;
    let Some(given) = mask else { return Ok((pattern.value, Some(pattern.mask))) };
    if given.len() > pattern.mask.len() {
        return Err(Error::new(
            Kind::Usage,
            format!("a mask of {} bytes is longer than the {} it is for", given.len(), pattern.mask.len()),
        ));
    }
    // A short mask leaves the rest as it is.
    let mask = pattern.mask.iter().zip(given.iter().chain(std::iter::repeat(&0xff))).map(|(a, b)| a & b).collect();
    Ok((pattern.value, Some(mask)))
}

fn strings(ctx: &mut Ctx<'_, '_>) -> Result<Pattern> {
    let (min, max) = (ctx.required(0)?, ctx.required(1)?);
    if min == 0 || max < min {
        return Err(Error::new(Kind::Usage, format!("no string has {min} to {max} characters")).hint("/z <min> <max>"));
    }
    if max > REACH as u64 {
        return Err(Error::new(Kind::Limit, format!("a string of {max} characters is too long"))
            .hint(format!("at most {REACH}")));
    }
    Ok(Pattern::Strings(min as usize, max as usize))
}

/// The bytes of a file, from an offset, so many.
fn file(ctx: &mut Ctx<'_, '_>) -> Result<Vec<u8>> {
    let name = ctx.word(0).unwrap_or_default().to_string();
    let (offset, size) = (ctx.number(1)?.unwrap_or(0), ctx.number(2)?);
    let failed = |error: std::io::Error| Error::system(format_args!("cannot read '{name}'"), &error);
    let (mut file, _) = local::open(ctx.view, &name)?;
    file.seek(SeekFrom::Start(offset)).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(size.unwrap_or(u64::MAX).min(LONGEST as u64 + 1)).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}
