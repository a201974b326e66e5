//! The client's half of rap 1, as old servers speak it: packets in, packets out, each reply in its turn.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::{Peer, Piece, shares};
use crate::error::{Error, Kind, Result};
use crate::link::Framed;
use crate::protocol::rap::{LEGACY_REPLY, Limits, Reply, Request, Whence};

/// Packets under way: their heads and replies fit into the smallest socket buffers, so that sending them never waits
/// for a server that waits for us to read.
const PACKETS: usize = 1024;

/// The error about a reply that does not answer the request.
pub(super) fn unexpected(reply: Reply) -> Error {
    Error::new(Kind::Protocol, format!("the server answered something else than asked: {reply:?}"))
}

/// The reply to a SEEK.
pub(super) fn seek_reply(framed: &mut Framed, patience: Option<Duration>) -> Result<u64> {
    match framed.receive(patience, |bytes| Reply::decode(bytes, Limits::CLIENT))? {
        Reply::Seek { position } => Ok(position),
        other => Err(unexpected(other)),
    }
}

/// The reply to a command: `head` is the patience for its beginning, `rest` for what must follow at once.
/// Meanwhile a server may ask its client to run commands (some do so as a sign of life): it gets an empty answer.
pub(super) fn command_reply(framed: &mut Framed, head: Option<Duration>, rest: Option<Duration>) -> Result<Vec<u8>> {
    let begun = Instant::now();
    loop {
        // Signs of life do not prolong a wait that has an end.
        match framed.receive(framed.left(begun, head)?, |bytes| Reply::decode(bytes, Limits::CLIENT))? {
            Reply::Command { length, .. } => {
                let mut text = framed.receive_vec(length as usize, rest)?;
                if text.last() == Some(&0) {
                    text.pop();
                }
                return Ok(text);
            }
            Reply::Reverse { length } if length <= LEGACY_REPLY => {
                framed.discard(length.into(), rest)?;
                Request::Answer { text: b"" }.encode(framed.queue())?;
                framed.flush(rest)?;
            }
            other => return Err(unexpected(other)),
        }
    }
}

/// Checks that the server went where it was told to.
fn arrive(framed: &mut Framed, patience: Option<Duration>, address: u64) -> Result<()> {
    match seek_reply(framed, patience)? {
        position if position == address => Ok(()),
        position => {
            Err(Error::new(Kind::Protocol, format!("the server went to 0x{position:x} instead of 0x{address:x}")))
        }
    }
}

/// Reads all `pieces`, in packets that old servers take, or longer ones where the server says so.
pub(super) fn read(
    framed: &mut Framed,
    peer: &Peer,
    patience: Option<Duration>,
    pieces: &mut [Piece<'_>],
) -> Result<()> {
    let end = peer.size.unwrap_or(u64::MAX);
    let lengths = pieces
        .iter()
        .map(|piece| {
            usize::try_from(end.saturating_sub(piece.address))
                .map_or(piece.buffer.len(), |room| room.min(piece.buffer.len()))
        })
        .collect();
    for piece in pieces.iter_mut() {
        piece.done = 0;
    }
    let window = peer.window();
    let mut todo = shares(lengths, peer.chunk()).peekable();
    let mut under_way = VecDeque::new();
    let mut bytes = 0;
    loop {
        if bytes <= peer.refill() && under_way.len() <= PACKETS / 2 {
            while under_way.len() < PACKETS
                && let Some(share) = todo.next_if(|share| bytes == 0 || bytes + share.count <= window)
            {
                let address = pieces[share.piece].address + share.offset as u64;
                Request::Seek { whence: Whence::Set, offset: address }.encode(framed.queue())?;
                Request::Read { count: share.count as u32 }.encode(framed.queue())?;
                bytes += share.count;
                under_way.push_back(share);
            }
            framed.flush(patience)?;
        }
        let Some(share) = under_way.pop_front() else { return Ok(()) };
        let piece = &mut pieces[share.piece];
        arrive(framed, patience, piece.address + share.offset as u64)?;
        let length = match framed.receive(patience, |bytes| Reply::decode(bytes, Limits::CLIENT))? {
            Reply::Read { length } if length as usize <= share.count => length as usize,
            other => return Err(unexpected(other)),
        };
        framed.receive_into(&mut piece.buffer[share.offset..share.offset + length], patience)?;
        bytes -= share.count;
        // Behind a short reply the piece has a hole; what came after it does not count.
        if piece.done == share.offset {
            piece.done += length;
        }
    }
}

/// Writes `data`, and says how much of it was taken.
pub(super) fn write(
    framed: &mut Framed,
    peer: &Peer,
    patience: Option<Duration>,
    address: u64,
    data: &[u8],
) -> Result<usize> {
    let window = peer.window();
    let room = usize::try_from(u64::MAX - address).unwrap_or(usize::MAX);
    let mut todo = shares(vec![data.len().min(room)], peer.chunk()).peekable();
    let mut under_way = VecDeque::new();
    let (mut bytes, mut done) = (0, 0);
    loop {
        if bytes <= peer.refill() && under_way.len() <= PACKETS / 2 {
            while under_way.len() < PACKETS
                && let Some(share) = todo.next_if(|share| bytes == 0 || bytes + share.count <= window)
            {
                let offset = address + share.offset as u64;
                Request::Seek { whence: Whence::Set, offset }.encode(framed.queue())?;
                let data = &data[share.offset..share.offset + share.count];
                Request::Write { data }.encode(framed.queue())?;
                bytes += share.count;
                under_way.push_back(share);
            }
            framed.flush(patience)?;
        }
        let Some(share) = under_way.pop_front() else { return Ok(done) };
        arrive(framed, patience, address + share.offset as u64)?;
        let count = match framed.receive(patience, |bytes| Reply::decode(bytes, Limits::CLIENT))? {
            // Old servers answer with a truth value.
            Reply::Write { result: 1 } if peer.capabilities.is_none() => share.count,
            Reply::Write { result } => usize::try_from(result).unwrap_or(0).min(share.count),
            other => return Err(unexpected(other)),
        };
        bytes -= share.count;
        if done == share.offset {
            done += count;
        }
    }
}
