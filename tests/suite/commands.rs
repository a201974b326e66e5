//! Tests: commands that write, copy, compare and print structures, in longer sessions.

use crate::harness::{run, session};
use remora::session::options;
use remora::session::{Permissions, Session};

/// A session on `uri` with options set.
fn with_options(uri: &str, values: &[(&str, &str)]) -> Session {
    let mut session = session(uri);
    for (name, value) in values {
        set(&mut session, name, value);
    }
    session
}

fn set(session: &mut Session, name: &str, value: &str) {
    let option = options::find(name).expect("an option");
    session
        .with(|core, _| core.config.set(option, value, |text| Ok(text.parse().expect("a number"))))
        .expect("a value");
}

/// Runs `lines` one after the other and compares all they print, without errors.
#[track_caller]
fn expect(session: &mut Session, lines: &str, shows: &str) {
    let mut printed = String::new();
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let said = run(session, line);
        assert_eq!(said.err, "", "{line}");
        printed.push_str(&said.out);
    }
    assert_eq!(printed, shows, "{lines}");
}

mod writing {
    use super::*;

    #[test]
    fn text_numbers_and_hexpairs() {
        expect(&mut session("malloc://512"), "wx 555555555555\nwz hello\np8 6", "68656c6c6f00\n");
        expect(
            &mut session("malloc://512"),
            "wz \\a\\b\\t\\n\\v\\f\\r\\e\\\\\\x40\\7\\15\\176\np8 14",
            "0708090a0b0c0d1b5c40070d7e00\n",
        );
        expect(&mut session("malloc://512"), "wv4 0x1234; p8 2; wv4 0x12345678; p8 4", "3412\n78563412\n");
        let big_endian = &[("cfg.bigendian", "true")];
        expect(
            &mut with_options("malloc://512", big_endian),
            "wv4 0x12345678; p8 4; w2+ 0x0f; p8 4; ws2 a; p8 4; wB 0x100; p8 2; c2 0x0101; cx 01016100; wopO 0x41574141",
            "12345678\n12435678\n00016178\n0101\nCompare 2/2 equal bytes (100%)\n\
             Compare 3/4 equal bytes (75%)\n0x00000003 (byte=04)   78 'x'  ->  00 ' '\n65\n",
        );
    }

    #[test]
    fn wxs_can_be_repeated_and_undone_as_a_seek() {
        expect(&mut session("malloc://512"), "s 4; wxs 41; wxs 4243; s; s 0; p8 8", "0x7\n0000000041424300\n");
    }

    #[test]
    fn copies_and_exchanges() {
        expect(&mut session("malloc://512"), "wx 0102030405060708\nwfx 4 2\np8 8", "0506030401020708\n");
        expect(&mut session("malloc://512"), "s 0x10; wx 010203; s 0; p8 2; wd 0x10 2; p8 2", "0000\n0102\n");
        expect(&mut session("malloc://512"), "wx 9091929394; s 0x10; p8 5; wf 0 5; p8 5", "0000000000\n9091929394\n");
        // Overlapping copies see the old bytes.
        expect(&mut session("malloc://512"), "wx 01020304; s 1; wd 0 3; s 0; p8 5", "0101020300\n");
    }

    #[test]
    fn block_operations_follow_the_block_and_the_order_of_bytes() {
        for (key, big_endian, shows) in [
            ("0xab", "false", "c3cec7c7c4dcc4d9c7cf"),
            ("0xabcd", "false", "a5cea1c7a2dca2d9a1cf"),
            ("0xabcdef01", "false", "698aa1c76e98a2d96d8b"),
            ("0xabcdef0102030405", "false", "6d616f6e6e98a2d96960"),
            ("0xab", "true", "c3cec7c7c4dcc4d9c7cf"),
            ("0xabcdef0102", "true", "c3a8836d6ddca29d6d66"),
            ("0xabcdef010203", "true", "c3a8836d6d74c4bf8365"),
            ("0xabcdef01020304", "true", "c3a8836d6d746bd9a18b"),
            ("0xabcdef0102030405", "true", "c3a8836d6d746b77c7a9"),
            ("abcdef", "false", "c3a883c7a298c4bf83cf"),
        ] {
            let mut session = with_options("malloc://512", &[("cfg.bigendian", big_endian)]);
            session.view.block_size = 10;
            expect(&mut session, &format!("w helloworld\nwox {key}\np8 14"), &format!("{shows}00000000\n"));
        }
        let mut session = with_options("malloc://512", &[]);
        expect(&mut session, "w helloworld", "");
        for key in ["0xabcdef", "0xabcdef0102", "0xabcdef01020304"] {
            refused(&mut session, &format!("wox {key}"));
        }
        let mut session = super::session("malloc://8");
        session.view.block_size = 8;
        expect(
            &mut session,
            "wx 0001020304050607; woa 01; p8 8; woa 01; p8 8; ywx ff; wox; p8 8",
            "0102030405060708\n0203040506070809\nfdfcfbfaf9f8f7f6\n",
        );
    }

