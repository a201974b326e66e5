//! What the client has said about itself.

use crate::debug::signals;
use crate::protocol::rsp::reply::Errors;
use crate::protocol::rsp::session::{Feature, Support};
use crate::protocol::rsp::signal;

/// What the client can do and wants.
#[derive(Debug, Clone, Default)]
pub struct Client {
    /// Threads are named with their processes.
    pub multiprocess: bool,
    /// It knows that stops at traps have the program counter on them.
    pub swbreak: bool,
    /// The same for debug registers.
    pub hwbreak: bool,
    /// It follows forks.
    pub fork: bool,
    /// It follows vforks.
    pub vfork: bool,
    /// It follows execs.
    pub exec: bool,
    /// It knows the stop without a thread.
    pub no_resumed: bool,
    /// It speaks LLDB's dialect.
    pub lldb: bool,
    /// Signals have the numbers of the system, not the protocol's: so LLDB reads them from whoever knows thread
    /// suffixes.
    pub native_signals: bool,
    /// Stops list all threads.
    pub lists_threads: bool,
    /// How it is told errors.
    pub errors: Errors,
    /// The server is to outlive its processes.
    pub extended: bool,
    /// Events stop their thread alone.
    pub non_stop: bool,
}

impl Client {
    /// Takes what `qSupported` says.
    pub fn learn(&mut self, features: &[Feature]) {
        let has = |name: &str| features.iter().any(|feature| feature.name == name && feature.value == Support::Yes);
        self.multiprocess = has("multiprocess");
        self.swbreak = has("swbreak");
        self.hwbreak = has("hwbreak");
        self.fork = has("fork-events");
        self.vfork = has("vfork-events");
        self.exec = has("exec-events");
        self.no_resumed = has("no-resumed");
        if has("error-message") {
            self.errors = Errors::Messages;
        }
    }

    /// The number of Linux's signal `number` to this client.
    pub fn signal(&self, number: i32) -> u8 {
        match u8::try_from(number) {
            Ok(same) if self.native_signals => same,
            _ => signal::from_linux(number),
        }
    }

    /// Linux's number of what is signal `number` to this client; `None`: Linux has no such signal.
    pub fn to_linux(&self, number: u8) -> Option<i32> {
        match self.native_signals {
            true => Some(i32::from(number)).filter(|number| *number <= signals::LAST),
            false => signal::to_linux(number),
        }
    }

    /// Whether the program counter after a trap has to be behind it, because nothing else is expected.
    pub fn expects_pc_behind_traps(&self) -> bool {
        !self.swbreak && !self.lldb
    }
}

/// What is offered in reply: everything that works.
pub fn offer(packet: usize, disabled: &[String], conditions: bool, non_stop: bool) -> Vec<Feature> {
    const NAMES: [&str; 32] = [
        "QStartNoAckMode",
        "multiprocess",
        "vContSupported",
        "swbreak",
        "hwbreak",
        "fork-events",
        "vfork-events",
        "exec-events",
        "no-resumed",
        "QThreadEvents",
        "QPassSignals",
        "QProgramSignals",
        "QCatchSyscalls",
        "QNonStop",
        "QDisableRandomization",
        "QStartupWithShell",
        "QEnvironmentHexEncoded",
        "QEnvironmentUnset",
        "QEnvironmentReset",
        "QSetWorkingDir",
        "ConditionalBreakpoints",
        "qXfer:features:read",
        "qXfer:auxv:read",
        "qXfer:libraries-svr4:read",
        "qXfer:threads:read",
        "qXfer:exec-file:read",
        "qXfer:siginfo:read",
        "qXfer:siginfo:write",
        "qXfer:osdata:read",
        "binary-upload",
        "error-message",
        "qEcho",
    ];
    let size = Feature { name: "PacketSize".into(), value: Support::Value(format!("{packet:x}")) };
    let lldb = ["QThreadSuffixSupported", "QListThreadsInStopReply"];
    let named = NAMES.iter().chain(&lldb).filter(|name| match **name {
        "ConditionalBreakpoints" => conditions,
        "QNonStop" => non_stop,
        name => !disabled.iter().any(|disabled| disabled == name),
    });
    std::iter::once(size).chain(named.map(|name| Feature::yes(name))).collect()
}
