//! What the session knows goes into an analysis, and what that finds comes back: functions and their flags.

use crate::analysis::memory::{Extent, Memory, Source};
use crate::analysis::step::{Stepper, stepper};
use crate::analysis::whole::{Program, Seeds, never_returns};
use crate::analysis::{Analysis, Frame, Function, Origin, frame, unwind};
use crate::binary::Object;
use crate::error::{Error, Kind, Result};
use crate::io::Latency;
use crate::output::Cancel;
use crate::session::scope::{self, Scope};
use crate::session::{Core, Ctx, View, disassembly};

/// The flagspace of functions.
pub const SPACE: &str = "functions";
/// The largest table for unwinding that is read, in bytes.
const TABLE_LIMIT: u64 = 64 << 20;
/// Code that is sent for ahead of an analysis of everything, in bytes.
const AHEAD: u64 = 64 << 20;

/// The session's address space as the client sees it.
struct Space<'a> {
    core: &'a mut Core,
    view: &'a View,
}

impl Source for Space<'_> {
    fn read(&mut self, address: u64, buffer: &mut [u8]) -> Result<()> {
        Scope { core: self.core, view: self.view }.read(address, buffer).map(|_| ())
    }
}

/// What an analysis works with; the analysis itself is taken out of the core for as long.
pub struct Tools<'t, 'm> {
    /// What is known and found.
    pub analysis: &'t mut Analysis,
    /// Code and data.
    pub memory: &'t mut Memory<'m>,
    /// Ends it.
    pub cancel: &'t Cancel,
}

/// Runs `work` with the analysis and the memory of the session.
pub fn with_tools<R>(ctx: &mut Ctx<'_, '_>, work: impl FnOnce(Tools<'_, '_>) -> Result<R>) -> Result<R> {
    let (code, mapped) = extents(ctx);
    let cancel = ctx.out.cancel().clone();
    let mut analysis = std::mem::take(&mut ctx.core.analysis);
    let mut space = Space { core: ctx.core, view: ctx.view };
    let mut memory = Memory::new(&mut space, code, mapped);
    let outcome = work(Tools { analysis: &mut analysis, memory: &mut memory, cancel: &cancel });
    ctx.core.analysis = analysis;
    outcome
}

/// The stepper for the client's architecture.
pub fn stepper_for(ctx: &Ctx<'_, '_>) -> Result<Box<dyn Stepper>> {
    stepper(&disassembly::settings(ctx.core, ctx.view))
}

/// Which addresses hold code, and which hold anything.
fn extents(ctx: &mut Ctx<'_, '_>) -> (Vec<Extent>, Vec<Extent>) {
    let settings = scope::settings(ctx.core, ctx.view);
    let object = ctx.core.current_object();
    let physical = !settings.virtual_addresses || settings.descriptor.is_some();
    if physical {
        let all = vec![Extent { first: 0, last: u64::MAX }];
        return (all.clone(), all);
    }
    // Sections say more exactly than maps what is code.
    let sections: Vec<Extent> = object
        .iter()
        .flat_map(|(_, object)| &object.sections)
        .filter(|section| section.loaded && section.access.execute && section.vsize > 0)
        .map(|section| Extent { first: section.vaddr, last: section.vaddr.saturating_add(section.vsize - 1) })
        .collect();
    let (mut code, mut mapped) = (sections, Vec::new());
    let described = object.filter(|_| !code.is_empty()).map(|(fd, _)| fd);
    let mut next = Some(0u64);
    while let Some(first) = next {
        let (target, length) = ctx.core.io.space.piece(first, u64::MAX);
        let last = first + (length - 1);
        if let Some((fd, _, access)) = target {
            mapped.push(Extent { first, last });
            if access.execute && Some(fd) != described {
                code.push(Extent { first, last });
            }
        }
        next = last.checked_add(1);
    }
    (joined(code), joined(mapped))
}

/// The same addresses in rising, disjoint stretches.
fn joined(mut extents: Vec<Extent>) -> Vec<Extent> {
    extents.sort_by_key(|extent| extent.first);
    let mut joined: Vec<Extent> = Vec::new();
    for extent in extents {
        match joined.last_mut() {
            Some(before) if before.last.saturating_add(1) >= extent.first => before.last = before.last.max(extent.last),
            _ => joined.push(extent),
        }
    }
    joined
}

