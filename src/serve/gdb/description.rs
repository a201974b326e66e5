//! `target.xml`: what the registers are, made from the layout of the target.
//!
//! GDB takes a feature only with the registers that it expects under its own names, so this adds nothing and leaves
//! nothing out; `group`, `generic`, `dwarf_regnum` and relatives are for LLDB. Source: GDB manual, appendix "Target
//! Descriptions".

use std::fmt::Write;

use super::register::shown;
use crate::debug::registers::{Group, Type};
use crate::debug::{Layout, Register, Role};
use crate::protocol::rsp::reply::push_xml;

/// The description of a target with this layout.
pub fn target(layout: &Layout) -> String {
    let mut xml = String::from("<?xml version=\"1.0\"?>\n<!DOCTYPE target SYSTEM \"gdb-target.dtd\">\n<target>\n");
    xml.push_str("<architecture>");
    push_xml(&layout.architecture, &mut xml);
    xml.push_str("</architecture>\n<osabi>GNU/Linux</osabi>\n");
    let registers = shown(layout);
    let mut features: Vec<&str> = Vec::new();
    for (_, register) in &registers {
        if !register.feature.is_empty() && !features.contains(&register.feature.as_str()) {
            features.push(&register.feature);
        }
    }
    for feature in features {
        xml.push_str("<feature name=\"");
        push_xml(feature, &mut xml);
        xml.push_str("\">\n");
        let members: Vec<_> = registers.iter().filter(|(_, register)| register.feature == feature).collect();
        types(&members, &mut xml);
        for (number, register) in members {
            describe(layout, *number, register, &mut xml);
        }
        xml.push_str("</feature>\n");
    }
    xml.push_str("</target>\n");
    xml
}

/// Bits of the flags register.
const EFLAGS: [(&str, u32); 18] = [
    ("CF", 0),
    ("", 1),
    ("PF", 2),
    ("AF", 4),
    ("ZF", 6),
    ("SF", 7),
    ("TF", 8),
    ("IF", 9),
    ("DF", 10),
    ("OF", 11),
    ("NT", 14),
    ("RF", 16),
    ("VM", 17),
    ("AC", 18),
    ("VIF", 19),
    ("VIP", 20),
    ("ID", 21),
    ("", 22),
];

/// Bits of the control register of vectors.
const MXCSR: [(&str, u32); 14] = [
    ("IE", 0),
    ("DE", 1),
    ("ZE", 2),
    ("OE", 3),
    ("UE", 4),
    ("PE", 5),
    ("DAZ", 6),
    ("IM", 7),
    ("DM", 8),
    ("ZM", 9),
    ("OM", 10),
    ("UM", 11),
    ("PM", 12),
    ("FZ", 15),
];

/// The types that registers of a feature need beyond those that every debugger knows.
fn types(registers: &[&(u32, &Register)], xml: &mut String) {
    let has = |name: &str| registers.iter().any(|(_, register)| register.name == name);
    let vector =
        |bits: u32| registers.iter().any(|(_, register)| register.kind == Type::Vector && register.bits == bits);
    let flags = |xml: &mut String, id: &str, bits: &[(&str, u32)]| {
        let _ = writeln!(xml, "<flags id=\"{id}\" size=\"4\">");
        for (name, bit) in bits.iter().filter(|(name, _)| !name.is_empty()) {
            let _ = writeln!(xml, "<field name=\"{name}\" start=\"{bit}\" end=\"{bit}\"/>");
        }
        xml.push_str("</flags>\n");
    };
    if has("eflags") {
        flags(xml, "i386_eflags", &EFLAGS);
    }
    if vector(128) && registers.iter().any(|(_, register)| register.group == Group::Xmm) {
        for (id, kind, count) in [
            ("v8bf16", "bfloat16", 8),
            ("v4f", "ieee_single", 4),
            ("v2d", "ieee_double", 2),
            ("v16i8", "int8", 16),
            ("v8i16", "int16", 8),
            ("v4i32", "int32", 4),
            ("v2i64", "int64", 2),
        ] {
            let _ = writeln!(xml, "<vector id=\"{id}\" type=\"{kind}\" count=\"{count}\"/>");
        }
        xml.push_str("<union id=\"vec128\">\n");
        for (name, kind) in [
            ("v8_bfloat16", "v8bf16"),
            ("v4_float", "v4f"),
            ("v2_double", "v2d"),
            ("v16_int8", "v16i8"),
            ("v8_int16", "v8i16"),
            ("v4_int32", "v4i32"),
            ("v2_int64", "v2i64"),
            ("uint128", "uint128"),
        ] {
            let _ = writeln!(xml, "<field name=\"{name}\" type=\"{kind}\"/>");
        }
        xml.push_str("</union>\n");
    }
    if has("mxcsr") {
        flags(xml, "i386_mxcsr", &MXCSR);
    }
    if vector(256) {
        xml.push_str("<vector id=\"v2ui128\" type=\"uint128\" count=\"2\"/>\n");
    }
}

/// The name of a register's type.
fn kind(layout: &Layout, register: &Register) -> String {
    match (register.name.as_str(), register.kind, register.bits) {
        ("eflags", _, 32) => "i386_eflags".into(),
        ("mxcsr", _, 32) => "i386_mxcsr".into(),
        (_, Type::Code, bits) if bits == layout.bits => "code_ptr".into(),
        (_, Type::Data, bits) if bits == layout.bits => "data_ptr".into(),
        (_, Type::Float, 80) => "i387_ext".into(),
        (_, Type::Float, 64) => "ieee_double".into(),
        (_, Type::Float, 32) => "ieee_single".into(),
        (_, Type::Vector, 128) if register.group == Group::Xmm => "vec128".into(),
        (_, Type::Vector, 256) => "v2ui128".into(),
        (_, _, 128) => "uint128".into(),
        (_, _, bits @ (8 | 16 | 32 | 64)) => format!("int{bits}"),
        _ => "int".into(),
    }
}

/// What LLDB calls the group of a register.
pub fn group(register: &Register) -> &'static str {
    match register.group {
        Group::General | Group::Segment | Group::Flag | Group::System | Group::Debug => "general",
        Group::Float | Group::Mmx => "float",
        Group::Xmm | Group::Ymm | Group::Zmm => "vector",
    }
}

/// What LLDB calls the role of a register.
pub fn generic(register: &Register) -> Option<String> {
    Some(match register.role? {
        Role::Pc => "pc".into(),
        Role::Sp => "sp".into(),
        Role::Fp => "fp".into(),
        Role::Ra => "ra".into(),
        Role::Flags => "flags".into(),
        Role::Argument(index) => format!("arg{}", u32::from(index) + 1),
        Role::Result | Role::CallNumber => return None,
    })
}

fn describe(layout: &Layout, number: u32, register: &Register, xml: &mut String) {
    xml.push_str("<reg name=\"");
    push_xml(&register.name, xml);
    let _ = write!(
        xml,
        "\" bitsize=\"{}\" type=\"{}\" regnum=\"{number}\" group=\"{}\"",
        register.bytes() * 8,
        kind(layout, register),
        group(register)
    );
    if let Some(generic) = generic(register) {
        let _ = write!(xml, " generic=\"{generic}\"");
    }
    if let Some(dwarf) = register.dwarf {
        let _ = write!(xml, " dwarf_regnum=\"{dwarf}\" ehframe_regnum=\"{dwarf}\"");
    }
    xml.push_str("/>\n");
}
