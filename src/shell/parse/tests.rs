//! Tests of the parser.

use super::*;
use proptest::prelude::*;

fn one(text: &str) -> Statement {
    let script = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(script.statements.len(), 1, "{text}");
    script.statements.into_iter().next().unwrap()
}

fn shown(words: &[Word]) -> Vec<String> {
    words
        .iter()
        .map(|word| {
            word.iter()
                .map(|part| match part {
                    Part::Text(text) => text.clone(),
                    Part::Quoted(text) => format!("<{text}>"),
                    Part::Character(c) => format!("'{c}'"),
                    Part::Output { script, .. } => format!("[{}]", script.statements.len()),
                })
                .collect()
        })
        .collect()
}

fn words(text: &str) -> Vec<String> {
    match one(text).head {
        Head::Command(words) | Head::Seek(words) => shown(&words),
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn statements_are_separated_and_comments_dropped() {
    assert_eq!(parse("a; b\nc\rd;;\n # e ; f\n").unwrap().statements.len(), 4);
    assert_eq!(parse("").unwrap().statements.len(), 0);
    assert_eq!(words("?e a#b"), ["?e", "a"]);
    assert_eq!(words("?e \"a#b;c\""), ["?e", "<a#b;c>"]);
}

#[test]
fn quotes_and_escapes() {
    assert_eq!(words(r"?e a\;b"), ["?e", "a<;>b"]);
    assert_eq!(words(r"?e a\nb \x41"), ["?e", r"a\nb", r"\x41"]);
    assert_eq!(words(r"?e 'a\'b\nc' d"), ["?e", "<a'b\nc>", "d"]);
    assert_eq!(words(r#"?e "a\"b\n""#), ["?e", r#"<a"b\n>"#]);
    assert_eq!(one(r#""?e a @ 4;b" @ 8"#).head, Head::Whole("?e a @ 4;b".into()));
    assert_eq!(one(r#""?e \"Hello\\n\"""#).head, Head::Whole(r#"?e "Hello\\n""#.into()));
    assert_eq!(words(r"wz \\x40\\\;"), ["wz", r"\\x40\\<;>"]);
    assert_eq!(words("?v 'A'+1"), ["?v", "'A'+1"]);
    assert_eq!(words("?v (1 + 2)*(3)"), ["?v", "(1", "+", "2)*(3)"]);
}

#[test]
fn counts_and_numbers() {
    assert_eq!(one("3p8 1").count, 3);
    assert_eq!(one("3 ?e x").count, 3);
    assert_eq!(one("10p8 1").count, 10);
    assert_eq!(words("3?e x"), ["?e", "x"]);
    for text in ["0x20", "32", "0", "0b11", "32 @ 4", "4+4", "0x10 + 4", "2 + 3"] {
        assert!(matches!(one(text).head, Head::Seek(_)), "{text}");
    }
}

#[test]
fn suffixes_wrap_what_stands_before_them() {
    let statement = one("px 4~a,b @ 8 @@=1 2 > $x");
    let kinds: Vec<&str> = statement
        .suffixes
        .iter()
        .map(|suffix| match suffix {
            Suffix::At(_) => "at",
            Suffix::Each(_) => "each",
            Suffix::Grep(_) => "grep",
            Suffix::Redirect(_) => "redirect",
            _ => "other",
        })
        .collect();
    assert_eq!(kinds, ["grep", "at", "each", "redirect"]);
    assert_eq!(one("p8 8| sed -e s,1,x,g>x").suffixes, [Suffix::Pipe("sed -e s,1,x,g>x".into())]);
    assert_eq!(one("px |").suffixes, [Suffix::Plain]);
    assert_eq!(one("px |H").suffixes, [Suffix::Html]);
    assert_eq!(one("px |.").suffixes, [Suffix::Interpret]);
    assert_eq!(parse("p8|sh -c 'a;b';s").unwrap().statements.len(), 2);
    let redirected = one("?v 5 2>> f");
    assert!(matches!(&redirected.suffixes[0], Suffix::Redirect(r) if r.what == Stream::Errors && r.append));
    assert!(matches!(&one("?v 5>3").suffixes[0], Suffix::Redirect(r) if r.what == Stream::Output));
    assert!(
        matches!(&one("px>~/f").suffixes[0], Suffix::Redirect(r) if shown(std::slice::from_ref(&r.target)) == ["~/f"])
    );
}

#[test]
fn filters_keep_blanks_and_quotes() {
    let text = |line: &str| match &one(line).suffixes[0] {
        Suffix::Grep(word) => shown(std::slice::from_ref(word)).remove(0),
        other => panic!("{other:?}"),
    };
    assert_eq!(text("px~ one two  "), " one two");
    assert_eq!(text("px~\"a\""), "\"a\"");
    assert_eq!(text(r"px~\;"), r"\;");
    assert_eq!(text("px~{[0].fd}"), "{[0].fd}");
    assert_eq!(one("px~one~two").suffixes.len(), 2);
}

#[test]
fn special_heads() {
    let raw = |name, text: &str| Head::Raw { name, text: text.into() };
    assert_eq!(one("!ls | wc > x").head, raw("!", "ls | wc > x"));
    assert_eq!(one("!!ls~foo").head, raw("!!", "ls"));
    assert_eq!(one(".!echo a").head, raw(".!", "echo a"));
    assert_eq!(one("& px > f").head, raw("&", "px > f"));
    assert_eq!(one("& \"?e a;b\"").head, raw("&", "?e a;b"));
    assert_eq!(one("?? ?e \"a;b\" @ 4 # c;d").head, raw("??", "?e \"a;b\" @ 4"));
    assert_eq!(one("?!s $(?e a;b)~c | d > e").head, raw("?!", "s $(?e a;b)~c | d > e"));
    assert_eq!(one("?t ?? s").head, raw("?t", "?? s"));
    assert_eq!(words("p8 `?? ?e 3`"), ["p8", "[1]"]);
    assert_eq!(words("??"), ["??"]);
    assert_eq!(words("???~x"), ["???"]);
    assert_eq!(words("?tx"), ["?tx"]);
    assert_eq!(words("!=!"), ["!=!"]);
    assert_eq!(words("&j~{}"), ["&j"]);
    assert_eq!(words("&= 1"), ["&=", "1"]);
    assert_eq!(words(".(foo 1 2)"), [".(", "foo", "1", "2"]);
    assert_eq!(words(". file"), [".", "file"]);
    assert_eq!(words(".?"), [".?"]);
    assert_eq!(words("(?~x"), ["(?"]);
    assert_eq!(words("!?"), ["!?"]);
    assert_eq!(one(".?e ?e a~b > f").suffixes.len(), 3);
    assert_eq!(one(".?e ?e a~b > f").suffixes[1], Suffix::Interpret);
    assert_eq!(one("(*").head, raw("(*", ""));
    assert_eq!(one("(-foo)").head, raw("(-", "foo"));
    assert!(matches!(one("(a x;?e (1) $0)(7)").head, Head::Macro { call: Some(call), .. } if call.len() == 1));
    assert!(matches!(one("\"(msg x y;?e $0 $1)\"").head, Head::Macro { call: None, .. }));
    assert_eq!(one("@@?~?").head, Head::Help("@@".into()));
    assert_eq!(one("=+ rap://h:1//bin/ls").suffixes, []);
}

#[test]
fn substitutions_nest() {
    assert_eq!(words("p8 `?e 3`"), ["p8", "[1]"]);
    assert_eq!(words("p8 a$(?e 1; ?e $(?e 2))b"), ["p8", "a[2]b"]);
    assert_eq!(words("?e $(!echo (a); s)"), ["?e", "[2]"]);
    assert_eq!(words("?e \"x `s` y\""), ["?e", "<x >[1]< y>"]);
}

#[test]
fn mistakes_say_where() {
    for (text, message) in [
        ("?v )", "syntax error at column 4: ')' without '('"),
        ("s; ?v (1", "syntax error at column 7: this '(' is not closed"),
        ("?e 'it", "syntax error at column 4: this \"'\" is not closed"),
        ("s\n?e \"a", "syntax error at line 2, column 4: this '\"' is not closed"),
        ("s @", "syntax error at column 3: nothing after '@'"),
        ("s @@; s", "syntax error at column 3: nothing after '@@'"),
        ("s >", "syntax error at column 3: no file after '>'"),
        ("~foo", "syntax error at column 1: no command before '~'"),
        ("p8 `s", "syntax error at column 4: this substitution is not closed, '`' is missing"),
        ("p8 > a b", "syntax error at column 8: unexpected 'b' after the end of the command"),
        ("99999999999999999999s", "syntax error at column 1: the repeat count 99999999999999999999 is too large"),
    ] {
        assert_eq!(parse(text).unwrap_err().message(), message, "{text}");
    }
    let deep = "$(".repeat(10_000);
    assert!(parse(&format!("s {deep}")).is_err());
    assert!(parse(&"?? ".repeat(10_000)).is_err());
    assert!(parse(&format!("{}s", "?!".repeat(10_000))).is_err());
    assert!(parse(&".".repeat(10_000)).is_ok());
    assert!(parse(&format!("s{}", "@1".repeat(10_000))).is_err());
}

proptest! {
    #[test]
    fn never_panics(text in "\\PC{0,60}") {
        let _ = parse(&text);
    }

    #[test]
    fn never_panics_on_operators(text in "[a-z0-9 \\\\@|#\"'>;$`~,()!&.*%?{}=H\\n-]{0,40}") {
        let _ = parse(&text);
    }
}