/// What the open file says about functions.
pub fn seeds(ctx: &mut Ctx<'_, '_>) -> Result<Seeds> {
    let mut seeds = Seeds::default();
    ctx.core.complete_flags();
    // Analysis reads all of the code; the strings beside it are no more.
    let far = ctx.core.io.descriptors().filter(|descriptor| descriptor.info().latency == Latency::Remote);
    let files: Vec<u32> = far.map(|descriptor| descriptor.fd).collect();
    for fd in files {
        if let Some(object) = ctx.core.object(fd) {
            ctx.core.name_strings(fd, &object, true);
        }
    }
    let Some((fd, object)) = ctx.core.current_object() else {
        seeds.immediates = true;
        name_known(ctx, &mut seeds);
        return Ok(seeds);
    };
    seeds.immediates = !object.pic;
    for symbol in ctx.core.symbols(fd)?.iter() {
        ctx.out.cancel().check()?;
        if symbol.vaddr == 0 {
            continue;
        }
        if symbol.imported {
            // Only stubs are code; an imported variable is not.
            if object.section_at(symbol.vaddr).is_some_and(|section| section.access.execute) {
                seeds.starts.add_named(symbol.vaddr, 0);
            }
        } else if symbol.is_function() {
            seeds.starts.add_named(symbol.vaddr, symbol.size);
        } else {
            continue;
        }
        if never_returns(&symbol.name) {
            seeds.noreturn.insert(symbol.vaddr);
        }
    }
    for relocation in ctx.core.relocations(fd)?.iter() {
        if relocation.name.as_deref().is_some_and(never_returns) {
            seeds.noreturn.insert(relocation.vaddr);
        }
    }
    for entry in object.entries.iter().filter(|entry| entry.kind != "tls") {
        seeds.starts.add_named(entry.vaddr, 0);
    }
    if let Some(main) = ctx.core.main_of(fd, &object) {
        seeds.starts.add_named(main, 0);
    }
    for (start, size) in unwound(ctx, &object)? {
        seeds.starts.add(start, size);
    }
    name_known(ctx, &mut seeds);
    Ok(seeds)
}

/// The stretches that the file's tables for unwinding describe.
fn unwound(ctx: &mut Ctx<'_, '_>, object: &Object) -> Result<Vec<(u64, u64)>> {
    let Some(section) = object.section(".eh_frame").filter(|section| section.loaded && section.size <= TABLE_LIMIT)
    else {
        return Ok(Vec::new());
    };
    let text = object.section(".text").map_or(0, |text| text.vaddr);
    let bytes = ctx.read(section.vaddr, section.size)?;
    let code = |address: u64| object.section_at(address).is_some_and(|section| section.access.execute);
    let mut found = unwind::functions(&bytes, section.vaddr, text, (object.bits / 8) as u8, ctx.out.cancel());
    // The linker describes all stubs with one entry, which is no function.
    found.retain(|(start, _)| {
        code(*start) && !object.section_at(*start).is_some_and(|section| section.name.starts_with(".plt"))
    });
    Ok(found)
}

/// Gives the starts the names that flags have there.
fn name_known(ctx: &Ctx<'_, '_>, seeds: &mut Seeds) {
    let starts: Vec<u64> = seeds.starts.iter().map(|(start, _)| start).collect();
    for start in starts {
        if let Some((name, origin)) = name_at(ctx.core, start) {
            seeds.names.insert(start, (name, origin));
        }
    }
}

/// The name that a function at `address` gets from the flags there.
pub fn name_at(core: &Core, address: u64) -> Option<(String, Origin)> {
    let rank = |name: &str| match name {
        "main" => 0,
        _ if name.starts_with("entry") => 1,
        _ if name.starts_with("sym.imp.") => 2,
        _ if name.starts_with("sym.") => 3,
        _ if name.starts_with("fcn.") => 4,
        _ => 9,
    };
    let named = core.flags.at(address).filter(|flag| {
        !matches!(flag.space.as_deref(), Some("sections" | "segments" | "relocs" | "strings" | "search"))
    });
    let name = named.map(|flag| flag.name.as_str()).min_by_key(|name| rank(name))?;
    let origin = if name.starts_with("sym.imp.") { Origin::Import } else { Origin::Symbol };
    Some((name.to_string(), origin))
}

/// Analyses everything. `pointers`: also what only pointers lead to.
pub fn everything(ctx: &mut Ctx<'_, '_>, pointers: bool) -> Result<()> {
    let mut stepper = stepper_for(ctx)?;
    let mut seeds = seeds(ctx)?;
    seeds.pointers = pointers;
    if seeds.starts.is_empty() {
        seeds.starts.add(ctx.view.seek, 0);
    }
    let (code, _) = extents(ctx);
    let settings = scope::settings(ctx.core, ctx.view);
    for extent in code {
        let length = (extent.last - extent.first).saturating_add(1);
        ctx.core.io.will_read(&settings, extent.first, length.min(AHEAD));
    }
    let terminal = ctx.out.is_terminal();
    let mut counts = Vec::new();
    let outcome = with_tools(ctx, |tools| {
        let mut progress = |count: usize| counts.push(count);
        let mut program = Program {
            seeds: &mut seeds,
            memory: tools.memory,
            stepper: &mut *stepper,
            cancel: tools.cancel,
            progress: &mut progress,
        };
        program.run(tools.analysis)
    });
    if terminal && let Some(count) = counts.last() {
        ctx.out.note(format_args!("{count} functions"));
    }
    flag_functions(ctx);
    if ctx.core.analysis.xrefs.is_full() {
        ctx.out.note("warning: there are more references than are kept");
    }
    outcome
}

