//! The floating-point and vector state: between the XSAVE area, as the kernel hands it out, and set 1, where every
//! vector register lies in one piece and the parts of the x87 unit have the widths that gdb gives them.
//!
//! Set 1: 32 vectors of 64 bytes, 8 mask registers of 8, 8 x87 registers in 16 each, 8 control words of 4, mxcsr, pkru.
//! Source: Intel SDM volume 1, chapter 13.

use std::io;
use std::sync::OnceLock;

use super::super::sys::{self, Tid};

pub const MASKS: usize = 32 * 64;
pub const ST: usize = MASKS + 8 * 8;
pub const CONTROL: usize = ST + 8 * 16;
pub const MXCSR: usize = CONTROL + 8 * 4;
pub const PKRU: usize = MXCSR + 4;
/// Bytes of set 1.
pub const SIZE: usize = PKRU + 4;

const NOTE: u64 = 0x202;
/// The areas of known processors take 11 KiB; what is unknown gets room.
const ROOM: usize = 64 * 1024;

const XCR0: usize = 464;
const PRESENT: usize = 512;

/// Components by their bits.
const AVX: u32 = 2;
const K: u32 = 5;
const ZMM_HIGH: u32 = 6;
const ZMM_UPPER: u32 = 7;
const KEYS: u32 = 9;

/// Where the components lie in this processor's area.
#[derive(Debug, Clone, Copy, Default)]
pub struct Area {
    offsets: [usize; 10],
}

impl Area {
    /// As `cpuid` tells, for what the system has switched on.
    pub fn of_this_processor() -> &'static Area {
        static AREA: OnceLock<Area> = OnceLock::new();
        AREA.get_or_init(|| {
            let mut area = Area::default();
            if std::arch::is_x86_feature_detected!("xsave") {
                let leaf = std::arch::x86_64::__cpuid_count(0xd, 0);
                let enabled = leaf.eax;
                for bit in [AVX, K, ZMM_HIGH, ZMM_UPPER, KEYS] {
                    if enabled >> bit & 1 != 0 && known(bit) {
                        area.offsets[bit as usize] = std::arch::x86_64::__cpuid_count(0xd, bit).ebx as usize;
                    }
                }
            }
            area
        })
    }

    fn offset(&self, bit: u32) -> Option<usize> {
        self.offsets.get(bit as usize).copied().filter(|offset| *offset != 0)
    }

    pub fn has_avx(&self) -> bool {
        self.offset(AVX).is_some()
    }

    pub fn has_avx512(&self) -> bool {
        [K, ZMM_HIGH, ZMM_UPPER].iter().all(|bit| self.offset(*bit).is_some())
    }

    pub fn has_keys(&self) -> bool {
        self.offset(KEYS).is_some()
    }
}

/// The processor may know what the system does not use: `ospke` says whether protection keys are on.
fn known(bit: u32) -> bool {
    bit != KEYS || std::arch::x86_64::__cpuid_count(7, 0).ecx >> 4 & 1 != 0
}

/// The raw area of a stopped thread.
pub fn fetch(tid: Tid) -> io::Result<Vec<u8>> {
    sys::register_set(tid, NOTE, ROOM)
}

/// Gives it back, as long as it was.
pub fn store(tid: Tid, area: &mut [u8]) -> io::Result<()> {
    sys::set_register_set(tid, NOTE, area)
}

fn word(area: &[u8], at: usize, count: usize) -> u64 {
    area.get(at..at + count).map_or(0, |bytes| crate::debug::number(bytes, false) as u64)
}

fn present(area: &[u8], bit: u32) -> bool {
    word(area, PRESENT, 8) >> bit & 1 != 0
}

/// Copies `count` bytes, as far as both sides have them.
fn copy(from: &[u8], at: usize, to: &mut [u8], place: usize, count: usize) {
    if let (Some(from), Some(to)) = (from.get(at..at + count), to.get_mut(place..place + count)) {
        to.copy_from_slice(from);
    }
}

/// Each component's pieces: where in the area (from the component's start), where in the set, how many bytes.
fn pieces(bit: u32) -> Vec<(usize, usize, usize)> {
    match bit {
        AVX => (0..16).map(|n| (16 * n, 64 * n + 16, 16)).collect(),
        K => (0..8).map(|n| (8 * n, MASKS + 8 * n, 8)).collect(),
        ZMM_HIGH => (0..16).map(|n| (32 * n, 64 * n + 32, 32)).collect(),
        ZMM_UPPER => (0..16).map(|n| (64 * n, 64 * (n + 16), 64)).collect(),
        KEYS => vec![(0, PKRU, 4)],
        _ => Vec::new(),
    }
}

/// Set 1 from the area.
pub fn unpack(area: &[u8], places: &Area) -> Vec<u8> {
    let mut set = vec![0; SIZE];
    // An absent component has its initial state, which is zero but for two control words.
    let (x87, sse) = (area.len() <= PRESENT || present(area, 0), area.len() <= PRESENT || present(area, 1));
    let mut controls = [0u64; 8];
    if x87 {
        for n in 0..8 {
            copy(area, 32 + 16 * n, &mut set, ST + 16 * n, 10);
        }
        let status = word(area, 2, 2);
        let tags = full_tags(word(area, 4, 1) as u8, status, area);
        controls = [
            word(area, 0, 2),
            status,
            tags,
            word(area, 12, 2),
            word(area, 8, 4),
            word(area, 20, 2),
            word(area, 16, 4),
            word(area, 6, 2) & 0x7ff,
        ];
    } else {
        controls[0] = 0x37f;
        controls[2] = 0xffff;
    }
    for (n, control) in controls.into_iter().enumerate() {
        set[CONTROL + 4 * n..CONTROL + 4 * n + 4].copy_from_slice(&(control as u32).to_le_bytes());
    }
    if sse {
        for n in 0..16 {
            copy(area, 160 + 16 * n, &mut set, 64 * n, 16);
        }
    }
    let mxcsr = if sse || present(area, AVX) { word(area, 24, 4) as u32 } else { 0x1f80 };
    set[MXCSR..MXCSR + 4].copy_from_slice(&mxcsr.to_le_bytes());
    for bit in [AVX, K, ZMM_HIGH, ZMM_UPPER, KEYS] {
        if let Some(start) = places.offset(bit).filter(|_| present(area, bit)) {
            for (at, place, count) in pieces(bit) {
                copy(area, start + at, &mut set, place, count);
            }
        }
    }
    set
}

