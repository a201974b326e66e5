//! The table of algorithms, and those among them that are too small for a library.

use crc::{Algorithm as Parameters, Crc, Table};
use sha2::Digest;

/// A hash in progress: bytes in, chunk by chunk, the text of the result out.
pub trait Hasher {
    /// Takes the next bytes.
    fn update(&mut self, bytes: &[u8]);
    /// The result: lower-case hexadecimal digits, or a number for the statistics.
    fn finish(self: Box<Self>) -> String;
}

/// An algorithm that `ph` offers.
pub struct Algorithm {
    /// What is typed.
    pub name: &'static str,
    /// Begins a hash.
    pub start: fn() -> Box<dyn Hasher>,
}

macro_rules! algorithms {
    ($($name:literal => $start:expr),* $(,)?) => { &[$(Algorithm { name: $name, start: || Box::new($start) }),*] };
}

/// A CRC by its parameters; the table of one set of parameters is made once, at compile time.
macro_rules! crc {
    ($width:ty, $parameters:expr) => {{
        static CRC: Crc<$width, Table<16>> = Crc::<$width, Table<16>>::new(&$parameters);
        const DIGITS: usize = ($parameters.width as usize).div_ceil(8) * 2;
        Checksum { digest: CRC.digest(), digits: DIGITS }
    }};
}

/// CRC of the sectors of a DVD (ECMA-267, error detection code), which the catalogue does not have.
const CRC_32_ECMA_267: Parameters<u32> = Parameters {
    width: 32,
    poly: 0x8000_0011,
    init: 0,
    refin: false,
    refout: false,
    xorout: 0,
    check: 0xb27c_e117,
    residue: 0,
};

/// Every algorithm, in the order of the listing.
pub const ALGORITHMS: &[Algorithm] = algorithms![
    "md5" => Library(md5::Md5::new()),
    "sha1" => Library(sha1::Sha1::new()),
    "sha256" => Library(sha2::Sha256::new()),
    "sha384" => Library(sha2::Sha384::new()),
    "sha512" => Library(sha2::Sha512::new()),
    "md4" => Library(md4::Md4::new()),
    "xor" => Xor(0),
    "xorpair" => XorPair::default(),
    "parity" => Parity(0),
    "entropy" => Entropy([0; 256]),
    "hamdist" => HammingDistance(0),
    "pcprint" => Printable::default(),
    "mod255" => Modulo255(0),
    "xxhash" => XxHash(xxhash_rust::xxh32::Xxh32::new(0)),
    "adler32" => Adler32 { a: 1, b: 0 },
    "luhn" => Luhn::default(),
    "crc8smbus" => crc!(u8, crc::CRC_8_SMBUS),
    "crc15can" => crc!(u16, crc::CRC_15_CAN),
    "crc16" => crc!(u16, crc::CRC_16_ARC),
    "crc16hdlc" => crc!(u16, crc::CRC_16_IBM_SDLC),
    "crc16usb" => crc!(u16, crc::CRC_16_USB),
    "crc16citt" => crc!(u16, crc::CRC_16_IBM_3740),
    "crc24" => crc!(u32, crc::CRC_24_OPENPGP),
    "crc32" => Crc32(crc32fast::Hasher::new()),
    "crc32c" => crc!(u32, crc::CRC_32_ISCSI),
    "crc32ecma267" => crc!(u32, CRC_32_ECMA_267),
    "crc32bzip2" => crc!(u32, crc::CRC_32_BZIP2),
    "crc32d" => crc!(u32, crc::CRC_32_BASE91_D),
    "crc32mpeg2" => crc!(u32, crc::CRC_32_MPEG_2),
    "crc32posix" => crc!(u32, crc::CRC_32_CKSUM),
    "crc32q" => crc!(u32, crc::CRC_32_AIXM),
    "crc32jamcrc" => crc!(u32, crc::CRC_32_JAMCRC),
    "crc32xfer" => crc!(u32, crc::CRC_32_XFER),
    "crc64" => crc!(u64, crc::CRC_64_ECMA_182),
    "crc64ecma" => crc!(u64, crc::CRC_64_ECMA_182),
    "crc64we" => crc!(u64, crc::CRC_64_WE),
    "crc64xz" => crc!(u64, crc::CRC_64_XZ),
    "crc64iso" => crc!(u64, crc::CRC_64_GO_ISO),
    "fletcher8" => Fletcher8 { a: 0 },
    "fletcher16" => Fletcher::new(1),
    "fletcher32" => Fletcher::new(2),
    "fletcher64" => Fletcher::new(4),
];