/// Analyses the function at `address`; with `deep` also those that it calls.
pub fn one(ctx: &mut Ctx<'_, '_>, address: u64, deep: bool) -> Result<()> {
    let mut stepper = stepper_for(ctx)?;
    let mut seeds = seeds(ctx)?;
    let starts: Vec<u64> = ctx.core.analysis.iter().map(|function| function.address).collect();
    starts.into_iter().for_each(|start| seeds.starts.add(start, 0));
    if let Some((name, origin)) = name_at(ctx.core, address) {
        seeds.names.insert(address, (name, origin));
    }
    with_tools(ctx, |tools| {
        let mut program = Program {
            seeds: &mut seeds,
            memory: tools.memory,
            stepper: &mut *stepper,
            cancel: tools.cancel,
            progress: &mut |_| {},
        };
        program.function(tools.analysis, address, deep)
    })?;
    if ctx.core.analysis.function(address).is_none() {
        return Err(Error::new(Kind::NotFound, format!("no code is at 0x{address:08x}"))
            .hint("'om' shows what is mapped executable"));
    }
    flag_functions(ctx);
    Ok(())
}

/// A flag for each function that has none of its name.
fn flag_functions(ctx: &mut Ctx<'_, '_>) {
    let missing: Vec<(String, u64, u64)> = ctx
        .core
        .analysis
        .iter()
        .filter(|function| ctx.core.flags.get(&function.name).is_none())
        .map(|function| (function.name.clone(), function.address, function.size().max(1)))
        .collect();
    for (name, address, size) in missing {
        ctx.core.flags.set(&name, address, size);
        ctx.core.flags.set_space(&name, Some(SPACE));
    }
}

/// The frame of the function at `address`, which is looked at when it is first asked for.
pub fn frame_of(ctx: &mut Ctx<'_, '_>, address: u64) -> Result<()> {
    if ctx.core.analysis.function(address).is_none_or(|function| function.frame.is_some()) {
        return Ok(());
    }
    frames(ctx, |_| vec![address])
}

/// The frames of the functions that have code from `first` to `last`.
pub fn frames_between(ctx: &mut Ctx<'_, '_>, first: u64, last: u64) -> Result<()> {
    let analysis = &ctx.core.analysis;
    let around = analysis.containing(first).map(|function| function.address);
    let starting = analysis.starting_between(first, last).filter(|function| function.frame.is_none());
    let missing: Vec<u64> = around.into_iter().chain(starting.map(|function| function.address)).collect();
    missing.into_iter().try_for_each(|address| frame_of(ctx, address))
}

/// The frames of all functions.
pub fn all_frames(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    frames(ctx, |analysis| analysis.iter().map(|function| function.address).collect())
}

/// The frames of the functions at the addresses that `which` names, as far as they are not known.
fn frames(ctx: &mut Ctx<'_, '_>, which: impl FnOnce(&Analysis) -> Vec<u64>) -> Result<()> {
    let x86 = ctx.option_text("asm.arch").starts_with("x86");
    let (bits, os) = (ctx.option_number("asm.bits") as u32, ctx.option_text("asm.os"));
    with_tools(ctx, |tools| {
        for address in which(tools.analysis) {
            tools.cancel.check()?;
            let Some(function) = tools.analysis.function(address).filter(|function| function.frame.is_none()) else {
                continue;
            };
            let frame = match x86 {
                true => frame::x86(function, tools.memory, bits, &os)?,
                false => Frame::default(),
            };
            if let Some(function) = tools.analysis.function_mut(address) {
                function.frame = Some(frame);
            }
        }
        Ok(())
    })
}

/// The function that `address` belongs to.
pub fn function_at<'a>(ctx: &'a Ctx<'_, '_>, address: u64) -> Result<&'a Function> {
    ctx.core.analysis.containing(address).ok_or_else(|| {
        Error::new(Kind::NotFound, format!("no function is at 0x{address:08x}"))
            .hint("'aa' finds the functions of a program, 'af' one")
    })
}
