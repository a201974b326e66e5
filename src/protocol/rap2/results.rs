//! What answers of rap 2 hold: the results of the requests that have some of their own.

use super::{ANSWER, Fields, Part, Range, Status, begin, end, malformed, packed};
use crate::error::Result;

/// An answer to READ that is written in place: the head and room for the counts and the bytes, then the bytes by
/// their reader, then the counts when they are known.
pub struct ReadAnswer {
    start: usize,
    /// Where the bytes of the first range go.
    pub data: usize,
}

impl ReadAnswer {
    /// Begins the answer to a READ of `ranges`, with room for all of their bytes behind [`ReadAnswer::data`].
    pub fn begin(out: &mut Vec<u8>, id: u32, ranges: &[Range]) -> ReadAnswer {
        let start = begin(out, ANSWER, id, Part::Done as u8);
        out.push(Status::Ok as u8);
        let data = out.len() + 4 * ranges.len();
        let bytes: usize = ranges.iter().map(|range| range.length as usize).sum();
        out.resize(data + bytes, 0);
        ReadAnswer { start, data }
    }

    /// Closes up what was not filled, and enters the `counts` of bytes that were there, one for each range.
    ///
    /// # Errors
    /// [`Kind::Limit`] for more than a frame holds.
    pub fn finish(self, out: &mut Vec<u8>, ranges: &[Range], counts: &[u32]) -> Result<()> {
        self.close_up(out, ranges, counts);
        end(out, self.start)
    }

    /// The same as the answer to a PACKED.
    ///
    /// # Errors
    /// [`Kind::Limit`](crate::error::Kind::Limit) for more than a frame holds.
    pub fn finish_packed(self, out: &mut Vec<u8>, ranges: &[Range], counts: &[u32]) -> Result<()> {
        self.close_up(out, ranges, counts);
        packed::pack(out, self.data);
        end(out, self.start)
    }

    fn close_up(&self, out: &mut Vec<u8>, ranges: &[Range], counts: &[u32]) {
        let (mut from, mut to) = (self.data, self.data);
        for (index, (range, count)) in ranges.iter().zip(counts).enumerate() {
            let count = (*count).min(range.length);
            let place = self.data - 4 * (ranges.len() - index);
            out[place..place + 4].copy_from_slice(&count.to_be_bytes());
            if from != to {
                out.copy_within(from..from + count as usize, to);
            }
            from += range.length as usize;
            to += count as usize;
        }
        out.truncate(to);
    }

    /// Takes the answer back, for another one in its place.
    pub fn abandon(self, out: &mut Vec<u8>) {
        out.truncate(self.start);
    }
}

/// The result of STAT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// Bytes; `None`: no end.
    pub size: Option<u64>,
    /// Bits: 4 read, 2 write, 1 execute.
    pub access: u8,
    /// Equal versions of one path stand for equal content; `None`: that is not known.
    pub version: Option<u128>,
}

impl Stat {
    /// Reads the result.
    ///
    /// # Errors
    /// [`Kind::Protocol`] when it has another length.
    pub fn parse(result: &[u8]) -> Result<Stat> {
        let mut fields = Fields(result);
        let stat = (|| {
            let (size, access, high, low) = (fields.u64()?, fields.u8()?, fields.u64()?, fields.u64()?);
            let version = u128::from(high) << 64 | u128::from(low);
            Some(Stat {
                size: Some(size).filter(|size| *size != u64::MAX),
                access,
                version: Some(version).filter(|version| *version != 0),
            })
        })();
        stat.filter(|_| fields.0.is_empty()).ok_or_else(|| malformed("result"))
    }

    /// The result as bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.size.unwrap_or(u64::MAX).to_be_bytes().to_vec();
        bytes.push(self.access);
        bytes.extend(self.version.unwrap_or(0).to_be_bytes());
        bytes
    }
}

/// The result of RUN, whatever its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// `$?`.
    pub last: u64,
    /// The seek of the session.
    pub seek: u64,
    /// What ended the line, when that was no error of one statement, which came as a note.
    pub error: String,
}

impl Ran {
    /// Reads the result.
    ///
    /// # Errors
    /// [`Kind::Protocol`] when it is too short.
    pub fn parse(result: &[u8]) -> Result<Ran> {
        let mut fields = Fields(result);
        let (last, seek) = fields.u64().zip(fields.u64()).ok_or_else(|| malformed("result"))?;
        Ok(Ran { last, seek, error: String::from_utf8_lossy(fields.0).into_owned() })
    }

    /// The result as bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.last.to_be_bytes().to_vec();
        bytes.extend(self.seek.to_be_bytes());
        bytes.extend_from_slice(self.error.as_bytes());
        bytes
    }
}

/// A result that is one number of 32 bits.
///
/// # Errors
/// [`Kind::Protocol`] when it has another length.
pub fn number(result: &[u8]) -> Result<u32> {
    result.try_into().map(u32::from_be_bytes).map_err(|_| malformed("result"))
}

/// Numbers of 64 bits, one after the other.
///
/// # Errors
/// [`Kind::Protocol`] when there is half a one.
pub fn numbers(bytes: &[u8]) -> Result<impl Iterator<Item = u64>> {
    let (numbers, rest) = bytes.as_chunks::<8>();
    if rest.is_empty() { Ok(numbers.iter().map(|number| u64::from_be_bytes(*number))) } else { Err(malformed("data")) }
}