    #[test]
    fn insertions_move_what_follows_and_maps_follow() {
        let mut session = session("malloc://512");
        expect(
            &mut session,
            "wx 414142424343444445454646\ns 4\nwen 6\ns 0; pf z; s 6; pf z; s 0xb; pf z; s 0; p8 18",
            "0x00000000 = \"AABB\"\n0x00000006 = \"\"\n0x0000000b = \"CDDEEFF\"\n\
             414142420000000000004343444445454646\n",
        );
        let size = session.with(|core, _| core.io.descriptor(3).expect("it is open").size());
        assert_eq!(size, Some(518));
        expect(&mut session, "s 517; wx 7f; p8 2", "7fff\n");
        expect(
            &mut super::session("malloc://512"),
            "w aaaaaaaaaa; wes 0 10; pf z; s 0xa; pf z",
            "0x00000000 = \"aaaaaaaaaaaaaaaaaaaa\"\n0x0000000a = \"aaaaaaaaaa\"\n",
        );
        expect(
            &mut super::session("malloc://512"),
            "s 8; w aaaaaaaaaa; s 0; wes 8 0; s; s 0; wes 0 8; s 0x10; pf z",
            "0x8\n0x00000010 = \"aaaaaaaaaa\"\n",
        );
    }

    #[test]
    fn large_ranges_are_written_in_pieces() {
        let mut session = session("malloc://1048583");
        session.view.block_size = 1048583;
        // The pieces must cut neither the key nor the mask.
        expect(&mut session, "wm 0fff0f; wb 11223344556677; wm-", "Write mask set to '0fff0f'\n");
        let (key, mask) = ([0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77], [0x0f, 0xff, 0x0f]);
        let mut expected = (0..1048583).map(|at| key[at % 7] & mask[at % 3]);
        let mut bytes = vec![0; 1048583];
        session.with(|core, _| core.io.read(&Default::default(), 0, &mut bytes)).expect("it reads");
        assert!(bytes.iter().all(|byte| Some(*byte) == expected.next()));
    }

