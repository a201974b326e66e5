//! Setting a target going, and what it takes until it has done what was asked: steps over breakpoints, steps one by
//! one where the stub does not make many.

use std::time::Instant;

use super::line::Inner;
use super::points::Sight;
use crate::debug::{Action, Deliver, Reason, Resume, Stop, ThreadId, Who};
use crate::error::{Error, Kind, Result};
use crate::output::Cancel;
use crate::protocol::rsp::reply::Reply;
use crate::protocol::rsp::resume::{self, Action as Packet};
use crate::protocol::rsp::thread::{Id, Purpose, Threads};
use crate::protocol::rsp::{self, Request, signal};

/// What was asked for, and how far it is.
pub struct Plan {
    actions: Vec<Resume>,
    /// A thread is led past a breakpoint, and these packets put the breakpoint back.
    over: Option<(ThreadId, Vec<Vec<u8>>)>,
    /// Steps that were made.
    pub done: u64,
    /// The packet that is out makes this thread step.
    pub stepping: Option<ThreadId>,
    /// Signals have been handed out.
    delivered: bool,
}

impl Plan {
    /// The thread that does more than run, and what.
    pub fn driven(&self) -> Option<(ThreadId, &Action)> {
        self.actions.iter().find_map(|resume| match (resume.who, &resume.action) {
            (_, Action::Continue | Action::Stop | Action::ReverseContinue) => None,
            (Who::Thread(thread), action) => Some((thread, action)),
            _ => None,
        })
    }

    /// A signal came that is handed out as it goes on.
    pub fn redeliver(&mut self) {
        // The one that was asked for has been delivered.
        self.actions.iter_mut().for_each(|resume| resume.deliver = Deliver::AsHandled);
        self.delivered = false;
    }

    /// Whether it goes backwards.
    pub fn is_reverse(&self) -> bool {
        self.actions.iter().any(|resume| matches!(resume.action, Action::ReverseStep | Action::ReverseContinue))
    }
}

/// What follows from a stop.
pub enum Next {
    /// It is told.
    Report(Reason),
    /// The target goes on with what was asked.
    Again,
}

impl Inner {
    /// Sets threads going.
    pub fn resume(&mut self, actions: &[Resume]) -> Result<()> {
        self.stopped()?;
        let current = self.current.ok_or_else(|| {
            Error::new(Kind::NotFound, "no process is being debugged").hint("'doo' starts it again, if the stub can")
        })?;
        if actions.is_empty() {
            return Err(Error::new(Kind::Usage, "nothing is to go on"));
        }
        // Who steps is said by its number, as the current one is.
        let one = |resume: &Resume| match (&resume.action, resume.who) {
            (Action::Continue | Action::ReverseContinue, _) | (_, Who::Thread(_)) => resume.clone(),
            _ => Resume { who: Who::Thread(current), ..resume.clone() },
        };
        let plan =
            Plan { actions: actions.iter().map(one).collect(), over: None, done: 0, stepping: None, delivered: false };
        if plan.actions.iter().any(|resume| resume.action == Action::Stop) {
            return Err(crate::debug::cannot("stop threads one by one"));
        }
        let reverse = [(Action::ReverseStep, "ReverseStep"), (Action::ReverseContinue, "ReverseContinue")];
        for (action, feature) in reverse {
            if plan.actions.iter().any(|resume| resume.action == action) && !self.stub.has(feature) {
                return Err(Error::new(Kind::Unsupported, "the stub does not go backwards")
                    .hint("rr and QEMU's record and replay do"));
            }
        }
        // What waited for its place is tried again.
        self.place()?;
        (self.interrupted, self.repeated) = (None, false);
        self.plan = Some(plan);
        let outcome = self.go();
        if outcome.is_err() {
            self.plan = None;
        }
        outcome
    }

    /// Sends what comes next of the plan.
    pub fn go(&mut self) -> Result<()> {
        let Some(mut plan) = self.plan.take() else { return Ok(()) };
        let back = plan.over.take().map(|(_, back)| back).unwrap_or_default();
        let outcome = match self.standing(&plan) {
            Some((thread, address)) => self.step_over(&mut plan, thread, address, back),
            None => self.send_plan(&mut plan, back),
        };
        self.plan = Some(plan);
        outcome
    }

