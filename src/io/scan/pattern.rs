//! What a search looks for, and how it is found in a piece of memory.

use std::ops::Range;

use memchr::memmem::Finder;
use regex::bytes::Regex;

use super::text;
use crate::error::{Error, Kind, Result};

/// How far a match of a regular expression may reach, and the longest string that is told from its neighbours.
/// Every decision is made with so many bytes in sight, so that the borders of chunks do not show.
pub const REACH: usize = 64 * 1024;

/// The longest keyword.
pub const LONGEST: usize = 16 << 20;

/// Bytes to be found whole.
#[derive(Debug, Clone)]
pub struct Keyword {
    value: Vec<u8>,
    mask: Option<Vec<u8>>,
    /// How many bytes may differ.
    distance: usize,
    anchor: Anchor,
}

/// A part of a keyword that leads quickly to the places where all of it may lie.
#[derive(Debug, Clone)]
enum Anchor {
    /// Bytes that all count, at this offset. At offset 0 and as long as the keyword they are all of it.
    Run(usize, Box<Finder<'static>>),
    /// A letter in either case, at this offset.
    Letter(usize, u8),
    /// Every place has to be looked at.
    None,
}

impl Keyword {
    /// `value`, of which the bits in `mask` count (`None`: all); as many as `distance` of its bytes may differ.
    pub fn new(mut value: Vec<u8>, mask: Option<Vec<u8>>, distance: usize) -> Result<Keyword> {
        if value.is_empty() {
            return Err(Error::new(Kind::Usage, "there is nothing to look for"));
        }
        if value.len() > LONGEST {
            return Err(Error::new(Kind::Limit, format!("{} bytes are too many to look for", value.len()))
                .hint(format!("at most {LONGEST}")));
        }
        let mask = mask.filter(|mask| mask.iter().any(|bits| *bits != 0xff));
        if let Some(mask) = &mask {
            if mask.len() != value.len() {
                return Err(Error::new(
                    Kind::Usage,
                    format!("a mask of {} bytes does not fit {} bytes", mask.len(), value.len()),
                ));
            }
            value.iter_mut().zip(mask).for_each(|(byte, bits)| *byte &= bits);
        }
        let anchor = if distance > 0 { Anchor::None } else { Anchor::of(&value, mask.as_deref()) };
        Ok(Keyword { value, mask, distance, anchor })
    }

    /// The bytes; those bits that do not count are 0.
    pub fn value(&self) -> &[u8] {
        &self.value
    }

    /// Which bits count, if not all do.
    pub fn mask(&self) -> Option<&[u8]> {
        self.mask.as_deref()
    }

    /// Whether bytes may differ, so that only a look at all of them decides.
    pub fn is_fuzzy(&self) -> bool {
        self.distance > 0
    }

    /// Whether hits are these very bytes.
    pub fn is_exact(&self) -> bool {
        self.mask.is_none() && self.distance == 0
    }

    /// Whether the keyword lies at the start of `bytes`.
    fn lies_at(&self, bytes: &[u8]) -> bool {
        let Some(bytes) = bytes.get(..self.value.len()) else { return false };
        if self.distance == 0 {
            return match &self.mask {
                None => bytes == self.value,
                Some(mask) => {
                    bytes.iter().zip(mask).zip(&self.value).all(|((byte, bits), value)| byte & bits == *value)
                }
            };
        }
        let differs = |at: usize| bytes[at] & self.mask.as_ref().map_or(0xff, |mask| mask[at]) != self.value[at];
        (0..bytes.len()).filter(|at| differs(*at)).take(self.distance + 1).count() <= self.distance
    }

