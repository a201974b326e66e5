//! The committed inputs of the targets, `corpus/TARGET/*`, and what a hostile hand makes of them.

use std::path::Path;

use crate::Random;

/// The inputs of one target, by their names.
pub fn of(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).expect("the corpus can be read")).collect()
}

/// Numbers that are easy to get wrong, little-endian as most fields are.
const NUMBERS: &[u64] = &[
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0xffff,
    0x1_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    0xffff_ffff_ffff_fff0,
    u64::MAX,
];

/// One of `inputs`, damaged in a few places: fields become numbers that are easy to get wrong, or what stands
/// elsewhere in the file; bytes flip; the end is cut off.
pub fn damaged(inputs: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut input = inputs[random.below(inputs.len() as u64) as usize].clone();
    for _ in 0..=random.below(6) {
        if input.is_empty() {
            break;
        }
        // Most of what decides lies in front.
        let length = input.len() as u64;
        let reach = if random.below(2) == 0 { length.min(512) } else { length };
        let at = random.below(reach) as usize;
        let width = (1 << random.below(4)) as usize;
        let field = at / width * width..(at / width * width + width).min(input.len());
        let size = field.len();
        match random.below(8) {
            0 => input.truncate(at),
            1 => input[at] ^= 1 << random.below(8),
            2 | 3 => {
                let from = random.below(length - size as u64 + 1) as usize;
                input.copy_within(from..from + size, field.start);
            }
            4 => {
                let number = random.below(length + 16);
                input[field].copy_from_slice(&number.to_le_bytes()[..size]);
            }
            5 => {
                let number = NUMBERS[random.below(NUMBERS.len() as u64) as usize];
                let bytes = number.to_be_bytes();
                input[field].copy_from_slice(&bytes[bytes.len() - size..]);
            }
            _ => {
                let number = NUMBERS[random.below(NUMBERS.len() as u64) as usize];
                input[field].copy_from_slice(&number.to_le_bytes()[..size]);
            }
        }
    }
    input
}
