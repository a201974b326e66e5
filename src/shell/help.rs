//! `@?`, `@@?`, `~?`, `|?`, `>?`: help about the operators, which are no commands.

use crate::error::Result;
use crate::output::Out;

type Page = (&'static str, &'static [(&'static str, &'static str)]);

const PAGES: &[(&str, Page)] = &[
    ("@", ("<cmd> @<modifier>", MODIFIERS)),
    ("@@", ("<cmd> @@<iterator>", ITERATORS)),
    ("@@@", ("<cmd> @@<iterator>", ITERATORS)),
    ("~", ("<cmd>~[&!+^?]<word,word>[$][[columns]][:lines]", FILTERS)),
    ("|", ("<cmd> |<program>", PIPES)),
    (">", ("<cmd> > <file>", REDIRECTS)),
];

const MODIFIERS: &[(&str, &str)] = &[
    ("@ addr[!size]", "temporary seek, and block size"),
    ("@!size", "temporary block size"),
    ("@..hex", "replace the last digits of the seek"),
    ("@(from to)", "temporary range for commands that search"),
    ("@a:arch[:bits]", "temporary architecture"),
    ("@b:bits", "temporary word size"),
    ("@e:key=value[,...]", "temporary options"),
    ("@f:file", "block from a file"),
    ("@F:space", "temporary flagspace"),
    ("@o:fd", "physical addresses of another descriptor"),
    ("@s:text", "block from a text"),
    ("@v:value", "block from a number"),
    ("@x:hexpairs", "block from bytes"),
];

const ITERATORS: &[(&str, &str)] = &[
    ("@@=a b c", "addresses"),
    ("@@@=a size b size", "addresses with block sizes"),
    ("@@s:from to step", "from an address to before another, in steps"),
    ("@@c:cmd", "addresses that a command prints"),
    ("@@@c:cmd", "addresses and sizes that a command prints"),
    ("@@.file", "addresses in a file, one per line"),
    ("@@/x hexpairs", "hits of a search"),
    ("@@f[:glob]", "flags"),
    ("@@@f[:glob]", "flags, with their sizes as block size"),
    ("@@F[:glob]", "functions"),
    ("@@C[:glob]", "comments"),
    ("@@b", "basic blocks of the function"),
    ("@@i", "instructions of the basic block"),
    ("@@is @@ii @@iz", "symbols, imports, strings"),
    ("@@iS @@iSS", "sections, segments"),
    ("@@om", "maps"),
    ("@@dm", "maps of the debugged process"),
    ("@@r", "registers"),
    ("@@t", "threads"),
    ("@@dbt[abs]", "frames of the backtrace"),
    ("@@ glob, @@ a b c", "flags and addresses, as they used to be written"),
];

const FILTERS: &[(&str, &str)] = &[
    ("~word,other", "lines with one of the words"),
    ("~&word,other", "lines with all of them"),
    ("~!word", "lines without it"),
    ("~+word", "upper and lower case alike"),
    ("~^word ~word$", "at the start, at the end of the line"),
    ("~:0 ~:-1", "a line by number, from the end"),
    ("~:1..3 ~:1..", "lines from a number to before another"),
    ("~[0] ~[0,2] ~[1-]", "columns"),
    ("~? ~?word", "number of lines"),
    ("~?.", "number of characters"),
    ("~$ ~$1 ~$!", "sorted, by a column, reversed"),
    ("~{} ~{:", "JSON indented, one value per line"),
    ("~{path.to[0]}", "one value of JSON"),
];

const PIPES: &[(&str, &str)] = &[
    ("cmd | program", "run a program of this machine on the output"),
    ("cmd |", "no colours"),
    ("cmd |H", "output as HTML"),
    ("cmd |.", "run the output as commands"),
];

const REDIRECTS: &[(&str, &str)] = &[
    ("cmd > file", "output to a file"),
    ("cmd >> file", "output to the end of a file"),
    ("cmd > $alias", "output to an alias"),
    ("cmd 2> file", "errors to a file"),
    ("cmd H> file", "output as HTML to a file"),
];

/// Prints the page of `operator`.
pub fn operator(operator: &str, out: &mut Out<'_>) -> Result<()> {
    let name = match operator {
        ">>" => ">",
        other => other,
    };
    let page = PAGES.iter().find(|(page, _)| *page == name).or(PAGES.first());
    let Some((_, (usage, rows))) = page else { return Ok(()) };
    out.line(format_args!("Usage: {usage}"))?;
    let width = rows.iter().map(|(form, _)| form.len()).max().unwrap_or(0);
    rows.iter().try_for_each(|(form, meaning)| out.line(format_args!("| {form:width$}  {meaning}")))
}
