//! A whole program: from all known starts of functions, along every call.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::Analysis;
use super::function::{Function, Origin};
use super::memory::Memory;
use super::starts::Starts;
use super::step::Stepper;
use super::walk::{Walk, Walked};
use super::xrefs::Kind;
use crate::error::Result;
use crate::output::Cancel;

/// Most functions.
const MOST: usize = 1 << 20;
/// How often functions are walked again when what they call turned out not to return, or to start in their middle.
const ROUNDS: usize = 4;

/// What is known before a program is analysed.
#[derive(Debug, Default)]
pub struct Seeds {
    /// Where functions start.
    pub starts: Starts,
    /// Names of functions.
    pub names: HashMap<u64, (String, Origin)>,
    /// Functions, stubs and slots of pointers that do not come back.
    pub noreturn: HashSet<u64>,
    /// Whether numbers in instructions may be addresses: programs that do not move.
    pub immediates: bool,
    /// Whether code that only pointers lead to is taken for functions, too.
    pub pointers: bool,
}

/// An analysis in progress.
pub struct Program<'p, 'm> {
    /// What is known and found.
    pub seeds: &'p mut Seeds,
    /// Code and data.
    pub memory: &'p mut Memory<'m>,
    /// Steps through instructions.
    pub stepper: &'p mut dyn Stepper,
    /// Ends it; what was found stays.
    pub cancel: &'p Cancel,
    /// Is told how many functions were walked, now and then.
    pub progress: &'p mut dyn FnMut(usize),
}

impl Program<'_, '_> {
    /// Walks through everything that is known and what that leads to. Functions that `analysis` has already stay as
    /// they are.
    ///
    /// # Errors
    /// When a device fails or it is cancelled; `analysis` keeps what was found.
    pub fn run(&mut self, analysis: &mut Analysis) -> Result<()> {
        let mut queue: Vec<u64> = self.seeds.starts.iter().map(|(start, _)| start).collect();
        queue.reverse();
        self.walk_all(analysis, &mut queue)?;
        for _ in 0..ROUNDS {
            let again = self.stale(analysis);
            if again.is_empty() {
                break;
            }
            let mut queue = Vec::new();
            for address in again {
                let walked = self.walk(address)?;
                self.keep(analysis, address, walked, &mut queue);
            }
            self.walk_all(analysis, &mut queue)?;
        }
        Ok(())
    }

    /// Walks the function at `address` and those it leads to.
    ///
    /// # Errors
    /// As [`Program::run`].
    pub fn function(&mut self, analysis: &mut Analysis, address: u64, deep: bool) -> Result<()> {
        let walked = self.walk(address)?;
        let mut queue = Vec::new();
        self.seeds.starts.add(address, 0);
        self.keep(analysis, address, walked, &mut queue);
        if deep { self.walk_all(analysis, &mut queue) } else { Ok(()) }
    }

    fn walk_all(&mut self, analysis: &mut Analysis, queue: &mut Vec<u64>) -> Result<()> {
        let mut count = 0;
        while let Some(address) = queue.pop() {
            self.cancel.check()?;
            if analysis.function(address).is_some() || analysis.len() >= MOST || !self.memory.is_code(address) {
                continue;
            }
            let walked = self.walk(address)?;
            self.keep(analysis, address, walked, queue);
            count += 1;
            if count % 256 == 0 {
                (self.progress)(analysis.len());
            }
        }
        Ok(())
    }

    fn walk(&mut self, address: u64) -> Result<Walked> {
        Walk {
            memory: self.memory,
            stepper: self.stepper,
            starts: &self.seeds.starts,
            noreturn: &self.seeds.noreturn,
            immediates: self.seeds.immediates,
            cancel: self.cancel,
        }
        .function(address)
    }

    /// Files what a walk found; what it leads to goes into `queue`.
    fn keep(&mut self, analysis: &mut Analysis, address: u64, walked: Walked, queue: &mut Vec<u64>) {
        if walked.blocks.is_empty() {
            return;
        }
        walked.references.iter().for_each(|reference| analysis.xrefs.add(*reference));
        for callee in walked.callees {
            // Tables know better than calls into the middle of a function.
            if self.seeds.starts.around(callee).is_none_or(|around| around == callee) {
                self.seeds.starts.add(callee, 0);
                queue.push(callee);
            }
        }
        if self.seeds.pointers {
            for pointer in walked.pointers {
                if self.seeds.starts.around(pointer).is_none() && analysis.containing(pointer).is_none() {
                    self.seeds.starts.add(pointer, 0);
                    queue.push(pointer);
                }
            }
        }
        if walked.noreturn {
            self.seeds.noreturn.insert(address);
        }
        let named = self.seeds.names.get(&address).cloned();
        let kept = analysis.function(address).map(|function| (function.name.clone(), function.origin));
        let (name, origin) = kept.or(named).unwrap_or_else(|| (format!("fcn.{address:08x}"), Origin::Found));
        analysis.insert(Function {
            address,
            name,
            origin,
            blocks: walked.blocks,
            noreturn: walked.noreturn,
            cut: walked.cut,
            frame: None,
        });
    }

    /// The functions that hold the start of another, or go on behind a call that does not come back.
    fn stale(&self, analysis: &Analysis) -> BTreeSet<u64> {
        let mut stale = BTreeSet::new();
        for function in analysis.iter() {
            let runs_over = function
                .blocks
                .iter()
                .any(|block| block.address != function.address && analysis.function(block.address).is_some());
            if runs_over && self.seeds.starts.size(function.address).unwrap_or(0) == 0 {
                stale.insert(function.address);
            }
            if function.noreturn {
                for call in analysis.xrefs.to(function.address).filter(|found| found.kind == Kind::Call) {
                    for caller in analysis.all_containing(call.from) {
                        if caller.block_at(call.from).is_some_and(|block| block.last != call.from) {
                            stale.insert(caller.address);
                        }
                    }
                }
            }
        }
        stale
    }
}

/// Names of functions that never return: C's and POSIX's by their standards, others by their libraries' manuals.
pub fn never_returns(name: &str) -> bool {
    const NAMES: &[&str] = &[
        "_Exit",
        "_Unwind_Resume",
        "__assert",
        "__assert_fail",
        "__assert_perror_fail",
        "__assert_rtn",
        "__chk_fail",
        "__cxa_bad_cast",
        "__cxa_bad_typeid",
        "__cxa_call_unexpected",
        "__cxa_pure_virtual",
        "__cxa_rethrow",
        "__cxa_throw",
        "__cxa_throw_bad_array_new_length",
        "__fortify_fail",
        "__libc_start_main",
        "__longjmp_chk",
        "__stack_chk_fail",
        "_exit",
        "_longjmp",
        "abort",
        "err",
        "errx",
        "exit",
        "exit_group",
        "longjmp",
        "pthread_exit",
        "quick_exit",
        "siglongjmp",
        "thrd_exit",
        "verr",
        "verrx",
        "ExitProcess",
        "ExitThread",
        "RaiseFailFastException",
        "__fastfail",
        "rust_begin_unwind",
        "rust_panic",
    ];
    NAMES.contains(&name)
        || name.starts_with("_ZSt9terminatev")
        || name.starts_with("_ZSt") && name.contains("__throw_")
}
