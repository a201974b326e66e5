//! The first flight of a connection: what are you, open this, how long is it.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::frames::Channel;
use super::old::{command_reply, seek_reply, unexpected};
use super::{Client, Line, Peer, Target};
use crate::error::{Error, Kind, Result};
use crate::link::Framed;
use crate::output::{Cancel, visible};
use crate::protocol::rap::{Capabilities, HELLO, Limits, Reply, Request, Verb, Whence};
use crate::protocol::rap2::Op;

/// The places at which this process has spoken rap 2: there the first flight asks for more.
static KNOWN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
/// Places that are remembered.
const PLACES: usize = 1024;

fn known_places() -> MutexGuard<'static, BTreeSet<String>> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a first flight takes for granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Guess {
    /// That the server speaks frames, as it did before.
    Frames,
    /// That it runs commands, or what starts with `#`.
    Hello,
    /// Nothing.
    Nothing,
}

impl Client {
    /// The first flight: what are you, open this, how long is it.
    pub(super) fn establish(&mut self, cancel: &Cancel) -> Result<()> {
        let known = known_places().contains(&self.target.place);
        let mut outcome = self.first_flight(cancel, if known { Guess::Frames } else { Guess::Hello });
        if known && matches!(outcome, Err(Refusal::Silent | Refusal::NoFrames)) {
            known_places().remove(&self.target.place);
            outcome = self.first_flight(cancel, Guess::Hello);
        }
        let mute = matches!(&outcome, Err(Refusal::Silent));
        // Some small servers know no commands and hang up on the hello: ask those for the file alone.
        let outcome = if mute { self.first_flight(cancel, Guess::Nothing) } else { outcome };
        outcome.map_err(|refusal| match refusal {
            Refusal::Other(error) if error.kind() == Kind::Protocol => {
                error.context(format_args!("{} does not speak rap", self.target.place))
            }
            Refusal::Other(error) => error,
            Refusal::Silent | Refusal::NoFrames => {
                let Target { path, place, .. } = &self.target;
                let what = if path.is_empty() { String::new() } else { format!("cannot open '{path}': ") };
                Error::new(Kind::Closed, format!("{what}{place} closed the connection without an answer"))
            }
            Refusal::NoFile(reason) => {
                let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
                let Target { path, place, .. } = &self.target;
                Error::new(Kind::NotFound, format!("'{path}' cannot be opened at {place}{reason}"))
            }
        })
    }

    fn first_flight(&mut self, cancel: &Cancel, guess: Guess) -> std::result::Result<(), Refusal> {
        let patience = Some(self.target.timeout);
        let link = (self.dial)(cancel)?;
        let token = link.token().map_or_else(String::new, |token| format!(" {}", token.word()));
        let mut framed = Framed::new(link, Some(cancel.clone()));
        let path = &self.target.path;
        // The hello comes first, so that the server knows whom it speaks with when the file cannot be opened.
        if guess != Guess::Nothing {
            let hello = format!("{HELLO}{token}");
            Request::Command { verb: Verb::Command, text: hello.as_bytes() }.encode(framed.queue())?;
        }
        if !path.is_empty() {
            Request::Open { flags: self.target.flags, path: path.as_bytes() }.encode(framed.queue())?;
        }
        let mut channel = Channel::new();
        match guess {
            Guess::Frames => channel.queue_stat(&mut framed)?,
            _ => Request::Seek { whence: Whence::End, offset: 0 }.encode(framed.queue())?,
        }
        framed.flush(patience)?;

        let mut capabilities = None;
        if guess != Guess::Nothing {
            let answer = command_reply(&mut framed, patience, patience).map_err(silent)?;
            let answer = String::from_utf8_lossy(&answer);
            if let Some(error) = turned_away(&answer, &self.target.place) {
                return Err(Refusal::Other(error));
            }
            capabilities = Capabilities::parse(&answer);
        }
        let needed = [Op::Stat, Op::Read, Op::Write, Op::Cancel, Op::Ping];
        let frames = capabilities.filter(|capabilities| needed.iter().all(|op| capabilities.speaks(*op)));
        if guess == Guess::Frames && frames.is_none() {
            return Err(Refusal::NoFrames);
        }
        if !path.is_empty() {
            let opened = match framed.receive(patience, |bytes| Reply::decode(bytes, Limits::CLIENT)) {
                Ok(Reply::Open { fd }) => fd >= 0,
                Ok(other) => return Err(unexpected(other).into()),
                // Old servers close the connection when there is no such file.
                Err(error) if error.kind() == Kind::Closed && guess != Guess::Nothing => {
                    return Err(Refusal::NoFile(None));
                }
                Err(error) => return Err(silent(error)),
            };
            if !opened {
                if capabilities.is_none() {
                    return Err(Refusal::NoFile(None));
                }
                let answer = command_reply(&mut framed, patience, patience)?;
                let answer = String::from_utf8_lossy(&answer);
                let reason = answer.split_once("error=").map(|(_, reason)| visible(reason.trim_end()).into_owned());
                return Err(Refusal::NoFile(reason));
            }
        }
        let size = match guess {
            Guess::Frames => channel.take_stat(&mut framed, patience)?.and_then(|stat| stat.size),
            _ => {
                let end = seek_reply(&mut framed, patience)?;
                // A process has no end, of which old servers say 0.
                let endless = capabilities.is_none() && end == 0 && path.contains("://");
                Some(end).filter(|end| *end != u64::MAX && !endless)
            }
        };
        // Without a file the peer's own session is looked at: its address space has no end.
        let size = size.filter(|_| !path.is_empty());
        if let Some(frames) = frames {
            channel.set_chunk(frames.chunk());
            let mut places = known_places();
            if places.len() < PLACES {
                places.insert(self.target.place.clone());
            }
        }
        self.peer = Peer { capabilities, frames: frames.is_some(), size };
        self.line = Some(Line { framed, channel: frames.map(|_| channel) });
        self.pass_compression();
        Ok(())
    }
}

/// Why a first flight failed.
enum Refusal {
    /// The server hung up before it said anything.
    Silent,
    /// It does not know the frames that it knew before.
    NoFrames,
    /// It cannot open the file, for this reason.
    NoFile(Option<String>),
    Other(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Refusal {
        Refusal::Other(error)
    }
}

/// Why a server does not let this client in, if that is its answer to the hello.
fn turned_away(answer: &str, place: &str) -> Option<Error> {
    let (_, reason) = answer.strip_prefix("rap/")?.split_once(" error=")?;
    let error = Error::new(Kind::Credentials, format!("{place} does not let us in: {}", visible(reason.trim_end())));
    Some(
        error.hint(
            "a token comes from net.token.file or REMORA_TOKEN, and is presented over raps:// and rap+unix:// alone",
        ),
    )
}

fn silent(error: Error) -> Refusal {
    if error.kind() == Kind::Closed { Refusal::Silent } else { Refusal::Other(error) }
}