    #[test]
    fn files_are_written_and_read() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut session = session("malloc://512");
        session.view.directory = Some(directory.path().to_path_buf());
        expect(
            &mut session,
            "wx 41424344\nwt dump.bin 4\nwta dump.bin 2\ns 0x10; wff dump.bin; p8 7; wff dump.bin 2 4; p8 4; s 0\n\
             cf dump.bin\nyf 2 dump.bin 1; yp; yfa dump.bin; yp; ytf copy.bin; cf copy.bin 4\nwtff part 4",
            "Dumped 4 bytes from 0x00000000 into dump.bin\nDumped 2 bytes from 0x00000000 into dump.bin\n\
             41424344414200\n41424344\nCompare 4/6 equal bytes (66%)\n0x00000004 (byte=05)   00 ' '  ->  41 'A'\n\
             0x00000005 (byte=06)   00 ' '  ->  42 'B'\nBC\nABCDAB\nCompare 4/4 equal bytes (100%)\n\
             Dumped 4 bytes from 0x00000000 into part-0x00000000\n",
        );
        expect(&mut session, "s 0x1fe; wtf! tail; s 0", "Dumped 2 bytes from 0x000001fe into tail\n");
        let read = |name: &str| std::fs::read(directory.path().join(name)).expect("the file is there");
        assert_eq!(read("dump.bin"), b"ABCDAB");
        assert_eq!(read("copy.bin"), b"ABCDAB");
        assert_eq!(read("tail"), [0, 0]);
        std::fs::write(directory.path().join("hex"), "de ad\nbe ef\n").expect("a file");
        std::fs::write(directory.path().join("not-hex"), "dead beer").expect("a file");
        expect(&mut session, "wxf hex; p8 4", "deadbeef\n");
        for wrong in [
            "wxf not-hex",
            "wxf none",
            "wff none",
            "wff dump.bin 7",
            "wff dump.bin 1 6",
            "wff .",
            "yf 7 dump.bin",
            "yf 1 dump.bin 6",
            "yfa none",
            "cf none",
            "cf dump.bin 7",
            "wt none/dump.bin 4",
            "ytf none/x",
            "wt dump.bin zz",
            "wta",
            "wtf! none/x",
        ] {
            refused(&mut session, wrong);
        }
        assert_eq!(read("dump.bin"), b"ABCDAB");
    }

    #[test]
    fn permissions_guard_files_and_bytes() {
        let mut session = session("malloc://512");
        session.view.permissions = Permissions::READ;
        for wrong in ["w a", "wx 41", "woa 1", "yy", "wt x 4", "cf /etc/passwd", "yfa /etc/passwd", "wh sh", "wen 1"] {
            let said = run(&mut session, wrong);
            assert!(said.err.contains("not permitted"), "{wrong}: {said:?}");
        }
        session.view.permissions = Permissions::READ.and(Permissions::WRITE);
        for wrong in ["wff /etc/passwd", "wxf /etc/passwd", "wt x 4", "ytf x"] {
            assert!(run(&mut session, wrong).err.contains("it needs files"), "{wrong}");
        }
    }

    #[test]
    fn wrong_lines_change_nothing() {
        let mut session = session("malloc://512");
        expect(&mut session, "wx 4142434445464748; ywx 99; pf.st xz id name", "");
        for wrong in [
            "w",
            "w \\q",
            "w a\\",
            "wz",
            "ww \\x4",
            "ws",
            "wx",
            "wx zz",
            "wx 1",
            "wx 414",
            "wx 41 4",
            "wxs zz",
            "wxs",
            "wb",
            "wb q",
            "wv",
            "wv zz",
            "wv1 256",
            "wv2 0x10000",
            "wv4 0x100000000",
            "wv8 nosuch",
            "w0",
            "w0 nosuch",
            "w0 513",
            "w0 0xffffffffffffffff",
            "w1+ nosuch",
            "wB",
            "wB- nosuch",
            "w6d !!",
            "w6d QQ",
            "w6e 4",
            "wr 513",
            "wr nosuch",
            "wd",
            "wd 0",
            "wd 0 513",
            "wd 0 0x7fffffffff",
            "wf nosuch",
            "wfx 4 8",
            "wfx 0x1ff 4",
            "wm zz",
            "wo2 x",
            "wox zz",
            "wox 0xabcdef",
            "wod 00",
            "wod 0100",
            "woe 5 1",
            "woe 0 300",
            "woe 0 1 1 3",
            "wopD 0x100000",
            "wopO 0x5a5a5a5a",
            "wopO",
            "wen",
            "wen 0x10000000000",
            "weN 0x1000 4",
            "wex zz",
            "weX 0 z",
            "wes 0 513",
            "wes 0x1000 1",
            "wh no-such-program-anywhere",
            "yy 0x1ff0",
            "y nosuch",
            "y 0xffffffffff",
            "yt 4",
            "yt 4 0x1fe",
            "yz 0xffffffffff",
            "yw",
            "yw \\q",
            "ywx 1",
            "c",
            "c \\q",
            "cx",
            "cx 4",
            "cx 4z",
            "c1 256",
            "c2 nosuch",
            "cv",
            "cV",
            "cc",
            "cc nosuch",
            "cu 0 0xffffffffff",
            "pf",
            "pfs",
            "pfv",
            "pfc",
            "pf.st.none",
            "pf.st[1]",
            "wnosuch",
        ] {
            refused(&mut session, wrong);
        }
        expect(&mut session, "p8 8; yq; pf?st", "4142434445464748\n99\nxz id name\n");
        // At the end nothing is written in part.
        expect(&mut session, "s 0x1fe", "");
        for wrong in ["w abc", "wx 414243", "wv 1", "wv8 1", "wf 0 4", "yw a; ywx 010203; yy", "w4+", "wopD 3", "wr 4"]
        {
            let said = run(&mut session, wrong);
            assert_eq!(said.err.lines().count(), 1, "{wrong}: {said:?}");
            expect(&mut session, "p8 2", "0000\n");
        }
    }

    #[test]
    fn held_back_writes_are_seen_and_bounded() {
        let mut session = with_options("malloc://512", &[("io.cache", "true")]);
        expect(&mut session, "wx 4142; w1+; p8 2; s 0x1000; w far; p8 4", "4242\n666172ff\n");
        refused(&mut session, "w0 0x20000000");
        refused(&mut session, "wen 4");
        set(&mut session, "io.cache", "false");
    }
}

