//! rap, the remote protocol of the family: both halves of the codec, bytes to packets and back.
//!
//! All integers are big-endian. There is no framing besides the packets' own heads, so a length that is not
//! believed ends either in a skip of exactly that many bytes or in the end of the connection. Decoders look at the
//! bytes received so far and answer `Ok(None)` when they need more; a length over the limit is reported as soon as
//! the head is there, before anything is collected.

use super::rap2::{self, Op};
use crate::error::{Error, Kind, Result};

/// Bytes of a READ or WRITE that every peer takes.
pub const LEGACY_PACKET: u32 = 4096;
/// Bytes of a command, with its NUL, that every peer takes.
pub const LEGACY_COMMAND: u32 = 4095;
/// Bytes of a command's reply, with its NUL, that every peer takes.
pub const LEGACY_REPLY: u32 = 16384;
/// Bytes of a READ or WRITE that this program takes, and asks for when the peer says that it does too.
pub const PACKET: u32 = 1 << 20;
/// Bytes of a command, and of the reply to a peer that said it is one of ours.
pub const COMMAND: u32 = 1 << 20;
/// Bytes of a reply that a client collects; old servers have no limit of their own.
pub const REPLY: u32 = 16 << 20;
/// Bytes of a path in OPEN without its NUL: a length byte of 255 ends old servers.
pub const PATH: usize = 253;
/// A comment in every dialect: peers that know nothing of [`Capabilities`] answer nothing.
pub const PROBE: &str = "#rap?";
/// The probe with the highest version that this program understands: the hello, which words may follow.
pub const HELLO: &str = "#rap? 2";

const OPEN: u8 = 1;
const READ: u8 = 2;
const WRITE: u8 = 3;
const SEEK: u8 = 4;
const CLOSE: u8 = 5;
const SYSTEM: u8 = 6;
const COMMAND_OPCODE: u8 = 7;
const REPLY_BIT: u8 = 0x80;

/// What a SEEK counts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whence {
    /// The start: moves there.
    Set,
    /// The current position.
    Current,
    /// Asks for the size; the position stays.
    End,
}

/// Which of the two opcodes carried a command; the reply repeats it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// 6, as some versions of the ancestors send it.
    System,
    /// 7.
    Command,
}

impl Verb {
    fn opcode(self) -> u8 {
        match self {
            Verb::System => SYSTEM,
            Verb::Command => COMMAND_OPCODE,
        }
    }
}

/// What a client sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request<'a> {
    /// Open `path` (any URI); bit 2 of `flags` asks for writing.
    Open {
        /// Permission bits: 4 read, 2 write, 1 execute.
        flags: u8,
        /// The path without its NUL.
        path: &'a [u8],
    },
    /// Read `count` bytes at the position, which stays.
    Read {
        /// Bytes.
        count: u32,
    },
    /// Write at the position, which stays.
    Write {
        /// The bytes.
        data: &'a [u8],
    },
    /// Move, or ask for position or size.
    Seek {
        /// What `offset` counts from.
        whence: Whence,
        /// Bytes.
        offset: u64,
    },
    /// Close what an OPEN opened.
    Close {
        /// The number from the reply to OPEN.
        fd: u32,
    },
    /// Run a line.
    Command {
        /// The opcode that carried it.
        verb: Verb,
        /// The line without its NUL.
        text: &'a [u8],
    },
    /// The answer to a reverse command (a server's keep-alive).
    Answer {
        /// What the client's command printed.
        text: &'a [u8],
    },
    /// A WRITE or command longer than the limits: `length` bytes follow that were not looked at.
    Oversized {
        /// Which packet.
        opcode: u8,
        /// Bytes still to be skipped.
        length: u32,
    },
}

/// The longest payloads that a decoder believes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a READ's or WRITE's data.
    pub data: u32,
    /// Bytes of a command or of its reply.
    pub text: u32,
}

impl Limits {
    /// What a server takes from a client.
    pub const SERVER: Limits = Limits { data: PACKET, text: COMMAND };
    /// What a client takes from a server.
    pub const CLIENT: Limits = Limits { data: PACKET, text: REPLY };
}