    /// A thread that is to go on and stands at a breakpoint that was told.
    fn standing(&mut self, plan: &Plan) -> Option<(ThreadId, u64)> {
        let candidates: Vec<(ThreadId, u64)> = self
            .points
            .passed
            .iter()
            .map(|(thread, address)| (*thread, *address))
            .filter(|(thread, _)| plan.actions.iter().any(|resume| resume.who.includes(*thread)))
            .collect();
        for (thread, address) in candidates {
            if self.points.is_at(thread.process, address) && self.pc(thread).ok() == Some(address) {
                return Some((thread, address));
            }
            self.points.passed.remove(&thread);
        }
        None
    }

    /// Takes the breakpoint away and steps the thread alone.
    fn step_over(&mut self, plan: &mut Plan, thread: ThreadId, address: u64, before: Vec<Vec<u8>>) -> Result<()> {
        let (mut away, back) = self.lift(thread, address);
        away.splice(0..0, before);
        let reverse = plan.is_reverse();
        let signal = self.signal_for(plan, thread);
        self.points.passed.remove(&thread);
        plan.over = Some((thread, back));
        plan.stepping = Some(thread);
        let action = if reverse { None } else { Some(Packet::Step(signal)) };
        self.send(away, &[(action, Who::Thread(thread))], thread)
    }

    /// Sends the plan itself.
    fn send_plan(&mut self, plan: &mut Plan, before: Vec<Vec<u8>>) -> Result<()> {
        plan.stepping = None;
        let mut packets = Vec::new();
        let current = self.current;
        // Signals of single threads come first: the first action that fits a thread holds for it.
        if !plan.delivered {
            for (thread, _) in self.signals.clone() {
                let Some(resume) = plan.actions.iter().find(|resume| resume.who.includes(thread)).cloned() else {
                    continue;
                };
                let alone = resume.who == Who::Thread(thread);
                if let Some(signal) = self.signal_for(plan, thread)
                    && !alone
                    && resume.action == Action::Continue
                {
                    packets.push((Some(Packet::Continue(Some(signal))), Who::Thread(thread)));
                }
            }
        }
        for resume in plan.actions.clone() {
            let signal = match resume.who {
                Who::Thread(thread) => self.signal_for(plan, thread),
                _ => match resume.deliver {
                    Deliver::Signal(number) if !plan.delivered => Some(self.to_wire(number)),
                    _ => None,
                },
            };
            let step = match (&resume.action, resume.who) {
                (Action::Step { .. } | Action::Until { .. } | Action::ReverseStep, Who::Thread(thread)) => Some(thread),
                (Action::Range { .. }, Who::Thread(thread)) => Some(thread),
                _ => None,
            };
            plan.stepping = plan.stepping.or(step);
            let packet = match resume.action {
                Action::Continue => Some(Packet::Continue(signal)),
                Action::Range { start, end } if self.stub.actions.ranges && signal.is_none() => {
                    Some(Packet::Range { start, end })
                }
                Action::Step { .. } | Action::Until { .. } | Action::Range { .. } => Some(Packet::Step(signal)),
                Action::ReverseStep | Action::ReverseContinue => None,
                Action::Stop => continue,
            };
            packets.push((packet, resume.who));
        }
        plan.delivered = true;
        let driver = plan.stepping.or(current).unwrap_or(ThreadId { process: 1, thread: 1 });
        self.send(before, &packets, driver)
    }

    /// The signal that `thread` gets when it goes on, in the stub's numbers.
    fn signal_for(&self, plan: &Plan, thread: ThreadId) -> Option<u8> {
        if plan.delivered {
            return None;
        }
        let deliver = plan.actions.iter().find(|resume| resume.who.includes(thread))?.deliver;
        let number = match deliver {
            Deliver::Nothing | Deliver::Signal(0) => return None,
            Deliver::Signal(number) => number,
            Deliver::AsHandled => {
                let number = *self.signals.get(&thread)?;
                let pass =
                    usize::try_from(number).ok().and_then(|at| self.handling.get(at)).is_some_and(|how| how.pass);
                if !pass {
                    return None;
                }
                number
            }
        };
        Some(self.to_wire(number))
    }

