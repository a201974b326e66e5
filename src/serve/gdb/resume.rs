//! Requests that set the target going.

use super::conversation::{Answer, Conversation, ok};
use crate::debug::{Action as Do, Catch, Deliver, Handling, Resume as Order, Role, ThreadId, Who, signals};
use crate::error::{Error, Kind, Result};
use crate::protocol::rsp::resume::{Action, Resume};
use crate::protocol::rsp::wire::push;
use crate::protocol::rsp::{Id, Thread};

/// SIGTRAP, which is the debugger's own.
const TRAP: i32 = 5;

impl Conversation<'_> {
    pub(super) fn resume(&mut self, request: Resume, out: &mut Vec<u8>) -> Result<Answer> {
        match request {
            Resume::Actions => {
                let abilities = self.stub.with(|target| Ok(target.abilities()))?;
                push(out, "vCont;c;C;s;S");
                if abilities.non_stop {
                    push(out, ";t");
                }
                if abilities.range_step {
                    push(out, ";r");
                }
                Ok(Answer::Reply)
            }
            Resume::Continue(actions) => {
                let orders = actions.iter().map(|(action, thread)| self.order(*action, *thread));
                let orders = orders.collect::<Result<Vec<_>>>()?;
                self.go(&orders, out)
            }
            Resume::Simple(action, address) => self.simple(action, address, out),
            Resume::Back { step } => {
                let thread = self.thread()?;
                if !self.stub.with(|target| Ok(target.abilities().reverse))? {
                    return Err(Error::new(Kind::Unsupported, "the target does not go backwards"));
                }
                let action = if step { Do::ReverseStep } else { Do::ReverseContinue };
                let who = if step { Who::Thread(thread) } else { Who::All };
                self.go(&[Order { who, action, deliver: Deliver::Nothing }], out)
            }
            Resume::Interrupt => {
                self.stub.with(|target| Ok(target.handle()))?.interrupt()?;
                ok(out)
            }
            Resume::NextStop => {
                self.pending.pop_front();
                match self.pending.front() {
                    Some(next) => out.extend_from_slice(next),
                    None => push(out, "OK"),
                }
                Ok(Answer::Reply)
            }
            Resume::NonStop(on) => {
                self.stub.with(|target| {
                    if on && !target.abilities().non_stop {
                        return Err(Error::new(Kind::Unsupported, "threads of this target stop together"));
                    }
                    let mut settings = target.settings();
                    settings.non_stop = on;
                    target.set_settings(&settings)
                })?;
                self.client.non_stop = on;
                ok(out)
            }
            Resume::PassSignals(list) => {
                self.passed = list.into_iter().filter_map(|number| self.client.to_linux(number)).collect();
                self.handle_signals()?;
                ok(out)
            }
            Resume::ProgramSignals(list) => {
                self.delivered = Some(list.into_iter().filter_map(|number| self.client.to_linux(number)).collect());
                self.handle_signals()?;
                ok(out)
            }
            Resume::CatchSyscalls(list) => {
                let calls = match list {
                    None => Catch::Nothing,
                    Some(list) if list.is_empty() => Catch::All,
                    Some(list) => Catch::Some(list.into_iter().map(u64::from).collect()),
                };
                let process = self.thread()?.process;
                self.stub.with(|target| target.catch_calls(Some(process), &calls))?;
                ok(out)
            }
        }
    }

    /// Tells the target which signals stop it: all but those that the client passes.
    pub(super) fn handle_signals(&mut self) -> Result<()> {
        let (passed, delivered) = (&self.passed, &self.delivered);
        let before = self.stub.with(|target| {
            let before = target.signals();
            for number in 1..=signals::LAST {
                let pass = number != TRAP && delivered.as_ref().is_none_or(|list| list.contains(&number));
                let stop = number == TRAP || !passed.contains(&number);
                let handling = Handling { stop, print: stop, pass: pass || !stop };
                if usize::try_from(number).is_ok_and(|at| before.get(at) != Some(&handling)) {
                    target.set_signal(number, handling)?;
                }
            }
            Ok(before)
        })?;
        self.handlings.get_or_insert(before);
        Ok(())
    }

    fn order(&self, action: Action, thread: Option<Thread>) -> Result<Order> {
        let who = match thread {
            None => Who::All,
            Some(Thread { process: None | Some(Id::All), thread: Id::All }) => Who::All,
            Some(Thread { process: Some(Id::One(process)), thread: Id::All }) => {
                Who::Process(process.try_into().map_err(|_| Error::new(Kind::NotFound, "there is no such process"))?)
            }
            // One that is not there is the target's to refuse; asking first would cost each step a round.
            Some(Thread { process: Some(Id::One(process)), thread: Id::One(thread) }) => {
                let process = process.try_into();
                let process = process.map_err(|_| Error::new(Kind::NotFound, "there is no such process"))?;
                Who::Thread(ThreadId { process, thread })
            }
            Some(one) => Who::Thread(self.find(one)?),
        };
        let deliver = |signal: Option<u8>| match signal {
            None | Some(0) => Ok(Deliver::Nothing),
            Some(number) => match self.client.to_linux(number) {
                Some(number) => Ok(Deliver::Signal(number)),
                None => Err(Error::new(Kind::Usage, format!("there is no signal {number} here"))),
            },
        };
        let (action, deliver) = match action {
            Action::Continue(signal) => (Do::Continue, deliver(signal)?),
            Action::Step(signal) => (Do::Step { count: 1 }, deliver(signal)?),
            Action::Range { start, end } => (Do::Range { start, end }, Deliver::Nothing),
            Action::Stop if self.client.non_stop => (Do::Stop, Deliver::Nothing),
            Action::Stop => return Err(Error::new(Kind::Usage, "everything is stopped already")),
        };
        Ok(Order { who, action, deliver })
    }

    /// `c`, `s` and relatives: for the threads that `Hc` has chosen.
    fn simple(&mut self, action: Action, address: Option<u64>, out: &mut Vec<u8>) -> Result<Answer> {
        let chosen = match self.resumed {
            Some(name) if !Conversation::is_many(name) => Some(self.find(name)?),
            _ => None,
        };
        let thread = chosen.map_or_else(|| self.thread(), Ok)?;
        if let Some(address) = address {
            self.jump(thread, address)?;
        }
        let mut order = self.order(action, Some(self.name(thread)))?;
        order.who = Who::Thread(thread);
        let rest = Order { who: Who::All, action: Do::Continue, deliver: Deliver::Nothing };
        match chosen {
            Some(_) => self.go(&[order], out),
            None => self.go(&[order, rest], out),
        }
    }

    fn jump(&mut self, thread: ThreadId, address: u64) -> Result<()> {
        let layout = self.layout(thread)?;
        let pc = layout.role(Role::Pc).ok_or_else(|| Error::new(Kind::Unsupported, "there is no program counter"))?;
        let bytes = address.to_le_bytes();
        let mut bytes = bytes[..pc.bytes().min(8)].to_vec();
        if layout.big_endian {
            bytes.reverse();
        }
        self.stub.with(|target| target.write_register(thread, pc, &bytes))
    }

    fn go(&mut self, orders: &[Order], out: &mut Vec<u8>) -> Result<Answer> {
        if self.handlings.is_none() {
            self.handle_signals()?;
        }
        self.stub.with(|target| target.resume(orders))?;
        self.stub.remember(None);
        if self.client.non_stop { ok(out) } else { Ok(Answer::Running) }
    }

    /// Goes on after a stop that the client is not told.
    pub(super) fn go_on(&mut self) -> Result<()> {
        self.stub.with(|target| {
            if target.is_running() {
                return Ok(());
            }
            let order = Order { who: Who::All, action: Do::Continue, deliver: Deliver::AsHandled };
            target.resume(&[order])
        })
    }
}
