use proptest::prelude::*;

use super::*;

/// Flags `main` and `sym.std::x`, the seek 0x1234, `$b` 256, and memory whose bytes are the low half of their address.
struct Fixture;

impl Names for Fixture {
    fn name(&mut self, name: &str) -> Option<u64> {
        [("main", 0x401000), ("sym.std::x", 7), ("FFh", 9)].into_iter().find(|(n, _)| *n == name).map(|(_, v)| v)
    }
    fn variable(&mut self, variable: &str) -> Result<u64> {
        let known = [("$", 0x1234), ("$$", 0x99), ("?", 5), ("b", 256), ("{asm.bits}", 64), ("s{main}", 3), (".pc", 8)];
        known
            .into_iter()
            .find(|(name, _)| *name == variable)
            .map(|(_, value)| value)
            .ok_or_else(|| Error::new(Kind::Expression, format!("unknown variable '${variable}'")))
    }
    fn memory(&mut self, address: u64, size: Option<u8>) -> Result<u64> {
        let size = u64::from(size.unwrap_or(8));
        Ok((0..size).rev().fold(0, |value, at| value << 8 | (address.wrapping_add(at) & 0x0f)))
    }
    fn seek(&mut self) -> u64 {
        0x1234
    }
}

fn value(text: &str) -> u64 {
    evaluate(text, &mut Fixture).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn message(text: &str) -> String {
    let error = evaluate(text, &mut Fixture).expect_err(text);
    assert_eq!(error.kind(), Kind::Expression, "{text}");
    let message = error.to_string();
    assert!(!message.contains('\n'), "{message:?}");
    message
}

#[test]
fn literals_have_their_values() {
    let rows: &[(&str, u64)] = &[
        ("10", 10),
        ("0x1F", 31),
        ("0X1F", 31),
        ("0x1_0", 0x10),
        ("0xffff_ffff", 0xffff_ffff),
        ("1Fh", 31),
        ("0b1h", 0xb1),
        ("0b101", 5),
        ("101b", 5),
        ("0b1000000000000000000000000000000000000000000000000000000000000000", 1 << 63),
        ("010", 8),
        ("0o17", 15),
        ("17o", 15),
        ("10t", 3),
        ("1K", 0x400),
        ("1k", 0x400),
        ("1M", 0x100000),
        ("1m", 0x100000),
        ("1G", 0x4000_0000),
        ("1g", 0x4000_0000),
        ("1.5K", 0x600),
        ("'A'", 0x41),
        ("'\\n'", 10),
        ("'\\x7f'", 0x7f),
        ("' '", 0x20),
        ("1.5", 1),
        ("1u8", 0xff),
        ("1u16", 0xffff),
        ("1u32", 0xffff_ffff),
        ("1u64", u64::MAX),
        ("..4", 0x1234),
        ("..ff", 0x12ff),
        ("0xff..12", 0xffff_ffff_ffff_ff12),
        ("0xf..12", 0xffff_ffff_ffff_ff12),
        ("7c00:0010", 0x7c010),
        ("f000:0010", 0xf0010),
        ("0x7c00:0x0010", 0x7c010),
        ("0x7c00:0010", 0x7c010),
        ("-1", u64::MAX),
        ("+1", 1),
        ("0", 0),
        ("18446744073709551615", u64::MAX),
    ];
    for (text, expected) in rows {
        assert_eq!(value(text), *expected, "{text}");
    }
}

#[test]
fn operators_have_two_levels() {
    let rows: &[(&str, u64)] = &[
        ("1+2*3", 7),
        ("(1+2)*3", 9),
        ("2*3+1<<2", 0x1c),
        ("1<<2+1", 5),
        ("10-3-2", 5),
        ("7/2", 3),
        ("7%4", 3),
        ("1&3^1", 0),
        ("1<<<63", 1 << 63),
        ("1>>>1", 1 << 63),
        ("1<<64", 1),
        ("256>>4", 16),
        ("0x10|1", 0x11),
        ("++1", 2),
        ("--1", 0),
        ("~-1", 0),
        ("~0", u64::MAX),
        ("|5", 5),
        ("- 10", 10u64.wrapping_neg()),
        ("0x10 + 4", 0x14),
        ("2*-3", 6u64.wrapping_neg()),
        ("1--2", 3),
        ("((((1))))", 1),
        (" 1 ", 1),
        ("0-1", u64::MAX),
        ("0xffffffffffffffff+2", 1),
    ];
    for (text, expected) in rows {
        assert_eq!(value(text), *expected, "{text}");
    }
}

#[test]
fn names_variables_and_memory() {
    let rows: &[(&str, u64)] = &[
        ("main", 0x401000),
        ("main+0x10", 0x401010),
        ("sym.std::x", 7),
        ("FFh", 9),
        ("$$", 0x1234),
        ("$$$", 0x99),
        ("$$/2", 0x91a),
        ("$?", 5),
        ("$b*2", 512),
        ("${asm.bits}", 64),
        ("$s{main}+1", 4),
        ("$.pc", 8),
        ("[0]", 0x0706_0504_0302_0100),
        ("[4:0]", 0x0302_0100),
        ("[1:3]", 3),
        ("[2:0x8]", 0x0908),
        ("[8:0]", 0x0706_0504_0302_0100),
        ("[1:[1:3]+8]", 0xb),
        ("[[1:3]]", 0x0a09_0807_0605_0403),
        ("[1:7c00:0015]", 5),
        ("[ 1 : 2 + 2 ]*2", 8),
    ];
    for (text, expected) in rows {
        assert_eq!(value(text), *expected, "{text}");
    }
}

#[test]
fn the_floating_value_runs_beside() {
    for (text, expected) in
        [("1.5", 1.5), ("1.5*2", 3.0), ("7/2", 3.5), ("-1", -1.0), ("0x4142", 16706.0), ("1<<4", 16.0)]
    {
        assert_eq!(calculate(text, &mut Fixture).unwrap().float, expected, "{text}");
    }
}

#[test]
fn junk_is_refused_with_its_place() {
    let rows: &[(&str, &str)] = &[
        ("", "the expression is empty"),
        ("foo", "unknown name 'foo'"),
        ("foo+1", "bad expression 'foo+1': unknown name 'foo' at column 1"),
        ("1+beef", "bad expression '1+beef': unknown name 'beef' at column 3 (as a hexadecimal number it is 0xbeef)"),
        ("12abc", "'a' is not a decimal digit in '12abc'"),
        ("1x", "'x' is not a decimal digit in '1x'"),
        ("0xzz", "'z' is not a hexadecimal digit in '0xzz'"),
        ("0x", "hexadecimal digits are missing in '0x'"),
        ("0b", "binary digits are missing in '0b'"),
        ("1_000", "'_' is not a decimal digit in '1_000'"),
        ("1e3", "'e' is not a decimal digit in '1e3'"),
        ("10d", "'d' is not a decimal digit in '10d'"),
        ("0x10h", "'h' is not a hexadecimal digit in '0x10h'"),
        ("1Kb", "'K' is not a binary digit in '1Kb'"),
        ("08", "'8' is not an octal digit in '08'"),
        ("0x1ffffffffffffffff", "more than 64 bits in the number '0x1ffffffffffffffff'"),
        ("18446744073709551616", "more than 64 bits in the number '18446744073709551616'"),
        ("99999999999G", "more than 64 bits in the number '99999999999G'"),
        ("1:2", "bad expression '1:2': an operator expected before ':2' at column 2"),
        ("1 2", "bad expression '1 2': an operator expected before '2' at column 3"),
        ("1+", "bad expression '1+': a value is missing at its end"),
        ("1+*2", "bad expression '1+*2': a value is missing '*' at column 3"),
        ("(1+2", "bad expression '(1+2': no ')' for '(' at column 1"),
        ("1+2)", "bad expression '1+2)': no '(' for ')' at column 4"),
        ("[1", "bad expression '[1': no ']' for '[' at column 1"),
        ("7/0", "bad expression '7/0': division by zero '/' at column 2"),
        ("7%(1-1)", "bad expression '7%(1-1)': division by zero '%' at column 2"),
        (
            "[3:0]",
            "bad expression '[3:0]': a memory reference cannot have the size '3' at column 2 (1, 2, 4 or 8 bytes)",
        ),
        (
            "3==3",
            "bad expression '3==3': not an operator of expressions: '=' at column 2 (conditions compare: ?= a==b)",
        ),
        ("$", "a variable's name is missing after '$' ('?$' lists them)"),
        ("${a", "bad expression '${a': no '}' for '{' at column 2"),
        ("$zz", "unknown variable '$zz'"),
        ("''", "bad expression '''': no character stands in the quotes at ''' at column 1 ('A' or '\\n')"),
        ("..", "hexadecimal digits (at most 16) must follow the dots in '..'"),
        ("0x12..3", "only the digit f may stand before the dots in '0x12..3'"),
        ("\u{e9}\n", "bad expression '\u{e9}\\n': unknown name '\u{e9}' at column 1"),
    ];
    for (text, expected) in rows {
        assert_eq!(message(text), *expected, "{text}");
    }
}

#[test]
fn depth_is_bounded() {
    let deep = |open: &str, close: &str, count| format!("{}1{}", open.repeat(count), close.repeat(count));
    assert_eq!(value(&deep("(", ")", DEPTH)), 1);
    for (open, close) in [("(", ")"), ("[", "]"), ("-(", ")")] {
        assert!(message(&deep(open, close, 100_000)).contains("nests more than 100 deep"));
    }
    assert_eq!(value(&format!("{}1", "-".repeat(100_000))), 1u64.wrapping_sub(50_000));
}

#[test]
fn conditions_compare() {
    let rows = [
        ("1==1", 1),
        ("1!=1", 0),
        ("1+1==2", 1),
        ("1<2", 1),
        ("2<=1", 0),
        ("2>=2,1<2", 1),
        ("1==1,1==2", 0),
        ("3>2", 1),
        ("1<<2>3", 1),
        ("0x41", 0x41),
        ("0", 0),
        ("5,6", 1),
        ("-1>1", 1),
    ];
    for (text, expected) in rows {
        assert_eq!(condition(text, &mut Fixture).unwrap(), expected, "{text}");
    }
    for text in ["1==", "==1", "1=1", "1==1,", "1==2==3"] {
        assert!(condition(text, &mut Fixture).is_err(), "{text}");
    }
}

#[test]
fn words_join_to_expressions() {
    let join = |text: &str| join(&text.split(' ').map(String::from).collect::<Vec<_>>());
    assert_eq!(join("1 2 3"), ["1", "2", "3"]);
    assert_eq!(join("1 + 2 3"), ["1 + 2", "3"]);
    assert_eq!(join("1 -2"), ["1", "-2"]);
    assert_eq!(join("- 10"), ["- 10"]);
    assert_eq!(join("( 1 + 2 ) * 3"), ["( 1 + 2 ) * 3"]);
    assert_eq!(join("[4: $$] 1"), ["[4: $$]", "1"]);
}

proptest! {
    #[test]
    fn never_panics(text in "\\PC*") {
        let _ = calculate(&text, &mut Fixture);
        let _ = condition(&text, &mut Fixture);
    }

    #[test]
    fn never_panics_on_what_looks_like_an_expression(text in "[-0-9a-fhxotkKG.:$?{}'\\\\()\\[\\]+*/%<>=!,~|& \u{e9}]{0,24}") {
        let _ = calculate(&text, &mut Fixture);
        let _ = condition(&text, &mut Fixture);
    }

    #[test]
    fn reads_back_what_it_prints(number: u64) {
        prop_assert_eq!(value(&format!("0x{number:x}")), number);
        prop_assert_eq!(value(&number.to_string()), number);
        prop_assert_eq!(value(&format!("0b{number:b}")), number);
        prop_assert_eq!(value(&format!("0{number:o}")), number);
    }
}
