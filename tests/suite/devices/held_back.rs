//! Writes that `io.cache` holds back.

use std::fs;

use remora::commands::open::open_uri;
use remora::io::{Layer, Open, Settings};
use remora::uri::Uri;

use crate::harness::{run, session};

/// Settings with `io.cache` on.
const CACHED: Settings = Settings { virtual_addresses: true, descriptor: None, cache: true, fill: 0xff };
const PLAIN: Settings = Settings { cache: false, ..CACHED };

#[test]
fn held_back_writes_reach_the_file_when_they_are_committed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("f");
    fs::write(&path, "0123456789").unwrap();
    let uri = Uri::parse(&path.to_string_lossy());
    let mut session = session("malloc://512");
    let fd = session.with(|core, _| open_uri(core, &uri, &Open::default(), Some(0x1000)).unwrap());
    let seen = |session: &mut remora::session::Session| {
        let mut bytes = [0; 10];
        session.with(|core, _| core.io.read(&PLAIN, 0x1000, &mut bytes)).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    session.with(|core, _| {
        core.io.write(&CACHED, 0x1001, b"abc").unwrap();
        core.io.write(&CACHED, 0x1004, b"d").unwrap();
        core.io.write(&CACHED, 0x1002, b"X").unwrap();
        assert_eq!((core.io.pending(), core.io.pending_on(fd), core.io.pending_on(3)), (5, 5, 0));
    });
    assert_eq!(seen(&mut session), "0aXcd56789");
    assert_eq!(fs::read(&path).unwrap(), b"0123456789");
    assert_eq!(
        run(&mut session, "wc").out,
        "idx=0 addr=0x00001001 size=3 313233 -> 616263 (not written)\n\
         idx=1 addr=0x00001004 size=1 34 -> 64 (not written)\n\
         idx=2 addr=0x00001002 size=1 62 -> 58 (not written)\n"
    );
    assert_eq!(run(&mut session, "wcj").out.lines().count(), 1);
    assert!(
        run(&mut session, "wcj")
            .out
            .starts_with(r#"[{"idx":0,"addr":4097,"size":3,"before":"313233","after":"616263","written":false},{"#)
    );
    assert!(run(&mut session, "wc*").out.starts_with("wx 616263 @ 0x00001001 # replaces: 313233\n"));
    // Nothing is lost: neither by closing nor by a commit that cannot be.
    for line in ["o-4", "o-*", "o--"] {
        assert!(run(&mut session, line).err.contains("wci"), "{line}");
    }
    let error = run(&mut session, "wci").err;
    assert!(error.contains("3 of 3 writes are not committed") && error.contains("read-only"), "{error}");
    assert_eq!(seen(&mut session), "0aXcd56789");
    assert_eq!(run(&mut session, "oo+; wc+ 0x1000 0x1003").err, "");
    assert_eq!(fs::read(&path).unwrap(), b"0aX3456789");
    assert_eq!(run(&mut session, "wc").out.matches("(written)").count(), 2);
    assert_eq!(run(&mut session, "wci; o-4").err, "");
    assert_eq!(fs::read(&path).unwrap(), b"0aXcd56789");
}

#[test]
fn held_back_writes_can_be_thrown_away_in_part() {
    let mut session = session("hex://00000000");
    session.with(|core, _| {
        core.io.write(&CACHED, 0, &[1, 1, 1, 1]).unwrap();
        core.io.write(&CACHED, 1, &[2, 2]).unwrap();
        let mut bytes = [0; 4];
        core.io.discard_range(Layer::Virtual, 2, 2);
        core.io.read(&PLAIN, 0, &mut bytes).unwrap();
        assert_eq!(bytes, [1, 2, 0, 1]);
        assert_eq!(core.io.pending(), 4);
        assert_eq!(core.io.discard(), 4);
        core.io.read(&PLAIN, 0, &mut bytes).unwrap();
        assert_eq!(bytes, [0; 4]);
    });
}

#[test]
fn physical_and_virtual_writes_are_held_back_apart() {
    let mut session = session("malloc://16");
    session.with(|core, _| {
        let other = open_uri(core, &Uri::parse("malloc://16"), &Open::default(), Some(0x100)).unwrap();
        let physical = Settings { descriptor: Some(other), ..CACHED };
        core.io.write(&physical, 0, b"p").unwrap();
        core.io.write(&CACHED, 0, b"v").unwrap();
        let mut byte = [0];
        core.io.read(&physical, 0, &mut byte).unwrap();
        assert_eq!(&byte, b"p");
        core.io.read(&CACHED, 0, &mut byte).unwrap();
        assert_eq!(&byte, b"v");
        assert_eq!(core.io.commit().unwrap(), 2);
        core.io.read(&PLAIN, 0x100, &mut byte).unwrap();
        assert_eq!(&byte, b"p");
    });
}

#[test]
fn the_end_of_the_address_space_can_be_written_and_read() {
    let mut session = session("malloc://16");
    session.with(|core, _| {
        core.io.map_whole(3, u64::MAX - 3).unwrap();
        for settings in [CACHED, PLAIN] {
            core.io.write(&settings, u64::MAX - 1, b"abcd").unwrap();
            let mut bytes = [0; 8];
            assert_eq!(core.io.read(&settings, u64::MAX - 3, &mut bytes).unwrap(), 8);
            // It goes on at 0. Without the cache, `ab` is what lies at 2 as well: the same bytes are mapped there.
            let expected = if settings.cache { b"\0\0abcd\0\0" } else { b"cdabcdab" };
            assert_eq!(&bytes, expected);
            core.io.discard();
        }
        let physical = Settings { virtual_addresses: false, ..PLAIN };
        assert!(core.io.write(&physical, u64::MAX - 1, b"abcd").is_err());
    });
}
