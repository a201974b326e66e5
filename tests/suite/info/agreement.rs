//! Tests: sections, segments, symbols, relocations, entry and protection are those that readelf, nm and objdump show.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{built, json, loaded, samples, tool};

/// Differences between two sets of rows, a few of each.
fn differences<T: Ord + std::fmt::Debug>(
    what: &str,
    theirs: &BTreeSet<T>,
    ours: &BTreeSet<T>,
    wrong: &mut Vec<String>,
) {
    for (side, list) in [("only theirs", theirs.difference(ours)), ("only ours", ours.difference(theirs))] {
        let list: Vec<&T> = list.collect();
        if !list.is_empty() {
            wrong.push(format!("{what}: {} {side}, such as {:?}", list.len(), &list[..list.len().min(4)]));
        }
    }
}

fn hex(text: &str) -> u64 {
    u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap_or_else(|_| panic!("'{text}' is no number"))
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no number"))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

/// Whether addresses of `path` mean something before it is linked.
fn relocatable(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "o")
}

fn sections(path: &Path, wrong: &mut Vec<String>) -> Option<()> {
    let shown = tool("readelf", &["-SW"], path)?;
    let mut theirs = BTreeSet::new();
    for line in shown.lines().filter(|line| line.trim_start().starts_with('[') && !line.contains("[Nr]")) {
        let (index, rest) = line.trim_start().trim_start_matches('[').split_once(']').unwrap();
        let index: u64 = index.trim().parse().unwrap();
        // The name may be missing, or hold blanks: count from the numbers.
        let words: Vec<&str> = rest.split_whitespace().collect();
        let at = words.iter().position(|word| word.len() >= 8 && u64::from_str_radix(word, 16).is_ok()).unwrap();
        let name = words[..at - 1].join(" ");
        let flags = words.get(at + 4).filter(|flags| flags.parse::<u64>().is_err()).copied().unwrap_or("");
        let perm: String = [('A', 'r'), ('W', 'w'), ('X', 'x')]
            .iter()
            .map(|(flag, letter)| if flags.contains(*flag) { *letter } else { '-' })
            .collect();
        let address = if relocatable(path) { 0 } else { hex(words[at]) };
        theirs.insert((index, name, address, hex(words[at + 1]), hex(words[at + 2]), format!("-{perm}")));
    }
    let ours = json(&mut loaded(path), "iSj");
    let row = |(index, section): (usize, &Value)| {
        let address = if relocatable(path) { 0 } else { number(&section["vaddr"]) };
        let perm = text(&section["perm"]).to_string();
        let name = text(&section["name"]).to_string();
        (index as u64, name, address, number(&section["paddr"]), number(&section["vsize"]), perm)
    };
    let ours: BTreeSet<_> = ours.as_array().unwrap().iter().enumerate().map(row).collect();
    differences("sections", &theirs, &ours, wrong);
    Some(())
}

