//! `is`, `ii`, `iE`: symbols, imports and exports.

use std::borrow::Cow;
use std::io::{self, Write};
use std::sync::Arc;

use serde::{Serialize, Serializer};

use super::super::{Arg, ArgKind, Command, Example, Run};
use super::table::{Row, Table, left};
use crate::binary::{Bind, Symbol, SymbolKind, demangle};
use crate::error::{Error, Kind, Result};
use crate::output::{Mode, visible};
use crate::session::load::{fitting, flag_name};
use crate::session::{Ctx, Permissions};

const MODES: &[Mode] = &[Mode::Json, Mode::Quiet, Mode::Commands];

pub(super) const COMMANDS: &[Command] = &[
    Command {
        name: "is",
        summary: "list the symbols",
        modes: MODES,
        needs: Permissions::READ,
        examples: &[Example {
            line: "is",
            shows: "[Symbols]\n\nnth paddr vaddr bind type size lib name\n---------------------------------------",
        }],
        run: Run::Core(|ctx| list(ctx, &SYMBOLS, |_| true)),
        ..Command::DEFAULT
    },
    Command {
        name: "is.",
        summary: "show the symbol that the seek lies in",
        modes: MODES,
        needs: Permissions::READ,
        examples: &[Example { line: "is.q", shows: "" }],
        run: Run::Core(|ctx| {
            let seek = ctx.view.seek;
            let inside = move |symbol: &Symbol| {
                symbol.vaddr != 0 && seek.checked_sub(symbol.vaddr).is_some_and(|at| at < symbol.size.max(1))
            };
            list(ctx, &SYMBOLS, inside)
        }),
        ..Command::DEFAULT
    },
    Command {
        name: "iE",
        summary: "list the exports",
        modes: MODES,
        needs: Permissions::READ,
        examples: &[Example {
            line: "iE",
            shows: "[Exports]\n\nnth paddr vaddr bind type size lib name\n---------------------------------------",
        }],
        run: Run::Core(|ctx| list(ctx, &EXPORTS, |symbol| symbol.exported)),
        ..Command::DEFAULT
    },
    Command {
        name: "iE.",
        summary: "show the export that the seek lies in",
        modes: MODES,
        needs: Permissions::READ,
        examples: &[Example { line: "iE.q", shows: "" }],
        run: Run::Core(|ctx| {
            let seek = ctx.view.seek;
            let inside =
                move |symbol: &Symbol| seek.checked_sub(symbol.vaddr).is_some_and(|at| at < symbol.size.max(1));
            list(ctx, &EXPORTS, move |symbol| symbol.exported && inside(symbol))
        }),
        ..Command::DEFAULT
    },
    Command {
        name: "ii",
        summary: "list the imports",
        modes: MODES,
        needs: Permissions::READ,
        examples: &[Example {
            line: "ii",
            shows: "[Imports]\nnth vaddr bind type lib name\n----------------------------",
        }],
        run: Run::Core(imports),
        ..Command::DEFAULT
    },
    Command {
        name: "iD",
        args: &[Arg::new("language", ArgKind::Word), Arg::new("name", ArgKind::Text)],
        summary: "demangle a name (language: c++, rust, msvc or auto)",
        examples: &[
            Example { line: "iD c++ _ZN3foo3barEv", shows: "foo::bar()" },
            Example { line: "iD auto main", shows: "main" },
        ],
        run: Run::Core(demangle_name),
        ..Command::DEFAULT
    },
];

const COLUMNS: &[super::table::Column] =
    &[left("nth"), left("paddr"), left("vaddr"), left("bind"), left("type"), left("size"), left("lib"), left("name")];

const SYMBOLS: Table = Table { title: "Symbols", apart: true, columns: COLUMNS };

const EXPORTS: Table = Table { title: "Exports", apart: true, columns: COLUMNS };

const IMPORTS: Table = Table {
    title: "Imports",
    apart: false,
    columns: &[left("nth"), left("vaddr"), left("bind"), left("type"), left("lib"), left("name")],
};

/// The format's word for a symbol's type.
fn kind_name(kind: SymbolKind) -> &'static str {
    match kind {
        SymbolKind::None => "NOTYPE",
        SymbolKind::Function => "FUNC",
        SymbolKind::Object => "OBJ",
        SymbolKind::Section => "SECT",
        SymbolKind::File => "FILE",
        SymbolKind::Common => "COMMON",
        SymbolKind::Tls => "TLS",
        SymbolKind::Indirect => "LOOS",
    }
}

fn bind_name(bind: Bind) -> &'static str {
    match bind {
        Bind::Local => "LOCAL",
        Bind::Global => "GLOBAL",
        Bind::Weak => "WEAK",
        Bind::Unique => "UNIQUE",
        Bind::None => "NONE",
    }
}

#[derive(Serialize)]
struct SymbolRow<'a> {
    name: Cow<'a, str>,
    flagname: String,
    realname: &'a str,
    ordinal: u32,
    bind: &'static str,
    size: u64,
    #[serde(rename = "type")]
    kind: &'static str,
    vaddr: u64,
    paddr: u64,
    is_imported: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    libname: Option<&'a str>,
}

/// A symbol, whose names are made when they are shown: most of the time goes into them.
struct Shown<'a> {
    symbol: &'a Symbol,
    demangle: bool,
}

