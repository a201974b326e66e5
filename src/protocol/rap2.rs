//! rap 2: the frames that two peers exchange once the hello of [`rap`](super::rap) has been answered.
//!
//! A frame is `opcode, u32 length, u32 id, u8 tag, body`; the length counts everything behind itself. Its head has a
//! fixed size, so a reader can take the body straight to where it belongs. All integers are big-endian. A length
//! beyond the limit, or a tag that is none, is an error as soon as that byte is there: nothing is collected first.

mod packed;
mod results;

use crate::error::{Error, Kind, Result};

pub use packed::unpack;
pub use results::{Ran, ReadAnswer, Stat, number, numbers};

/// First byte of a request.
pub const REQUEST: u8 = 0x10;
/// First byte of an answer.
pub const ANSWER: u8 = 0x90;
/// Bytes of a frame before its body.
pub const HEAD: usize = 10;
/// Most bytes behind a frame's length that this program takes: a packet of data, and what goes with it.
pub const FRAME: u32 = super::rap::PACKET + 64 * 1024;
/// Most ranges in one READ.
pub const RANGES: usize = 1024;
/// The descriptor that stands for the file opened last, or the session's address space when none was opened.
pub const LATEST: i32 = -1;
/// The descriptor that stands for the address space of the session.
pub const SPACE: i32 = 0;

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Op {
    /// Size, access and version of a descriptor.
    Stat = 1,
    /// Bytes of many ranges.
    Read = 2,
    /// Bytes to be written.
    Write = 3,
    /// A line for the shell.
    Run = 4,
    /// The end of another request.
    Cancel = 5,
    /// A hash over a range.
    Digest = 6,
    /// The places of a pattern in a range.
    Search = 7,
    /// What a line can be completed with.
    Complete = 8,
    /// A sign of life.
    Ping = 9,
    /// Another size for a file.
    Resize = 10,
    /// A message to the process behind a descriptor.
    Target = 11,
    /// Bytes of many ranges, compressed.
    Packed = 12,
}

impl Op {
    /// Every op with its name in the hello.
    pub const ALL: &[(Op, &str)] = &[
        (Op::Stat, "stat"),
        (Op::Read, "read"),
        (Op::Write, "write"),
        (Op::Run, "run"),
        (Op::Cancel, "cancel"),
        (Op::Digest, "digest"),
        (Op::Search, "search"),
        (Op::Complete, "complete"),
        (Op::Ping, "ping"),
        (Op::Resize, "resize"),
        (Op::Target, "target"),
        (Op::Packed, "packed"),
    ];

    fn of(tag: u8) -> Option<Op> {
        Op::ALL.iter().map(|(op, _)| *op).find(|op| *op as u8 == tag)
    }
}

/// What an answer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Part {
    /// The end of the request: a status, then the result or why there is none.
    Done = 0,
    /// A piece of output; more frames follow.
    Data = 1,
    /// A line for the user; more frames follow.
    Note = 2,
    /// How far a long request is; more frames follow.
    Progress = 3,
    /// Something that nobody asked for, under the id 0.
    Event = 4,
}

impl Part {
    fn of(tag: u8) -> Option<Part> {
        [Part::Done, Part::Data, Part::Note, Part::Progress, Part::Event].into_iter().find(|part| *part as u8 == tag)
    }
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// As asked.
    Ok = 0,
    /// Not, for a reason that only the text tells.
    Failed = 1,
    /// What it names is not there.
    NotFound = 2,
    /// It is not permitted.
    Permission = 3,
    /// A deadline has passed.
    Timeout = 4,
    /// It was cancelled.
    Interrupted = 5,
    /// Too long or too many.
    Limit = 6,
    /// The server, or what is open there, cannot do this: another way may lead there.
    Unsupported = 7,
    /// The request makes no sense.
    Usage = 8,
    /// A third machine behind the server cannot be reached.
    Unreachable = 9,
    /// It does not let the server in.
    Credentials = 10,
    /// It is not who it should be.
    Untrusted = 11,
}