/// The hashes of the `digest` family. Those with instructions of their own on this processor use them.
struct Library<D>(D);

impl<D: Digest> Hasher for Library<D> {
    fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
    fn finish(self: Box<Self>) -> String {
        faster_hex::hex_string(&self.0.finalize())
    }
}

struct Checksum<W: crc::Width> {
    digest: crc::Digest<'static, W, Table<16>>,
    digits: usize,
}

macro_rules! checksum {
    ($($width:ty),*) => {$(
        impl Hasher for Checksum<$width> {
            fn update(&mut self, bytes: &[u8]) {
                self.digest.update(bytes);
            }
            fn finish(self: Box<Self>) -> String {
                let digits = self.digits;
                format!("{:0digits$x}", self.digest.finalize())
            }
        }
    )*};
}

checksum!(u8, u16, u32, u64);

/// The common CRC-32, by the library that uses the processor's carry-less multiplication.
struct Crc32(crc32fast::Hasher);

impl Hasher for Crc32 {
    fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
    fn finish(self: Box<Self>) -> String {
        format!("{:08x}", self.0.finalize())
    }
}

struct XxHash(xxhash_rust::xxh32::Xxh32);

impl Hasher for XxHash {
    fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
    fn finish(self: Box<Self>) -> String {
        format!("{:08x}", self.0.digest())
    }
}

struct Adler32 {
    a: u32,
    b: u32,
}

impl Hasher for Adler32 {
    fn update(&mut self, bytes: &[u8]) {
        // As many steps as 32 bits hold without a division.
        for part in bytes.chunks(5552) {
            for byte in part {
                self.a += u32::from(*byte);
                self.b += self.a;
            }
            self.a %= 65521;
            self.b %= 65521;
        }
    }
    fn finish(self: Box<Self>) -> String {
        format!("{:08x}", self.b << 16 | self.a)
    }
}

/// All bytes combined by exclusive or.
struct Xor(u8);

impl Hasher for Xor {
    fn update(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |sum, byte| sum ^ byte);
    }
    fn finish(self: Box<Self>) -> String {
        format!("{:02x}", self.0)
    }
}

/// The bytes at even and those at odd places, each combined by exclusive or; an odd last byte does not count.
#[derive(Default)]
struct XorPair {
    sums: [u8; 2],
    pending: Option<u8>,
}

impl Hasher for XorPair {
    fn update(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match self.pending.take() {
                Some(first) => {
                    self.sums[0] ^= first;
                    self.sums[1] ^= byte;
                }
                None => self.pending = Some(*byte),
            }
        }
    }
    fn finish(self: Box<Self>) -> String {
        faster_hex::hex_string(&self.sums)
    }
}

/// Whether the number of set bits is odd.
struct Parity(u32);

impl Hasher for Parity {
    fn update(&mut self, bytes: &[u8]) {
        self.0 ^= bytes.iter().fold(0, |sum, byte| sum ^ byte).count_ones() & 1;
    }
    fn finish(self: Box<Self>) -> String {
        format!("{:02x}", self.0)
    }
}

/// Shannon's entropy in bits per byte, from 0 to 8.
struct Entropy([u64; 256]);

impl Hasher for Entropy {
    fn update(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0[usize::from(*byte)] += 1;
        }
    }
    fn finish(self: Box<Self>) -> String {
        let total = self.0.iter().sum::<u64>() as f64;
        let share = |count: &u64| *count as f64 / total;
        let entropy: f64 = self.0.iter().filter(|count| **count > 0).map(share).map(|share| share * share.log2()).sum();
        // The sum is negative, or a zero whose sign must not show.
        format!("{:.6}", entropy.abs())
    }
}

