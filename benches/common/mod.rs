//! What measurements share.

use std::fs::File;
use std::io::Write;
use std::path::Path;

/// Bytes that no compression and no run of zeros makes easy.
pub fn make_input(path: &Path, mebibytes: u64) {
    let mut file = File::create(path).expect("the input can be made");
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut block = Vec::with_capacity(1 << 20);
    for _ in 0..mebibytes {
        block.clear();
        while block.len() < 1 << 20 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            block.extend_from_slice(&state.to_le_bytes());
        }
        file.write_all(&block).expect("the input can be written");
    }
}
