//! Whole programs: instructions begin where objdump says, or the difference is explained.

use std::collections::{BTreeMap, HashMap};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use object::{Object, ObjectSection};
use regex::Regex;
use remora::disasm::{Instruction, Settings, Text, disassembler};

/// Most code of one program that is compared, in bytes.
const MOST: usize = 1 << 20;

/// Where the two part, and why: patterns for objdump's text and for ours.
const EXPLAINED: &[(&str, &str, &str)] = &[
    (r"^\.byte", ".", "objdump cuts an instruction at the next symbol; data there"),
    (r"^(jmp|call)w ", ".", "a jump of 16 bits: AMD's processors take two bytes, Intel's four"),
    (r"\(bad\)", ".", "neither decodes it, and how many bytes that is differs"),
    (r"^(\S+ )*lock ", "^invalid", "the processor refuses lock before what cannot be locked; objdump shows it"),
    (r"^(\S+ )*rex(\.\w+)?$", ".", "a REX prefix that another prefix makes void: objdump shows it alone"),
    (r"^(\S+ )*rex(\.\w+)? ", ".", "a REX prefix before an instruction that takes none"),
    (r"mov +cs,|,\?|\?,", "^invalid", "moves to cs and to segment registers that do not exist"),
    (r"287 only", "^invalid", "instructions of the 80287 alone"),
    (".", "^(f?wait|fn?st|fn?s|fn?i|fn?c)", "objdump joins wait with the instruction behind it"),
    (r"^(\S+ )*f\w+ ", "^(f?wait)", "the same, the other way round"),
    (
        r"^(cs|ds|es|ss|fs|gs|addr32|data16|rep\w*|bnd) *$",
        ".",
        "prefixes without an instruction: objdump shows them alone",
    ),
    (".", "^invalid", "encodings that the processor refuses"),
];

/// Where instructions begin, and their text.
type Listing = BTreeMap<u64, String>;

fn ours(address: u64, code: &[u8]) -> Listing {
    let mut opened = disassembler(&Settings::default()).expect("x86 opens");
    let (mut found, mut text, mut at) = ([Instruction::default(); 256], Text::default(), 0);
    let mut listing = Listing::new();
    while at < code.len() {
        let count = opened.decode(address + at as u64, &code[at..], code.len() - at, &mut found);
        for (index, instruction) in found[..count].iter().enumerate() {
            opened.text(index, &(), &mut text);
            listing.insert(instruction.address, text.to_string());
            at += instruction.size as usize;
        }
    }
    listing
}

fn objdump(path: &Path, address: u64, length: usize) -> Option<Listing> {
    let output = Command::new("objdump")
        .args(["-d", "-z", "-w", "-M", "intel", "--no-show-raw-insn", "-j", ".text"])
        .arg(format!("--start-address={address}"))
        .arg(format!("--stop-address={}", address + length as u64))
        .arg(path)
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let row = Regex::new(r"(?m)^ *([0-9a-f]+):\t(.*)$").expect("a regular expression");
    let text = String::from_utf8_lossy(&output.stdout);
    let rows = row
        .captures_iter(&text)
        .filter_map(|found| Some((u64::from_str_radix(&found[1], 16).ok()?, found[2].trim_end().to_string())));
    Some(rows.collect())
}

/// Compares the code of `path`: how many instructions agree, and the differences that no row of the table explains.
fn compare(path: &Path, used: &mut HashMap<&'static str, usize>) -> Option<(usize, Vec<String>)> {
    let bytes = std::fs::read(path).ok()?;
    let object = object::File::parse(&*bytes).ok()?;
    if object.architecture() != object::Architecture::X86_64 {
        return None;
    }
    let section = object.section_by_name(".text")?;
    let code = section.data().ok()?;
    let code = &code[..code.len().min(MOST)];
    let theirs = objdump(path, section.address(), code.len())?;
    let ours = ours(section.address(), code);
    let explained: Vec<(Regex, Regex, &str)> = EXPLAINED
        .iter()
        .map(|(theirs, ours, why)| {
            (Regex::new(theirs).expect("a regular expression"), Regex::new(ours).expect("a regular expression"), *why)
        })
        .collect();
    let (mut agreed, mut wrong) = (0, Vec::new());
    let cut = section.address() + code.len() as u64 - 15.min(code.len() as u64);
    for (address, their_text) in theirs.range(..cut) {
        let Some(our_text) = ours.get(address) else { continue };
        let next = |listing: &Listing| listing.range(address + 1..).next().map(|(next, _)| *next);
        if next(&theirs) == next(&ours) {
            agreed += 1;
            continue;
        }
        match explained.iter().find(|(theirs, ours, _)| theirs.is_match(their_text) && ours.is_match(our_text)) {
            Some((_, _, why)) => *used.entry(why).or_default() += 1,
            None => wrong.push(format!("{}: 0x{address:x}: objdump '{their_text}', ours '{our_text}'", path.display())),
        }
    }
    Some((agreed, wrong))
}

#[test]
fn instructions_begin_where_objdump_says() {
    let libraries = "/usr/lib/x86_64-linux-gnu";
    // The last has tables of numbers among its code, which is where the two differ.
    let paths = [
        "/bin/ls".to_string(),
        "/usr/bin/git".to_string(),
        format!("{libraries}/libc.so.6"),
        format!("{libraries}/libstdc++.so.6"),
        format!("{libraries}/libcrypto.so.3"),
        env!("CARGO_BIN_EXE_remora").to_string(),
    ];
    let (mut agreed, mut compared, mut wrong, mut used) = (0, 0, Vec::new(), HashMap::new());
    for path in &paths {
        match compare(Path::new(path), &mut used) {
            Some((count, unexplained)) => {
                compared += 1;
                agreed += count;
                wrong.extend(unexplained);
                assert!(count > 100, "{path}: only {count} instructions were compared");
            }
            None => {
                // Past the capture of the test runner, so that it shows.
                let _ = writeln!(std::io::stderr(), "ABSENT: {path} (not here, not x86-64, or no objdump)");
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} differences are not explained:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(40)].join("\n")
    );
    let explained: usize = used.values().sum();
    assert!(compared == 0 || explained * 20 < agreed, "{explained} differences in {agreed} instructions: {used:?}");
}
