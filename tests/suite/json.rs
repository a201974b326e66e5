//! What commands say in JSON is what docs/json.md says: each path to a value, and the value's type.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use remora::commands::{self, Command};
use remora::output::Mode;
use remora::session::{Permissions, Session};
use serde_json::Value;

use crate::harness::{run, session};
use crate::info::{built, loaded};

/// Paths to values with their types, by command.
type Shapes = BTreeMap<String, BTreeSet<(String, &'static str)>>;

/// An object with more keys than that maps names to values: its keys say nothing.
const KEYS: usize = 48;

const TYPES: &[&str] = &["null", "true or false", "number", "text", "list", "object"];

fn note(value: &Value, path: &str, shapes: &mut BTreeSet<(String, &'static str)>) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "number",
        Value::String(_) => "text",
        Value::Array(items) => {
            items.iter().for_each(|item| note(item, &format!("{path}[]"), shapes));
            "list"
        }
        Value::Object(map) if map.len() > KEYS => {
            map.values().for_each(|value| note(value, &format!("{path}.*"), shapes));
            "object"
        }
        Value::Object(map) => {
            map.iter().for_each(|(key, value)| note(value, &format!("{path}.{key}"), shapes));
            "object"
        }
    };
    // What is in a list or an object says that there is one.
    let empty = matches!(value, Value::Array(items) if items.is_empty())
        || matches!(value, Value::Object(map) if map.is_empty());
    if empty || !matches!(value, Value::Array(_) | Value::Object(_)) {
        let path = if path.is_empty() { "(all)" } else { path };
        shapes.insert((path.trim_start_matches('.').to_string(), kind));
    }
}

/// The commands whose names in JSON are the program's own. Those of options, flags and variables are their names, and
/// those of the debugger need a process.
fn described() -> impl Iterator<Item = &'static Command> {
    commands::all().filter(|command| {
        command.modes.contains(&Mode::Json)
            && Permissions::READ.and(Permissions::WRITE).allow(command.needs)
            && !command.name.starts_with(['=', 'd', 'e'])
    })
}

/// Lines with arguments that show more than a command alone.
const LINES: &[(&str, &str)] = &[
    ("pd", "pdj 40 @ main"),
    ("pi", "pij 8 @ main"),
    ("pdf", "pdfj @ main"),
    ("pdb", "pdbj @ main"),
    ("agf", "agfj @ main"),
    ("agc", "agcj @ main"),
    ("afi", "afij @ main"),
    ("afb", "afbj @ main"),
    ("afv", "afvj @ main"),
    ("axt", "axtj @ sym.helper"),
    ("axf", "axfj @ main"),
    ("ao", "aoj @ main"),
    ("pxr", "pxrj 64 @ section..data"),
    ("/", "/j helper"),
    ("/x", "/xj 55"),
    ("/v", "/vj 5"),
    ("/R", "/Rj ret"),
    ("/c", "/cj ret"),
    ("CC", "CC a note @ main; CCj"),
    ("pf", "pfj [2]w*zD? n s d (st)inner @ section..data"),
];

fn observe(shapes: &mut Shapes) {
    let folder = tempfile::tempdir().expect("a folder");
    let program = built(folder.path(), "program", &["-g", "-O1"]);
    let mut sessions: Vec<Box<dyn Fn() -> Session>> = vec![Box::new(|| session("malloc://512"))];
    if let Some(path) = program {
        sessions.push(Box::new(move || {
            let mut session = loaded(&path);
            run(&mut session, "pf.st x id; aaa; s main");
            session
        }));
    }
    if Path::new("/bin/ls").is_file() {
        sessions.push(Box::new(|| loaded(Path::new("/bin/ls"))));
    }
    for make in &sessions {
        let mut shared = make();
        for command in described() {
            let mut lines: Vec<String> =
                LINES.iter().filter(|(name, _)| *name == command.name).map(|(_, line)| (*line).to_string()).collect();
            if !command.args.iter().any(|arg| arg.required) {
                lines.push(format!("{}j", command.name));
            }
            for line in &lines {
                take(command, &run(&mut shared, line).out, shapes);
            }
        }
    }
    for command in described() {
        let in_json = format!("{}j", command.name);
        for example in command.examples.iter().filter(|example| example.line.contains(&in_json)) {
            take(command, &run(&mut session("malloc://512"), example.line).out, shapes);
        }
    }
}

/// What a command said, when it is JSON.
fn take(command: &Command, said: &str, shapes: &mut Shapes) {
    let last = said.lines().last().unwrap_or_default();
    if let Ok(value @ (Value::Array(_) | Value::Object(_))) = serde_json::from_str(last) {
        note(&value, "", shapes.entry(command.name.to_string()).or_default());
    }
}

fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/json.md")
}

/// What the page says: a heading for each command, and a row for each path.
fn documented() -> Shapes {
    let (mut shapes, mut command) = (Shapes::new(), String::new());
    for line in std::fs::read_to_string(page()).unwrap_or_default().lines() {
        if let Some(name) = line.strip_prefix("### `").and_then(|rest| rest.strip_suffix("j`")) {
            command = name.to_string();
            shapes.entry(command.clone()).or_default();
        } else if let Some((path, kinds)) = line.strip_prefix("| `").and_then(|rest| rest.split_once("` | ")) {
            let kinds = kinds.trim_end_matches(" |").split(", ");
            let known = kinds.filter_map(|kind| TYPES.iter().find(|known| **known == kind));
            known.for_each(|kind| {
                shapes.entry(command.clone()).or_default().insert((path.to_string(), kind));
            });
        }
    }
    shapes
}

