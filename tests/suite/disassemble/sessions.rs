//! Sessions of `pd` and its kin.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::harness::{run, session, shell};
use crate::rap::device::distant;
use remora::io::Access;
use remora::io::plugin::rap::Remote;
use remora::session::Session;

#[test]
fn columns_hold_names_comments_and_arrows() {
    let said = shell(
        "wx 8b05fa00000083f802740231c0c3 @ 0\nwv4 0x1234 @ 0x100\nf obj.glob 4 0x100\nf main 1 0\nCC compared @ 6\npd 5",
    );
    assert_eq!(
        said,
        concat!(
            "            ;-- main:\n",
            "            0x00000000      mov   eax, dword [obj.glob]                ; [0x100:4]=0x1234 ; \"4\\x12\"\n",
            "            0x00000006      cmp   eax, 2                               ; compared\n",
            "        ,=< 0x00000009      je    0xd\n",
            "        |   0x0000000b      xor   eax, eax\n",
            "        `-> 0x0000000d      ret\n",
        )
    );
}

#[test]
fn strings_and_calls_have_their_names() {
    let said = shell(
        "wx 488d3df9000000e80400000048c7c700020000 @ 0\nwz \"Hello spec\" @ 0x100\nf str.Hello_spec 11 0x100\nf sym.greet 1 0x10\npi 2\npd 2",
    );
    assert_eq!(
        said,
        concat!(
            "lea rdi, [str.Hello_spec]\ncall sym.greet\n",
            "            0x00000000      lea   rdi, [str.Hello_spec]                ; 0x100 ; \"Hello spec\"\n",
            "            0x00000007      call  sym.greet\n",
        )
    );
    let said = shell("wx 488d3df9000000; f x 1 0x100; e asm.sub.names=false; pd 1; e asm.comments=false; pd 1");
    assert!(said.ends_with("            0x00000000      lea   rdi, [0x00000100]\n"), "{said}");
}

#[test]
fn bytes_sizes_and_other_options() {
    let start = "wx 488b0425000000004889e5660f1f840000000000; e asm.comments=false; ";
    for (options, shows) in [
        (
            "e asm.bytes=true; pd 2",
            "            0x00000000      488b042500..   mov   rax, qword [0]\n            0x00000008      4889e5         mov   rbp, rsp\n",
        ),
        ("e asm.lines=false; e asm.size=true; pd 1 @ 8", "0x00000008       3 mov   rbp, rsp\n"),
        ("e asm.offset=false; e asm.lines=false; pd 1 @ 8", "mov   rbp, rsp\n"),
        ("e asm.ucase=true; e asm.lines=false; pd 1 @ 8", "0x00000008      MOV   RBP, RSP\n"),
        ("e asm.tabs=0; e asm.lines=false; pd 1 @ 8", "0x00000008      mov rbp, rsp\n"),
        ("e asm.syntax=att; pi 1 @ 8", "mov %rsp, %rbp\n"),
        ("e asm.syntax=masm; pi 1", "mov rax, qword ptr [0]\n"),
        ("pi 1 @ 11", "nop word [rax + rax]\n"),
    ] {
        assert_eq!(shell(&format!("{start}{options}")), shows, "{options}");
    }
}

#[test]
fn what_is_wrong_is_said() {
    for (line, error) in [
        ("wa zzz", "Error: cannot assemble 'zzz' at line 1: no instruction has this name\n"),
        ("e asm.arch=none", "Error: asm.arch: 'none' is not allowed"),
        ("e asm.bits=3", "Error: asm.bits: '3' is not allowed"),
        ("wao jz", "Error: 'wao jz' changes jumps on a condition, and here is none\n"),
        (
            "wx 90; wai mov eax, 1",
            "Error: 5 bytes do not go into the 1 of the instruction here (wa writes over what follows)\n",
        ),
        (
            "e asm.arch=mips; pa nop",
            "Error: there is no assembler for mips (asm.arch can be x86; write other code as bytes with wx)\n",
        ),
        ("pad zz", "Error: invalid hexpair string 'zz'"),
    ] {
        let said = run(&mut session("malloc://512"), line);
        assert!(said.err.starts_with(error) && said.out.is_empty(), "{line}: {said:?}");
    }
    assert_eq!(shell("e asm.bits=?; e asm.arch=arm; e asm.bits=?"), "16\n32\n64\n16\n32\n64\n");
    assert_eq!(shell("wx ffff; pi 1"), "invalid\n");
}

#[test]
fn negative_counts_follow_flags() {
    // Counted back alone, the bytes of a number would be the nearest two instructions.
    let start = "wx b8010000004839ca7f00; ";
    assert_eq!(shell(&format!("{start}pi -3 @ 10")), "add byte [rax], al\ncmp rdx, rcx\njg 0xa\n");
    assert_eq!(shell(&format!("{start}f start 1 0; pi -3 @ 10")), "mov eax, 1\ncmp rdx, rcx\njg 0xa\n");
    assert_eq!(shell("e asm.arch=arm; e asm.bits=32; pdi -2 @ 8").lines().count(), 2);
    assert_eq!(shell("pd -5 @ 0"), "");
}

#[test]
fn flags_with_escapes_do_not_steer_the_terminal() {
    let mut session = session("malloc://512");
    session.with(|core, _| {
        core.flags.set("evil\x1b[2J", 0x100, 1);
        core.comments.insert(0, "\x1b]0;title\x07".to_string());
        core.io.write(&Default::default(), 0, b"\xe8\xfb\0\0\0").unwrap();
    });
    for line in ["pd 1", "pi 1", "pd 1 @ 0x100", "pdj 1"] {
        let said = run(&mut session, line);
        assert!(!said.out.contains(['\x1b', '\x07']), "{line}: {:?}", said.out);
    }
}

#[test]
fn a_listing_of_a_far_file_takes_few_round_trips() {
    let mut code = vec![0u8; 1 << 20];
    // Loads from all over the file.
    for index in 0..64usize {
        let at = index * 7;
        let target = (index as u32 * 16000) + 0x1000;
        code[at..at + 3].copy_from_slice(b"\x48\x8b\x05");
        code[at + 3..at + 7].copy_from_slice(&target.to_le_bytes());
    }
    let mut file = tempfile::NamedTempFile::new().expect("a file can be made");
    std::io::Write::write_all(&mut file, &code).expect("it can be written");
    let path = file.path().display().to_string();
    let (client, flights, _clients) = distant(Duration::from_millis(1), &path);
    let mut session = Session::new();
    session.with(|core, _| {
        let fd = core.io.adopt("rap://memory", Access::RX, Box::new(Remote::new(client, Access::RX)));
        core.io.map_whole(fd, 0).unwrap();
    });
    let before = flights.load(Ordering::SeqCst);
    let said = run(&mut session, "pd 64");
    assert_eq!((said.err.as_str(), said.out.lines().count()), ("", 64));
    let cost = flights.load(Ordering::SeqCst) - before;
    // The code, and all that it refers to.
    assert!(cost <= 2, "{cost} round trips");
    run(&mut session, "pd 64");
    assert_eq!(flights.load(Ordering::SeqCst) - before, cost);
}