mod yanking_and_comparing {
    use super::*;

    #[test]
    fn strings_are_yanked_up_to_their_zero() {
        let mut session = session("malloc://128");
        expect(
            &mut session,
            "w HelloWorld\nyz; yp; yz 5; yp; s 4; yz 4; yp; s 6; yz; yp; yz 2; yp",
            "HelloWorld\nHello\noWor\norld\nor\n",
        );
        session.view.block_size = 6;
        expect(&mut session, "s 0; yz; yp", "HelloW\n");
    }

    #[test]
    fn nothing_yanked_is_an_error_with_a_way_out() {
        let mut session = session("malloc://128");
        for wrong in ["y", "yj", "yp", "yx", "ys", "yy", "ytf x", "wox"] {
            refused(&mut session, wrong);
        }
    }

    #[test]
    fn pasted_bytes_are_those_copied() {
        expect(
            &mut session("malloc://512"),
            "wx 41424344; y 4; wx 00; s 0x20; yy; p8 4; y; y*; yj; yt 2 0x30; s 0x30; p8 3",
            "41424344\n0x00000000 4 41424344\nwx 41424344\n{\"addr\":0,\"bytes\":\"41424344\"}\n414200\n",
        );
    }

    #[test]
    fn comparisons_count_and_list() {
        let mut session = session("malloc://512");
        expect(
            &mut session,
            "c hello",
            "Compare 0/5 equal bytes (0%)\n0x00000000 (byte=01)   00 ' '  ->  68 'h'\n\
             0x00000001 (byte=02)   00 ' '  ->  65 'e'\n0x00000002 (byte=03)   00 ' '  ->  6c 'l'\n\
             0x00000003 (byte=04)   00 ' '  ->  6c 'l'\n0x00000004 (byte=05)   00 ' '  ->  6f 'o'\n",
        );
        assert_eq!(session.view.last, 5);
        expect(&mut session, "cv 0", "");
        assert_eq!(session.view.last, 0);
        expect(&mut session, "s 4; w1+; s 0; cV8 8; cV 8; cV8 0x10", "");
        assert_eq!(session.view.last, 1);
        expect(&mut session, "cu 4 2", "- 0x00000000 0000 .. !\n+ 0x00000004 0100 .. !\n");
    }
}

mod structures {
    use super::*;

    const BITS32: &[(&str, &str)] = &[("asm.bits", "32")];

    #[test]
    fn definitions_are_made_in_each_spelling() {
        let shows = " foo : 0x00000000 = 0x00000000\n bar : 0x00000004 = 0\n";
        for define in ["pf.foo xd foo bar", "pf.foo=xd foo bar", "pf foo=xd foo bar"] {
            expect(&mut session("malloc://1024"), &format!("{define}\npf.foo"), shows);
        }
    }

    #[test]
    fn uleb_numbers_are_read_and_set() {
        let mut session = session("malloc://1024");
        expect(
            &mut session,
            "wx e58e26\npf u ulebtest\ns 0x10; wx 00000000e58e258e2525\npf.plop [4]u ulebtest\ns 0x14; pf.plop\n\
             pf.plop.ulebtest[2]=42\ns 0x19; wx 2a; s 0x14\npf.plop\npfj.plop",
            " ulebtest : 0x00000000 = 624485\n ulebtest : 0x00000014 = [ 608101, 4750, 37, 0 ]\n\
             \"wx 2a\" @ 0x00000019\n ulebtest : 0x00000014 = [ 608101, 4750, 42, 0 ]\n\
             [{\"name\":\"ulebtest\",\"type\":\"u\",\"offset\":20,\"value\":[608101,4750,42,0]}]\n",
        );
    }

