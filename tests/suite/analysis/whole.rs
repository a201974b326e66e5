//! What `aa` finds agrees with symbols, with objdump and with itself.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::program::{FUNCTIONS, Program, open, tool};
use crate::harness::run;
use remora::session::Session;

const BUILDS: &[&[&str]] = &[&["-O0"], &["-O2"], &["-O0", "-no-pie"], &["-O2", "-no-pie", "-fcf-protection=none"]];

fn json(session: &mut Session, line: &str) -> Value {
    let said = run(session, line);
    assert_eq!(said.err, "", "{line}");
    serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{line}: {error}: {}", said.out))
}

/// The functions by address.
fn functions(session: &mut Session) -> BTreeMap<u64, Value> {
    let list = json(session, "aflj");
    list.as_array().unwrap().iter().map(|function| (function["offset"].as_u64().unwrap(), function.clone())).collect()
}

#[test]
fn functions_agree_with_their_symbols() {
    for flags in BUILDS {
        let Some(program) = Program::compile(flags) else { return };
        let Some(symbols) = program.symbols() else { return };
        let mut session = open(&program.path);
        assert_eq!(run(&mut session, "aa").err, "");
        let found = functions(&mut session);
        for name in FUNCTIONS {
            let (address, size, _) = symbols.iter().find(|(_, _, symbol)| symbol == name).expect("nm has it");
            let function =
                found.get(address).unwrap_or_else(|| panic!("{flags:?}: {name} at 0x{address:x} is not found"));
            let shown = function["name"].as_str().unwrap();
            let expected = if *name == "main" { "main".to_string() } else { format!("sym.{name}") };
            assert_eq!(shown, expected, "{flags:?}");
            assert_eq!(function["minbound"].as_u64(), Some(*address), "{flags:?} {name}");
            assert_eq!(function["size"].as_u64(), Some(*size), "{flags:?} {name}: {function}");
        }
        assert!(
            found.values().any(|function| function["name"] == "sym.imp.printf" || function["name"] == "sym.imp.puts")
        );
        let die = found.values().find(|function| function["name"] == "sym.die").unwrap();
        assert_eq!(die["noreturn"], true, "{flags:?}");
        let add = found.values().find(|function| function["name"] == "sym.add").unwrap();
        assert_eq!((add["noreturn"].as_bool(), add["nbbs"].as_u64()), (Some(false), Some(1)));
        assert_eq!(add["nargs"].as_u64(), Some(2), "{flags:?} {add}");
    }
}

#[test]
fn switches_are_followed() {
    for flags in BUILDS {
        let Some(program) = Program::compile(flags) else { return };
        let mut session = open(&program.path);
        run(&mut session, "aa");
        let blocks = json(&mut session, "afbj @ sym.choose");
        let switch = blocks.as_array().unwrap().iter().find_map(|block| block.get("switch")).expect("a switch");
        let targets = switch.as_array().unwrap();
        assert_eq!(targets.len(), 8, "{flags:?}: {blocks}");
        let starts: BTreeSet<u64> =
            blocks.as_array().unwrap().iter().map(|block| block["addr"].as_u64().unwrap()).collect();
        assert!(targets.iter().all(|target| starts.contains(&target.as_u64().unwrap())), "{flags:?}: {blocks}");
    }
}

#[test]
fn a_stripped_program_keeps_its_functions() {
    for flags in BUILDS {
        let Some(program) = Program::compile(flags) else { return };
        let Some(symbols) = program.symbols() else { return };
        let Some(stripped) = program.stripped() else {
            println!("ABSENT: strip (binutils are not installed)");
            return;
        };
        let mut session = open(&stripped);
        run(&mut session, "aa");
        let found = functions(&mut session);
        let wanted: Vec<u64> = symbols.iter().filter(|(_, size, _)| *size > 0).map(|(address, ..)| *address).collect();
        let hit = wanted.iter().filter(|address| found.contains_key(address)).count();
        assert!(hit * 10 >= wanted.len() * 9, "{flags:?}: {hit} of {}", wanted.len());
        // Names are made of addresses, but for what the start-up code tells.
        assert!(found.values().any(|function| function["name"] == "main"), "{flags:?}");
        assert!(found.iter().any(|(address, function)| function["name"] == format!("fcn.{address:08x}")));
    }
}

#[test]
fn calls_agree_with_objdump() {
    for flags in BUILDS {
        let Some(program) = Program::compile(flags) else { return };
        let Some(listing) = tool("objdump", &["-d", "-j", ".text", "-M", "intel", &program.path.to_string_lossy()])
        else {
            println!("ABSENT: objdump (binutils are not installed)");
            return;
        };
        let Some(symbols) = program.symbols() else { return };
        let own = |address: u64| {
            symbols.iter().any(|(start, size, name)| {
                FUNCTIONS.contains(&name.as_str()) && (*start..start + size).contains(&address)
            })
        };
        let call = |line: &str| {
            let (address, rest) = line.trim().split_once(":\t")?;
            let target = rest.split("call ").nth(1)?.split_whitespace().next()?;
            let number = |text: &str| u64::from_str_radix(text, 16).ok();
            Some((number(address)?, number(target)?))
        };
        let expected: BTreeSet<(u64, u64)> = listing.lines().filter_map(call).filter(|(from, _)| own(*from)).collect();
        assert!(expected.len() >= 10, "{flags:?}: {listing}");
        let mut session = open(&program.path);
        run(&mut session, "aa");
        let references = json(&mut session, "axj");
        let found: BTreeSet<(u64, u64)> = references
            .as_array()
            .unwrap()
            .iter()
            .filter(|found| found["type"] == "CALL")
            .map(|found| (found["from"].as_u64().unwrap(), found["to"].as_u64().unwrap()))
            .filter(|(from, _)| own(*from))
            .collect();
        assert_eq!(found, expected, "{flags:?}");
    }
}