impl<'a> Request<'a> {
    /// The first request in `bytes` and its length, or `None` while it is incomplete.
    ///
    /// # Errors
    /// [`Kind::Protocol`] for a packet that is none: nothing after it can be understood.
    pub fn decode(bytes: &'a [u8], limits: Limits) -> Result<Option<(Request<'a>, usize)>> {
        let mut cursor = Cursor { bytes, at: 0 };
        let request = match cursor.request(limits) {
            Some(request) => request?,
            None => return Ok(None),
        };
        Ok(Some((request, cursor.at)))
    }

    /// Appends the packet to `out`. Paths and commands get the NUL that the ancestors count.
    ///
    /// # Errors
    /// [`Kind::Limit`] for a path beyond [`PATH`], [`Kind::Usage`] for a text that holds a NUL.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        match *self {
            Request::Open { flags, path } => {
                if path.len() > PATH {
                    return Err(Error::new(Kind::Limit, format!("the path has {} bytes", path.len()))
                        .hint(format!("rap carries at most {PATH}")));
                }
                no_nul(path)?;
                out.extend([OPEN, flags, path.len() as u8 + 1]);
                out.extend(path);
                out.push(0);
            }
            Request::Read { count } => head(out, READ, count),
            Request::Write { data } => {
                head(out, WRITE, length(data)?);
                out.extend(data);
            }
            Request::Seek { whence, offset } => {
                out.extend([SEEK, whence as u8]);
                out.extend(offset.to_be_bytes());
            }
            Request::Close { fd } => head(out, CLOSE, fd),
            Request::Command { verb, text } => {
                no_nul(text)?;
                text_packet(out, verb.opcode(), text)?;
            }
            Request::Answer { text } => {
                no_nul(text)?;
                text_packet(out, COMMAND_OPCODE | REPLY_BIT, text)?;
            }
            Request::Oversized { opcode, length } => head(out, opcode, length),
        }
        Ok(())
    }
}

/// What a server sends: the head of a packet. After READ, CMD and a reverse command follow `length` bytes, which
/// the reader may take straight to where they belong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// To OPEN: a descriptor number, or -1.
    Open {
        /// The number.
        fd: i32,
    },
    /// To READ.
    Read {
        /// Bytes that follow.
        length: u32,
    },
    /// To WRITE: bytes written, or -1. Old servers say 1 for success.
    Write {
        /// The count.
        result: i32,
    },
    /// To SEEK.
    Seek {
        /// Position, or size.
        position: u64,
    },
    /// To CLOSE: 0, or -1.
    Close {
        /// The outcome.
        result: i32,
    },
    /// To a command.
    Command {
        /// The opcode of the request.
        verb: Verb,
        /// Bytes that follow, with the NUL.
        length: u32,
    },
    /// Not a reply: the server asks its waiting client to run a command.
    Reverse {
        /// Bytes that follow, with the NUL.
        length: u32,
    },
}

impl Reply {
    /// The first head in `bytes` and its length, or `None` while it is incomplete.
    ///
    /// # Errors
    /// [`Kind::Protocol`] for anything else, [`Kind::Limit`] when more is announced than `limits` allow.
    pub fn decode(bytes: &[u8], limits: Limits) -> Result<Option<(Reply, usize)>> {
        let mut cursor = Cursor { bytes, at: 0 };
        let reply = match cursor.reply() {
            Some(reply) => reply?,
            None => return Ok(None),
        };
        let (length, limit) = match reply {
            Reply::Read { length } => (length, limits.data),
            Reply::Command { length, .. } | Reply::Reverse { length } => (length, limits.text),
            _ => (0, 0),
        };
        if length > limit {
            return Err(Error::new(Kind::Limit, format!("a reply of {length} bytes is too long (limit {limit})")));
        }
        Ok(Some((reply, cursor.at)))
    }

    /// Appends the head to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            Reply::Open { fd } => head(out, OPEN | REPLY_BIT, fd as u32),
            Reply::Read { length } => head(out, READ | REPLY_BIT, length),
            Reply::Write { result } => head(out, WRITE | REPLY_BIT, result as u32),
            Reply::Seek { position } => {
                out.push(SEEK | REPLY_BIT);
                out.extend(position.to_be_bytes());
            }
            Reply::Close { result } => head(out, CLOSE | REPLY_BIT, result as u32),
            Reply::Command { verb, length } => head(out, verb.opcode() | REPLY_BIT, length),
            Reply::Reverse { length } => head(out, COMMAND_OPCODE, length),
        }
    }
}

