//! Whole programs: instructions begin where objdump says, and are instructions where it says so, or the difference is
//! explained.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use object::{Object, ObjectSection};
use regex::Regex;
use remora::disasm::{Disassembler, Instruction, Settings, Text, disassembler};

use crate::info::{absent, samples};

/// Where the two part, and why: patterns for objdump's text and for ours.
type Explained = &'static [(&'static str, &'static str, &'static str)];

const X86: Explained = &[
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

/// A machine whose programs are compared.
struct Machine {
    /// The program of binutils.
    objdump: &'static str,
    /// What it is told besides.
    options: &'static [&'static str],
    arch: &'static str,
    bits: u32,
    big_endian: bool,
    /// How objdump shows what is no instruction.
    invalid: &'static str,
    explained: Explained,
}

impl Machine {
    fn open(&self) -> Box<dyn Disassembler> {
        let settings =
            Settings { arch: self.arch.into(), bits: self.bits, big_endian: self.big_endian, ..Settings::default() };
        disassembler(&settings).expect("it opens")
    }

    /// Where we see instructions begin, and whether they are any.
    fn ours(&self, address: u64, code: &[u8]) -> Vec<(u64, bool)> {
        let mut opened = self.open();
        let (mut found, mut at) = ([Instruction::default(); 256], 0);
        let mut all = Vec::new();
        while at < code.len() {
            let count = opened.decode(address + at as u64, &code[at..], code.len() - at, &mut found);
            for instruction in &found[..count] {
                all.push((instruction.address, instruction.is_valid()));
                at += instruction.size as usize;
            }
        }
        all
    }

    /// What we say of the instruction at the start of `code`.
    fn text(&self, address: u64, code: &[u8]) -> String {
        let (mut opened, mut text) = (self.open(), Text::default());
        opened.one(address, code, &mut Instruction::default());
        opened.text(0, &(), &mut text);
        text.to_string()
    }