/// Puts what differs between `old` and `new` (two states of set 1) into the area.
pub fn pack(area: &mut [u8], old: &[u8], new: &[u8], places: &Area) {
    let differs = |at: usize, count: usize| old.get(at..at + count) != new.get(at..at + count);
    let mut touched = 0u64;
    if differs(ST, 8 * 16 + 8 * 4) {
        touched |= 1;
        for n in 0..8 {
            copy(new, ST + 16 * n, area, 32 + 16 * n, 10);
        }
        let tags = word(new, CONTROL + 8, 2);
        for (n, at, count) in [(0, 0, 2), (1, 2, 2), (3, 12, 2), (4, 8, 4), (5, 20, 2), (6, 16, 4), (7, 6, 2)] {
            copy(new, CONTROL + 4 * n, area, at, count);
        }
        if let Some(byte) = area.get_mut(4) {
            *byte = (0..8).fold(0, |byte, n| byte | u8::from(tags >> (2 * n) & 3 != 3) << n);
        }
    }
    let vectors_differ = (0..16).any(|n| differs(64 * n, 16));
    if vectors_differ || differs(MXCSR, 4) {
        touched |= 2;
        // A component that was absent comes to life whole.
        for n in 0..16 {
            copy(new, 64 * n, area, 160 + 16 * n, 16);
        }
        copy(new, MXCSR, area, 24, 4);
    }
    for bit in [AVX, K, ZMM_HIGH, ZMM_UPPER, KEYS] {
        let Some(start) = places.offset(bit) else { continue };
        let pieces = pieces(bit);
        if pieces.iter().any(|(_, place, count)| differs(*place, *count)) {
            touched |= 1 << bit;
            for (at, place, count) in pieces {
                copy(new, place, area, start + at, count);
            }
        }
    }
    if area.len() >= PRESENT + 8 {
        let allowed = word(area, XCR0, 8);
        let mask = word(area, PRESENT, 8) | touched & (allowed | 3);
        area[PRESENT..PRESENT + 8].copy_from_slice(&mask.to_le_bytes());
    }
}

/// The full tag word of the x87 unit from its short form.
fn full_tags(short: u8, status: u64, area: &[u8]) -> u64 {
    let top = status >> 11 & 7;
    (0..8u64).fold(0, |tags, physical| {
        let tag = if short >> physical & 1 == 0 {
            3
        } else {
            let stack = (physical + 8 - top) % 8;
            let at = 32 + 16 * stack as usize;
            let (mantissa, exponent) = (word(area, at, 8), word(area, at + 8, 2) & 0x7fff);
            match exponent {
                0x7fff => 2,
                0 if mantissa == 0 => 1,
                0 => 2,
                _ if mantissa >> 63 == 0 => 2,
                _ => 0,
            }
        };
        tags | tag << (2 * physical)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places() -> Area {
        let mut area = Area::default();
        for (bit, offset) in [(AVX, 576), (K, 1088), (ZMM_HIGH, 1152), (ZMM_UPPER, 1664), (KEYS, 2688)] {
            area.offsets[bit as usize] = offset;
        }
        area
    }

    #[test]
    fn an_absent_component_reads_as_its_initial_state() {
        let mut area = vec![0xaa; 2696];
        area[PRESENT..PRESENT + 8].fill(0);
        let set = unpack(&area, &places());
        assert_eq!((word(&set, CONTROL, 4), word(&set, CONTROL + 8, 4), word(&set, MXCSR, 4)), (0x37f, 0xffff, 0x1f80));
        assert!(set[..MASKS].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn what_is_packed_is_unpacked_again() {
        let mut area = vec![0; 2696];
        area[XCR0..XCR0 + 8].copy_from_slice(&0x2e7u64.to_le_bytes());
        let old = unpack(&area, &places());
        let mut new = old.clone();
        for (at, byte) in new[..ST].iter_mut().enumerate() {
            *byte = at as u8;
        }
        new[ST..ST + 10].copy_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0x80, 0xff, 0x3f]);
        new[CONTROL + 8..CONTROL + 10].copy_from_slice(&0xfffcu16.to_le_bytes());
        new[PKRU] = 4;
        pack(&mut area, &old, &new, &places());
        assert_eq!(word(&area, PRESENT, 8), 0x2e7);
        assert_eq!(unpack(&area, &places()), new);
    }

    #[test]
    fn only_what_differs_is_touched() {
        let mut area = vec![0; 2696];
        area[XCR0..XCR0 + 8].copy_from_slice(&7u64.to_le_bytes());
        let old = unpack(&area, &places());
        let mut new = old.clone();
        new[20] = 1;
        pack(&mut area, &old, &new, &places());
        assert_eq!(word(&area, PRESENT, 8), 1 << AVX);
        // A short area (a system without XSAVE) or an empty one is no reason to panic.
        pack(&mut [], &old, &new, &places());
        assert_eq!(unpack(&[], &places()).len(), SIZE);
    }
}