    #[test]
    fn pointers_to_values_and_strings() {
        expect(
            &mut with_options("malloc://1024", BITS32),
            "s 0x30; w TROLL; s 0; wx 30; s 4; wx a00f; s 0; pf *zi Pouet Plop",
            " Pouet : (*0x30)0x00000000 = \"TROLL\"\n  Plop : 0x00000004 = 4000\n",
        );
        expect(
            &mut with_options("malloc://1024", BITS32),
            "wv 0x10; s 4; wv 0x10; s 0x10; w hello; s 0; pf ss; pf *x*x; pf *z*z",
            "0x00000000 = 0x00000000 -> 0x00000010 \"hello\"\n0x00000004 = 0x00000004 -> 0x00000010 \"hello\"\n\
             (*0x10)0x00000000 = 0x6c6c6568\n(*0x10)0x00000004 = 0x6c6c6568\n\
             (*0x10)0x00000000 = \"hello\"\n(*0x10)0x00000004 = \"hello\"\n",
        );
    }

    #[test]
    fn pointers_of_eight_bytes_in_both_orders() {
        for big_endian in ["false", "true"] {
            expect(
                &mut with_options("malloc://1024", &[("cfg.bigendian", big_endian)]),
                "s 0x100; wz root; s 0x204; wv8 0x100; pf *z",
                "(*0x100)0x00000204 = \"root\"\n",
            );
        }
    }

    #[test]
    fn numbered_repetitions() {
        expect(
            &mut session("malloc://1024"),
            "wx a00f00004b2a0000004c\npf.troll 2ic nb plop\npf.troll",
            "0x00000000 [0] {\n     nb : 0x00000000 = 4000\n   plop : 0x00000004 = 'K'\n}\n\
             0x00000005 [1] {\n     nb : 0x00000005 = 42\n   plop : 0x00000009 = 'L'\n}\n",
        );
    }

    #[test]
    fn nested_structures_behind_pointers() {
        expect(
            &mut with_options("malloc://1024", BITS32),
            "wx 2a000000a00f00001234100000006416\ns 0x10; wx 2a0000002a; s 0\n\
             pf.troll iw*? integer word (troll)Bah\npf.plop i?w firstInt (troll)Boh plop\npf.plop",
            " firstInt : 0x00000000 = 42\n      Boh : \n                struct<troll>\n         \
             integer : 0x00000004 = 4000\n            word : 0x00000008 = 0x3412\n             Bah : (*0x10)\n\
             \x20                     struct<troll>\n                 integer : 0x00000010 = 42\n\
             \x20                   word : 0x00000014 = 0x002a\n                     Bah : (*0x0) NULL\n\
             \x20    plop : 0x0000000e = 0x1664\n",
        );
    }

    #[test]
    fn numbers_of_every_size_and_skipped_bytes() {
        expect(
            &mut session("malloc://1024"),
            "wx 71776572747975696f706173646667686a6b6c7a786376626e6d71776572747975696f706173646667686a6b6c7a786376626e6d\n\
             pf N8..N4.N2:N1..n8..n4n2n1 a b c d e f",
            " a : 0x00000000 = 7599113487299999601\n b : 0x0000000a = 1717859169\n c : 0x0000000f = 27240\n \
             d : 0x00000015 = 99\n e : 0x00000018 = 8751745756008901998\n f : 0x00000022 = 1935765615\n\
             0x00000026 = 26212\n0x00000028 = 103\n",
        );
        expect(
            &mut session("malloc://1024"),
            "wx 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\npf.abc ic...i:pii a b c d e f\npf.abc",
            " a : 0x00000000 = 50462976\n b : 0x00000004 = '.'\n c : 0x00000008 = 185207048\n \
             d : 0x00000010 = (qword)0x1716151413121110\n e : 0x00000018 = 454695192\n f : 0x0000001c = 522067228\n",
        );
        expect(&mut session("malloc://8"), "wx 0102; pf w,w", "0x00000000 = 0x0201\n0x00000001 = 0x0002\n");
    }