impl Status {
    const ALL: [Status; 12] = [
        Status::Ok,
        Status::Failed,
        Status::NotFound,
        Status::Permission,
        Status::Timeout,
        Status::Interrupted,
        Status::Limit,
        Status::Unsupported,
        Status::Usage,
        Status::Unreachable,
        Status::Credentials,
        Status::Untrusted,
    ];

    /// What a byte stands for; those of later versions are failures.
    pub fn of(byte: u8) -> Status {
        Status::ALL.into_iter().find(|status| *status as u8 == byte).unwrap_or(Status::Failed)
    }

    /// The status that tells of an error of `kind`.
    pub fn from_kind(kind: Kind) -> Status {
        match kind {
            Kind::NotFound => Status::NotFound,
            Kind::Permission => Status::Permission,
            Kind::Timeout => Status::Timeout,
            Kind::Interrupted => Status::Interrupted,
            Kind::Limit => Status::Limit,
            Kind::Unsupported | Kind::UnknownScheme => Status::Unsupported,
            Kind::Usage | Kind::Syntax | Kind::UnknownCommand | Kind::Expression => Status::Usage,
            Kind::Unreachable | Kind::Closed => Status::Unreachable,
            Kind::Credentials => Status::Credentials,
            Kind::Untrusted => Status::Untrusted,
            Kind::Protocol | Kind::Format | Kind::System => Status::Failed,
        }
    }

    /// The kind of error that the other side sees.
    pub fn kind(self) -> Kind {
        match self {
            Status::Ok | Status::Failed => Kind::System,
            Status::NotFound => Kind::NotFound,
            Status::Permission => Kind::Permission,
            Status::Timeout => Kind::Timeout,
            Status::Interrupted => Kind::Interrupted,
            Status::Limit => Kind::Limit,
            Status::Unsupported => Kind::Unsupported,
            Status::Usage => Kind::Usage,
            Status::Unreachable => Kind::Unreachable,
            Status::Credentials => Kind::Credentials,
            Status::Untrusted => Kind::Untrusted,
        }
    }
}

/// What stands before a frame's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head<T> {
    /// The request's number, which its answers repeat; 0: nobody's.
    pub id: u32,
    /// What the body is.
    pub tag: T,
    /// Bytes of the body.
    pub length: usize,
}

impl Head<Op> {
    /// The head of the request at the front of `bytes`, or `None` while it is incomplete. It has [`HEAD`] bytes.
    ///
    /// # Errors
    /// [`Kind::Limit`] for a frame that is too long, [`Kind::Protocol`] for what is none.
    pub fn request(bytes: &[u8], limit: u32) -> Result<Option<Head<Op>>> {
        head(bytes, REQUEST, limit, Op::of)
    }
}

impl Head<Part> {
    /// The head of the answer at the front of `bytes`, as [`Head::request`].
    pub fn answer(bytes: &[u8], limit: u32) -> Result<Option<Head<Part>>> {
        head(bytes, ANSWER, limit, Part::of)
    }
}

fn head<T>(bytes: &[u8], opcode: u8, limit: u32, tag: fn(u8) -> Option<T>) -> Result<Option<Head<T>>> {
    let Some(first) = bytes.first() else { return Ok(None) };
    if *first != opcode {
        return Err(Error::new(Kind::Protocol, format!("0x{first:02x} where a frame 0x{opcode:02x} should begin")));
    }
    let mut fields = Fields(&bytes[1..]);
    let Some(length) = fields.u32() else { return Ok(None) };
    if length > limit {
        return Err(Error::new(Kind::Limit, format!("a frame of {length} bytes is too long (limit {limit})")));
    }
    let Some(length) = length.checked_sub(HEAD as u32 - 5) else {
        return Err(Error::new(Kind::Protocol, "a frame that ends in its head"));
    };
    let (Some(id), Some(byte)) = (fields.u32(), fields.u8()) else { return Ok(None) };
    let Some(tag) = tag(byte) else {
        return Err(Error::new(Kind::Protocol, format!("unknown frame 0x{opcode:02x} 0x{byte:02x}")));
    };
    Ok(Some(Head { id, tag, length: length as usize }))
}