#[test]
fn blocks_tile_their_functions() {
    let Some(program) = Program::compile(&["-O2"]) else { return };
    let mut session = open(&program.path);
    run(&mut session, "aa");
    for (address, function) in functions(&mut session) {
        let blocks = json(&mut session, &format!("afbj @ {address}"));
        let mut end = 0;
        for block in blocks.as_array().unwrap() {
            let (start, size) = (block["addr"].as_u64().unwrap(), block["size"].as_u64().unwrap());
            assert!(start >= end && size > 0, "{function}");
            end = start + size;
        }
        assert_eq!(function["maxbound"].as_u64(), Some(end));
        assert_eq!(function["nbbs"].as_u64(), Some(blocks.as_array().unwrap().len() as u64));
    }
}

#[test]
fn a_second_analysis_changes_nothing_and_names_stay() {
    let Some(program) = Program::compile(&["-O0"]) else { return };
    let mut session = open(&program.path);
    run(&mut session, "aa; afn renamed sym.add");
    let before = run(&mut session, "afl; ax").out;
    assert!(before.contains(" renamed\n"), "{before}");
    assert_eq!(run(&mut session, "aa").err, "");
    assert_eq!(run(&mut session, "afl; ax").out, before);
}

#[test]
fn a_function_is_shown_with_its_frame_and_its_callers() {
    let Some(program) = Program::compile(&["-O0", "-no-pie", "-fcf-protection=none"]) else { return };
    let mut session = open(&program.path);
    run(&mut session, "aa; e asm.bytes=false");
    let greet = run(&mut session, "pdf @ sym.greet").out;
    let head: Vec<&str> = greet.lines().take(6).collect();
    assert!(head[0].starts_with("            ; CALL XREFS from ") && head[0].contains("main @ 0x"), "{greet}");
    assert_eq!(head[1], "/ sym.greet (int64_t arg1);");
    assert_eq!(head[2], "|           ; var int64_t var_8h @ rbp-0x8");
    assert_eq!(head[3], "|           ; arg int64_t arg1 @ rdi");
    assert!(head[4].starts_with("|           0x0") && head[4].ends_with("      push  rbp"), "{greet}");
    assert!(greet.lines().last().unwrap().starts_with('\\') && greet.trim_end().ends_with("ret"), "{greet}");
    assert!(greet.contains(", qword [var_8h]\n") && greet.contains("mov   qword [var_8h], rdi"), "{greet}");
    assert!(greet.contains("dword [obj.glob]") && greet.contains(":4]=0x1234"), "{greet}");
    assert!(greet.contains("call  sym.imp.printf"), "{greet}");

    // The loop of main: its condition is jumped to, and jumps back up.
    let main = run(&mut session, "pdf @ main").out;
    assert!(main.contains("; CODE XREF from main @ 0x"), "{main}");
    assert!(
        main.contains(",=< 0x") && main.contains("`-> 0x") && main.contains("-> 0x") && main.contains("=< 0x"),
        "{main}"
    );

    let listing = json(&mut session, "pdfj @ main");
    let ops = listing["ops"].as_array().unwrap();
    assert_eq!(listing["name"], "main");
    let sum: u64 = ops.iter().map(|op| op["size"].as_u64().unwrap()).sum();
    assert_eq!(Some(sum), listing["size"].as_u64());
    assert!(ops.iter().any(|op| op["type"] == "call" && op["disasm"] == "call sym.greet" && op["jump"].is_u64()));
    let callers = run(&mut session, "axt @ sym.die").out;
    assert!(callers.starts_with("main 0x") && callers.trim_end().ends_with("[CALL] call sym.die"), "{callers}");
    let graph = json(&mut session, "agfj @ main");
    let blocks = json(&mut session, "afbj @ main");
    assert_eq!(graph[0]["blocks"].as_array().unwrap().len(), blocks.as_array().unwrap().len());
    let drawn = run(&mut session, "agf @ main").out;
    for block in blocks.as_array().unwrap() {
        let title = format!("| [0x{:x}]", block["addr"].as_u64().unwrap());
        assert!(drawn.contains(&title), "{drawn}");
    }
}

#[test]
fn a_far_program_is_analysed_as_a_near_one() {
    let Some(program) = Program::compile(&["-O2"]) else { return };
    let server = crate::rap::Running::start(remora::serve::ServeOptions::default());
    let line = "aa; afl; ax; pdf @ main; agf @ sym.choose; aflj";
    let near = run(&mut open(&program.path), line);
    let far = run(&mut super::program::open_uri(&format!("rap://{}/{}", server.place(), program.path.display())), line);
    assert_eq!(near.err, "");
    assert!(near.out.len() > 5_000, "{}", near.out);
    assert_eq!(far, near);
}

#[test]
fn an_interrupted_analysis_keeps_what_it_found() {
    let Some(program) = Program::compile(&["-O0"]) else { return };
    let mut session = open(&program.path);
    session.with(|core, view| {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let cancel = remora::output::Cancel::new();
        cancel.set();
        let mut out = remora::output::Out::new(&mut out, &mut err, remora::output::Style::default(), cancel);
        let args = remora::session::context::Args::default();
        let mut ctx = remora::session::Ctx { core, view, out: &mut out, args: &args };
        let error = remora::commands::analysis::run::everything(&mut ctx, false).unwrap_err();
        assert_eq!(error.kind(), remora::error::Kind::Interrupted);
    });
    assert_eq!(run(&mut session, "aa; afl~main").err, "");
}
