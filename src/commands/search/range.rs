//! `search.in`: where a search looks.

use crate::binary::Section;
use crate::error::{Error, Kind, Result};
use crate::io::Access;
use crate::io::scan::Extent;
use crate::session::{Ctx, Value, options, scope};

/// The stretches that a search of this client looks at, rising and disjoint.
pub fn extents(ctx: &mut Ctx<'_, '_>) -> Result<Vec<Extent>> {
    let place = ctx.option_text("search.in");
    let (from, to) = (ctx.option_number("search.from"), ctx.option_number("search.to"));
    // All ones stand for no limit.
    let first = if from == u64::MAX { 0 } else { from };
    let last = if to == u64::MAX { Some(u64::MAX) } else { to.checked_sub(1) };
    let Some(limits) = last.filter(|last| *last >= first).map(|last| Extent { first, last }) else {
        return Err(Error::new(Kind::Usage, format!("no address lies from 0x{first:x} to 0x{to:x}"))
            .hint("search.to is the address after the last"));
    };
    if place == "range" && from == u64::MAX && to == u64::MAX {
        return Err(
            Error::new(Kind::Usage, "search.in=range has no range").hint("e search.from=A search.to=B, or @(A B)")
        );
    }
    let mut found = places(ctx, &place)?;
    found.retain_mut(|extent| {
        extent.first = extent.first.max(limits.first);
        extent.last = extent.last.min(limits.last);
        extent.first <= extent.last
    });
    Ok(found)
}

/// The same for searches that look at instructions: of everything that is mapped, what may be executed.
pub fn code(ctx: &mut Ctx<'_, '_>) -> Result<Vec<Extent>> {
    if ctx.option_text("search.in") != "io.maps" {
        return extents(ctx);
    }
    let Some(option) = options::find("search.in") else { return extents(ctx) };
    let before = ctx.view.overrides.clone();
    ctx.view.overrides.put(option, Value::Text("io.maps.x".to_string()));
    let found = extents(ctx);
    ctx.view.overrides = before;
    found
}

fn places(ctx: &mut Ctx<'_, '_>, place: &str) -> Result<Vec<Extent>> {
    let seek = ctx.view.seek;
    let everything = Extent { first: 0, last: u64::MAX };
    let settings = scope::settings(ctx.core, ctx.view);
    let maps = settings.virtual_addresses && settings.descriptor.is_none();
    Ok(match place {
        "range" => vec![everything],
        "block" => vec![Extent { first: seek, last: seek.saturating_add(ctx.view.block_size.max(1) - 1) }],
        "raw" if maps => vec![everything],
        "raw" => vec![whole_file(ctx)?],
        _ if place.starts_with("io.") && !maps => vec![whole_file(ctx)?],
        "io.map" => {
            let map = ctx.core.io.space.at(seek);
            let map = map.ok_or_else(|| Error::new(Kind::NotFound, format!("nothing is mapped at 0x{seek:08x}")))?;
            vec![Extent { first: map.from, last: map.last() }]
        }
        _ if place == "io.maps" || place.starts_with("io.maps.") => {
            let letters = place.strip_prefix("io.maps.").unwrap_or_default();
            mapped(ctx, Access::parse(letters)?)
        }
        "bin.section" => {
            let section = sections(ctx)?.into_iter().find(|(extent, _)| extent.first <= seek && seek <= extent.last);
            let section = section.ok_or_else(|| {
                Error::new(Kind::NotFound, format!("no section lies at 0x{seek:08x}")).hint("'iS' lists the sections")
            })?;
            vec![section.0]
        }
        _ if place == "bin.sections" || place.starts_with("bin.sections.") => {
            let wanted = Access::parse(place.strip_prefix("bin.sections.").unwrap_or_default())?;
            let fitting = sections(ctx)?.into_iter().filter(|(_, access)| fits(*access, wanted));
            disjoint(fitting.map(|(extent, _)| extent).collect(), ctx.option_bool("search.contiguous"))
        }
        _ => {
            let needs = match place.split('.').next() {
                Some("dbg") => "a debugged process",
                _ => "analysed functions",
            };
            return Err(Error::new(Kind::Unsupported, format!("search.in={place} needs {needs}, and there is none"))
                .hint("e search.in=io.maps"));
        }
    })
}

fn whole_file(ctx: &Ctx<'_, '_>) -> Result<Extent> {
    let fd = ctx.view.descriptor.or(ctx.core.io.current());
    let fd = fd.ok_or_else(|| Error::new(Kind::NotFound, "no file is open").hint("open one with 'o'"))?;
    let size = ctx.core.io.descriptor(fd)?.size();
    Ok(Extent { first: 0, last: size.map_or(u64::MAX, |size| size.saturating_sub(1)) })
}

/// Whether `access` has all that `wanted` has.
fn fits(access: Access, wanted: Access) -> bool {
    (access.read || !wanted.read) && (access.write || !wanted.write) && (access.execute || !wanted.execute)
}

/// Where the sections of the current object file lie that are part of memory, and what may be done there. With
/// physical addresses, that is in the file.
fn sections(ctx: &mut Ctx<'_, '_>) -> Result<Vec<(Extent, Access)>> {
    let settings = scope::settings(ctx.core, ctx.view);
    let physical = !settings.virtual_addresses || settings.descriptor.is_some();
    let fd = ctx.view.descriptor.or(ctx.core.io.current());
    let object = fd.and_then(|fd| ctx.core.object(fd)).ok_or_else(|| {
        Error::new(Kind::Unsupported, "search.in=bin.sections needs an object file, and there is none")
            .hint("e search.in=io.maps")
    })?;
    let place = |section: &Section| {
        let (first, size) = if physical { (section.paddr, section.size) } else { (section.vaddr, section.vsize) };
        let last = first.checked_add(size.checked_sub(1)?)?;
        Some((Extent { first, last }, section.access))
    };
    let loaded = object.sections.iter().filter(|section| section.loaded && (section.size > 0 || !physical));
    Ok(loaded.filter_map(place).collect())
}

/// The extents in order, those that lie over one another as one; those that touch too if they are to be joined.
fn disjoint(mut extents: Vec<Extent>, join: bool) -> Vec<Extent> {
    extents.sort_by_key(|extent| extent.first);
    let mut found: Vec<Extent> = Vec::new();
    for extent in extents {
        match found.last_mut() {
            Some(before) if extent.first <= before.last || join && before.last.checked_add(1) == Some(extent.first) => {
                before.last = before.last.max(extent.last);
            }
            _ => found.push(extent),
        }
    }
    found
}

/// What shows of the maps with all of the permissions in `wanted`. Maps that touch are one stretch with
/// `search.contiguous`.
fn mapped(ctx: &Ctx<'_, '_>, wanted: Access) -> Vec<Extent> {
    let join = ctx.option_bool("search.contiguous");
    let mut found: Vec<Extent> = Vec::new();
    let mut next = Some(0);
    while let Some(first) = next {
        let (target, length) = ctx.core.io.space.piece(first, u64::MAX);
        let last = first + (length - 1);
        if target.is_some_and(|(_, _, access)| fits(access, wanted)) {
            match found.last_mut() {
                Some(before) if join && before.last.checked_add(1) == Some(first) => before.last = last,
                _ => found.push(Extent { first, last }),
            }
        }
        next = last.checked_add(1);
    }
    found
}
