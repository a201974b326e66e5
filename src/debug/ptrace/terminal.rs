//! The terminal that a program shares with its debugger: the program's while it runs, the debugger's while it does
//! not. All of it happens on the tracer's thread, which blocks SIGTTOU.

use std::io::IsTerminal;

use rustix::process::{Pid, getpgrp};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr, tcsetpgrp};

use super::sys::Tid;

/// Who has it, and how each left it.
#[derive(Default)]
pub struct Terminal {
    /// The program's process group, if it gets the terminal.
    program: Option<Pid>,
    ours: Option<Termios>,
    theirs: Option<Termios>,
    lent: bool,
}

impl Terminal {
    /// The program `pid` was started to have the terminal, and has put itself in front.
    pub fn adopt(&mut self, pid: Tid) {
        let input = std::io::stdin();
        if !input.is_terminal() {
            return;
        }
        self.program = Pid::from_raw(pid);
        self.ours = tcgetattr(&input).ok();
        self.lent = true;
        self.take_back();
    }

    /// The program is about to run.
    pub fn hand_over(&mut self) {
        let Some(program) = self.program.filter(|_| !self.lent) else { return };
        let input = std::io::stdin();
        // Only the one in front can give it away; behind a shell's `&` nobody asks for it.
        if tcgetpgrp(&input).ok() != Some(getpgrp()) {
            return;
        }
        self.ours = tcgetattr(&input).ok();
        if let Some(theirs) = &self.theirs {
            let _ = tcsetattr(&input, OptionalActions::Drain, theirs);
        }
        self.lent = tcsetpgrp(&input, program).is_ok();
    }

    /// The program has stopped.
    pub fn take_back(&mut self) {
        if !std::mem::take(&mut self.lent) {
            return;
        }
        let input = std::io::stdin();
        self.theirs = tcgetattr(&input).ok();
        // Without the terminal the prompt cannot read; there is nothing else to try.
        let _ = block_background_stop(|| {
            tcsetpgrp(&input, getpgrp())?;
            match &self.ours {
                Some(ours) => tcsetattr(&input, OptionalActions::Drain, ours),
                None => Ok(()),
            }
        });
    }

    /// The program `pid` is not ours any more.
    pub fn release(&mut self, pid: Tid) {
        if self.program == Pid::from_raw(pid) {
            self.take_back();
            *self = Terminal::default();
        }
    }
}

/// Who is in the background and takes the terminal is stopped by SIGTTOU, unless that is blocked.
fn block_background_stop<R>(work: impl FnOnce() -> R) -> R {
    // SAFETY: a set on the stack, and this thread's own mask.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGTTOU);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
    }
    work()
}