/// One of the ranges of a READ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// Physical address in the descriptor.
    pub address: u64,
    /// Bytes.
    pub length: u32,
}

/// What a client asks for, with the body taken apart. Descriptors are the numbers of OPEN, or [`LATEST`], or
/// [`SPACE`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request<'a> {
    /// What is this descriptor?
    Stat {
        /// Which one.
        descriptor: i32,
    },
    /// These bytes.
    Read {
        /// Of which one.
        descriptor: i32,
        /// At most [`RANGES`].
        ranges: Vec<Range>,
    },
    /// These bytes, compressed where that pays.
    Packed {
        /// Of which one.
        descriptor: i32,
        /// At most [`RANGES`].
        ranges: Vec<Range>,
    },
    /// Write these.
    Write {
        /// To which one.
        descriptor: i32,
        /// Where.
        address: u64,
        /// The bytes.
        data: &'a [u8],
    },
    /// Run a line.
    Run {
        /// The line.
        text: &'a [u8],
    },
    /// End a request that runs or waits.
    Cancel {
        /// Its number; 0: all that came before.
        id: u32,
    },
    /// Hash a range.
    Digest {
        /// Of which one.
        descriptor: i32,
        /// Where it begins.
        address: u64,
        /// Bytes.
        length: u64,
        /// Name of the algorithm.
        algorithm: &'a [u8],
    },
    /// Find a pattern in a range.
    Search {
        /// Of which one.
        descriptor: i32,
        /// Where the range begins.
        address: u64,
        /// Bytes of the range.
        length: u64,
        /// Hits are multiples of this; 0 and 1: any.
        align: u64,
        /// Most hits; 0: all.
        limit: u64,
        /// The pattern.
        needle: &'a [u8],
        /// Which of its bits count; empty: all.
        mask: &'a [u8],
    },
    /// What can stand at a place of a line?
    Complete {
        /// The place, in bytes.
        cursor: u32,
        /// The line.
        text: &'a [u8],
    },
    /// Are you there?
    Ping {
        /// What the answer repeats.
        data: &'a [u8],
    },
    /// Make a file longer or shorter.
    Resize {
        /// Which one.
        descriptor: i32,
        /// Bytes.
        size: u64,
    },
    /// Do something with a process, or tell about it.
    Target {
        /// The descriptor that it is behind.
        descriptor: i32,
        /// The message (`debug::remote`).
        call: &'a [u8],
    },
}

impl<'a> Request<'a> {
    /// What it asks for.
    pub fn op(&self) -> Op {
        match self {
            Request::Stat { .. } => Op::Stat,
            Request::Read { .. } => Op::Read,
            Request::Packed { .. } => Op::Packed,
            Request::Write { .. } => Op::Write,
            Request::Run { .. } => Op::Run,
            Request::Cancel { .. } => Op::Cancel,
            Request::Digest { .. } => Op::Digest,
            Request::Search { .. } => Op::Search,
            Request::Complete { .. } => Op::Complete,
            Request::Ping { .. } => Op::Ping,
            Request::Resize { .. } => Op::Resize,
            Request::Target { .. } => Op::Target,
        }
    }