fn segments(path: &Path, wrong: &mut Vec<String>) -> Option<()> {
    let shown = tool("readelf", &["-lW"], path)?;
    let known = ["LOAD", "PHDR", "INTERP", "DYNAMIC", "NOTE", "TLS", "GNU_STACK", "GNU_RELRO", "GNU_EH_FRAME"];
    let mut theirs = Vec::new();
    for line in shown.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if words.len() < 7 || !known.contains(&words[0]) || !words[1].starts_with("0x") {
            continue;
        }
        let flags = words[6..words.len() - 1].concat();
        let perm: String = [('R', 'r'), ('W', 'w'), ('E', 'x')]
            .iter()
            .map(|(flag, letter)| if flags.contains(*flag) { *letter } else { '-' })
            .collect();
        let row =
            (words[0].to_string(), hex(words[1]), hex(words[2]), hex(words[4]), hex(words[5]), format!("-{perm}"));
        theirs.push(row);
    }
    let mut session = loaded(path);
    let list = json(&mut session, "iSSj");
    let row = |segment: &Value| {
        let name = text(&segment["name"]).trim_end_matches(|c: char| c.is_ascii_digit()).to_string();
        let (paddr, vaddr) = (number(&segment["paddr"]), number(&segment["vaddr"]));
        let perm = text(&segment["perm"]).to_string();
        (name, paddr, vaddr, number(&segment["size"]), number(&segment["vsize"]), perm)
    };
    let ours: Vec<_> = list.as_array().unwrap().iter().map(row).filter(|row| known.contains(&row.0.as_str())).collect();
    if ours != theirs {
        wrong.push(format!("segments: theirs {theirs:?}, ours {ours:?}"));
    }
    let header = tool("readelf", &["-hW"], path)?;
    let entry = header.lines().find_map(|line| line.trim().strip_prefix("Entry point address:"));
    let entry = hex(entry.unwrap().trim());
    if entry != 0 {
        let machine_is_arm = text(&json(&mut session, "iIj")["arch"]) == "arm" && header.contains("ELF32");
        let entry = if machine_is_arm { entry & !1 } else { entry };
        let ours = number(&json(&mut session, "iej")[0]["vaddr"]);
        if ours != entry {
            wrong.push(format!("entry: theirs 0x{entry:x}, ours 0x{ours:x}"));
        }
    }
    let (information, dynamic) = (json(&mut session, "iIj"), tool("readelf", &["-dW"], path)?);
    let stack = theirs.iter().find(|row| row.0 == "GNU_STACK").is_some_and(|row| !row.5.ends_with('x'));
    let relro = match theirs.iter().any(|row| row.0 == "GNU_RELRO") {
        false => "no",
        true if dynamic.contains("BIND_NOW") || dynamic.contains("Flags: NOW") => "full",
        true => "partial",
    };
    let is_dynamic = theirs.iter().any(|row| row.0 == "DYNAMIC");
    let needed: Vec<&str> = dynamic
        .lines()
        .filter(|line| line.contains("(NEEDED)"))
        .filter_map(|line| line.split('[').nth(1)?.strip_suffix(']'))
        .collect();
    let libraries = json(&mut session, "ilj");
    let libraries: Vec<&str> = libraries.as_array().unwrap().iter().map(text).collect();
    let names = tool("readelf", &["-sW"], path)?;
    for (fact, theirs, ours) in [
        ("nx", stack.to_string(), information["nx"].to_string()),
        ("relro", format!("\"{relro}\""), information["relro"].to_string()),
        ("pic", header.contains("DYN (").to_string(), information["pic"].to_string()),
        ("static", (!is_dynamic).to_string(), information["static"].to_string()),
        ("canary", names.contains(" __stack_chk_fail").to_string(), information["canary"].to_string()),
        ("endian", header.contains("big endian").to_string(), (information["endian"] == "big").to_string()),
        (
            "stripped",
            (!tool("readelf", &["-SW"], path)?.contains(" SYMTAB ")).to_string(),
            information["stripped"].to_string(),
        ),
        ("libraries", format!("{needed:?}"), format!("{libraries:?}")),
    ] {
        // What is not linked yet has no protection.
        if theirs != ours && !relocatable(path) {
            wrong.push(format!("{fact}: theirs {theirs}, ours {ours}"));
        }
    }
    Some(())
}

