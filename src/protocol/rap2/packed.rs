//! The answer to PACKED, which is that to READ with its bytes compressed (RFC 8878) where that makes them fewer.
//!
//! Whoever unpacks knows how many bytes there must be before anything is allocated for them: at most as many as it
//! asked for. They are unpacked in one go into that room, so no window is kept beside it, whatever the frame claims.

use super::{Fields, malformed};
use crate::error::{Error, Kind, Result};

/// How hard the server tries: fast enough for any line that is worth it.
const LEVEL: i32 = 3;

/// The bytes follow as they are.
const PLAIN: u8 = 0;
/// One frame of zstd follows.
const ZSTD: u8 = 1;

/// Compresses the bytes that stand in `out` from `start` on, and puts before them how that was done.
pub(super) fn pack(out: &mut Vec<u8>, start: usize) {
    let bytes = &out[start..];
    // What hardly gets shorter is not worth the other side's time.
    let packed = zstd::bulk::compress(bytes, LEVEL).ok().filter(|packed| packed.len() < bytes.len() / 16 * 15);
    match packed {
        Some(packed) => {
            out.truncate(start);
            out.push(ZSTD);
            out.extend_from_slice(&packed);
        }
        None => out.insert(start, PLAIN),
    }
}

/// The result of PACKED: for each of the ranges asked for, whose lengths are `asked`, the number of bytes that were
/// there; then these bytes.
///
/// # Errors
/// [`Kind::Protocol`] when it is too short or too long for what it says, when more was there than was asked for, and
/// when the frame holds anything else than it should.
pub fn unpack(result: &[u8], asked: &[u32]) -> Result<(Vec<u32>, Vec<u8>)> {
    let mut fields = Fields(result);
    let mut counts = Vec::with_capacity(asked.len());
    for length in asked {
        counts.push(fields.u32().filter(|count| count <= length).ok_or_else(|| malformed("result"))?);
    }
    let how = fields.u8().ok_or_else(|| malformed("result"))?;
    let total: usize = counts.iter().map(|count| *count as usize).sum();
    let bytes = fields.rest();
    match how {
        PLAIN if bytes.len() == total => Ok((counts, bytes.to_vec())),
        // It is compressed only if that makes it shorter.
        ZSTD if bytes.len() < total => {
            let mut room = vec![0; total];
            let unpacked = zstd::bulk::decompress_to_buffer(bytes, &mut room[..]);
            match unpacked {
                Ok(length) if length == total => Ok((counts, room)),
                Ok(length) => Err(Error::new(Kind::Protocol, format!("{length} bytes were packed instead of {total}"))),
                Err(error) => Err(Error::new(Kind::Protocol, format!("packed bytes cannot be unpacked: {error}"))),
            }
        }
        _ => Err(malformed("result")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{HEAD, Range, ReadAnswer};
    use super::*;

    /// The result of a PACKED that found `bytes`, in two ranges.
    fn packed(bytes: &[u8]) -> (Vec<u8>, [u32; 2]) {
        let half = bytes.len() / 2;
        let asked = [half as u32, (bytes.len() - half) as u32 + 5];
        let ranges = asked.map(|length| Range { address: 0, length });
        let mut out = Vec::new();
        let answer = ReadAnswer::begin(&mut out, 1, &ranges);
        let data = answer.data;
        out[data..data + bytes.len()].copy_from_slice(bytes);
        answer.finish_packed(&mut out, &ranges, &[asked[0], asked[1] - 5]).unwrap();
        (out.split_off(HEAD + 1), asked)
    }

    #[test]
    fn a_bomb_is_refused_before_it_bursts() {
        let bomb = zstd::bulk::compress(&vec![0; 64 << 20], 19).unwrap();
        assert!(bomb.len() < 64 << 10);
        let result = [&[0, 1, 0, 0, ZSTD][..], &bomb].concat();
        assert_eq!(unpack(&result, &[0x10000]).unwrap_err().kind(), Kind::Protocol);
        assert_eq!(unpack(&result, &[0xffff]).unwrap_err().kind(), Kind::Protocol, "more than was asked for");
        // Fewer bytes than announced, two frames, noise behind the frame, another way of packing.
        let small = zstd::bulk::compress(&[7; 1000], 3).unwrap();
        for (count, packed) in [
            (1001u32, small.clone()),
            (1000, [&small[..], &small].concat()),
            (1000, [&small[..], b"tail"].concat()),
            (1000, small[..small.len() - 1].to_vec()),
            (2, small.clone()),
        ] {
            let result = [&count.to_be_bytes()[..], &[ZSTD], &packed].concat();
            assert_eq!(unpack(&result, &[4096]).unwrap_err().kind(), Kind::Protocol, "{count}");
        }
        let right = [&1000u32.to_be_bytes()[..], &[ZSTD], &small].concat();
        assert_eq!(unpack(&right, &[4096]).unwrap(), (vec![1000], vec![7; 1000]));
        for cut in 0..right.len() {
            assert_eq!(unpack(&right[..cut], &[4096]).unwrap_err().kind(), Kind::Protocol, "cut at {cut}");
        }
        let other = [&1000u32.to_be_bytes()[..], &[2], &small].concat();
        assert_eq!(unpack(&other, &[4096]).unwrap_err().kind(), Kind::Protocol);
    }

    proptest! {
        #[test]
        fn what_was_packed_comes_out_again(
            noise in prop::collection::vec(any::<u8>(), 0..3000),
            again in 1..20usize,
        ) {
            let bytes = noise.repeat(again);
            let (result, asked) = packed(&bytes);
            prop_assert!(result.len() <= bytes.len() + 9);
            let (counts, unpacked) = unpack(&result, &asked).unwrap();
            prop_assert_eq!(counts, vec![asked[0], asked[1] - 5]);
            prop_assert_eq!(unpacked, bytes);
        }

        #[test]
        fn noise_is_no_packed_answer(noise in prop::collection::vec(any::<u8>(), 0..300), how in 0..3u8) {
            let result = [&200u32.to_be_bytes()[..], &[how], &noise].concat();
            if let Ok((counts, bytes)) = unpack(&result, &[300]) {
                prop_assert_eq!(counts, vec![bytes.len() as u32]);
            }
            let _ = unpack(&noise, &[1 << 20, 5]);
        }
    }
}
