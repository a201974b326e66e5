//! What the two ends agree on, and what the server tells about itself and its machine.

use super::wire::{Cursor, hex_number, push, push_hex, push_number, unhex};
use super::{Parsed, Refusal};

/// Something that an end can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feature {
    /// Its name.
    pub name: String,
    /// Whether, or how much.
    pub value: Support,
}

/// What an end says about a feature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Support {
    /// `+`
    Yes,
    /// `-`
    No,
    /// `?`: try it.
    Perhaps,
    /// `=`: a value.
    Value(String),
}

impl Feature {
    /// A feature that is there.
    pub fn yes(name: &str) -> Feature {
        Feature { name: name.to_string(), value: Support::Yes }
    }

    /// Reads a list, as requests and replies have it. What is no feature is passed over.
    pub fn parse(list: &[u8]) -> Vec<Feature> {
        let one = |field: &[u8]| {
            let text = std::str::from_utf8(field).ok()?;
            let (name, value) = match text.split_once('=') {
                Some((name, value)) => (name, Support::Value(value.to_string())),
                None => match text.split_at_checked(text.len().checked_sub(1)?)? {
                    (name, "+") => (name, Support::Yes),
                    (name, "-") => (name, Support::No),
                    (name, "?") => (name, Support::Perhaps),
                    _ => return None,
                },
            };
            (!name.is_empty()).then(|| Feature { name: name.to_string(), value })
        };
        list.split(|byte| *byte == b';').filter_map(one).collect()
    }

    /// Appends a list.
    pub fn print(features: &[Feature], out: &mut Vec<u8>) {
        for (index, feature) in features.iter().enumerate() {
            if index > 0 {
                out.push(b';');
            }
            push(out, &feature.name);
            match &feature.value {
                Support::Yes => out.push(b'+'),
                Support::No => out.push(b'-'),
                Support::Perhaps => out.push(b'?'),
                Support::Value(value) => push(out, &format!("={value}")),
            }
        }
    }
}

/// Requests about the session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Session {
    /// `qSupported`, with what the client can do.
    Supported(Vec<Feature>),
    /// `QStartNoAckMode`.
    NoAcknowledgements,
    /// `!`: the server outlives its processes, and starts new ones.
    Extended,
    /// `QEnableErrorStrings` (LLDB): errors may have a text.
    ErrorStrings,
    /// `QThreadSuffixSupported` (LLDB).
    ThreadSuffix,
    /// `QListThreadsInStopReply` (LLDB).
    ListThreads,
    /// `QSetDetachOnError` (LLDB): what becomes of processes when the client is lost.
    DetachOnError(bool),
    /// `qEcho` (LLDB).
    Echo(Vec<u8>),
    /// `qRcmd`: a line for the server's own interpreter.
    Monitor(Vec<u8>),
    /// `qSymbol`: the client would look up symbols.
    Symbol,
    /// `qHostInfo` (LLDB).
    Host,
    /// `qProcessInfo` (LLDB): the current process.
    ProcessInfo,
    /// `qProcessInfoPID` (LLDB): any process.
    ProcessInfoOf(u64),
    /// `qGetWorkingDir` (LLDB).
    Directory,
    /// `qVAttachOrWaitSupported` (LLDB).
    AttachOrWait,
    /// `qShlibInfoAddr` (LLDB): the address of the loader's list.
    LoaderList,
    /// `jGetLoadedDynamicLibrariesInfos` (LLDB), with its arguments.
    Libraries(Vec<u8>),
    /// `qFileLoadAddress` (LLDB).
    LoadAddress(String),
}

const NAMES: [(&str, Session); 10] = [
    ("QStartNoAckMode", Session::NoAcknowledgements),
    ("!", Session::Extended),
    ("QEnableErrorStrings", Session::ErrorStrings),
    ("QThreadSuffixSupported", Session::ThreadSuffix),
    ("QListThreadsInStopReply", Session::ListThreads),
    ("qHostInfo", Session::Host),
    ("qProcessInfo", Session::ProcessInfo),
    ("qGetWorkingDir", Session::Directory),
    ("qVAttachOrWaitSupported", Session::AttachOrWait),
    ("qShlibInfoAddr", Session::LoaderList),
];

pub(super) fn parse(packet: &[u8]) -> Parsed<Session> {
    if let Some((_, request)) = NAMES.iter().find(|(name, _)| name.as_bytes() == packet) {
        return Some(Ok(request.clone()));
    }
    let after = |prefix: &str| Cursor::after(packet, prefix).map(|cursor| cursor.rest());
    if let Some(rest) = after("qSupported") {
        return Some(match rest {
            [] => Ok(Session::Supported(Vec::new())),
            [b':', list @ ..] => Ok(Session::Supported(Feature::parse(list))),
            _ => Err(Refusal::Unknown),
        });
    }
    if let Some(switch) = after("QSetDetachOnError:") {
        return Some(super::thread::switch(&Cursor::new(switch)).map(Session::DetachOnError));
    }
    after("qEcho:")
        .map(|bytes| Ok(Session::Echo(bytes.to_vec())))
        .or_else(|| after("qRcmd,").map(|digits| unhex(digits).map(Session::Monitor)))
        .or_else(|| after("qSymbol:").filter(|rest| rest.contains(&b':')).map(|_| Ok(Session::Symbol)))
        .or_else(|| {
            let digits = after("qProcessInfoPID:")?;
            Some(hex_number(digits).map(Session::ProcessInfoOf).ok_or(Refusal::Malformed))
        })
        .or_else(|| after("jGetLoadedDynamicLibrariesInfos:").map(|bytes| Ok(Session::Libraries(bytes.to_vec()))))
        .or_else(|| after("qFileLoadAddress:").map(|digits| super::file::path(digits).map(Session::LoadAddress)))
}

impl Session {
    pub(super) fn print(&self, out: &mut Vec<u8>) {
        match self {
            Session::Supported(features) => {
                push(out, "qSupported");
                if !features.is_empty() {
                    out.push(b':');
                    Feature::print(features, out);
                }
            }
            Session::DetachOnError(on) => push(out, if *on { "QSetDetachOnError:1" } else { "QSetDetachOnError:0" }),
            Session::Echo(bytes) => {
                push(out, "qEcho:");
                out.extend_from_slice(bytes);
            }
            Session::Monitor(line) => {
                push(out, "qRcmd,");
                push_hex(out, line);
            }
            Session::Symbol => push(out, "qSymbol::"),
            Session::ProcessInfoOf(process) => {
                push(out, "qProcessInfoPID:");
                push_number(out, *process);
            }
            Session::Libraries(arguments) => {
                push(out, "jGetLoadedDynamicLibrariesInfos:");
                out.extend_from_slice(arguments);
            }
            Session::LoadAddress(path) => {
                push(out, "qFileLoadAddress:");
                push_hex(out, path.as_bytes());
            }
            plain => {
                if let Some((name, _)) = NAMES.iter().find(|(_, request)| request == plain) {
                    push(out, name);
                }
            }
        }
    }
}