/// How many bits of each byte differ from the result before it.
struct HammingDistance(u8);

impl Hasher for HammingDistance {
    fn update(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |distance, byte| (distance ^ byte).count_ones() as u8);
    }
    fn finish(self: Box<Self>) -> String {
        format!("{:02x}", self.0)
    }
}

/// Which part of the bytes are printable characters, in per cent.
#[derive(Default)]
struct Printable {
    printable: u64,
    total: u64,
}

impl Hasher for Printable {
    fn update(&mut self, bytes: &[u8]) {
        self.total += bytes.len() as u64;
        self.printable += bytes.iter().filter(|byte| (b' '..=b'~').contains(byte)).count() as u64;
    }
    fn finish(self: Box<Self>) -> String {
        format!("{:02x}", self.printable * 100 / self.total.max(1))
    }
}

/// The sum of the bytes, modulo 255.
struct Modulo255(u64);

impl Hasher for Modulo255 {
    fn update(&mut self, bytes: &[u8]) {
        self.0 = (self.0 + bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>()) % 255;
    }
    fn finish(self: Box<Self>) -> String {
        format!("{:02x}", self.0)
    }
}

/// Luhn's sum of the decimal digits in the text; 0 when the last one is the right check digit. Whether a digit is
/// doubled depends on how many follow, so both sums are kept.
#[derive(Default)]
struct Luhn {
    last_plain: u64,
    last_doubled: u64,
}

impl Hasher for Luhn {
    fn update(&mut self, bytes: &[u8]) {
        for digit in bytes.iter().filter(|byte| byte.is_ascii_digit()).map(|byte| u64::from(byte - b'0')) {
            let doubled = digit * 2 / 10 + digit * 2 % 10;
            (self.last_plain, self.last_doubled) = (self.last_doubled + digit, self.last_plain + doubled);
        }
    }
    fn finish(self: Box<Self>) -> String {
        format!("{:02x}", self.last_plain % 10)
    }
}

/// The first sum of Fletcher's checksum over bytes, with the carry added back.
struct Fletcher8 {
    a: u16,
}

impl Hasher for Fletcher8 {
    fn update(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.a += u16::from(*byte);
            self.a = (self.a & 0xff) + (self.a >> 8);
        }
    }
    fn finish(self: Box<Self>) -> String {
        format!("{:02x}", self.a)
    }
}

/// Fletcher's checksum over little-endian words of `size` bytes; the last one is filled up with zeros.
struct Fletcher {
    size: usize,
    a: u64,
    b: u64,
    word: u64,
    filled: usize,
}

impl Fletcher {
    fn new(size: usize) -> Fletcher {
        Fletcher { size, a: 0, b: 0, word: 0, filled: 0 }
    }

    fn take_word(&mut self) {
        let modulus = (1 << (8 * self.size)) - 1;
        self.a = (self.a + self.word) % modulus;
        self.b = (self.b + self.a) % modulus;
        (self.word, self.filled) = (0, 0);
    }
}