/// What a peer can do beyond the old protocol; its answer to [`PROBE`] and [`HELLO`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// Bytes of one READ or WRITE.
    pub data: u32,
    /// Bytes of one command, with its NUL.
    pub command: u32,
    /// Bytes behind the length of a frame of rap 2; 0: it takes none.
    pub frame: u32,
    /// The requests of rap 2 that it answers: bit N stands for the op N.
    can: u32,
}

/// Less than that is no use for frames.
const LEAST_FRAME: u32 = 64 * 1024;

impl Capabilities {
    /// A peer that did not answer the probe.
    pub const LEGACY: Capabilities = Capabilities { data: LEGACY_PACKET, command: LEGACY_COMMAND, frame: 0, can: 0 };
    /// This program.
    pub const OURS: Capabilities =
        Capabilities { data: PACKET, command: COMMAND, frame: rap2::FRAME, can: (2 << Op::Packed as u32) - 2 };

    /// Reads the answer to the probe: `None` when the peer is an old one. Never more than this program can do.
    pub fn parse(answer: &str) -> Option<Capabilities> {
        let mut words = answer.split_ascii_whitespace();
        words.next()?.strip_prefix("rap/")?.parse::<u32>().ok().filter(|version| *version >= 2)?;
        let mut found = Capabilities::LEGACY;
        for word in words {
            match word.split_once('=') {
                Some(("max_read", value)) => found.data = bounded(value, LEGACY_PACKET, PACKET)?,
                Some(("max_cmd", value)) => found.command = bounded(value, LEGACY_COMMAND, COMMAND)?,
                Some(("max_frame", value)) => found.frame = bounded(value, 0, rap2::FRAME)?,
                Some(("can", names)) => {
                    let known = |name: &str| Op::ALL.iter().find(|(_, known)| *known == name).map(|(op, _)| *op as u32);
                    found.can = names.split(',').filter_map(known).fold(0, |can, op| can | 1 << op);
                }
                _ => {}
            }
        }
        if found.frame < LEAST_FRAME {
            (found.frame, found.can) = (0, 0);
        }
        Some(found)
    }

    /// Whether it answers the request `op` of rap 2.
    pub fn speaks(&self, op: Op) -> bool {
        self.can & 1 << op as u32 != 0
    }

    /// Bytes of data in one frame, beside which there is room for what goes with them.
    pub fn chunk(&self) -> usize {
        self.data.min(self.frame.saturating_sub(LEAST_FRAME / 2)) as usize
    }
}

impl std::fmt::Display for Capabilities {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "rap/2 max_read={} max_cmd={}", self.data, self.command)?;
        if self.frame > 0 {
            let can: Vec<&str> = Op::ALL.iter().filter(|(op, _)| self.speaks(*op)).map(|(_, name)| *name).collect();
            write!(f, " max_frame={} can={}", self.frame, can.join(","))?;
        }
        Ok(())
    }
}

/// `text` up to its first NUL.
pub fn until_nul(text: &[u8]) -> &[u8] {
    let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
    &text[..end]
}

fn bounded(value: &str, least: u32, most: u32) -> Option<u32> {
    value.parse::<u64>().ok().map(|value| value.clamp(least.into(), most.into()) as u32)
}

fn head(out: &mut Vec<u8>, opcode: u8, value: u32) {
    out.push(opcode);
    out.extend(value.to_be_bytes());
}

fn text_packet(out: &mut Vec<u8>, opcode: u8, text: &[u8]) -> Result<()> {
    head(out, opcode, length(text)?.saturating_add(1));
    out.extend(text);
    out.push(0);
    Ok(())
}

fn length(data: &[u8]) -> Result<u32> {
    u32::try_from(data.len()).map_err(|_| Error::new(Kind::Limit, "a packet of more than 4 GiB"))
}

