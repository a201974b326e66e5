use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// Bytes at addresses, with holes and zeros, given in stretches of at most `step`.
struct Memory {
    parts: BTreeMap<u64, Part>,
    step: usize,
    reads: usize,
}

#[derive(Debug, Clone)]
enum Part {
    Data(Vec<u8>),
    Zeros(u64),
}

impl Part {
    fn length(&self) -> u64 {
        match self {
            Part::Data(bytes) => bytes.len() as u64,
            Part::Zeros(count) => *count,
        }
    }
}

impl Memory {
    fn new(parts: impl IntoIterator<Item = (u64, Part)>, step: usize) -> Memory {
        Memory { parts: parts.into_iter().collect(), step, reads: 0 }
    }

    fn of(bytes: &[u8], step: usize) -> Memory {
        Memory::new([(0, Part::Data(bytes.to_vec()))], step)
    }
}

impl Source for Memory {
    fn stretch(&mut self, address: u64, buffer: &mut [u8]) -> Result<Stretch> {
        self.reads += 1;
        assert!(!buffer.is_empty());
        if let Some((start, part)) = self.parts.range(..=address).next_back()
            && address - start < part.length()
        {
            let offset = address - start;
            return Ok(match part {
                Part::Zeros(count) => Stretch::Zeros(count - offset),
                Part::Data(bytes) => {
                    let rest = &bytes[offset as usize..];
                    let count = rest.len().min(buffer.len()).min(self.step);
                    buffer[..count].copy_from_slice(&rest[..count]);
                    Stretch::Data(count)
                }
            });
        }
        let next = self.parts.range(address..).next().map_or(u64::MAX, |(start, _)| *start);
        Ok(Stretch::Hole(next - address))
    }
}

fn forward(pattern: &Pattern, wanted: Wanted, extent: Extent, memory: &mut Memory) -> Vec<u64> {
    let mut scan = Scan::new(pattern, wanted, extent);
    let cancel = Cancel::new();
    std::iter::from_fn(|| scan.next(memory, &cancel).unwrap()).map(|hit| hit.address).collect()
}

fn backward(pattern: &Pattern, wanted: Wanted, extent: Extent, memory: &mut Memory) -> Vec<u64> {
    let mut scan = BackwardScan::new(pattern, wanted, extent);
    let cancel = Cancel::new();
    std::iter::from_fn(|| scan.next(memory, &cancel).unwrap()).map(|hit| hit.address).collect()
}

fn keyword(value: &[u8]) -> Pattern {
    Pattern::Bytes(Keyword::new(value.to_vec(), None, 0).unwrap())
}

fn regex(text: &str) -> Pattern {
    Pattern::Regex(Box::new(regex::bytes::RegexBuilder::new(text).unicode(false).build().unwrap()))
}

const ANY: Wanted = Wanted { align: 0, overlap: true };
const APART: Wanted = Wanted { align: 0, overlap: false };

fn all(length: u64) -> Extent {
    Extent { first: 0, last: length - 1 }
}

