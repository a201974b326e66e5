//! `/c`: traces of cryptography: constants, expanded keys, certificates, private keys.

use super::magic::any as any_of;
use super::query::Shown;
use crate::error::Result;
use crate::io::scan::Pattern;

/// Constants as bytes, with what they belong to.
const BYTES: &[(&str, &[u8])] = &[
    ("AES S-box", &[0x63, 0x7c, 0x77, 0x7b, 0xf2, 0x6b, 0x6f, 0xc5, 0x30, 0x01, 0x67, 0x2b, 0xfe, 0xd7, 0xab, 0x76]),
    (
        "AES inverse S-box",
        &[0x52, 0x09, 0x6a, 0xd5, 0x30, 0x36, 0xa5, 0x38, 0xbf, 0x40, 0xa3, 0x9e, 0x81, 0xf3, 0xd7, 0xfb],
    ),
    ("SM4 S-box", &[0xd6, 0x90, 0xe9, 0xfe, 0xcc, 0xe1, 0x3d, 0xb7, 0x16, 0xb6, 0x14, 0xc2, 0x28, 0xfb, 0x2c, 0x05]),
    ("MD2 S-box", &[0x29, 0x2e, 0x43, 0xc9, 0xa2, 0xd8, 0x7c, 0x01, 0x3d, 0x36, 0x54, 0xa1, 0xec, 0xf0, 0x06, 0x13]),
    ("DES initial permutation", &[58, 50, 42, 34, 26, 18, 10, 2, 60, 52, 44, 36, 28, 20, 12, 4]),
    ("DES S-box 1", &[14, 4, 13, 1, 2, 15, 11, 8, 3, 10, 6, 12, 5, 9, 0, 7]),
    ("ChaCha and Salsa20, 32-byte key", b"expand 32-byte k"),
    ("ChaCha and Salsa20, 16-byte key", b"expand 16-byte k"),
    ("Base64 alphabet", b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"),
];

/// Constants as words, which programs keep in either order.
const WORDS: &[(&str, &[u32])] = &[
    ("AES encryption table", &[0xc66363a5, 0xf87c7c84, 0xee777799]),
    ("AES decryption table", &[0x51f4a750, 0x7e416553, 0x1a17a4c3]),
    ("SHA-1 initial state", &[0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0]),
    ("MD4 and MD5 initial state", &[0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476]),
    ("MD5 constants", &[0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee]),
    ("SHA-1 round constants", &[0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6]),
    ("SHA-224 initial state", &[0xc1059ed8, 0x367cd507, 0x3070dd17, 0xf70e5939]),
    ("SHA-256 initial state", &[0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a]),
    ("SHA-256 constants", &[0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5]),
    ("Blowfish P-array", &[0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344]),
    ("Blowfish S-box", &[0xd1310ba6, 0x98dfb5ac, 0x2ffd72db, 0xd01adfb7]),
    ("CRC-32 table", &[0x00000000, 0x77073096, 0xee0e612c, 0x990951ba]),
    ("CRC-32C table", &[0x00000000, 0xf26b8303, 0xe13b70f7, 0x1350f3f4]),
];

/// The same with words of 64 bits.
const LONGS: &[(&str, &[u64])] = &[
    ("SHA-384 initial state", &[0xcbbb9d5dc1059ed8, 0x629a292a367cd507]),
    ("SHA-512 initial state", &[0x6a09e667f3bcc908, 0xbb67ae8584caa73b]),
    ("SHA-512 constants", &[0x428a2f98d728ae22, 0x7137449123ef65cd]),
    ("BLAKE2b initial state", &[0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b]),
    ("Keccak round constants", &[0x0000000000000001, 0x0000000000008082, 0x800000000000808a]),
];

/// Every constant as its bytes; those that begin with others stand before them.
fn constants() -> Vec<(&'static str, Vec<u8>)> {
    let mut all: Vec<(&str, Vec<u8>)> = BYTES.iter().map(|(name, bytes)| (*name, bytes.to_vec())).collect();
    for (name, words) in WORDS {
        all.push((name, words.iter().flat_map(|word| word.to_le_bytes()).collect()));
        all.push((name, words.iter().flat_map(|word| word.to_be_bytes()).collect()));
    }
    for (name, longs) in LONGS {
        all.push((name, longs.iter().flat_map(|long| long.to_le_bytes()).collect()));
        all.push((name, longs.iter().flat_map(|long| long.to_be_bytes()).collect()));
    }
    all.sort_by_key(|(_, bytes)| std::cmp::Reverse(bytes.len()));
    all
}

/// What `/c` looks for.
pub fn tables() -> Result<(Pattern, Shown)> {
    let escaped: Vec<String> =
        constants().iter().map(|(_, bytes)| bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect()).collect();
    let escaped: Vec<&str> = escaped.iter().map(String::as_str).collect();
    Ok((any_of(&escaped)?, Shown::Named(table)))
}

fn table(bytes: &[u8]) -> Option<(&'static str, String)> {
    let found = constants().into_iter().find(|(_, constant)| bytes.starts_with(constant))?;
    Some(("constant", found.0.to_string()))
}

/// What `/ca` looks for.
pub fn keys() -> (Pattern, Shown) {
    (
        Pattern::Test(240, schedule),
        Shown::Named(|bytes| {
            let (name, length) = match schedule(bytes)? {
                176 => ("AES-128", 16),
                208 => ("AES-192", 24),
                _ => ("AES-256", 32),
            };
            Some(("key", format!("{name} {}", faster_hex::hex_string(bytes.get(..length)?))))
        }),
    )
}

/// The length of the expanded AES key at the start of `bytes` (FIPS 197, 5.2), if there is one.
fn schedule(bytes: &[u8]) -> Option<usize> {
    [(4, 176), (6, 208), (8, 240)]
        .into_iter()
        .find(|(words, length)| bytes.get(..*length).is_some_and(|bytes| is_schedule(bytes, *words)))
        .map(|(_, length)| length)
}

/// Whether each word behind the first `key` follows from those before it.
fn is_schedule(bytes: &[u8], key: usize) -> bool {
    let word = |index: usize| {
        let at = 4 * index;
        [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]
    };
    let mut constant = 1u8;
    for index in key..bytes.len() / 4 {
        let mut mixed = word(index - 1);
        if index % key == 0 {
            mixed.rotate_left(1);
            mixed = mixed.map(substitute);
            mixed[0] ^= constant;
            constant = (constant << 1) ^ if constant & 0x80 != 0 { 0x1b } else { 0 };
        } else if key > 6 && index % key == 4 {
            mixed = mixed.map(substitute);
        }
        let before = word(index - key);
        let expected = [0, 1, 2, 3].map(|byte| mixed[byte] ^ before[byte]);
        if word(index) != expected {
            return false;
        }
    }
    true
}

/// The AES S-box, from its definition (FIPS 197, 5.1.1).
const SUBSTITUTES: [u8; 256] = {
    let mut table = [0u8; 256];
    // 3 generates the field, and its inverse is 0xf6.
    let (mut p, mut q) = (1u8, 1u8);
    loop {
        p = p ^ (p << 1) ^ if p & 0x80 != 0 { 0x1b } else { 0 };
        q ^= q << 1;
        q ^= q << 2;
        q ^= q << 4;
        q ^= if q & 0x80 != 0 { 9 } else { 0 };
        table[p as usize] = q ^ q.rotate_left(1) ^ q.rotate_left(2) ^ q.rotate_left(3) ^ q.rotate_left(4) ^ 0x63;
        if p == 1 {
            break;
        }
    }
    table[0] = 0x63;
    table
};

fn substitute(byte: u8) -> u8 {
    SUBSTITUTES[byte as usize]
}

/// What `/cd` looks for: a sequence of a sequence of a version and a serial number (RFC 5280, 4.1).
pub fn certificates() -> Result<(Pattern, Shown)> {
    let starts =
        [r"\x30\x82..\x30\x82..\xa0\x03\x02\x01[\x00-\x02]\x02", r"\x30\x82..\x30\x81.\xa0\x03\x02\x01[\x00-\x02]\x02"];
    Ok((
        any_of(&starts)?,
        Shown::Named(|bytes| {
            let (header, length) = element(bytes)?;
            let (inner_header, inner) = element(bytes.get(header..)?)?;
            let fits = inner_header + inner < length;
            fits.then(|| ("certificate", format!("X.509 certificate, {} bytes", header + length)))
        }),
    ))
}

/// What `/cr` looks for: RSA and EC keys (RFC 8017, RFC 5915), PKCS#8 (RFC 5958), and PEM.
pub fn private_keys() -> Result<(Pattern, Shown)> {
    let starts = [
        r"\x30\x82..\x02\x01\x00\x02\x82",
        r"\x30\x82..\x02\x01\x00\x30.\x06.",
        r"\x30.\x02\x01\x00\x30.\x06.",
        r"\x30\x81.\x02\x01\x00\x30.\x06.",
        r"\x30.\x02\x01\x01\x04[\x20\x30\x42]",
        r"\x30\x81.\x02\x01\x01\x04[\x20\x30\x42]",
        r"-----BEGIN [A-Z ]{0,24}PRIVATE KEY-----",
    ];
    Ok((any_of(&starts)?, Shown::Named(private_key)))
}

fn private_key(bytes: &[u8]) -> Option<(&'static str, String)> {
    if bytes.starts_with(b"-----") {
        return Some(("key", "private key (PEM)".to_string()));
    }
    let (header, length) = element(bytes)?;
    let rest = bytes.get(header + 3..)?;
    let (inner_header, inner) = element(rest)?;
    // What comes first must lie inside.
    if 3 + inner_header + inner > length {
        return None;
    }
    let name = match rest[0] {
        0x02 => "RSA private key",
        0x04 => "EC private key",
        _ => {
            // An object identifier that the sequence has room for.
            let identifier = rest.get(inner_header..)?;
            let (tag, size) = element(identifier)?;
            if identifier[0] != 0x06 || size == 0 || tag + size > inner {
                return None;
            }
            "PKCS#8 private key"
        }
    };
    Some(("key", format!("{name}, {} bytes", header + length)))
}

/// The lengths of the header and the contents of a DER element.
fn element(bytes: &[u8]) -> Option<(usize, usize)> {
    Some(match bytes.get(1..)? {
        [length @ 0..=0x7f, ..] => (2, *length as usize),
        [0x81, length, ..] => (3, *length as usize),
        [0x82, high, low, ..] => (4, ((*high as usize) << 8) | *low as usize),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hex(text: &str) -> Vec<u8> {
        let mut bytes = vec![0; text.len() / 2];
        faster_hex::hex_decode(text.as_bytes(), &mut bytes).unwrap();
        bytes
    }

    /// Expands a key, word by word, by what the check says must follow.
    fn expanded(key: &[u8], length: usize) -> Vec<u8> {
        let mut bytes = key.to_vec();
        while bytes.len() < length {
            let (count, index) = (key.len() / 4, bytes.len() / 4);
            let mut mixed: [u8; 4] = bytes[bytes.len() - 4..].try_into().unwrap();
            if index % count == 0 {
                mixed.rotate_left(1);
                mixed = mixed.map(substitute);
                let constants = [1u8, 2, 4, 8, 16, 32, 64, 128, 0x1b, 0x36];
                mixed[0] ^= constants[index / count - 1];
            } else if count > 6 && index % count == 4 {
                mixed = mixed.map(substitute);
            }
            let before = &bytes[bytes.len() - key.len()..];
            let word = [0, 1, 2, 3].map(|byte| mixed[byte] ^ before[byte]);
            bytes.extend(word);
        }
        bytes
    }

    #[test]
    fn expanded_keys_are_those_of_the_standard() {
        // FIPS 197, appendix A: the last words.
        let key = hex("2b7e151628aed2a6abf7158809cf4f3c");
        let bytes = expanded(&key, 176);
        assert_eq!(bytes[172..], hex("b6630ca6"));
        assert_eq!(schedule(&bytes), Some(176));
        let key = hex("8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b");
        let bytes = expanded(&key, 208);
        assert_eq!(bytes[204..], hex("01002202"));
        assert_eq!(schedule(&bytes), Some(208));
        let key = hex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4");
        let mut bytes = expanded(&key, 240);
        assert_eq!(bytes[236..], hex("706c631e"));
        assert_eq!(schedule(&bytes), Some(240));
        bytes[200] ^= 1;
        assert_eq!(schedule(&bytes), None);
        assert_eq!(schedule(&[0; 300]), None);
    }

    #[test]
    fn every_constant_is_called_by_its_name() {
        tables().unwrap();
        for (name, bytes) in constants() {
            let found = table(&bytes).unwrap().1;
            assert!(
                found == name || constants().iter().any(|(_, other)| other.starts_with(&bytes) && *other != bytes),
                "{name}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_looked_at(bytes in proptest::collection::vec(any::<u8>(), 0..300), tag in 0u8..4) {
            let mut bytes = bytes;
            if let [first, second, ..] = &mut bytes[..] {
                (*first, *second) = (0x30, 0x80 | tag);
            }
            private_key(&bytes);
            element(&bytes);
            schedule(&bytes);
        }
    }
}