fn no_nul(text: &[u8]) -> Result<()> {
    match text.contains(&0) {
        true => Err(Error::new(Kind::Usage, "a NUL cannot travel in a rap command or path")),
        false => Ok(()),
    }
}

fn unknown(opcode: u8) -> Error {
    match opcode {
        b'G' => Error::new(Kind::Protocol, "a web browser's request on a rap port"),
        _ => Error::new(Kind::Protocol, format!("unknown rap packet 0x{opcode:02x}")),
    }
}

/// Takes fields off the front; `None` stands for "more bytes are needed".
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..)?.get(..count)?;
        self.at += count;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4).map(|bytes| u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    fn u64(&mut self) -> Option<u64> {
        let high = self.u32()?;
        let low = self.u32()?;
        Some(u64::from(high) << 32 | u64::from(low))
    }

    fn request(&mut self, limits: Limits) -> Option<Result<Request<'a>>> {
        let opcode = self.u8()?;
        let request = match opcode {
            OPEN => {
                let flags = self.u8()?;
                let length = self.u8()?;
                Request::Open { flags, path: until_nul(self.take(length.into())?) }
            }
            READ => Request::Read { count: self.u32()? },
            WRITE => match self.u32()? {
                length if length > limits.data => Request::Oversized { opcode, length },
                length => Request::Write { data: self.take(length as usize)? },
            },
            SEEK => {
                let whence = match self.u8()? {
                    0 => Whence::Set,
                    2 => Whence::End,
                    _ => Whence::Current,
                };
                Request::Seek { whence, offset: self.u64()? }
            }
            CLOSE => Request::Close { fd: self.u32()? },
            SYSTEM | COMMAND_OPCODE => match self.u32()? {
                length if length > limits.text => Request::Oversized { opcode, length },
                length => {
                    let verb = if opcode == SYSTEM { Verb::System } else { Verb::Command };
                    Request::Command { verb, text: until_nul(self.take(length as usize)?) }
                }
            },
            // An answer nobody wants is not worth skipping: the connection ends.
            0x87 => match self.u32()? {
                length if length > LEGACY_REPLY => {
                    return Some(Err(Error::new(Kind::Limit, format!("an answer of {length} bytes is too long"))));
                }
                length => Request::Answer { text: until_nul(self.take(length as usize)?) },
            },
            opcode => return Some(Err(unknown(opcode))),
        };
        Some(Ok(request))
    }

    fn reply(&mut self) -> Option<Result<Reply>> {
        let opcode = self.u8()?;
        if opcode == COMMAND_OPCODE {
            return Some(Ok(Reply::Reverse { length: self.u32()? }));
        }
        let reply = match opcode ^ REPLY_BIT {
            OPEN => Reply::Open { fd: self.u32()? as i32 },
            READ => Reply::Read { length: self.u32()? },
            WRITE => Reply::Write { result: self.u32()? as i32 },
            SEEK => Reply::Seek { position: self.u64()? },
            CLOSE => Reply::Close { result: self.u32()? as i32 },
            SYSTEM => Reply::Command { verb: Verb::System, length: self.u32()? },
            COMMAND_OPCODE => Reply::Command { verb: Verb::Command, length: self.u32()? },
            _ => return Some(Err(unknown(opcode))),
        };
        Some(Ok(reply))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        hex.split_whitespace().map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
    }

    fn encoded(request: Request<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        request.encode(&mut out).unwrap();
        out
    }

    const REQUESTS: &[(&str, Request<'static>)] = &[
        ("01 05 08 2f 62 69 6e 2f 6c 73 00", Request::Open { flags: 5, path: b"/bin/ls" }),
        ("01 00 01 00", Request::Open { flags: 0, path: b"" }),
        ("04 02 00 00 00 00 00 00 00 00", Request::Seek { whence: Whence::End, offset: 0 }),
        ("04 00 00 00 00 00 00 00 00 10", Request::Seek { whence: Whence::Set, offset: 0x10 }),
        ("04 00 80 00 00 00 00 00 00 00", Request::Seek { whence: Whence::Set, offset: 1 << 63 }),
        ("04 01 00 00 00 00 00 00 00 00", Request::Seek { whence: Whence::Current, offset: 0 }),
        ("02 00 00 00 04", Request::Read { count: 4 }),
        ("02 80 00 00 00", Request::Read { count: 0x8000_0000 }),
        ("03 00 00 00 02 90 90", Request::Write { data: &[0x90, 0x90] }),
        ("03 00 00 00 00", Request::Write { data: &[] }),
        ("05 00 00 00 04", Request::Close { fd: 4 }),
        ("07 00 00 00 02 73 00", Request::Command { verb: Verb::Command, text: b"s" }),
        ("06 00 00 00 02 73 00", Request::Command { verb: Verb::System, text: b"s" }),
        ("07 00 00 00 01 00", Request::Command { verb: Verb::Command, text: b"" }),
        ("87 00 00 00 01 00", Request::Answer { text: b"" }),
        ("07 ff ff ff ff", Request::Oversized { opcode: 7, length: 0xffff_ffff }),
        ("03 00 10 00 01", Request::Oversized { opcode: 3, length: 0x10_0001 }),
    ];

    const REPLIES: &[(&str, Reply)] = &[
        ("81 00 00 00 04", Reply::Open { fd: 4 }),
        ("81 ff ff ff ff", Reply::Open { fd: -1 }),
        ("84 00 00 00 00 00 02 4f 30", Reply::Seek { position: 0x24f30 }),
        ("84 80 00 00 00 00 00 00 00", Reply::Seek { position: 1 << 63 }),
        ("82 00 00 00 04", Reply::Read { length: 4 }),
        ("83 00 00 00 02", Reply::Write { result: 2 }),
        ("83 ff ff ff ff", Reply::Write { result: -1 }),
        ("85 00 00 00 00", Reply::Close { result: 0 }),
        ("87 00 00 00 08", Reply::Command { verb: Verb::Command, length: 8 }),
        ("86 00 00 00 01", Reply::Command { verb: Verb::System, length: 1 }),
        ("07 00 00 00 02", Reply::Reverse { length: 2 }),
    ];

    #[test]
    fn requests_are_these_bytes_both_ways_and_wait_for_their_last_one() {
        for (hex, request) in REQUESTS {
            let wire = bytes(hex);
            assert_eq!(encoded(*request), wire, "{hex}");
            assert_eq!(Request::decode(&wire, Limits::SERVER).unwrap(), Some((*request, wire.len())), "{hex}");
            for cut in 0..wire.len() {
                assert_eq!(Request::decode(&wire[..cut], Limits::SERVER).unwrap(), None, "{hex} cut at {cut}");
            }
            let twice = [wire.clone(), wire.clone()].concat();
            let (first, used) = Request::decode(&twice, Limits::SERVER).unwrap().unwrap();
            assert_eq!((first, used), (*request, wire.len()));
            assert_eq!(Request::decode(&twice[used..], Limits::SERVER).unwrap(), Some((*request, used)));
        }
    }

    #[test]
    fn replies_are_these_bytes_both_ways_and_wait_for_their_last_one() {
        for (hex, reply) in REPLIES {
            let wire = bytes(hex);
            let mut out = Vec::new();
            reply.encode(&mut out);
            assert_eq!(out, wire, "{hex}");
            for cut in 0..wire.len() {
                assert_eq!(Reply::decode(&wire[..cut], Limits::CLIENT).unwrap(), None, "{hex} cut at {cut}");
            }
            let twice = [wire.clone(), wire.clone()].concat();
            assert_eq!(Reply::decode(&twice, Limits::CLIENT).unwrap(), Some((*reply, wire.len())), "{hex}");
        }
    }

    #[test]
    fn texts_without_a_nul_and_with_a_tail_behind_it_are_read_alike() {
        for hex in ["07 00 00 00 01 73", "07 00 00 00 04 73 00 41 41"] {
            let wire = bytes(hex);
            let expected = Request::Command { verb: Verb::Command, text: b"s" };
            assert_eq!(Request::decode(&wire, Limits::SERVER).unwrap(), Some((expected, wire.len())));
        }
        let bare = bytes("01 04 02 2f 61");
        let expected = Request::Open { flags: 4, path: b"/a" };
        assert_eq!(Request::decode(&bare, Limits::SERVER).unwrap(), Some((expected, 5)));
        let empty = bytes("01 00 00");
        assert_eq!(Request::decode(&empty, Limits::SERVER).unwrap(), Some((Request::Open { flags: 0, path: b"" }, 3)));
    }

    #[test]
    fn what_is_no_packet_is_an_error_and_so_is_a_reply_that_promises_too_much() {
        for first in [0x00, 0x08, 0x47, 0x81, 0xff] {
            assert_eq!(Request::decode(&[first], Limits::SERVER).unwrap_err().kind(), Kind::Protocol);
        }
        assert_eq!(Reply::decode(&[0x01], Limits::CLIENT).unwrap_err().kind(), Kind::Protocol);
        for hex in ["82 00 10 00 01", "87 ff ff ff ff", "07 ff ff ff ff"] {
            assert_eq!(Reply::decode(&bytes(hex), Limits::CLIENT).unwrap_err().kind(), Kind::Limit, "{hex}");
        }
    }

    #[test]
    fn paths_and_texts_that_cannot_travel_are_refused() {
        let long = vec![b'a'; PATH + 1];
        let mut out = Vec::new();
        assert_eq!(Request::Open { flags: 5, path: &long }.encode(&mut out).unwrap_err().kind(), Kind::Limit);
        assert!(Request::Open { flags: 5, path: &long[1..] }.encode(&mut out).is_ok());
        let nul = Request::Command { verb: Verb::Command, text: b"a\0b" };
        assert_eq!(nul.encode(&mut out).unwrap_err().kind(), Kind::Usage);
    }

    #[test]
    fn capabilities_are_recognised_and_never_exceed_ours() {
        assert_eq!(Capabilities::parse(&Capabilities::OURS.to_string()), Some(Capabilities::OURS));
        assert_eq!(
            Capabilities::parse("rap/3 max_read=99999999999 new"),
            Some(Capabilities { data: PACKET, ..Capabilities::LEGACY })
        );
        assert_eq!(Capabilities::parse("rap/2 max_read=0"), Some(Capabilities::LEGACY));
        let some = Capabilities::parse("rap/2 max_frame=100000 can=stat,read,fly").unwrap();
        assert!(some.speaks(Op::Stat) && some.speaks(Op::Read) && !some.speaks(Op::Run));
        assert_eq!((some.frame, some.chunk()), (100_000, LEGACY_PACKET as usize));
        // Frames that hold nothing are none.
        let none = Capabilities::parse("rap/2 max_frame=100 can=read").unwrap();
        assert_eq!((none.speaks(Op::Read), none.frame), (false, 0));
        for old in ["", "\n", "unknown command", "rap/1", "rap/x", "rap/2 max_read=-1"] {
            assert_eq!(Capabilities::parse(old), None, "{old}");
        }
    }

    fn text() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(1..=255u8, 0..300)
    }

    proptest! {
        #[test]
        fn decoding_gives_back_what_was_encoded(
            kind in 0..7u8,
            number in any::<u32>(),
            offset in any::<u64>(),
            text in text(),
            data in prop::collection::vec(any::<u8>(), 0..5000),
        ) {
            let request = match kind {
                0 => Request::Open { flags: number as u8, path: &text[..text.len().min(PATH)] },
                1 => Request::Read { count: number },
                2 => Request::Write { data: &data },
                3 => Request::Seek { whence: Whence::Set, offset },
                4 => Request::Close { fd: number },
                5 => Request::Command { verb: Verb::System, text: &text },
                _ => Request::Answer { text: &text },
            };
            let wire = encoded(request);
            prop_assert_eq!(Request::decode(&wire, Limits::SERVER).unwrap(), Some((request, wire.len())));
        }

        #[test]
        fn random_bytes_never_panic_nor_reach_beyond_themselves(noise in prop::collection::vec(any::<u8>(), 0..600)) {
            if let Ok(Some((_, used))) = Request::decode(&noise, Limits::SERVER) {
                prop_assert!(used <= noise.len());
            }
            if let Ok(Some((_, used))) = Reply::decode(&noise, Limits::CLIENT) {
                prop_assert!(used <= noise.len());
            }
        }
    }
}