    #[test]
    fn plain_repetitions() {
        expect(
            &mut session("malloc://1024"),
            "wx 71776572747975696f706173646667686a6b6c7a786376626e6d71776572747975696f70\npf.plop ip int ptr\n\
             pf {2}? (plop)structname",
            " structname : \n                struct<plop>\n     int : 0x00000000 = 1919252337\n     \
             ptr : 0x00000004 = (qword)0x7361706f69757974\n structname : \n                struct<plop>\n     \
             int : 0x0000000c = 1751606884\n     ptr : 0x00000010 = (qword)0x627663787a6c6b6a\n",
        );
    }

    #[test]
    fn nested_structures_in_json() {
        expect(
            &mut session("malloc://512"),
            "wv2 0x1234; s 2; wv4 0x56789abc; s 6; wv8 0xdef0123456789abc; s 0\npf.third w t1\npf.second ?x (third)t s1\n\
             pf.first ?q (second)s f1\npf.first\npfj.first",
            "  s : \n                struct<second>\n     t : \n                      struct<third>\n       \
             t1 : 0x00000000 = 0x1234\n    s1 : 0x00000002 = 0x56789abc\n f1 : 0x00000006 = (qword)0xdef0123456789abc\n\
             [{\"name\":\"s\",\"type\":\"second\",\"offset\":0,\"value\":[{\"name\":\"t\",\"type\":\"third\",\"offset\":0,\
             \"value\":[{\"name\":\"t1\",\"type\":\"w\",\"offset\":0,\"value\":4660}]},{\"name\":\"s1\",\"type\":\"x\",\
             \"offset\":2,\"value\":1450744508}]},{\"name\":\"f1\",\"type\":\"q\",\"offset\":6,\"value\":-2382384186880648516}]\n",
        );
    }

    const GOBELIN: &str = "wx 341289679a020000a00f00002a003000000014426416\ns 0x20; wx 800600000040\n\
        s 0x30; wx 14000000641620000000; s 0\npf.troll iw*? integer word (troll)Bah\n\
        pf.plop i?w first (troll)Boh bwa\n";

    #[test]
    fn pointed_structures_follow_their_pointer_in_json() {
        expect(
            &mut with_options("malloc://1024", BITS32),
            &format!("{GOBELIN}pf.gobelin 2ww?x blah meh (plop)Buh foo\npfj.gobelin"),
            "[[{\"index\":0,\"offset\":0},{\"name\":\"blah\",\"type\":\"w\",\"offset\":0,\"value\":4660},\
             {\"name\":\"meh\",\"type\":\"w\",\"offset\":2,\"value\":26505},{\"name\":\"Buh\",\"type\":\"plop\",\"offset\":4,\
             \"value\":[{\"name\":\"first\",\"type\":\"i\",\"offset\":4,\"value\":666},{\"name\":\"Boh\",\"type\":\"troll\",\
             \"offset\":8,\"value\":[{\"name\":\"integer\",\"type\":\"i\",\"offset\":8,\"value\":4000},{\"name\":\"word\",\
             \"type\":\"w\",\"offset\":12,\"value\":42},{\"name\":\"Bah\",\"type\":\"troll*\",\"offset\":14,\"value\":48},\
             {\"name\":\"integer\",\"type\":\"i\",\"offset\":48,\"value\":20},{\"name\":\"word\",\"type\":\"w\",\"offset\":52,\
             \"value\":5732},{\"name\":\"Bah\",\"type\":\"troll*\",\"offset\":54,\"value\":32},{\"name\":\"integer\",\
             \"type\":\"i\",\"offset\":32,\"value\":1664},{\"name\":\"word\",\"type\":\"w\",\"offset\":36,\"value\":16384},\
             {\"name\":\"Bah\",\"type\":\"troll*\",\"offset\":38,\"value\":\"NULL\"}]},{\"name\":\"bwa\",\"type\":\"w\",\
             \"offset\":18,\"value\":16916}]},{\"name\":\"foo\",\"type\":\"x\",\"offset\":20,\"value\":5732}],\
             [{\"index\":1,\"offset\":24},{\"name\":\"blah\",\"type\":\"w\",\"offset\":24,\"value\":0},{\"name\":\"meh\",\
             \"type\":\"w\",\"offset\":26,\"value\":0},{\"name\":\"Buh\",\"type\":\"plop\",\"offset\":28,\"value\":\
             [{\"name\":\"first\",\"type\":\"i\",\"offset\":28,\"value\":0},{\"name\":\"Boh\",\"type\":\"troll\",\"offset\":32,\
             \"value\":[{\"name\":\"integer\",\"type\":\"i\",\"offset\":32,\"value\":1664},{\"name\":\"word\",\"type\":\"w\",\
             \"offset\":36,\"value\":16384},{\"name\":\"Bah\",\"type\":\"troll*\",\"offset\":38,\"value\":\"NULL\"}]},\
             {\"name\":\"bwa\",\"type\":\"w\",\"offset\":42,\"value\":0}]},{\"name\":\"foo\",\"type\":\"x\",\"offset\":44,\
             \"value\":0}]]\n",
        );
    }