impl Hasher for Fletcher {
    fn update(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.word |= u64::from(*byte) << (8 * self.filled);
            self.filled += 1;
            if self.filled == self.size {
                self.take_word();
            }
        }
    }
    fn finish(mut self: Box<Self>) -> String {
        if self.filled > 0 {
            self.take_word();
        }
        let (bits, digits) = (8 * self.size, 4 * self.size);
        format!("{:0digits$x}", self.b << bits | self.a)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(name: &str, chunks: &[&[u8]]) -> String {
        let algorithm = ALGORITHMS.iter().find(|algorithm| algorithm.name == name).unwrap_or_else(|| panic!("{name}"));
        let mut hasher = (algorithm.start)();
        chunks.iter().for_each(|chunk| hasher.update(chunk));
        hasher.finish()
    }

    /// Results for `123456789`, from the definitions of the algorithms and the catalogue of CRCs.
    const CHECKS: &[(&str, &str)] = &[
        ("md5", "25f9e794323b453885f5181f1b624d0b"),
        ("sha1", "f7c3bc1d808e04732adf679965ccc34ca7ae3441"),
        ("sha256", "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"),
        ("sha384", "eb455d56d2c1a69de64e832011f3393d45f3fa31d6842f21af92d2fe469c499da5e3179847334a18479c8d1dedea1be3"),
        (
            "sha512",
            "d9e6762dd1c8eaf6d61b3c6192fc408d4d6d5f1176d0c29169bc24e71c3f274a\
             d27fcd5811b313d681f7e55ec02d73d499c95455b6b5bb503acf574fba8ffe85",
        ),
        ("md4", "2ae523785d0caf4d2fb557c12016185c"),
        ("xor", "31"),
        ("xorpair", "0008"),
        ("parity", "01"),
        ("entropy", "3.169925"),
        ("pcprint", "64"),
        ("mod255", "de"),
        ("xxhash", "937bad67"),
        ("adler32", "091e01de"),
        ("luhn", "07"),
        ("crc8smbus", "f4"),
        ("crc15can", "059e"),
        ("crc16", "bb3d"),
        ("crc16hdlc", "906e"),
        ("crc16usb", "b4c8"),
        ("crc16citt", "29b1"),
        ("crc24", "21cf02"),
        ("crc32", "cbf43926"),
        ("crc32c", "e3069283"),
        ("crc32ecma267", "b27ce117"),
        ("crc32bzip2", "fc891918"),
        ("crc32d", "87315576"),
        ("crc32mpeg2", "0376e6e7"),
        ("crc32posix", "765e7680"),
        ("crc32q", "3010bf7f"),
        ("crc32jamcrc", "340bc6d9"),
        ("crc32xfer", "bd0be338"),
        ("crc64", "6c40df5f0b497347"),
        ("crc64ecma", "6c40df5f0b497347"),
        ("crc64we", "62ec59e3f1a4f00a"),
        ("crc64xz", "995dc9bbdf1939fa"),
        ("crc64iso", "b90956c775a41001"),
        ("fletcher8", "de"),
        ("fletcher16", "1ede"),
        ("fletcher32", "df09d509"),
        ("fletcher64", "0d0803376c6a689f"),
    ];

    #[test]
    fn known_results() {
        for (name, expected) in CHECKS {
            assert_eq!(hash(name, &[b"123456789"]), *expected, "{name}");
        }
        assert_eq!(hash("md5", &[b"ABCD"]), "cb08ca4a7bb5f9683c19133a84872ca7");
        assert_eq!(hash("crc32", &[b"ABCD"]), "db1720a5");
        assert_eq!(hash("entropy", &[b"ABCDABCDefghijkl"]), "3.500000");
        assert_eq!(hash("hamdist", &[b"\xff"]), "08");
        assert_eq!(hash("hamdist", &[b"\xff\x0f"]), "03");
        assert_eq!(hash("luhn", &[b"79927398713"]), "00");
        assert_eq!(hash("luhn", &[b"79927398710"]), "07");
    }

    #[test]
    fn chunks_do_not_matter() {
        let bytes: Vec<u8> = (0..70_001u32).map(|at| (at * 7 + at / 251) as u8).collect();
        for algorithm in ALGORITHMS {
            let whole = hash(algorithm.name, &[&bytes]);
            let (first, rest) = bytes.split_at(1);
            let (second, third) = rest.split_at(5_553);
            assert_eq!(hash(algorithm.name, &[first, second, &[], third]), whole, "{}", algorithm.name);
        }
    }

    #[test]
    fn nothing_is_hashed_too() {
        assert_eq!(hash("md5", &[]), "d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!(hash("entropy", &[]), "0.000000");
        assert_eq!(hash("pcprint", &[]), "00");
        assert_eq!(hash("adler32", &[]), "00000001");
    }
}