/// What every place of `bytes` says for itself.
fn naive(bytes: &[u8], value: &[u8], mask: &[u8], distance: usize, wanted: Wanted) -> Vec<u64> {
    let mut free = 0;
    let mut hits = Vec::new();
    for at in 0..(bytes.len() + 1).saturating_sub(value.len()) {
        let wrong = (0..value.len()).filter(|i| (bytes[at + i] ^ value[*i]) & mask[*i] != 0).count();
        if wrong <= distance && wanted.takes(at as u64) && (wanted.overlap || at >= free) {
            hits.push(at as u64);
            free = at + value.len();
        }
    }
    hits
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn hits_are_those_of_a_walk_over_every_place(
        bytes in prop::collection::vec(prop_oneof![Just(0u8), Just(1), Just(b'A'), Just(b'a'), any::<u8>()], 1..200),
        place in any::<prop::sample::Index>(),
        length in 1usize..6,
        bits in prop::collection::vec(prop_oneof![4 => Just(0xffu8), 1 => Just(0xdf), 1 => Just(0xf0), 1 => Just(0)], 6),
        masked in any::<bool>(),
        distance in 0usize..3,
        align in 0u64..4,
        overlap in any::<bool>(),
        step in 1usize..40,
    ) {
        let at = place.index(bytes.len());
        let value = &bytes[at..(at + length).min(bytes.len())];
        let mask = if masked { bits[..value.len()].to_vec() } else { vec![0xff; value.len()] };
        let wanted = Wanted { align, overlap };
        let pattern = Pattern::Bytes(Keyword::new(value.to_vec(), Some(mask.clone()), distance).unwrap());
        let expected = naive(&bytes, value, &mask, distance, wanted);
        let extent = all(bytes.len() as u64);
        prop_assert_eq!(forward(&pattern, wanted, extent, &mut Memory::of(&bytes, step)), expected.clone());
        if overlap {
            let mut back = backward(&pattern, wanted, extent, &mut Memory::of(&bytes, step));
            back.reverse();
            prop_assert_eq!(back, expected);
        }
    }

    #[test]
    fn holes_and_zeros_are_what_they_would_be_if_read(
        parts in prop::collection::vec((0u8..3, 1u64..60, any::<u64>()), 1..8),
        value in prop::collection::vec(0u8..3, 1..5),
        step in 1usize..20,
    ) {
        let mut memory = Memory::new([], step);
        let mut pieces: Vec<(u64, Vec<u8>)> = Vec::new();
        let (mut address, mut joined) = (0u64, false);
        for (kind, length, seed) in parts {
            let bytes: Vec<u8> = match kind {
                0 => { joined = false; address += length; continue; }
                1 => vec![0; length as usize],
                _ => (0..length).map(|at| ((seed >> (at % 60)) % 3) as u8).collect(),
            };
            let part = if kind == 1 { Part::Zeros(length) } else { Part::Data(bytes.clone()) };
            memory.parts.insert(address, part);
            match pieces.last_mut() {
                Some((_, last)) if joined => last.extend(bytes),
                _ => pieces.push((address, bytes)),
            }
            joined = true;
            address += length;
        }
        let mask = vec![0xff; value.len()];
        let expected: Vec<u64> = pieces.iter()
            .flat_map(|(start, bytes)| naive(bytes, &value, &mask, 0, ANY).into_iter().map(move |at| start + at))
            .collect();
        let extent = all(address.max(1));
        prop_assert_eq!(forward(&keyword(&value), ANY, extent, &mut memory), expected.clone());
        let mut back = backward(&keyword(&value), ANY, extent, &mut memory);
        back.reverse();
        prop_assert_eq!(back, expected);
    }
}

#[test]
fn hits_lie_across_the_borders_of_chunks() {
    let mut bytes = vec![b'.'; 3 * CHUNK];
    let places = [0, CHUNK - 4, 2 * CHUNK - 1, 3 * CHUNK - 5];
    places.iter().for_each(|at| bytes[*at..*at + 5].copy_from_slice(b"Xylo1"));
    let expected: Vec<u64> = places.iter().map(|at| *at as u64).collect();
    let extent = all(bytes.len() as u64);
    for pattern in [keyword(b"Xylo1"), regex(r"X[a-z]+\d"), regex(r"(?:\b|^)Xylo1"), regex("Xylo.(?:.|$)")] {
        let length = if matches!(&pattern, Pattern::Regex(regex) if regex.as_str().ends_with("$)")) { 6 } else { 5 };
        let mut scan = Scan::new(&pattern, APART, extent);
        let mut memory = Memory::of(&bytes, usize::MAX);
        let mut hits = Vec::new();
        while let Some(hit) = scan.next(&mut memory, &Cancel::new()).unwrap() {
            assert!(hit.length == length || hit.address + 5 == bytes.len() as u64, "{hit:?}");
            hits.push(hit.address);
        }
        assert_eq!(hits, expected, "{pattern:?}");
        let mut back = backward(&pattern, APART, extent, &mut memory);
        back.reverse();
        assert_eq!(back, expected, "{pattern:?}");
    }
}