    #[test]
    fn fields_are_picked_through_structures_and_arrays() {
        expect(
            &mut with_options("malloc://1024", BITS32),
            &format!(
                "{GOBELIN}pf.gobelin ww?x blah meh (plop)Buh foo\npf.gobelin.Buh.first\npf.gobelin.Buh.Boh.word\n\
                 pf.gobelin.Buh.Boh.word=7"
            ),
            "  Buh : \n                struct<plop>\n       first : 0x00000004 = 666\n  Buh : \n                \
             struct<plop>\n         Boh : \n                      struct<troll>\n                    \
             word : 0x0000000c = 0x002a\nwv2 7 @ 0x0000000c\n",
        );
        expect(
            &mut with_options("malloc://1024", BITS32),
            "s 0x10; wx a00f0000adde; s 0\npf.plop iwqw one two three four\npf.troll [3]? (plop)str\n\
             pf.troll.str[1]\npf.troll.str[1].two",
            " str : \n[\n                struct<plop>\n         one : 0x00000010 = 4000\n         two : 0x00000014 = 0xdead\n       \
             three : 0x00000016 = (qword)0x0000000000000000\n        four : 0x0000001e = 0x0000\n]\n str : \n[\n                \
             struct<plop>\n         two : 0x00000014 = 0xdead\n]\n",
        );
    }

    #[test]
    fn floating_point_strings_and_declarations() {
        expect(
            &mut session("malloc://512"),
            "wv8 0x400921fb54442d18; pf F; wv8 0x3e901b2b20000000; pf q; pf F",
            "0x00000000 = 3.1415926535897931\n0x00000000 = (qword)0x3e901b2b20000000\n0x00000000 = 2.3999999143597961e-07\n",
        );
        expect(
            &mut session("malloc://512"),
            "wz ABCDE; pf z; pfj z; pf [3]z; pfj [3]z; pf [7]z; pfj [7]z",
            "0x00000000 = \"ABCDE\"\n[{\"type\":\"z\",\"offset\":0,\"value\":\"ABCDE\"}]\n0x00000000 = \"ABC\"\n\
             [{\"type\":\"z\",\"offset\":0,\"value\":\"ABC\"}]\n0x00000000 = \"ABCDE\"\n\
             [{\"type\":\"z\",\"offset\":0,\"value\":\"ABCDE\"}]\n",
        );
        expect(
            &mut session("malloc://512"),
            "wx fffefffdfffffffcffffffffffffff; pfc N1N2N4N8 byte word dword qword; pfc n1n2n4n8 byte word dword qword",
            "struct {\n    uint8_t byte; // 255\n    uint16_t word; // 65534\n    uint32_t dword; // 4294967293\n    \
             uint64_t qword; // 18446744073709551612\n}\nstruct {\n    int8_t byte; // -1\n    int16_t word; // -2\n    \
             int32_t dword; // -3\n    int64_t qword; // -4\n}\n",
        );
        expect(
            &mut session("malloc://512"),
            "wx 41424344; pf o; pf X; pf [4]X; pf t; pf [3]C; pf 0xw a b",
            "0x00000000 = (octal)  010420641101\n0x00000000 = 41  ... (A)\n0x00000000 = 41 42 43 44  ... (ABCD)\n\
             0x00000000 = Mon Apr 17 07:22:41 2006\n0x00000000 = [ 65, 66, 67 ]\n\
             \x20a : 0x00000000 = 0x44434241\n b : 0x00000000 = 0x4241\n",
        );
    }