    /// The first place in `bytes` from `at`.
    fn find(&self, bytes: &[u8], mut at: usize) -> Option<usize> {
        let last = bytes.len().checked_sub(self.value.len())?;
        while at <= last {
            let candidate = match &self.anchor {
                Anchor::Run(offset, finder) => at + finder.find(bytes.get(at + offset..)?)?,
                Anchor::Letter(offset, letter) => {
                    at + memchr::memchr2(*letter, letter | 0x20, bytes.get(at + offset..)?)?
                }
                Anchor::None => (at..=last).find(|at| self.lies_at(&bytes[*at..]))?,
            };
            if candidate > last {
                return None;
            }
            if self.lies_at(&bytes[candidate..]) {
                return Some(candidate);
            }
            at = candidate + 1;
        }
        None
    }
}

impl Anchor {
    fn of(value: &[u8], mask: Option<&[u8]>) -> Anchor {
        let Some(mask) = mask else { return Anchor::Run(0, Box::new(Finder::new(value).into_owned())) };
        let mut longest = 0..0;
        let mut from = 0;
        for (at, bits) in mask.iter().enumerate() {
            if *bits != 0xff {
                from = at + 1;
            } else if at + 1 - from > longest.len() {
                longest = from..at + 1;
            }
        }
        if !longest.is_empty() {
            return Anchor::Run(longest.start, Box::new(Finder::new(&value[longest]).into_owned()));
        }
        let letter = |(byte, bits): (&u8, &u8)| *bits == 0xdf && byte.is_ascii_uppercase();
        match value.iter().zip(mask).position(letter) {
            Some(offset) => Anchor::Letter(offset, value[offset]),
            None => Anchor::None,
        }
    }
}

/// What a search looks for.
#[derive(Debug, Clone)]
pub enum Pattern {
    /// A keyword.
    Bytes(Keyword),
    /// What is not a keyword, in steps of its length: the end of filler.
    Other(Keyword),
    /// Whatever a regular expression matches (but not nothing).
    Regex(Box<Regex>),
    /// Whole strings of printable ASCII of a length in this range (inclusive).
    Strings(usize, usize),
    /// Text of at least so many characters, in any of the encodings of [`text`].
    Text(usize),
    /// What a test of the bytes from a place on recognises, by so many bytes at most; it says how many of them.
    Test(usize, fn(&[u8]) -> Option<usize>),
    /// Numbers of so many bytes between two others.
    Values {
        /// 1, 2, 4 or 8 bytes.
        width: usize,
        /// The least.
        min: u64,
        /// The greatest.
        max: u64,
        /// The high byte stands first.
        big_endian: bool,
    },
}

/// What a look at a piece of memory gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A hit, and where it lies.
    Hit(Range<usize>),
    /// Nothing starts before this offset; what starts from there needs bytes that are not here yet.
    Nothing(usize),
}

/// A piece of memory that is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Piece<'a> {
    /// The bytes.
    pub bytes: &'a [u8],
    /// How far they lie from the start of the whole.
    pub offset: u64,
    /// Whether nothing follows.
    pub last: bool,
}

/// Whether `byte` may stand in a string.
fn printable(byte: u8) -> bool {
    matches!(byte, 0x20..=0x7e | b'\t')
}

impl Pattern {
    /// Bytes that must follow a place before it is certain what starts there.
    pub fn reach(&self) -> usize {
        match self {
            Pattern::Bytes(keyword) | Pattern::Other(keyword) => keyword.value.len() - 1,
            Pattern::Regex(_) | Pattern::Strings(..) | Pattern::Text(_) => REACH,
            Pattern::Test(most, _) => most.saturating_sub(1),
            Pattern::Values { width, .. } => width - 1,
        }
    }

    /// Whether what lies before a place matters to what starts there.
    pub fn looks_back(&self) -> bool {
        matches!(self, Pattern::Regex(_) | Pattern::Strings(..) | Pattern::Text(_) | Pattern::Other(_))
    }

    /// Whether something may be found where all bytes are zero.
    pub fn is_in_zeros(&self) -> bool {
        let bytes = vec![0; 2 * self.reach() + 2];
        matches!(self.find(Piece { bytes: &bytes, offset: 0, last: true }, 0), Found::Hit(..))
    }

