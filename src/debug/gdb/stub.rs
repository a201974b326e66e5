//! What a stub can do: what it says of itself, and what was found out by asking.

use std::collections::BTreeMap;

use crate::protocol::rsp::Request;
use crate::protocol::rsp::session::{Feature, Session, Support};

/// Packets of a stub that does not say how long they may be: 1024 bytes with their frame.
const MODEST: usize = 1020;

/// No packet is longer than this, whatever the stub says.
const LARGEST: usize = 512 * 1024;

/// How memory is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reads {
    /// `m`.
    #[default]
    Hex,
    /// `x`, answered by `b` and bytes (GDB 16).
    Binary,
    /// `x`, answered by bytes (LLDB).
    Bare,
}

/// Whether something works; many things are found out by trying.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Works {
    /// Nobody has tried.
    #[default]
    Perhaps,
    /// Yes.
    Yes,
    /// No.
    No,
}

/// The actions of `vCont`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Actions {
    pub continues: bool,
    pub steps: bool,
    pub signals: bool,
    pub ranges: bool,
}

impl Actions {
    /// Reads the reply to `vCont?`.
    pub fn parse(reply: &[u8]) -> Actions {
        let Some(list) = reply.strip_prefix(b"vCont") else { return Actions::default() };
        let has = |action: &[u8]| list.split(|byte| *byte == b';').any(|found| found == action);
        Actions { continues: has(b"c"), steps: has(b"s"), signals: has(b"C") && has(b"S"), ranges: has(b"r") }
    }
}

/// The stub.
#[derive(Debug, Clone, Default)]
pub struct Stub {
    features: BTreeMap<String, Support>,
    /// Most bytes of a packet.
    pub packet: usize,
    /// Threads are named with their processes.
    pub multiprocess: bool,
    /// It takes `vRun` and `vAttach`.
    pub extended: bool,
    /// It says `OK` to everything: nothing but the oldest packets is to be trusted.
    pub naive: bool,
    /// It has one thread and no packets about threads.
    pub threadless: bool,
    /// What `vCont` can do.
    pub actions: Actions,
    pub reads: Reads,
    /// `X`.
    pub writes: Works,
    /// `g`.
    pub all_registers: Works,
    /// `P`.
    pub write_one: Works,
    /// `vFile`.
    pub files: Works,
    /// `qMemoryRegionInfo`.
    pub regions: Works,
    /// `Z0` to `Z4`.
    pub points: [Works; 5],
    /// It is LLDB's.
    pub lldb: bool,
    /// Whether numbers have their highest byte first, if it says so.
    pub big_endian: Option<bool>,
    /// The signals that it was told to pass on without a stop.
    pub passed: Option<Vec<u8>>,
    /// The process, if only LLDB's packets tell it.
    pub process: Option<u32>,
}

impl Stub {
    /// What we offer: `qSupported`.
    pub fn offer() -> Vec<u8> {
        let yes = [
            "multiprocess",
            "swbreak",
            "hwbreak",
            "fork-events",
            "vfork-events",
            "exec-events",
            "vContSupported",
            "QThreadEvents",
            "no-resumed",
            "error-message",
        ];
        let mut features: Vec<Feature> = yes.into_iter().map(Feature::yes).collect();
        // Some describe their registers only to those who name the architecture.
        let value = Support::Value("i386,arm,mips,arc,aarch64,riscv".to_string());
        features.push(Feature { name: "xmlRegisters".to_string(), value });
        Request::Session(Session::Supported(features)).payload()
    }

    /// From the reply to that.
    pub fn answered(reply: &[u8]) -> Stub {
        let features: BTreeMap<String, Support> =
            Feature::parse(reply).into_iter().take(512).map(|feature| (feature.name, feature.value)).collect();
        let mut stub = Stub { features, ..Stub::default() };
        let said = match stub.features.get("PacketSize") {
            // Some print a decimal number there. It is taken as what it must be.
            Some(Support::Value(text)) => usize::from_str_radix(text, 16).ok(),
            _ => None,
        };
        stub.packet = said.unwrap_or(MODEST).clamp(64, LARGEST);
        stub.multiprocess = stub.has("multiprocess");
        // Those who serve both debuggers take us for the one whose packets they see.
        let both = stub.has("binary-upload");
        stub.lldb = stub.has("native-signals") || (stub.has("QThreadSuffixSupported") && !both);
        stub
    }

    /// Whether it says that it has `feature`.
    pub fn has(&self, feature: &str) -> bool {
        self.features.get(feature) == Some(&Support::Yes)
    }

    /// Everything that it said it has, for people.
    pub fn features(&self) -> Vec<String> {
        let shown = self.features.iter().map(|(name, value)| match value {
            Support::Yes => name.clone(),
            Support::No => format!("no {name}"),
            Support::Perhaps => format!("{name}?"),
            Support::Value(value) => format!("{name}={value}"),
        });
        shown.collect()
    }

    /// Most bytes of memory in one read.
    pub fn read_piece(&self) -> usize {
        match self.reads {
            Reads::Hex => (self.packet / 2).saturating_sub(8).max(16),
            _ => self.packet.saturating_sub(16).max(16),
        }
    }

    /// Most bytes of memory in one write.
    pub fn write_piece(&self) -> usize {
        (self.packet / 2).saturating_sub(32).max(8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_as_long_as_the_stub_says_within_reason() {
        assert_eq!(Stub::answered(b"PacketSize=47ff;swbreak+").packet, 0x47ff);
        assert_eq!(Stub::answered(b"").packet, MODEST);
        assert_eq!(Stub::answered(b"PacketSize=ffffffff").packet, LARGEST);
        assert_eq!(Stub::answered(b"PacketSize=1").packet, 64);
        assert!(Stub::answered(b"swbreak+;hwbreak-").has("swbreak"));
        assert!(!Stub::answered(b"swbreak+;hwbreak-").has("hwbreak"));
    }

    #[test]
    fn actions_are_whole_words() {
        let actions = Actions::parse(b"vCont;c;C;s;S;t;r");
        assert_eq!(actions, Actions { continues: true, steps: true, signals: true, ranges: true });
        assert_eq!(Actions::parse(b""), Actions::default());
        assert_eq!(Actions::parse(b"OK"), Actions::default());
        assert_eq!(Actions::parse(b"vCont;cs"), Actions::default());
    }
}