#[test]
fn regular_expressions_see_what_stands_around_a_match() {
    let mut text = vec![b' '; 2 * CHUNK];
    text[CHUNK - 3..CHUNK + 4].copy_from_slice(b"abcabc\n");
    let extent = all(text.len() as u64);
    let at = |pattern: &str| forward(&regex(pattern), APART, extent, &mut Memory::of(&text, usize::MAX));
    assert_eq!(at(r"abc\b"), [CHUNK as u64]);
    assert_eq!(at(r"\babc"), [CHUNK as u64 - 3]);
    assert_eq!(at(r"^abc"), [0u64; 0]);
}

#[test]
fn strings_have_all_of_their_length() {
    let mut bytes = vec![0; CHUNK + 100];
    bytes[10..14].copy_from_slice(b"four");
    bytes[20..26].copy_from_slice(b"sixsix");
    bytes[CHUNK - 2..CHUNK + 3].copy_from_slice(b"fiver");
    bytes[CHUNK + 95..].copy_from_slice(b"at-it");
    let at = |min, max| {
        let extent = all(bytes.len() as u64);
        forward(&Pattern::Strings(min, max), APART, extent, &mut Memory::of(&bytes, usize::MAX))
    };
    assert_eq!(at(4, 5), [10, CHUNK as u64 - 2, CHUNK as u64 + 95]);
    assert_eq!(at(6, 6), [20]);
    let long = vec![b'x'; 3 * REACH];
    let seen = forward(&Pattern::Strings(4, REACH), APART, all(long.len() as u64), &mut Memory::of(&long, 1000));
    assert_eq!(seen, [0u64; 0]);
}

#[test]
fn what_differs_from_filler_is_found_in_steps() {
    let mut bytes = [0xde, 0xad].repeat(CHUNK);
    bytes[CHUNK + 1] = 0;
    let pattern = Pattern::Other(Keyword::new(vec![0xde, 0xad], None, 0).unwrap());
    let extent = all(bytes.len() as u64);
    assert_eq!(forward(&pattern, APART, extent, &mut Memory::of(&bytes, 4099)), [CHUNK as u64]);
}

#[test]
fn values_lie_between_two_others_in_either_order() {
    let bytes = [0, 0x10, 0, 0x20, 0, 0x30];
    let values = |min, max, big_endian| Pattern::Values { width: 2, min, max, big_endian };
    let at =
        |pattern: &Pattern| forward(pattern, Wanted { align: 2, overlap: false }, all(6), &mut Memory::of(&bytes, 1));
    assert_eq!(at(&values(0x10, 0x20, true)), [0, 2]);
    assert_eq!(at(&values(0x2000, 0x3000, false)), [2, 4]);
}

#[test]
fn an_address_space_of_holes_is_passed_quickly() {
    let needle = Part::Data(b"needle".to_vec());
    let parts =
        [(5, needle.clone()), (1 << 40, Part::Zeros(1 << 40)), (1 << 41, needle.clone()), (u64::MAX - 6, needle)];
    let mut memory = Memory::new(parts, usize::MAX);
    let extent = Extent { first: 0, last: u64::MAX };
    let expected = [5, 1 << 41, u64::MAX - 6];
    assert_eq!(forward(&keyword(b"needle"), ANY, extent, &mut memory), expected);
    assert!(memory.reads < 20, "{}", memory.reads);
    assert_eq!(forward(&regex("n(e{2})dle"), ANY, extent, &mut memory), expected);
    let mut back = backward(&keyword(b"needle"), ANY, extent, &mut memory);
    back.reverse();
    assert_eq!(back, expected);
    assert!(memory.reads < 2000, "{}", memory.reads);
}

#[test]
fn a_search_ends_when_it_is_asked_to() {
    let cancel = Cancel::new();
    let pattern = keyword(b"x");
    let mut scan = Scan::new(&pattern, ANY, all(1 << 50));
    let mut memory = Memory::of(b"..x", usize::MAX);
    assert_eq!(scan.next(&mut memory, &cancel).unwrap(), Some(Hit { address: 2, length: 1 }));
    cancel.set();
    assert!(scan.next(&mut memory, &cancel).is_err());
}

/// Bytes that may be read by many threads, except for some pieces.
struct Shareable {
    memory: Memory,
    bytes: Arc<Vec<u8>>,
    /// Every other piece of this size is not shared.
    piece: u64,
}

struct Bytes(Arc<Vec<u8>>);