const HEAD: &str = "# Answers in JSON\n\n\
    A `j` behind a command's name asks for its answer as JSON: one document on one line. These are the paths to the\n\
    values, and their types: `[]` is each element of a list, `.*` each value of an object whose keys are names.\n\
    Addresses and sizes are numbers. A key that has nothing to say is left out. Commands that change bytes or drive\n\
    processes, and those whose keys are the names of options, are not listed.\n\n\
    A test compares this page with what the commands say on real programs; `REMORA_DOCS=write cargo test json` adds\n\
    what is missing.\n";

fn written(shapes: &Shapes) -> String {
    let mut text = HEAD.to_string();
    for command in described() {
        let Some(rows) = shapes.get(command.name).filter(|rows| !rows.is_empty()) else { continue };
        let _ = write!(text, "\n### `{}j`\n\n{}\n\n| value | type |\n| --- | --- |\n", command.name, command.summary);
        let mut paths: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        rows.iter().for_each(|(path, kind)| paths.entry(path).or_default().push(kind));
        for (path, kinds) in paths {
            let _ = writeln!(text, "| `{path}` | {} |", kinds.join(", "));
        }
    }
    text
}

#[test]
fn answers_in_json_are_documented() {
    let mut observed = Shapes::new();
    observe(&mut observed);
    assert!(observed.len() > 40, "only {} commands answered", observed.len());
    let known = documented();
    let mut missing = Vec::new();
    for (command, rows) in &observed {
        for row in rows {
            if !known.get(command).is_some_and(|known| known.contains(row)) {
                missing.push(format!("{command}j: {} {}", row.0, row.1));
            }
        }
    }
    if std::env::var_os("REMORA_DOCS").is_some_and(|value| value == "write") {
        let mut all = observed;
        known.into_iter().for_each(|(command, rows)| all.entry(command).or_default().extend(rows));
        std::fs::write(page(), written(&all)).expect("the page is written");
        return;
    }
    assert!(missing.is_empty(), "docs/json.md does not say:\n{}", missing.join("\n"));
    let names: BTreeSet<&str> = described().map(|command| command.name).collect();
    let gone: Vec<_> = known.keys().filter(|command| !names.contains(command.as_str())).collect();
    assert!(gone.is_empty(), "docs/json.md describes what does not exist: {gone:?}");
}

/// The names that scripts of the field ask for.
#[test]
fn answers_in_json_have_the_names_of_the_field() {
    let rows: &[(&str, &[&str])] = &[
        (
            "pd",
            &[
                "offset",
                "esil",
                "refptr",
                "fcn_addr",
                "fcn_last",
                "size",
                "opcode",
                "disasm",
                "bytes",
                "family",
                "type",
                "reloc",
                "type_num",
                "type2_num",
                "jump",
                "fail",
                "flags[]",
                "xrefs_to[].addr",
                "xrefs_to[].type",
            ],
        ),
        ("iS", &["name", "size", "vsize", "perm", "type", "flags[]", "paddr", "vaddr"]),
        ("ie", &["vaddr", "paddr", "baddr", "laddr", "hvaddr", "haddr", "type"]),
        ("ii", &["ordinal", "bind", "type", "name", "plt"]),
        ("is", &["name", "flagname", "realname", "ordinal", "bind", "size", "type", "vaddr", "paddr", "is_imported"]),
        ("iz", &["vaddr", "paddr", "ordinal", "size", "length", "section", "type", "string"]),
        ("ir", &["name", "demname", "type", "vaddr", "paddr", "is_ifunc"]),
        (
            "afl",
            &[
                "offset",
                "name",
                "size",
                "is-pure",
                "realsz",
                "noreturn",
                "stackframe",
                "calltype",
                "cost",
                "cc",
                "bits",
                "type",
                "nbbs",
                "edges",
                "ebbs",
                "signature",
                "minbound",
                "maxbound",
                "indegree",
                "outdegree",
                "nlocals",
                "nargs",
                "difftype",
            ],
        ),
        ("afb", &["opaddr", "addr", "size", "inputs", "outputs", "ninstr", "traced"]),
        ("axt", &["from", "type", "opcode", "fcn_addr", "fcn_name", "refname"]),
    ];
    let known = documented();
    for (command, fields) in rows {
        for field in *fields {
            let path = format!("[].{field}");
            let there = known.get(*command).is_some_and(|rows| rows.iter().any(|(known, _)| *known == path));
            assert!(there, "{command}j has no {path}");
        }
    }
    // An instruction is the same wherever it stands.
    let fields = |command: &str, prefix: &str| -> BTreeSet<String> {
        let rows = known.get(command).into_iter().flatten();
        rows.filter_map(|(path, _)| path.strip_prefix(prefix)).map(str::to_string).collect()
    };
    let all = fields("pd", "[].");
    for (command, prefix) in [("pdf", "ops[]."), ("agf", "[].blocks[].ops[]."), ("pi", "[].")] {
        let part = fields(command, prefix);
        assert!(!part.is_empty() && part.is_subset(&all), "{command}: {:?}", part.difference(&all));
    }
}