    /// A signal of Linux in the stub's numbers.
    fn to_wire(&self, number: i32) -> u8 {
        match self.stub.has("native-signals") {
            true => u8::try_from(number).unwrap_or(0),
            false => signal::from_linux(number),
        }
    }

    /// A signal of the stub in Linux's numbers.
    pub fn to_linux(&self, number: u8) -> i32 {
        match self.stub.has("native-signals") {
            true => i32::from(number),
            false => signal::to_linux(number).unwrap_or(i32::from(number)),
        }
    }

    /// Sends packets whose replies are of no interest, then the one that sets the target going.
    fn send(&mut self, before: Vec<Vec<u8>>, packets: &[(Option<Packet>, Who)], driver: ThreadId) -> Result<()> {
        let mut before = before;
        before.extend(self.pass_signals());
        let payload = self.packet(&mut before, packets, driver)?;
        self.forget();
        self.reasons.clear();
        self.signals.clear();
        let mut send = || {
            if !before.is_empty() && !self.connection.pipelines() {
                self.connection.flight(&before)?;
                before.clear();
            }
            before.iter().try_for_each(|packet| self.connection.send(packet))?;
            self.connection.send(&payload)
        };
        let outcome = send();
        self.expected = before.len();
        match outcome {
            Ok(()) => {
                self.running = true;
                Ok(())
            }
            Err(error) => {
                self.note(&error);
                Err(error)
            }
        }
    }

    /// The packet that does it; what has to be chosen for it goes to `before`.
    fn packet(
        &mut self,
        before: &mut Vec<Vec<u8>>,
        packets: &[(Option<Packet>, Who)],
        driver: ThreadId,
    ) -> Result<Vec<u8>> {
        let first = packets.first().ok_or_else(|| Error::new(Kind::Usage, "nothing is to go on"))?;
        let select = |inner: &Inner, thread: rsp::Thread, purpose| {
            (!inner.stub.threadless && !inner.stub.naive)
                .then(|| Request::Threads(Threads::Select(purpose, thread)).payload())
        };
        let Some(packet) = first.0 else {
            let step = self.plan_steps_back(first.1);
            before.extend(select(self, self.wire(driver), Purpose::Resume));
            return Ok(Request::Resume(resume::Resume::Back { step }).payload());
        };
        let actions = self.stub.actions;
        if actions.continues && actions.steps {
            let named = |(packet, who): &(Option<Packet>, Who)| {
                let thread = match who {
                    Who::All => None,
                    Who::Process(process) if self.stub.multiprocess => {
                        Some(rsp::Thread { process: Some(Id::One((*process).into())), thread: Id::All })
                    }
                    Who::Process(_) => None,
                    Who::Thread(thread) if self.stub.threadless => {
                        let _ = thread;
                        None
                    }
                    Who::Thread(thread) => Some(self.wire(*thread)),
                };
                Some(((*packet)?, thread))
            };
            let list = packets.iter().filter_map(named).collect();
            return Ok(Request::Resume(resume::Resume::Continue(list)).payload());
        }
        // The old way: one thread is chosen, and with a step the others stay or run as the stub sees fit.
        let alone = matches!(packet, Packet::Step(_) | Packet::Range { .. });
        let chosen = match first.1 {
            Who::Thread(thread) if alone || packets.len() == 1 => self.wire(thread),
            _ => rsp::Thread { process: None, thread: Id::All },
        };
        if let Some(select) = select(self, chosen, Purpose::Resume) {
            if chosen.thread == Id::All {
                // Some know all threads by 0 alone.
                let replies = self.connection.flight(&[select])?;
                if replies.first().map(|reply| Reply::parse(reply)) != Some(Reply::Ok) {
                    let any = rsp::Thread { process: None, thread: Id::Any };
                    self.connection.exchange(&Request::Threads(Threads::Select(Purpose::Resume, any)).payload())?;
                }
            } else {
                before.push(select);
            }
        }
        let packet = match packet {
            Packet::Range { .. } => Packet::Step(None),
            packet => packet,
        };
        Ok(Request::Resume(resume::Resume::Simple(packet, None)).payload())
    }