fn symbols(path: &Path, wrong: &mut Vec<String>) -> Option<()> {
    let shown = tool("readelf", &["-sW"], path)?;
    let mut session = loaded(path);
    let arm = text(&json(&mut session, "iIj")["machine"]) == "ARM";
    let kinds = BTreeMap::from([("OBJECT", "OBJ"), ("SECTION", "SECT"), ("IFUNC", "LOOS")]);
    let mut theirs = BTreeSet::new();
    for line in shown.lines() {
        let Some((number, rest)) = line.trim_start().split_once(": ") else { continue };
        if number.parse::<u64>().ok().is_none_or(|number| number == 0) {
            continue;
        }
        // "[<other>: 88]" of some machines.
        let rest: String = match (rest.find(" [<"), rest.find("] ")) {
            (Some(start), Some(end)) if start < end => format!("{}{}", &rest[..start], &rest[end + 1..]),
            _ => rest.to_string(),
        };
        let words: Vec<&str> = rest.split_whitespace().collect();
        let [value, size, kind, bind, _, index, name @ ..] = &words[..] else { continue };
        let name = name.first().copied().unwrap_or("").split('@').next().unwrap_or("").to_string();
        let imported = *index == "UND" && *bind != "LOCAL";
        let size = size.strip_prefix("0x").map_or_else(|| size.parse().unwrap(), hex);
        let kind = kinds.get(kind).unwrap_or(kind).to_string();
        let value = if imported || relocatable(path) { 0 } else { hex(value) };
        let value = if arm && kind == "FUNC" { value & !1 } else { value };
        theirs.insert((name, value, size, kind, bind.to_string(), imported));
    }
    let list = json(&mut session, "isj");
    let row = |symbol: &Value| {
        let imported = symbol["is_imported"] == true;
        let value = if imported || relocatable(path) { 0 } else { number(&symbol["vaddr"]) };
        let name = text(&symbol["realname"]).split('@').next().unwrap_or("").to_string();
        let (kind, bind) = (text(&symbol["type"]).to_string(), text(&symbol["bind"]).to_string());
        (name, value, number(&symbol["size"]), kind, bind, imported)
    };
    let ours: BTreeSet<_> = list.as_array().unwrap().iter().map(row).collect();
    differences("symbols", &theirs, &ours, wrong);
    Some(())
}

/// The name of a relocation's type: readelf cuts long ones, and has its own spelling of some.
fn spelling(kind: &str) -> String {
    kind.replace("JUMP_SLOT", "JMP_SLOT").chars().take(16).collect()
}