    /// The first hit in `piece` that starts at `at` or later.
    pub fn find(&self, piece: Piece<'_>, at: usize) -> Found {
        self.find_on(piece, at, &mut None)
    }

    /// The same, for one look at the same piece after the other, which keep what they learn in `known`.
    pub fn find_on<'a>(&self, piece: Piece<'a>, at: usize, known: &mut Option<text::Finder<'a>>) -> Found {
        let bytes = piece.bytes;
        // From here on too few bytes follow.
        let open = bytes.len().saturating_sub(self.reach()).max(at);
        let nothing = Found::Nothing(if piece.last { bytes.len().max(at) } else { open });
        if at >= bytes.len() {
            return nothing;
        }
        match self {
            Pattern::Bytes(keyword) => match keyword.find(bytes, at) {
                Some(start) => Found::Hit(start..start + keyword.value.len()),
                None => nothing,
            },
            Pattern::Other(keyword) => {
                let step = keyword.value.len();
                let phase = ((piece.offset % step as u64) as usize + at) % step;
                let first = if phase == 0 { at } else { at + step - phase };
                let units = bytes.get(first..).unwrap_or_default().chunks_exact(step);
                match (first..).step_by(step).zip(units).find(|(_, unit)| !keyword.lies_at(unit)) {
                    Some((start, unit)) => Found::Hit(start..start + unit.len()),
                    None => nothing,
                }
            }
            Pattern::Regex(regex) => {
                let mut from = at;
                while let Some(hit) = regex.find_at(bytes, from) {
                    if !piece.last && hit.start() >= open {
                        return Found::Nothing(open.max(at));
                    }
                    if !hit.is_empty() {
                        return Found::Hit(hit.start()..hit.end().min(hit.start() + REACH));
                    }
                    from = hit.end() + 1;
                    if from > bytes.len() {
                        break;
                    }
                }
                nothing
            }
            Pattern::Strings(min, max) => {
                let mut start = at;
                loop {
                    // Inside a string that started before.
                    if start > 0 && printable(bytes[start - 1]) {
                        start += bytes[start..].iter().take_while(|byte| printable(**byte)).count();
                    }
                    let Some(skip) = bytes[start..].iter().position(|byte| printable(*byte)) else {
                        return Found::Nothing(bytes.len());
                    };
                    start += skip;
                    let length = bytes[start..].iter().take_while(|byte| printable(**byte)).count();
                    if start + length == bytes.len() && !piece.last && length <= *max {
                        return Found::Nothing(start);
                    }
                    if (*min..=*max).contains(&length) {
                        return Found::Hit(start..start + length);
                    }
                    start += length;
                    if start >= bytes.len() {
                        return Found::Nothing(bytes.len());
                    }
                }
            }
            Pattern::Test(_, test) => {
                let end = if piece.last { bytes.len() } else { open };
                for start in at..end {
                    if let Some(length) = test(&bytes[start..]).filter(|length| *length > 0) {
                        return Found::Hit(start..(start + length).min(bytes.len()));
                    }
                }
                nothing
            }
            Pattern::Text(min) => {
                let finder = known.get_or_insert_with(|| text::Finder::new(bytes, *min));
                match finder.find(at, if piece.last { bytes.len() } else { open }) {
                    Ok(text) => Found::Hit(text.place),
                    Err(next) => Found::Nothing(next),
                }
            }
            Pattern::Values { width, min, max, big_endian } => {
                let fits = |window: &[u8]| {
                    let fold = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
                    let value =
                        if *big_endian { window.iter().fold(0, fold) } else { window.iter().rev().fold(0, fold) };
                    (*min..=*max).contains(&value)
                };
                match bytes[at..].windows(*width).position(fits) {
                    Some(skip) => Found::Hit(at + skip..at + skip + width),
                    None => nothing,
                }
            }
        }
    }
}
