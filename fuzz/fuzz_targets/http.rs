//! The heads of HTTP requests, as odd clients send them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use remora::protocol::http::{Verdict, read};

fuzz_target!(|data: &[u8]| {
    for silent in [false, true] {
        if let Verdict::Mended { head, consumed } = read(data, silent) {
            assert!(consumed <= data.len());
            assert_eq!(read(&head, false), Verdict::Proper);
        }
    }
});