fn relocations(path: &Path, wrong: &mut Vec<String>) -> Option<()> {
    let shown = tool("readelf", &["-rW"], path)?;
    let mut theirs = BTreeSet::new();
    let mut packed = false;
    for line in shown.lines() {
        if line.starts_with("Relocation section") {
            packed = line.contains(".relr");
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        if packed || words.len() < 3 || !words[2].starts_with("R_") || words[2].len() < 3 {
            continue;
        }
        let name = match words.get(4) {
            Some(name) if words[3].chars().all(|c| c.is_ascii_hexdigit()) => name.split('@').next().unwrap_or(""),
            _ => "",
        };
        let place = if relocatable(path) { 0 } else { hex(words[0]) };
        theirs.insert((place, spelling(words[2]), name.to_string()));
    }
    let list = json(&mut loaded(path), "irj");
    let row = |relocation: &Value| {
        let place = if relocatable(path) { 0 } else { number(&relocation["vaddr"]) };
        (
            place,
            spelling(text(&relocation["native"])),
            text(&relocation["name"]).split('@').next().unwrap_or("").to_string(),
        )
    };
    let ours: BTreeSet<_> = list.as_array().unwrap().iter().map(row).collect();
    if !shown.contains(".relr") {
        differences("relocations", &theirs, &ours, wrong);
    }
    Some(())
}

/// The stubs of imports are where the disassembler of binutils sees them.
fn stubs(path: &Path, wrong: &mut Vec<String>) -> Option<()> {
    let mut theirs: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    for section in [".plt", ".plt.sec", ".plt.got"] {
        for line in tool("objdump", &["-d", "-j", section], path)?.lines() {
            if let Some((address, name)) = line.split_once(" <")
                && let Some(name) = name.strip_suffix("@plt>:")
            {
                theirs.entry(name.to_string()).or_default().insert(hex(address));
            }
        }
    }
    let imports = json(&mut loaded(path), "iij");
    for import in imports.as_array().unwrap() {
        let (name, plt) = (text(&import["name"]), number(&import["plt"]));
        match theirs.get(name) {
            Some(places) if !places.contains(&plt) => wrong.push(format!("stub of {name}: {places:x?}, not 0x{plt:x}")),
            _ => {}
        }
    }
    Some(())
}

fn agree(files: Vec<PathBuf>) {
    let mut wrong = Vec::new();
    for path in &files {
        let mut here = Vec::new();
        for check in [sections, segments, symbols, relocations] {
            if check(path, &mut here).is_none() {
                return;
            }
        }
        wrong.extend(here.into_iter().map(|text| format!("{}: {text}", path.display())));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn programs_of_this_machine() {
    let files = ["/bin/ls", "/bin/bash", "/usr/bin/python3.11", "/usr/bin/as", "/lib/x86_64-linux-gnu/libc.so.6"];
    let files: Vec<PathBuf> = files.iter().map(PathBuf::from).filter(|path| path.is_file()).collect();
    assert!(!files.is_empty() || !cfg!(target_arch = "x86_64"), "none of the programs is here");
    for path in &files {
        let mut wrong = Vec::new();
        let _ = stubs(path, &mut wrong);
        assert!(wrong.is_empty(), "{}: {}", path.display(), wrong.join("\n"));
    }
    agree(files);
}

#[test]
fn programs_built_in_every_way() {
    let folder = tempfile::tempdir().unwrap();
    let ways: &[(&str, &[&str])] = &[
        ("plain", &[]),
        ("fixed", &["-no-pie"]),
        ("static", &["-static"]),
        ("bare", &["-static-pie", "-nostdlib", "-Wl,-e,_start_here"]),
        ("debug", &["-g"]),
        ("stripped", &["-s"]),
        ("now", &["-Wl,-z,now"]),
        ("writable", &["-Wl,-z,execstack", "-Wl,-z,norelro"]),
        ("object.o", &["-c"]),
        ("short.o", &["-c", "-m32"]),
        ("short", &["-m32", "-nostdlib", "-Wl,-e,_start_here"]),
        ("short.so", &["-m32", "-shared", "-nostdlib", "-fPIC"]),
        ("library.so", &["-shared", "-fPIC"]),
    ];
    agree(ways.iter().filter_map(|(name, args)| built(folder.path(), name, args)).collect());
}

#[test]
fn programs_of_other_machines() {
    agree(samples(&["libc.so.6", "libm.so.6", "ld-linux-aarch64.so.1", "bin/busybox"]));
}

#[test]
fn libraries_of_windows() {
    for path in samples(&["zlib1.dll"]) {
        let Some(shown) = tool("objdump", &["-h"], &path) else { return };
        let theirs: BTreeSet<(String, u64)> = shown
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>())
            .filter(|words| words.len() == 7 && words[0].parse::<u32>().is_ok())
            .map(|words| (words[1].to_string(), hex(words[3])))
            .collect();
        let mut session = loaded(&path);
        let ours = json(&mut session, "iSj");
        let ours: BTreeSet<(String, u64)> = ours
            .as_array()
            .unwrap()
            .iter()
            .map(|section| (text(&section["name"]).to_string(), number(&section["vaddr"])))
            .collect();
        assert_eq!(theirs, ours, "{}", path.display());
        let shown = tool("objdump", &["-p"], &path).unwrap();
        let imports = json(&mut session, "iij");
        let imports = imports.as_array().unwrap();
        let named = |name: &str| shown.lines().any(|line| line.split_whitespace().last() == Some(name));
        assert!(imports.len() > 20 && imports.iter().all(|import| named(text(&import["name"]))));
        let exports = json(&mut session, "iEj");
        let exports = exports.as_array().unwrap();
        assert!(exports.len() > 50 && exports.iter().all(|export| named(text(&export["realname"]))));
        assert!(exports.iter().any(|export| export["realname"] == "inflate" && export["type"] == "FUNC"));
        let information = json(&mut session, "iIj");
        assert_eq!(information["os"], "windows");
        for (fact, word) in [("pic", "DYNAMIC_BASE"), ("nx", "NX_COMPAT")] {
            assert_eq!(information[fact], shown.contains(word), "{fact} of {}", path.display());
        }
        let start = tool("objdump", &["-f"], &path).unwrap();
        let start = start.lines().find_map(|line| line.strip_prefix("start address ")).expect("a start address");
        assert_eq!(number(&json(&mut session, "iej")[0]["vaddr"]), hex(start));
        // "reloc    0 offset  238 [19238] DIR64"
        let base = shown.lines().find_map(|line| line.strip_prefix("ImageBase")).expect("a base");
        let base = hex(base.trim());
        let theirs: BTreeSet<u64> = shown
            .lines()
            .filter(|line| line.trim_start().starts_with("reloc ") && !line.ends_with("ABSOLUTE"))
            .map(|line| base + hex(line.split(['[', ']']).nth(1).expect("an address")))
            .collect();
        let ours: BTreeSet<u64> = json(&mut session, "irj")
            .as_array()
            .unwrap()
            .iter()
            .filter(|relocation| text(&relocation["native"]).starts_with("IMAGE_REL_BASED"))
            .map(|relocation| number(&relocation["vaddr"]))
            .collect();
        assert!(!theirs.is_empty());
        assert_eq!(theirs, ours, "{}", path.display());
        // The code of an export is mapped where it says.
        let start = exports.iter().find(|export| export["realname"] == "inflate").unwrap();
        let bytes = crate::harness::run(&mut session, &format!("p8 4 @ {}", number(&start["vaddr"]))).out;
        let file = std::fs::read(&path).unwrap();
        let at = number(&start["paddr"]) as usize;
        assert_eq!(bytes.trim(), file[at..at + 4].iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    }
}

#[test]
fn libraries_of_macos() {
    for path in samples(&["_speedups.cpython-312-darwin.so"]) {
        // Of a file for two machines the first is taken.
        let machine = if path.to_string_lossy().contains("arm64") { "--arch=arm64" } else { "--arch=x86_64" };
        let Some(shown) = tool("llvm-objdump", &["--section-headers", machine], &path) else { return };
        // "  0 __text          00000748 00000000000036f8 TEXT"
        let theirs: Vec<(String, u64, u64)> = shown
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>())
            .filter(|words| words.len() >= 4 && words[0].parse::<u32>().is_ok())
            .map(|words| (words[1].to_string(), hex(words[2]), hex(words[3])))
            .collect();
        let mut session = loaded(&path);
        let sections = json(&mut session, "iSj");
        let ours: Vec<(String, u64, u64)> = sections
            .as_array()
            .unwrap()
            .iter()
            .map(|section| {
                let name = text(&section["name"]).rsplit('.').next().unwrap().to_string();
                (name, number(&section["vsize"]), number(&section["vaddr"]))
            })
            .collect();
        assert_eq!(theirs, ours, "{}", path.display());

        // "0000000000003708 t _escape_unicode", "                 U _memcpy"
        let shown = tool("llvm-nm", &[machine], &path).unwrap();
        let rows = shown.lines().filter(|line| !line.ends_with(':') && !line.is_empty());
        let theirs: BTreeSet<(u64, String)> = rows
            .map(|line| {
                let (address, rest) = line.split_at(16);
                let address = if address.trim().is_empty() { 0 } else { hex(address) };
                (address, rest.split_whitespace().last().unwrap().to_string())
            })
            .collect();
        let symbols = json(&mut session, "isj");
        let ours: BTreeSet<(u64, String)> = symbols
            .as_array()
            .unwrap()
            .iter()
            .map(|symbol| {
                let imported = symbol["is_imported"] == true;
                let address = if imported { 0 } else { number(&symbol["vaddr"]) };
                (address, text(&symbol["realname"]).to_string())
            })
            .collect();
        assert_eq!(theirs, ours, "{}", path.display());
        let imports = json(&mut session, "iij");
        let imports: BTreeSet<&str> = imports.as_array().unwrap().iter().map(|import| text(&import["name"])).collect();
        let undefined: BTreeSet<&str> = theirs.iter().filter(|row| row.0 == 0).map(|row| row.1.as_str()).collect();
        assert_eq!(imports, undefined);

        let headers = tool("llvm-objdump", &["--macho", "--private-headers", machine], &path).unwrap();
        let libraries = json(&mut session, "ilj");
        let libraries: Vec<&str> = libraries.as_array().unwrap().iter().map(text).collect();
        assert!(!libraries.is_empty() && libraries.iter().all(|name| headers.contains(&format!("name {name} "))));
        let information = json(&mut session, "iIj");
        assert_eq!(information["os"], "darwin");
        assert_eq!(information["nx"], !headers.contains("ALLOW_STACK_EXECUTION"));
        assert_eq!(information["static"], !headers.contains("DYLDLINK"));
        assert_eq!(information["pic"], headers.contains("BUNDLE"));
    }
}
