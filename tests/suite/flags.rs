//! Flags, flagspaces, options, seeks and block sizes over several lines and several clients.

use crate::harness::{run, session, shell};
use remora::session::Session;

#[test]
fn hidden_flags_stay_hidden() {
    let said = shell("fs jeje;f hidden;fs jojo;f visible;fd;f");
    assert_eq!(said, "visible\n0x00000000 1 visible\n");
    assert_eq!(shell("fs jeje;f hidden;fs jojo;f-*;fs *;fq"), "hidden\n");
}

#[test]
fn flags_survive_their_listing_as_commands() {
    let lines = "f direct1 1 0 verbatim;f direct2 1 16 base64:ImJhc2U2NCBhcm1vcmVkIg==;f indirect=32\n\
                 fC indirect base64:d29ya3MgdG9v;fN indirect a b;fs mine;f own 3 48;fs *";
    let mut first = session("malloc://512");
    let mut second = session("malloc://512");
    assert_eq!(run(&mut first, &lines.replace('\n', ";")).err, "");
    let commands = run(&mut first, "f*").out;
    assert!(commands.starts_with("fs *\nf direct1 1 0x00000000 base64:dmVyYmF0aW0=\nfs *\n"), "{commands}");
    assert_eq!(run(&mut second, &commands.trim().replace('\n', ";")).err, "");
    let json = run(&mut first, "fj").out;
    assert!(json.contains(r#""comment":"\"base64 armored\"""#) && json.contains(r#""realname":"a b""#), "{json}");
    assert_eq!(run(&mut second, "fs *;fj").out, json);
    assert_eq!(run(&mut second, "fsj").out, "[{\"name\":\"mine\",\"count\":1,\"selected\":false}]\n");
}

#[test]
fn the_old_name_of_a_renamed_flag_is_free() {
    let said = shell("f blah = 0x100;fr blah bloh;f blah = 0x200;f");
    assert_eq!(said, "0x00000100 0 bloh\n0x00000200 0 blah\n");
}

#[test]
fn bad_names_and_addresses_change_nothing() {
    let mut session = session("malloc://512");
    for line in ["f 0x10", "f a+b", "f a=nosuch", "f a 1 nosuch", "f a 1 0 base64:!", "fr nosuch b", "fl nosuch 4"] {
        let said = run(&mut session, line);
        assert!(said.err.starts_with("Error: ") && said.err.lines().count() == 1, "{line}: {said:?}");
    }
    assert_eq!(run(&mut session, "f").out, "");
}

#[test]
fn whether_a_flag_exists_decides_conditions() {
    let mut session = session("malloc://512");
    run(&mut session, "f a;f?a");
    assert_eq!(session.view.last, 1);
    run(&mut session, "f?nosuch");
    assert_eq!(session.view.last, 0);
}

#[test]
fn an_unknown_place_leaves_the_seek() {
    let mut session = session("malloc://512");
    run(&mut session, "s 0x64");
    for line in ["s unkval", "s ]", "s [", "sa 0", "s++ 0", "s. xyz", "sn", "s+ nosuch"] {
        assert_ne!(run(&mut session, line).err, "", "{line}");
        assert_eq!(run(&mut session, "s").out, "0x64\n", "{line}");
    }
}

#[test]
fn history_holds_as_many_places_as_it_may() {
    let mut session = session("malloc://512");
    run(&mut session, "s 0;s 0;s 1;s 2");
    (0..60).for_each(|_| _ = run(&mut session, "sd +1"));
    run(&mut session, "s 0;s 0;s 1;s 2");
    let said = run(&mut session, "sh*").out;
    let last: Vec<&str> = said.lines().rev().take(4).collect();
    assert_eq!(last, ["# Current seek @ 0x2", "f undo_0 @ 0x1", "f undo_1 @ 0x0", "f undo_2 @ 0x3e"]);
    assert_eq!(said.lines().count(), 64);
    assert_eq!(run(&mut session, "e cfg.seek.histsize=2;s=").out, "0x0 > 0x1 > 0x2\n");
    run(&mut session, "e cfg.seek.silent=true;s 9;s-");
    assert_eq!(run(&mut session, "s").out, "0x1\n");
}

#[test]
fn the_largest_block_holds() {
    let mut session = session("malloc://512");
    assert_eq!(run(&mut session, "bm 0x40;b").out, "0x40\n");
    assert!(run(&mut session, "b 0x41").err.contains("too large"));
    assert_eq!(run(&mut session, "b-0x100;b;b 0;b;b+0x3f;b").out, "0x1\n0x1\n0x40\n");
    assert_ne!(run(&mut session, "bm 0").err, "");
}

#[test]
fn bad_settings_name_what_is_right() {
    let mut session = session("malloc://512");
    for (line, says) in [
        ("e hex.col", "did you mean 'hex.cols'?"),
        ("e nosuch=1", "'e' lists them"),
        ("e hex", "'e hex.' lists"),
        ("e asm.bits=3", "one of: 8, 16, 32, 64"),
        ("e io.cache=maybe", "neither true nor false"),
        ("er asm.bytes;e asm.bytes=true", "'asm.bytes' is read-only"),
        ("e! hex.cols=1", "no option"),
        ("e! cmd.hit", "not a switch"),
    ] {
        let said = run(&mut session, line);
        assert!(said.err.contains(says) && said.err.lines().count() == 1, "{line}: {said:?}");
    }
    assert_ne!(run(&mut session, "e hex.cols=8 nosuch.key=1").err, "");
    assert_eq!(run(&mut session, "e hex.cols").out, "16\n");
}

#[test]
fn options_of_clients_are_their_own() {
    let mut owner = session("malloc://512");
    let mut guest = Session::attach(owner.shared());
    guest.view.owner = false;
    run(&mut guest, "e hex.cols=8");
    assert_eq!(run(&mut owner, "e hex.cols").out, "16\n");
    run(&mut owner, "e hex.cols=4;e asm.bits=32;er asm.os");
    assert_eq!(run(&mut guest, "e hex.cols asm.bits;e- hex.cols;e hex.cols").out, "8\n32\n4\n");
    assert_ne!(run(&mut guest, "e asm.os=beos").err, "");
    assert_ne!(run(&mut guest, "er hex.cols").err, "");
    run(&mut owner, "e asm.bits=16;e-");
    assert_eq!(run(&mut owner, "e asm.bits hex.cols").out, "64\n16\n");
}

#[test]
fn listings_of_options_have_every_form() {
    assert_eq!(shell("elj asm.bits"), "{\"asm.bits\":64}\n");
    let json = "[{\"name\":\"asm.bits\",\"value\":64,\"type\":\"int\",\"desc\":\"word size in bits\",\"ro\":false,\
                \"options\":[\"8\",\"16\",\"32\",\"64\"]}]\n";
    assert_eq!(shell("elJ asm.bits"), json);
    assert_eq!(shell("evj asm.bits"), json);
    let all = shell("e");
    assert!(all.lines().any(|line| line == "asm.arch = x86") && all.lines().count() > 150);
    let object: serde_json::Value = serde_json::from_str(&shell("ej")).expect("it is JSON");
    assert_eq!(object["hex.cols"], 16);
    assert_eq!(shell("e*").lines().count(), all.lines().count());
}