impl<'a> Shown<'a> {
    fn name(&self) -> Cow<'a, str> {
        let demangled = if self.demangle { self.symbol.demangled() } else { None };
        demangled.map_or(Cow::Borrowed(&*self.symbol.name), Cow::Owned)
    }

    fn flag(&self) -> String {
        fitting(&flag_name(self.symbol))
    }
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let symbol = self.symbol;
        let row = SymbolRow {
            name: self.name(),
            flagname: self.flag(),
            realname: &symbol.name,
            ordinal: symbol.ordinal,
            bind: bind_name(symbol.bind),
            size: symbol.size,
            kind: kind_name(symbol.kind),
            vaddr: symbol.vaddr,
            paddr: symbol.paddr,
            is_imported: symbol.imported,
            libname: symbol.library.as_deref(),
        };
        row.serialize(serializer)
    }
}

impl Row for Shown<'_> {
    fn cells(&self) -> Vec<Cow<'_, str>> {
        let symbol = self.symbol;
        let address = |address: u64, known: bool| -> Cow<'_, str> {
            if known { format!("0x{address:08x}").into() } else { "----------".into() }
        };
        let name = self.name();
        let name = if symbol.imported { format!("imp.{name}").into() } else { name };
        vec![
            symbol.ordinal.to_string().into(),
            address(symbol.paddr, !symbol.imported),
            address(symbol.vaddr, !symbol.imported || symbol.vaddr != 0),
            bind_name(symbol.bind).into(),
            kind_name(symbol.kind).into(),
            symbol.size.to_string().into(),
            visible(symbol.library.as_deref().unwrap_or_default()),
            visible(&name).into_owned().into(),
        ]
    }
    fn measure(&self, widths: &mut [usize]) {
        let symbol = self.symbol;
        let digits = |number: u64| number.checked_ilog10().unwrap_or(0) as usize + 1;
        let address = |address: u64| 2 + (address.checked_ilog(16).unwrap_or(0) as usize + 1).max(8);
        let library = symbol.library.as_deref().map_or(0, |library| visible(library).chars().count());
        let own = [
            digits(symbol.ordinal.into()),
            address(symbol.paddr),
            address(symbol.vaddr),
            bind_name(symbol.bind).len(),
            kind_name(symbol.kind).len(),
            digits(symbol.size),
            library,
        ];
        widths.iter_mut().zip(own).for_each(|(width, own)| *width = (*width).max(own));
    }
    fn quiet(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "0x{:08x} {} {}", self.symbol.vaddr, self.symbol.size, visible(&self.name()))
    }
    fn commands(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.symbol.vaddr == 0 || self.symbol.name.is_empty() {
            return Ok(());
        }
        writeln!(out, "\"f {} {} 0x{:08x}\"", self.flag(), self.symbol.size, self.symbol.vaddr)
    }
}

#[derive(Serialize)]
struct ImportRow<'a> {
    ordinal: u32,
    bind: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    name: Cow<'a, str>,
    plt: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    libname: Option<&'a str>,
    #[serde(skip)]
    real: &'a str,
}

impl Row for ImportRow<'_> {
    fn cells(&self) -> Vec<Cow<'_, str>> {
        vec![
            self.ordinal.to_string().into(),
            format!("0x{:08x}", self.plt).into(),
            self.bind.into(),
            self.kind.into(),
            visible(self.libname.unwrap_or_default()),
            visible(&self.name),
        ]
    }
    fn quiet(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", visible(&self.name))
    }
    fn commands(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.plt == 0 {
            return Ok(());
        }
        writeln!(out, "\"f {} 1 0x{:08x}\"", fitting(&format!("sym.imp.{}", self.real)), self.plt)
    }
}

fn symbols(ctx: &mut Ctx<'_, '_>) -> Result<Arc<[Symbol]>> {
    let symbols = match super::object(ctx) {
        Some((fd, _)) => ctx.core.symbols(fd)?,
        None => Arc::default(),
    };
    super::warn(ctx);
    Ok(symbols)
}

fn list(ctx: &mut Ctx<'_, '_>, table: &Table, shown: impl Fn(&Symbol) -> bool + Clone) -> Result<()> {
    let symbols = symbols(ctx)?;
    let demangle = ctx.option_bool("bin.demangle");
    let rows = symbols.iter().filter(|symbol| shown(symbol)).map(|symbol| Shown { symbol, demangle });
    table.print(ctx.out, rows)
}

fn imports(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let symbols = symbols(ctx)?;
    let demangle = ctx.option_bool("bin.demangle");
    let rows = symbols.iter().filter(|symbol| symbol.imported).map(|symbol| ImportRow {
        ordinal: symbol.ordinal,
        bind: bind_name(symbol.bind),
        kind: kind_name(symbol.kind),
        name: symbol.demangled().filter(|_| demangle).map_or(Cow::Borrowed(&*symbol.name), Cow::Owned),
        plt: symbol.vaddr,
        libname: symbol.library.as_deref(),
        real: &symbol.name,
    });
    IMPORTS.print(ctx.out, rows)
}

fn demangle_name(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    const LANGUAGES: [&str; 5] = ["auto", "c++", "cxx", "rust", "msvc"];
    let language = ctx.word(0).unwrap_or_default();
    if !LANGUAGES.contains(&language) {
        return Err(Error::new(Kind::Usage, format!("no language '{}' to demangle", visible(language)))
            .hint("c++, rust, msvc or auto"));
    }
    let name = ctx.word(1).unwrap_or_default().to_string();
    let demangled = demangle::demangle(&name);
    ctx.out.line(visible(demangled.as_deref().unwrap_or(&name)))
}