    fn plan_steps_back(&self, who: Who) -> bool {
        // A thread is only named for steps.
        matches!(who, Who::Thread(_))
    }

    /// Waits for a stop until `deadline`, at most for one turn.
    pub fn turn(&mut self, deadline: Instant, cancel: &Cancel) -> Result<()> {
        while self.running {
            let reply = match self.connection.receive(deadline, cancel) {
                Ok(Some(reply)) => reply,
                Ok(None) => return Ok(()),
                Err(error) if error.kind() == Kind::Interrupted => return Err(error),
                Err(error) => {
                    self.lose(error.message().to_string());
                    return Ok(());
                }
            };
            if self.expected > 0 {
                self.expected -= 1;
                continue;
            }
            self.event(&reply)?;
            // Who talks without end does not keep others from their turn.
            if Instant::now() >= deadline {
                break;
            }
        }
        Ok(())
    }

    /// After a stop that is the end of a step, or of a step over a breakpoint.
    pub fn stepped(&mut self, thread: ThreadId) -> Next {
        let Some(plan) = &mut self.plan else { return Next::Report(Reason::Step) };
        let over = plan.over.is_some();
        let driven = plan.driven().map(|(driven, action)| (driven, action.clone()));
        let Some((_, action)) = driven.filter(|(driven, _)| *driven == thread) else {
            return if over { Next::Again } else { Next::Report(Reason::Step) };
        };
        plan.done += 1;
        let done = plan.done;
        match action {
            Action::Step { count } if done < count => Next::Again,
            Action::Range { start, end } => match self.pc(thread) {
                Ok(pc) if (start..end).contains(&pc) => Next::Again,
                _ => Next::Report(Reason::Step),
            },
            Action::Until { condition, limit } => {
                let holds = !matches!(condition.evaluate(&mut Sight { inner: self, thread }), Ok(0));
                if holds || (limit > 0 && done >= limit) { Next::Report(Reason::Step) } else { Next::Again }
            }
            _ => Next::Report(Reason::Step),
        }
    }

    /// The plan is over, with this for a reason: breakpoints that were lifted are put back.
    pub fn finish(&mut self, thread: ThreadId, reason: Reason, pc: Option<u64>, core: Option<u32>) -> Result<()> {
        self.put_back()?;
        self.plan = None;
        if self.interrupted.is_some() {
            // It may still be on its way; a stub that stands does not mind.
            self.interrupted = None;
        }
        self.reasons.insert(thread, reason.clone());
        self.stops.push_back(Stop { thread, reason, pc, core });
        Ok(())
    }

    /// Breakpoints that a thread was led past are inserted again.
    pub fn put_back(&mut self) -> Result<()> {
        let back = self.plan.as_mut().and_then(|plan| plan.over.take()).map(|(_, back)| back).unwrap_or_default();
        if !back.is_empty() && self.lost.is_none() && !self.processes.is_empty() {
            self.flight(&back)?;
        }
        Ok(())
    }

    /// What tells the stub which signals are not worth a stop, when that has changed.
    fn pass_signals(&mut self) -> Option<Vec<u8>> {
        if !self.stub.has("QPassSignals") {
            return None;
        }
        let quiet = |(_, how): &(usize, &crate::debug::Handling)| !how.stop && how.pass;
        let numbers = self.handling.iter().enumerate().skip(1).filter(quiet);
        // Some insist on rising numbers.
        let mut list: Vec<u8> =
            numbers.filter_map(|(number, _)| i32::try_from(number).ok()).map(|n| self.to_wire(n)).collect();
        list.sort_unstable();
        list.dedup();
        if self.stub.passed.as_ref() == Some(&list) {
            return None;
        }
        let request = Request::Resume(resume::Resume::PassSignals(list.clone())).payload();
        self.stub.passed = Some(list);
        Some(request)
    }
}