    #[test]
    fn setting_shows_a_command_that_can_be_run() {
        let mut session = session("malloc://512");
        expect(
            &mut session,
            "pf.foo xd foo bar; pf.foo.foo=123; pf.foo.foo=0xff; pf.a [3]x foo; pf.a.foo=1; pf.a.foo[2]=1\n\
             wz hello; pf.s z name; pf.s.name=hey; pf.f fe.x a b; pf.f.a=1.5; pf.f.b=1",
            "wv4 123 @ 0x00000000\nwv4 0xff @ 0x00000000\nwv4 1 @ 0x00000000\nwv4 1 @ 0x00000008\n\
             wx 68657900 @ 0x00000000\nwx 0000c03f @ 0x00000000\nwx 00000001 @ 0x00000005\n",
        );
        for wrong in ["pf.foo.foo=0x100000000", "pf.foo.none=1", "pf.s.name=goodbye", "pf.f.a=x", "pf.foo.foo.x=1"] {
            refused(&mut session, wrong);
        }
    }

    #[test]
    fn endless_and_enormous_formats_are_refused() {
        let mut session = session("malloc://512");
        expect(&mut session, "pf.loop x? a (loop)b; pf.two ?? (two)a (two)b", "");
        for wrong in [
            "pf.loop",
            "pfs.loop",
            "pf.two",
            "pf [1000000000]c",
            "pf 1000000000x",
            "pf {1000000000}x",
            "pf [1000000000]z",
            "pf [0xffffffffffffffff]x",
            "pfs 0xffffffffffffffff[0xffffffffffffffff]x",
            "pf.none",
            "pf ? (none)a",
            "pf y",
            "pf.bad [3",
            "pf x a b",
            "pf?none",
            "pf-none",
            "pfs .loop.a",
            "pfj.loop",
        ] {
            refused(&mut session, wrong);
        }
        expect(&mut session, "pf?loop", "x? a (loop)b\n");
    }

    #[test]
    fn formats_that_double_with_each_level_end() {
        let mut session = session("malloc://512");
        expect(&mut session, "pf.f0 x a", "");
        for level in 1..32 {
            expect(&mut session, &format!("pf.f{level} ?? (f{})a (f{})b", level - 1, level - 1), "");
        }
        for wrong in ["pf.f31", "pfs.f31", "pfo nosuch"] {
            refused(&mut session, wrong);
        }
        expect(&mut session, "pfs.f3", "32\n");
        // Many pointers to one long string.
        let mut session = super::session("malloc://1048576");
        session.view.block_size = 0xff000;
        expect(&mut session, "s 0x1000; wb 41; s 0", "");
        session.view.block_size = 0x1000;
        expect(&mut session, "wb 00100000", "");
        refused(&mut session, "pf [1000]s");
    }

    #[test]
    fn headers_of_elf_files_have_their_sizes() {
        for (set, header, program, section, symbol) in [("elf32", 52, 32, 40, 16), ("elf64", 64, 56, 64, 24)] {
            expect(
                &mut session("malloc://512"),
                &format!("pfo {set}; pfs.elf_ident; pfs.elf_header; pfs.elf_phdr; pfs.elf_shdr; pfs.elf_sym"),
                &format!("16\n{header}\n{program}\n{section}\n{symbol}\n"),
            );
        }
    }

    #[test]
    fn rings_of_pointers_end() {
        // Two nodes that point at each other, and at themselves.
        expect(
            &mut with_options("malloc://512", BITS32),
            "s 0x10; wv4 0x20; s 0x20; wv4 0x10; s 0\npf.node *? (node)next\npf.list *? (node)first\nwv4 0x10; pf.list",
            " first : (*0x10)\n                struct<node>\n      next : (*0x20)\n                      struct<node>\n\
             \x20          next : (*0x10) ...\n",
        );
    }
}

/// Runs a wrong line: one line of error, nothing printed, nothing changed, and the session goes on.
#[track_caller]
fn refused(session: &mut Session, line: &str) {
    let state = |session: &mut Session| {
        let bytes = run(session, "p8 512").out;
        session.with(|core, view| (bytes, view.seek, core.yank.clone(), core.formats.clone(), core.write_mask.clone()))
    };
    let before = state(session);
    let said = run(session, line);
    assert_eq!(said.out, "", "{line}");
    assert!(said.err.starts_with("Error: "), "{line}: {:?}", said.err);
    assert_eq!(said.err.lines().count(), 1, "{line}: {:?}", said.err);
    assert!(state(session) == before, "{line} changed something");
}