    fn objdump(&self, path: &Path, address: u64, length: usize) -> Option<String> {
        let output = Command::new(self.objdump)
            .args(["-d", "-z", "-w", "--no-show-raw-insn", "-j", ".text"])
            .args(self.options)
            .arg(format!("--start-address={address}"))
            .arg(format!("--stop-address={}", address + length as u64))
            .arg(path)
            .stdin(Stdio::null())
            .output()
            .ok()?;
        Some(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// A line of objdump: "  401000:\tpush   rbp".
fn row(line: &str) -> Option<(u64, &str)> {
    let (address, text) = line.split_once(":\t")?;
    Some((u64::from_str_radix(address.trim_start(), 16).ok()?, text.trim()))
}

/// What a comparison found.
#[derive(Default)]
struct Found {
    /// Instructions on which both agree.
    agreed: usize,
    /// How often each explanation was needed.
    used: HashMap<&'static str, usize>,
    /// What nothing explains.
    wrong: Vec<String>,
}

/// Compares the first `most` bytes of the code of `path`; `None`: there is no objdump, or no such code.
fn compare(machine: &Machine, path: &Path, most: usize, found: &mut Found) -> Option<()> {
    let bytes = std::fs::read(path).ok()?;
    let object = object::File::parse(&*bytes).ok()?;
    let section = object.section_by_name(".text")?;
    let code = section.data().ok()?;
    let code = &code[..code.len().min(most)];
    let start = section.address();
    let shown = machine.objdump(path, start, code.len())?;
    let theirs: Vec<(u64, &str)> = shown.lines().filter_map(row).collect();
    let ours = machine.ours(start, code);
    let pattern = |text: &str| Regex::new(text).expect("a regular expression");
    let explained: Vec<(Regex, Regex, &str)> =
        machine.explained.iter().map(|(theirs, ours, why)| (pattern(theirs), pattern(ours), *why)).collect();
    let invalid = pattern(machine.invalid);
    let (before, cut) = (found.agreed, start + code.len() as u64 - 15.min(code.len() as u64));
    let mut at = 0;
    for (index, (address, their_text)) in theirs.iter().enumerate().take_while(|(_, (address, _))| *address < cut) {
        while ours.get(at).is_some_and(|(ours, _)| ours < address) {
            at += 1;
        }
        let Some((_, valid)) = ours.get(at).filter(|(ours, _)| ours == address) else { continue };
        let next = (theirs.get(index + 1).map(|row| row.0), ours.get(at + 1).map(|row| row.0));
        if next.0 == next.1 && *valid != invalid.is_match(their_text) {
            found.agreed += 1;
            continue;
        }
        let our_text = machine.text(*address, &code[(address - start) as usize..]);
        match explained.iter().find(|(theirs, ours, _)| theirs.is_match(their_text) && ours.is_match(&our_text)) {
            Some((_, _, why)) => *found.used.entry(why).or_default() += 1,
            None => found.wrong.push(format!("{}: 0x{address:x}: '{their_text}', ours '{our_text}'", path.display())),
        }
    }
    assert!(found.agreed > before + 100, "{}: too few instructions were compared", path.display());
    Some(())
}

/// Compares all of `paths`, and fails for what is not explained.
fn agree(machine: &Machine, paths: &[PathBuf], most: usize) {
    let mut found = Found::default();
    for path in paths {
        if compare(machine, path, most, &mut found).is_none() {
            absent(
                &path.display().to_string(),
                &format!("not here, not for {}, or no {}", machine.arch, machine.objdump),
            );
        }
    }
    let Found { agreed, used, wrong } = found;
    let _ = writeln!(std::io::stdout(), "{}: {agreed} instructions agree; {used:#?}", machine.arch);
    assert!(
        wrong.is_empty(),
        "{} differences are not explained:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(40)].join("\n")
    );
    let explained: usize = used.values().sum();
    assert!(explained * 20 <= agreed, "{explained} differences in {agreed} instructions: {used:?}");
}

#[test]
fn instructions_of_x86_begin_where_objdump_says() {
    let machine = Machine {
        objdump: "objdump",
        options: &["-M", "intel"],
        arch: "x86",
        bits: 64,
        big_endian: false,
        invalid: r"\(bad\)",
        explained: X86,
    };
    let libraries = "/usr/lib/x86_64-linux-gnu";
    // The last has tables of numbers among its code, which is where the two differ.
    let paths = [
        "/bin/ls".to_string(),
        "/usr/bin/git".to_string(),
        format!("{libraries}/libc.so.6"),
        format!("{libraries}/libstdc++.so.6"),
        format!("{libraries}/libcrypto.so.3"),
    ];
    agree(&machine, &paths.map(PathBuf::from), usize::MAX);
    // Unoptimised, this program has tens of megabytes.
    agree(&machine, &[PathBuf::from(env!("CARGO_BIN_EXE_remora"))], 1 << 20);
}

/// The samples of a machine whose folders have `name` in them.
fn of(name: &str) -> Vec<PathBuf> {
    let all = samples(&["libc.so.6", "libm.so.6"]);
    all.into_iter().filter(|path| path.to_string_lossy().contains(name)).collect()
}

#[test]
fn instructions_of_arm64_are_those_of_objdump() {
    let machine = Machine {
        objdump: "aarch64-linux-gnu-objdump",
        options: &[],
        arch: "arm",
        bits: 64,
        big_endian: false,
        invalid: r"^\.inst|undefined",
        explained: &[],
    };
    agree(&machine, &of("aarch64"), usize::MAX);
}

/// All of these stand in tables among the code, and in ARM code that is read as Thumb here.
const THUMB: Explained = &[
    (r"<illegal|<overflow|<undefined>", "^invalid", "registers that do not exist: objdump shows the rest"),
    ("UNDEFINED", "^invalid", "neither decodes it, and how many bytes that is differs"),
    (
        "UNDEFINED",
        r"^(blxns|[su]bfx|[su]xta?b|and|orr|adc|sbc)",
        "bits that should be zero are not: objdump refuses it",
    ),
    (r"^\w+\?\?", "^invalid", "a condition that does not exist"),
    (r"^(stm|ldm|push|pop)\w*(\.w)?\t.*\{\}", "^invalid", "no registers to store or load: unpredictable"),
    (r"^(stmdb|stmia|ldmdb|ldmia)", "^invalid", "the base register is stored or loaded with others: unpredictable"),
    (r"^(str|ldr)\w*(\.w)?\t.*\[.*pc\]", "^invalid", "the program counter as an index: unpredictable"),
    (r"^bf(l|x|lx|csel)?\t", "^invalid", "branches of ARMv8.1-M"),
    (
        r"^(hlt|setpan)|^v(max|min)nm|^vqrdml[as]h|^vcvt[anpm]|\.f16",
        "^invalid",
        "instructions of ARMv8, which asm.cpu=v8 has",
    ),
    (
        r"^(ldc|stc|mcr|mrc|mcrr|mrrc|cdp)2?l?\t|^[sl]tf|^[sl]f|^stf",
        "^invalid",
        "coprocessors that are other instructions now",
    ),
    ("^Address 0x", ".", "objdump stops at the last bytes"),
];

#[test]
fn instructions_of_thumb_begin_where_objdump_says() {
    let machine = Machine {
        objdump: "arm-linux-gnueabihf-objdump",
        options: &["-M", "force-thumb"],
        arch: "arm",
        bits: 16,
        big_endian: false,
        invalid: "UNDEFINED|undefined|^\\.",
        explained: THUMB,
    };
    agree(&machine, &of("gnueabihf"), usize::MAX);
}

#[test]
fn instructions_of_mips_are_those_of_objdump() {
    let machine = Machine {
        objdump: "mips-linux-gnu-objdump",
        options: &[],
        arch: "mips",
        bits: 32,
        big_endian: true,
        invalid: "^\\.|^0x",
        explained: &[],
    };
    agree(&machine, &of("mips-linux"), usize::MAX);
}

#[test]
fn instructions_of_riscv_begin_where_objdump_says() {
    let machine = Machine {
        objdump: "riscv64-linux-gnu-objdump",
        options: &[],
        arch: "riscv",
        bits: 64,
        big_endian: false,
        invalid: "^\\.|^0x",
        explained: &[],
    };
    agree(&machine, &of("riscv64"), usize::MAX);
}