    /// Takes the body of a request apart.
    ///
    /// # Errors
    /// [`Kind::Protocol`] when it is too short or too long for what it says, [`Kind::Limit`] for too many ranges.
    pub fn parse(op: Op, body: &'a [u8]) -> Result<Request<'a>> {
        let mut fields = Fields(body);
        let request = fields.request(op).ok_or_else(|| malformed("request"))??;
        if fields.0.is_empty() { Ok(request) } else { Err(malformed("request")) }
    }

    /// Appends the frame to `out`.
    ///
    /// # Errors
    /// [`Kind::Limit`] for a body that no frame holds.
    pub fn encode(&self, id: u32, out: &mut Vec<u8>) -> Result<()> {
        let start = begin(out, REQUEST, id, self.op() as u8);
        match self {
            Request::Stat { descriptor } => out.extend(descriptor.to_be_bytes()),
            Request::Read { descriptor, ranges } | Request::Packed { descriptor, ranges } => {
                out.extend(descriptor.to_be_bytes());
                out.extend(counted(ranges.len())?);
                for range in ranges {
                    out.extend(range.address.to_be_bytes());
                    out.extend(range.length.to_be_bytes());
                }
            }
            Request::Write { descriptor, address, data } => {
                out.extend(descriptor.to_be_bytes());
                out.extend(address.to_be_bytes());
                out.extend_from_slice(data);
            }
            Request::Run { text } => out.extend_from_slice(text),
            Request::Cancel { id } => out.extend(id.to_be_bytes()),
            Request::Digest { descriptor, address, length, algorithm } => {
                out.extend(descriptor.to_be_bytes());
                out.extend(address.to_be_bytes());
                out.extend(length.to_be_bytes());
                out.extend_from_slice(algorithm);
            }
            Request::Search { descriptor, address, length, align, limit, needle, mask } => {
                out.extend(descriptor.to_be_bytes());
                for number in [address, length, align, limit] {
                    out.extend(number.to_be_bytes());
                }
                out.extend(counted(needle.len())?);
                out.extend_from_slice(needle);
                out.extend_from_slice(mask);
            }
            Request::Complete { cursor, text } => {
                out.extend(cursor.to_be_bytes());
                out.extend_from_slice(text);
            }
            Request::Ping { data } => out.extend_from_slice(data),
            Request::Resize { descriptor, size } => {
                out.extend(descriptor.to_be_bytes());
                out.extend(size.to_be_bytes());
            }
            Request::Target { descriptor, call } => {
                out.extend(descriptor.to_be_bytes());
                out.extend_from_slice(call);
            }
        }
        end(out, start)
    }
}

/// What a server says, with the body taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer<'a> {
    /// The end.
    Done {
        /// How it ended.
        status: Status,
        /// The result, or why there is none.
        result: &'a [u8],
    },
    /// Output.
    Data(&'a [u8]),
    /// A line for the user.
    Note(&'a [u8]),
    /// How far it is.
    Progress {
        /// So many bytes are done,
        done: u64,
        /// of so many; 0: nobody knows.
        total: u64,
    },
    /// News.
    Event(&'a [u8]),
}

impl<'a> Answer<'a> {
    /// Takes the body of an answer apart.
    ///
    /// # Errors
    /// [`Kind::Protocol`] when it is too short.
    pub fn parse(part: Part, body: &'a [u8]) -> Result<Answer<'a>> {
        let mut fields = Fields(body);
        let answer = match part {
            Part::Done => fields.u8().map(|status| Answer::Done { status: Status::of(status), result: fields.0 }),
            Part::Data => Some(Answer::Data(body)),
            Part::Note => Some(Answer::Note(body)),
            Part::Progress => fields.u64().zip(fields.u64()).map(|(done, total)| Answer::Progress { done, total }),
            Part::Event => Some(Answer::Event(body)),
        };
        answer.ok_or_else(|| malformed("answer"))
    }

    /// Appends the frame to `out`.
    ///
    /// # Errors
    /// [`Kind::Limit`] for a body that no frame holds.
    pub fn encode(&self, id: u32, out: &mut Vec<u8>) -> Result<()> {
        let part = match self {
            Answer::Done { .. } => Part::Done,
            Answer::Data(_) => Part::Data,
            Answer::Note(_) => Part::Note,
            Answer::Progress { .. } => Part::Progress,
            Answer::Event(_) => Part::Event,
        };
        let start = begin(out, ANSWER, id, part as u8);
        match *self {
            Answer::Done { status, result } => {
                out.push(status as u8);
                out.extend_from_slice(result);
            }
            Answer::Data(bytes) | Answer::Note(bytes) | Answer::Event(bytes) => out.extend_from_slice(bytes),
            Answer::Progress { done, total } => {
                out.extend(done.to_be_bytes());
                out.extend(total.to_be_bytes());
            }
        }
        end(out, start)
    }
}

fn malformed(what: &str) -> Error {
    Error::new(Kind::Protocol, format!("a malformed {what}"))
}

fn counted(count: usize) -> Result<[u8; 2]> {
    u16::try_from(count)
        .map(u16::to_be_bytes)
        .map_err(|_| Error::new(Kind::Limit, format!("{count} are more than a frame counts")))
}

fn begin(out: &mut Vec<u8>, opcode: u8, id: u32, tag: u8) -> usize {
    let start = out.len();
    out.push(opcode);
    out.extend([0; 4]);
    out.extend(id.to_be_bytes());
    out.push(tag);
    start
}

fn end(out: &mut Vec<u8>, start: usize) -> Result<()> {
    let length = out.len() - start - 5;
    match u32::try_from(length).ok().filter(|length| *length <= FRAME) {
        Some(length) => {
            out[start + 1..start + 5].copy_from_slice(&length.to_be_bytes());
            Ok(())
        }
        None => {
            out.truncate(start);
            Err(Error::new(Kind::Limit, format!("a frame of {length} bytes is too long (limit {FRAME})")))
        }
    }
}

/// Takes fields off the front; `None`: they are not there.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }
    fn u8(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }
    fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_be_bytes)
    }
    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }
    fn i32(&mut self) -> Option<i32> {
        self.take().map(i32::from_be_bytes)
    }
    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_be_bytes)
    }
    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }
    fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    fn request(&mut self, op: Op) -> Option<Result<Request<'a>>> {
        Some(Ok(match op {
            Op::Stat => Request::Stat { descriptor: self.i32()? },
            Op::Read | Op::Packed => {
                let (descriptor, count) = (self.i32()?, usize::from(self.u16()?));
                if count > RANGES {
                    return Some(Err(Error::new(Kind::Limit, format!("{count} ranges in one READ (limit {RANGES})"))));
                }
                // The bytes are there before anything is allocated for them.
                let mut fields = Fields(self.bytes(12 * count)?);
                let mut ranges = Vec::with_capacity(count);
                while let Some((address, length)) = fields.u64().zip(fields.u32()) {
                    ranges.push(Range { address, length });
                }
                match op {
                    Op::Packed => Request::Packed { descriptor, ranges },
                    _ => Request::Read { descriptor, ranges },
                }
            }
            Op::Write => Request::Write { descriptor: self.i32()?, address: self.u64()?, data: self.rest() },
            Op::Run => Request::Run { text: self.rest() },
            Op::Cancel => Request::Cancel { id: self.u32()? },
            Op::Digest => Request::Digest {
                descriptor: self.i32()?,
                address: self.u64()?,
                length: self.u64()?,
                algorithm: self.rest(),
            },
            Op::Search => {
                let descriptor = self.i32()?;
                let (address, length, align, limit) = (self.u64()?, self.u64()?, self.u64()?, self.u64()?);
                let count = usize::from(self.u16()?);
                let (needle, mask) = (self.bytes(count)?, self.rest());
                if needle.is_empty() || !(mask.is_empty() || mask.len() == needle.len()) {
                    return None;
                }
                Request::Search { descriptor, address, length, align, limit, needle, mask }
            }
            Op::Complete => Request::Complete { cursor: self.u32()?, text: self.rest() },
            Op::Ping => Request::Ping { data: self.rest() },
            Op::Resize => Request::Resize { descriptor: self.i32()?, size: self.u64()? },
            Op::Target => Request::Target { descriptor: self.i32()?, call: self.rest() },
        }))
    }
}

#[cfg(test)]
mod tests;