impl SharedRead for Bytes {
    fn read_at(&self, address: u64, buffer: &mut [u8]) -> Result<usize> {
        let rest = self.0.get(address as usize..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
    fn data(&self, address: u64) -> u64 {
        (self.0.len() as u64).saturating_sub(address)
    }
}

impl Source for Shareable {
    fn stretch(&mut self, address: u64, buffer: &mut [u8]) -> Result<Stretch> {
        self.memory.stretch(address, buffer)
    }
    fn run(&mut self, address: u64) -> Option<Run> {
        let shared = (address / self.piece).is_multiple_of(2) && address < self.bytes.len() as u64;
        let length =
            (self.piece - address % self.piece).min(self.bytes.len() as u64 - address.min(self.bytes.len() as u64));
        shared.then(|| Run::new(Arc::new(Bytes(Arc::clone(&self.bytes))), address, length))
    }
}

fn swept(pattern: &Pattern, wanted: Wanted, extent: Extent, source: &mut Shareable) -> Vec<Hit> {
    let mut sweep = Sweep::new(pattern, wanted, extent);
    let cancel = Cancel::new();
    std::iter::from_fn(|| sweep.next(source, &cancel, &mut |_| {}).unwrap()).collect()
}

fn scanned(pattern: &Pattern, wanted: Wanted, extent: Extent, memory: &mut Memory) -> Vec<Hit> {
    let mut scan = Scan::new(pattern, wanted, extent);
    let cancel = Cancel::new();
    std::iter::from_fn(|| scan.next(memory, &cancel).unwrap()).collect()
}

fn letters(length: usize, seed: u64, kinds: u8) -> Vec<u8> {
    let mut state = seed | 1;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            b'a' + (state >> 33) as u8 % kinds
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn all_cores_find_what_one_finds(
        seed in any::<u64>(), length in 1usize..20_000, kinds in 1u8..4, align in 0u64..4, overlap in any::<bool>(),
        piece in 1u64..9000, first in 0u64..500,
    ) {
        let bytes = letters(length, seed, kinds);
        let extent = Extent { first, last: first + length as u64 };
        let wanted = Wanted { align, overlap };
        let masked = Keyword::new(b"aba".to_vec(), Some(vec![0xff, 0, 0xff]), 0).unwrap();
        let values = Pattern::Values { width: 2, min: 0x6161, max: 0x6162, big_endian: false };
        for pattern in [keyword(b"aa"), keyword(b"abab"), Pattern::Bytes(masked), values] {
            let mut source = Shareable { memory: Memory::of(&bytes, 300), bytes: Arc::new(bytes.clone()), piece };
            let mut memory = Memory::of(&bytes, usize::MAX);
            prop_assert_eq!(
                swept(&pattern, wanted, extent, &mut source), scanned(&pattern, wanted, extent, &mut memory)
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]
    #[test]
    fn all_cores_find_what_one_finds_of_expressions(
        seed in any::<u64>(), length in 200_000usize..900_000, overlap in any::<bool>(), piece in 150_000u64..800_000,
    ) {
        let mut bytes = letters(length, seed, 3);
        // What crosses the borders of segments.
        for at in (0..length).step_by(131_072) {
            let end = (at + 900).min(length);
            bytes[at.saturating_sub(700)..end].fill(b'd');
        }
        bytes.iter_mut().filter(|byte| **byte == b'b').for_each(|byte| *byte = 0);
        let extent = Extent { first: 0, last: u64::MAX };
        let wanted = Wanted { align: 0, overlap };
        let patterns = if overlap {
            vec![regex(r"cc+a\x00"), regex(r"dc")]
        } else {
            vec![regex(r"aaaa+\x00"), regex("d+"), regex("dddd"), Pattern::Strings(1000, 2000), Pattern::Text(4)]
        };
        for pattern in patterns {
            let mut source = Shareable { memory: Memory::of(&bytes, 70_000), bytes: Arc::new(bytes.clone()), piece };
            let mut memory = Memory::of(&bytes, usize::MAX);
            prop_assert_eq!(
                swept(&pattern, wanted, extent, &mut source), scanned(&pattern, wanted, extent, &mut memory)
            );
        }
    }
}
