//! Breakpoints in what is not loaded yet: they wait by the name of their symbol, or their module and offset, and are
//! set when the dynamic loader says that it has loaded something (`_dl_debug_state`, the rendezvous of debuggers).

use super::{Debugged, Mark, debugged};
use crate::debug::{BreakpointId, Module, Place, Reason, Resume, Spec, Stop, modules};
use crate::error::{Error, Kind, Result};
use crate::output::{Out, visible};
use crate::session::{Core, Session, View};

/// What the loader calls when its list has changed.
const LOADER: &str = "_dl_debug_state";

/// What a breakpoint waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// A symbol.
    Symbol(String),
    /// A file, by its name or path, and an offset behind its first address.
    Offset(String, u64),
}

impl Waiting {
    /// One that the user said nothing else about.
    pub fn new(wanted: Wanted, spec: Spec) -> Waiting {
        let mark = Mark { name: wanted.to_string(), ..Mark::default() };
        Waiting { wanted, spec, mark }
    }
}

impl std::fmt::Display for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Wanted::Symbol(name) => f.write_str(name),
            Wanted::Offset(module, offset) => write!(f, "{module}+0x{offset:x}"),
        }
    }
}

/// A breakpoint that waits.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// For what.
    pub wanted: Wanted,
    /// What it will be; its address counts for nothing.
    pub spec: Spec,
    /// What the user said about it.
    pub mark: Mark,
}

/// The module called `name`: by its path, or the last part of it.
pub fn module<'a>(modules: &'a [Module], name: &str) -> Option<&'a Module> {
    let fits = |path: &str| path == name || path.rsplit('/').next() == Some(name);
    modules.iter().find(|module| fits(&module.path))
}

/// Where it is, if it is loaded.
fn place(core: &mut Core, view: &View, wanted: &Wanted) -> Result<Option<u64>> {
    Ok(match wanted {
        Wanted::Symbol(name) => core.symbol_of_process(name),
        Wanted::Offset(name, offset) => {
            let debugged = debugged(core, view)?;
            let process = debugged.thread()?.process;
            let modules = debugged.target.modules(process)?;
            module(&modules, name).map(|module| module.start.unwrap_or(module.bias).wrapping_add(*offset))
        }
    })
}

/// Lets a breakpoint wait. Fails when nothing that is loaded later would be noticed: the program has no loader.
pub fn wait(core: &mut Core, view: &View, waiting: Waiting) -> Result<()> {
    if !watch_loader(core, view)? {
        return Err(Error::new(
            Kind::NotFound,
            format!("nothing is called '{}'", visible(&waiting.wanted.to_string())),
        )
        .hint("the program loads no libraries; 'is' lists its symbols"));
    }
    debugged(core, view)?.notes.waiting.push(waiting);
    Ok(())
}

/// Sets the breakpoint at which the loader shows up. `false`: there is no loader.
fn watch_loader(core: &mut Core, view: &View) -> Result<bool> {
    let debugged_now = debugged(core, view)?;
    let process = debugged_now.thread()?.process;
    if let Some(id) = debugged_now.notes.loader
        && debugged_now.target.breakpoints()?.iter().any(|found| found.id == id)
    {
        return Ok(true);
    }
    let told = modules::loader_stop(debugged_now.target, process);
    let address = match told {
        Some(address) => Some(address),
        None => core.symbol_of_process(LOADER),
    };
    let Some(address) = address else { return Ok(false) };
    let debugged = debugged(core, view)?;
    debugged.notes.loader = Some(debugged.target.insert(&Spec::at(address))?);
    Ok(true)
}

/// Deals with a stop at the loader: sets what waited for what it loaded. `true`: nothing else was the reason, so the
/// process goes on.
pub fn at_loader(session: &mut Session, out: &mut Out<'_>, stop: &Stop) -> Result<bool> {
    let Reason::Breakpoint { ids, .. } = &stop.reason else { return Ok(false) };
    let loader = session.with(|core, view| Ok::<_, Error>(debugged(core, view)?.notes.loader))?;
    let Some(loader) = loader.filter(|loader| ids.contains(loader)) else { return Ok(false) };
    let lines = session.with(resolve)?;
    lines.iter().for_each(|line| out.note(line));
    Ok(ids.iter().all(|id| *id == loader))
}

/// Sets the breakpoints whose places are known now. Returns what there is to tell.
fn resolve(core: &mut Core, view: &mut View) -> Result<Vec<String>> {
    let waiting = std::mem::take(&mut debugged(core, view)?.notes.waiting);
    let mut lines = Vec::new();
    let mut left = Vec::new();
    for one in waiting {
        match place(core, view, &one.wanted) {
            Ok(Some(address)) => {
                let place = match one.spec.place {
                    Place::Hardware { .. } => Place::Hardware { address },
                    _ => Place::Software { address },
                };
                let debugged = debugged(core, view)?;
                let name = one.mark.name.clone();
                lines.push(format!("{} is loaded: breakpoint at 0x{address:x}", visible(&name)));
                match debugged.target.insert(&Spec { place, ..one.spec }) {
                    Ok(id) => drop(debugged.notes.marks.insert(id, one.mark)),
                    Err(error) => lines.push(format!("the breakpoint {} cannot be set: {error}", visible(&name))),
                }
            }
            _ => left.push(one),
        }
    }
    let debugged = debugged(core, view)?;
    debugged.notes.waiting = left;
    if debugged.notes.waiting.is_empty()
        && let Some(id) = debugged.notes.loader.take()
    {
        debugged.target.remove(id)?;
    }
    Ok(lines)
}

/// Whether `plan` lets everything run: then a stop at the loader is passed over.
pub fn runs_on(plan: &[Resume]) -> bool {
    plan.iter().all(|resume| matches!(resume.action, crate::debug::Action::Continue))
}

/// Whether `id` is a breakpoint of the debugger's own, which is not listed.
pub fn is_own(debugged: &Debugged<'_>, id: BreakpointId) -> bool {
    debugged.notes.loader == Some(id)
}
